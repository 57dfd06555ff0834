//! What nodes ask each other on behalf of clients, beside replication: appends that entered at another node than the
//! partition's leader, and how far the replicas of a partition are.
//!
//! A forward stream belongs to one opening of one lane. Its parts are in the lane's order, and were placed by the entry
//! node: whoever receives one appends it or says why not, and never forwards it again.

use serde::{Deserialize, Serialize};

use crate::ids::{
    ClusterId, LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId, Revision, Sequence,
    TopicId,
};
use crate::lane::{Acks, Outcome};

/// The most parts of one forward stream that may be unanswered at a time; the leader's node reads no further.
pub const FORWARDED_PARTS_IN_FLIGHT_MAX: usize = 1024;

/// Payload of the opening frame of a forward stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardOpen {
    /// The cluster that both nodes belong to.
    pub cluster: ClusterId,
    /// The topic.
    pub topic: TopicId,
    /// The lane's producer.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
    /// The promise asked for.
    pub acks: Acks,
}

/// Header of a frame that carries one part; the payload is its record batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardPart {
    /// The batch's number in its lane.
    pub ordinal: u64,
    /// The part's number in its batch.
    pub part: u32,
    /// Where it goes.
    pub partition: PartitionIndex,
    /// The reign that the entry node believes in.
    pub leader_epoch: LeaderEpoch,
    /// How its place in the producer's order is checked.
    pub check: ForwardCheck,
    /// The revision of the topic's pipeline that made it on its entry node: it runs through none again.
    pub revision: Revision,
}

/// How the place of a part in its producer's order is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardCheck {
    /// Not at all: it has no producer.
    Unchecked,
    /// As Kafka does, for producers that name their partition.
    Contiguous {
        /// The sequence of the part that this opening sent there before.
        after: Option<Sequence>,
    },
    /// As one part of a lane.
    Lane {
        /// The sequence of the part that this opening sent there before.
        after: Option<Sequence>,
    },
}

/// Header of the answer to one part. No payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardAnswer {
    /// The batch's number in its lane.
    pub ordinal: u64,
    /// The part's number in its batch.
    pub part: u32,
    /// What became of it.
    pub outcome: Outcome,
    /// How many replicas have it, and whether each flushed it; `None` where nothing was stored.
    pub promise: Option<(u32, bool)>,
}

/// Payload of the opening frame of a status stream: one question, answered by one frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusAsk {
    /// The cluster that both nodes belong to.
    pub cluster: ClusterId,
    /// The topic.
    pub topic: TopicId,
    /// Partitions that the asked node should lead.
    pub partitions: Vec<PartitionIndex>,
}

/// Payload of the answer: `None` for partitions that the node does not lead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusAnswer {
    /// In the order asked.
    pub partitions: Vec<Option<ReplicaProgress>>,
}

/// How far the replicas of a partition are, as its leader knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaProgress {
    /// The first offset still stored.
    pub log_start: Offset,
    /// The end of what consumers may read.
    pub high_watermark: Offset,
    /// The log ends of those that the leader has heard of, itself included.
    pub log_ends: Vec<(NodeId, Offset)>,
    /// The newest revision of the topic's pipeline that is marked in the log; `None` while that which the topic was
    /// created with is the only one.
    pub revision: Option<RevisionProgress>,
}

/// From where on a revision of a topic's pipeline made the records of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionProgress {
    /// The revision.
    pub revision: Revision,
    /// The offset of its first record.
    pub first_offset: Offset,
    /// From here on nothing of an earlier revision has followed so far.
    pub older_end: Offset,
}
