//! Images as earlier versions of Weir stored them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir_wire::frame::decode_exactly;
use weir_wire::ids::{
    ClusterId, LeaderEpoch, MetadataIndex, NodeId, PartitionEpoch, ProducerId, Revision, TopicId,
};

use super::{Image, LogTail, NodeState, Origin, PartitionState, PipelineSpec, PipelineState, TopicState};

/// The image of another version, as one of today's.
pub(super) fn decode(version: u8, body: &[u8]) -> Option<Image> {
    match version {
        2 => decode_exactly::<ImageTwo>(body).map(ImageTwo::upgrade),
        _ => None,
    }
}

/// Version 2: without plugins, and without replicas that failed or were not flushed.
#[derive(Serialize, Deserialize)]
struct ImageTwo {
    index: MetadataIndex,
    cluster: Option<ClusterId>,
    nodes: BTreeMap<NodeId, NodeState>,
    node_configs: BTreeMap<String, String>,
    topics: BTreeMap<String, TopicTwo>,
    topic_names: BTreeMap<TopicId, String>,
    next_producer: ProducerId,
}

#[derive(Serialize, Deserialize)]
struct TopicTwo {
    id: TopicId,
    revision: Revision,
    configs: BTreeMap<String, String>,
    partitions: Vec<PartitionTwo>,
}

#[derive(Serialize, Deserialize)]
struct PartitionTwo {
    replicas: Vec<NodeId>,
    isr: Vec<NodeId>,
    elr: Vec<NodeId>,
    leader: Option<NodeId>,
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    unclean: bool,
    cut: BTreeMap<NodeId, LogTail>,
}

impl ImageTwo {
    fn upgrade(self) -> Image {
        Image {
            index: self.index,
            cluster: self.cluster,
            nodes: self.nodes,
            node_configs: self.node_configs,
            topics: self.topics.into_iter().map(|(name, topic)| (name, topic.upgrade())).collect(),
            topic_names: self.topic_names,
            next_producer: self.next_producer,
            ..Image::default()
        }
    }
}

impl TopicTwo {
    /// No log of that time says at which revision it was written: all of it counts as of the one in force.
    fn upgrade(self) -> TopicState {
        let partitions = u32::try_from(self.partitions.len()).unwrap_or(u32::MAX);
        let spec = PipelineSpec { partitions, ..PipelineSpec::default() };
        TopicState {
            revision: self.revision,
            created_at_revision: self.revision,
            newest_revision: self.revision,
            pipelines: BTreeMap::from([(self.revision, PipelineState::new(spec, Origin::Created))]),
            ..TopicState::new(
                self.id,
                self.configs,
                self.partitions.into_iter().map(PartitionTwo::upgrade).collect(),
                PipelineSpec::default(),
            )
        }
    }
}

impl PartitionTwo {
    fn upgrade(self) -> PartitionState {
        let PartitionTwo { replicas, isr, elr, leader, leader_epoch, partition_epoch, unclean, cut } = self;
        let (unflushed, failed) = (BTreeSet::new(), BTreeSet::new());
        PartitionState {
            replicas,
            isr,
            elr,
            leader,
            leader_epoch,
            partition_epoch,
            unclean,
            cut,
            unflushed,
            failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_wire::stored::{self, Stored};

    use super::*;

    impl Stored for ImageTwo {
        const NAME: &'static str = "metadata image";
        const VERSION: u8 = 2;
    }

    fn alone() -> PartitionTwo {
        let PartitionState {
            replicas, isr, elr, leader, leader_epoch, partition_epoch, unclean, cut, ..
        } = PartitionState::new(vec![NodeId(1)]);
        PartitionTwo { replicas, isr, elr, leader, leader_epoch, partition_epoch, unclean, cut }
    }

    #[test]
    fn an_image_without_plugins_is_read() {
        let id = TopicId([7; 16]);
        let topic = TopicTwo {
            id,
            revision: Revision(3),
            configs: BTreeMap::from([("retention.ms".to_owned(), "1".to_owned())]),
            partitions: vec![alone(), alone()],
        };
        let old = ImageTwo {
            index: MetadataIndex(9),
            cluster: Some(ClusterId([1; 16])),
            nodes: BTreeMap::new(),
            node_configs: BTreeMap::new(),
            topics: BTreeMap::from([("t".to_owned(), topic)]),
            topic_names: BTreeMap::from([(id, "t".to_owned())]),
            next_producer: ProducerId(5),
        };
        let image = stored::decode::<Image>(&stored::encode(&old)).unwrap();
        assert_eq!((image.index, image.next_producer), (MetadataIndex(9), ProducerId(5)));
        let topic = &image.topics["t"];
        assert_eq!((topic.revision, topic.created_at_revision, topic.newest_revision), {
            let three = Revision(3);
            (three, three, three)
        });
        assert_eq!(topic.configs["retention.ms"], "1");
        let spec = topic.pipeline(Revision(3)).unwrap();
        assert_eq!(topic.partitions[1], PartitionState::new(vec![NodeId(1)]));
        assert!(spec.is_plain());
        assert_eq!(spec.partitions, 2);
        assert_eq!(stored::decode::<Image>(&stored::encode(&image)).unwrap(), image);
    }
}
