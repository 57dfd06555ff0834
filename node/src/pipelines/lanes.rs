//! Which lanes this node has seen, so that somebody who asks all nodes learns when nothing of an earlier revision can follow.

use std::collections::BTreeMap;

use weir_core::metadata::Image;
use weir_core::pipeline::moving::{Lanes, LanesSeen};
use weir_wire::ids::{ProducerEpoch, ProducerId, Revision, TopicId};

use super::Pipelines;

/// The lanes of a node, by topic.
#[derive(Default)]
pub(super) struct LanesOfNode {
    /// The newest revision of each topic when this life of the node began: lanes up to there an earlier life may have seen.
    earlier: BTreeMap<TopicId, Revision>,
    by_topic: BTreeMap<TopicId, Lanes>,
}

/// A lane that is open on this node, for as long as this lives.
pub struct OpenLane {
    pipelines: Pipelines,
    topic: TopicId,
    revision: Revision,
    leaves_parts: bool,
}

impl LanesOfNode {
    /// Forgets everything: what is known of topics now, an earlier life may have served.
    pub(super) fn begin(&mut self, image: &Image) {
        let newest = image.topics.values().map(|topic| (topic.id, topic.newest_revision));
        *self = LanesOfNode { earlier: newest.collect(), by_topic: BTreeMap::new() };
    }

    fn of(&mut self, topic: TopicId) -> &mut Lanes {
        let forgotten = self.earlier.get(&topic).copied().unwrap_or(Revision(0));
        self.by_topic.entry(topic).or_insert_with(|| Lanes::after(forgotten))
    }
}

impl Pipelines {
    /// Notes that a lane is open, until the returned value is dropped.
    pub fn lane_opened(
        &self,
        topic: TopicId,
        revision: Revision,
        producer: Option<(ProducerId, ProducerEpoch)>,
    ) -> OpenLane {
        self.lanes().of(topic).opened(revision, producer);
        OpenLane { pipelines: self.clone(), topic, revision, leaves_parts: false }
    }

    /// What this node can say of a topic's lanes, where `oldest` is the oldest revision under which anything can still be
    /// sent.
    #[must_use]
    pub fn lanes_seen(&self, topic: TopicId, oldest: Revision, in_force: Revision) -> Option<LanesSeen> {
        let image = self.0.controller.image();
        let mut lanes = self.lanes();
        lanes.by_topic.retain(|topic, _| image.topic_by_id(*topic).is_some());
        let lanes = lanes.of(topic);
        lanes.close_below(oldest);
        lanes.seen(oldest, in_force)
    }
}

impl OpenLane {
    /// Notes that the lane ends with parts on their way to their partitions: whatever its producer does since, they may
    /// arrive.
    pub fn leaves_parts(&mut self) {
        self.leaves_parts = true;
    }
}

impl Drop for OpenLane {
    fn drop(&mut self) {
        if !self.leaves_parts {
            self.pipelines.lanes().of(self.topic).ended(self.revision);
        }
    }
}
