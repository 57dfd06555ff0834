//! Looking up offsets: earliest, latest, by time (KIP-79).

use serde::{Deserialize, Serialize};

use super::{Request, RequestKind};
use crate::error::WireError;
use crate::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};

/// Asks the leader of some partitions for offsets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListOffsets {
    /// The topic.
    pub topic: TopicId,
    /// Partition, the leader epoch that the client knows (`None`: any), and what is looked for.
    pub partitions: Vec<(PartitionIndex, Option<LeaderEpoch>, OffsetSpec)>,
}

/// What offset is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OffsetSpec {
    /// The first offset still stored.
    Earliest,
    /// The high watermark: the offset that the next committed record will have.
    Latest,
    /// The first offset whose record is at or after this time, in milliseconds since 1970; the high watermark if there is none.
    Timestamp(i64),
}

/// The offsets found, in the order asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetsListed {
    /// One entry per partition asked for.
    pub offsets: Vec<Result<ListedOffset, WireError>>,
}

/// One offset found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedOffset {
    /// The offset.
    pub offset: Offset,
    /// The leader epoch of the answer.
    pub leader_epoch: LeaderEpoch,
}

impl Request for ListOffsets {
    const KIND: RequestKind = RequestKind(6);
    const NAME: &'static str = "list_offsets";
    type Response = OffsetsListed;
}
