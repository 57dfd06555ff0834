//! Where the parts of a batch go: to their partitions here, or to the leaders of those elsewhere.

use std::sync::Arc;

use bytes::Bytes;
use weir_core::partition::{AppendCheck, AppendOutcome, BatchMeta, RetryReason};
use weir_core::pipeline::entry::{Part, Target};
use weir_wire::batch::BatchHeader;
use weir_wire::batch::control::RevisionMarker;
use weir_wire::forward::{ForwardCheck, ForwardOpen, ForwardPart};
use weir_wire::ids::{LeaderEpoch, NodeId, PartitionIndex, Revision, TopicId};
use weir_wire::lane::{LaneOpen, LaneTarget};

use super::{LaneServer, Memory};
use crate::partitions::{AppendRequest, AppendTag, PartitionHandle};
use crate::pipelines::dead_letters_of;
use crate::replication::Forwarded;

/// The topic of a part, and what made it.
struct PartPlace {
    topic: TopicId,
    revision: Revision,
    made_by: Option<Arc<RevisionMarker>>,
}

impl LaneServer {
    /// Hands a part to its partition, here or at its leader.
    pub(super) async fn send(&mut self, ordinal: u64, part: &Part, batch: Bytes, memory: Option<Memory>) {
        let tag = AppendTag { ordinal, part: part.part };
        let Some(place) = self.place_of(part.target) else {
            let _ = self.reply.send((tag, AppendOutcome::Retry(RetryReason::NotLeader)));
            return;
        };
        if let Some((leader, leader_epoch)) = self.leader_elsewhere(part.target, &place) {
            return self.forward(leader, leader_epoch, tag, part, place, batch, memory);
        }
        let header = BatchHeader::parse(&batch).expect("the batch was validated or made here");
        let check = match (self.lane.open.producer, self.lane.open.target, part.target) {
            (None, ..) => AppendCheck::Unchecked,
            (Some(_), LaneTarget::Explicit { .. }, Target::Topic(_)) => {
                AppendCheck::Contiguous { after: part.after }
            }
            // Dead letters are few: their sequences have gaps, as those of a lane's parts.
            (Some(_), ..) => AppendCheck::Lane { after: part.after },
        };
        let Some(handle) = self.target(place.topic, part.target.partition()) else {
            let _ = self.reply.send((tag, AppendOutcome::Retry(RetryReason::NotLeader)));
            return;
        };
        let request = AppendRequest {
            meta: BatchMeta::from(&header),
            leader_epoch: self.leader_epoch(part.target, &handle),
            batch,
            check,
            acks: self.lane.open.acks,
            made_by: place.made_by,
            by_plugins: self.lane.revised.pipeline.is_some(),
            tag,
            reply: self.reply.clone(),
            memory,
        };
        if handle.append(request).await.is_err() {
            self.targets
                .retain(|target| target.topic != place.topic || target.partition != part.target.partition());
            let _ = self.reply.send((tag, AppendOutcome::Retry(RetryReason::NotLeader)));
        }
    }

    /// The topic of a part, and what made it.
    fn place_of(&self, target: Target) -> Option<PartPlace> {
        match target {
            Target::Topic(_) => Some(PartPlace {
                topic: self.lane.open.topic,
                revision: self.lane.open.revision,
                made_by: self.lane.revised.made_by.clone(),
            }),
            Target::DeadLetters(_) => {
                let image = self.services.controller.image();
                let topic = image.topics.get(&dead_letters_of(&self.lane.topic))?;
                // Nothing made them what they are: they pass no pipeline.
                Some(PartPlace { topic: topic.id, revision: topic.created_at_revision, made_by: None })
            }
        }
    }

    /// Who leads a partition, if that is another node and the client did not mean to enter at the leader: a client that
    /// named the partition and came to the wrong node is told so, and goes to the right one.
    fn leader_elsewhere(&self, target: Target, place: &PartPlace) -> Option<(NodeId, LeaderEpoch)> {
        match (self.lane.open.target, target) {
            (LaneTarget::Explicit { .. }, Target::Topic(_)) => return None,
            (LaneTarget::Guessed { partition: named, .. }, Target::Topic(partition))
                if named == partition =>
            {
                return None;
            }
            _ => {}
        }
        let image = self.services.controller.image();
        let (_, topic) = image.topic_by_id(place.topic)?;
        let state = topic.partitions.get(target.partition().0 as usize)?;
        let leader = state.leader.filter(|leader| *leader != self.services.node)?;
        Some((leader, state.leader_epoch))
    }

    #[expect(clippy::too_many_arguments, reason = "a part, and where it goes")]
    fn forward(
        &mut self,
        leader: NodeId,
        leader_epoch: LeaderEpoch,
        tag: AppendTag,
        part: &Part,
        place: PartPlace,
        batch: Bytes,
        memory: Option<Memory>,
    ) {
        let LaneOpen { cluster, producer, acks, .. } = self.lane.open;
        let PartPlace { topic, revision, .. } = place;
        let (services, answers) = (&self.services, &self.forwarded);
        let way = self.ways.entry((leader, topic)).or_insert_with(|| {
            let open = ForwardOpen { cluster, topic, producer, acks };
            services.replication.forward(leader, open, answers.clone())
        });
        let check = match producer {
            None => ForwardCheck::Unchecked,
            // A client that names the partition enters at its leader: nothing of it is forwarded but dead letters.
            Some(_) => ForwardCheck::Lane { after: part.after },
        };
        let AppendTag { ordinal, part: number } = tag;
        let partition = part.target.partition();
        metrics::counter!("weir_forwarded_parts_total").increment(1);
        way.send(Forwarded {
            header: ForwardPart { ordinal, part: number, partition, leader_epoch, check, revision },
            batch,
            memory,
        });
    }

    /// The reign that the sender of a part believes in: the client's, where the client named the partition; else
    /// this node's own view.
    fn leader_epoch(&self, target: Target, handle: &PartitionHandle) -> LeaderEpoch {
        match (self.lane.open.target, target) {
            (
                LaneTarget::Explicit { partition: named, leader_epoch }
                | LaneTarget::Guessed { partition: named, leader_epoch },
                Target::Topic(partition),
            ) if named == partition => leader_epoch,
            _ => handle.view.leader_epoch(),
        }
    }

    fn target(&mut self, topic: TopicId, partition: PartitionIndex) -> Option<PartitionHandle> {
        let is_it = |target: &&PartitionHandle| target.topic == topic && target.partition == partition;
        if let Some(known) = self.targets.iter().find(is_it) {
            return Some(known.clone());
        }
        let handle = self.services.partitions.get(topic, partition)?;
        self.targets.push(handle.clone());
        Some(handle)
    }
}
