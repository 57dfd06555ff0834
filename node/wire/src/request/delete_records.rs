//! Deleting the oldest records of a partition (KIP-107).

use serde::{Deserialize, Serialize};

use super::{Request, RequestKind};
use crate::ids::{Offset, PartitionIndex, TopicId};

/// Asks the leader of a partition to let its log start later. Nothing below is served any more, by any replica, and
/// what is stored there goes. Asking twice does no more than asking once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRecords {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The first offset that stays; at most the high watermark. `None`: the high watermark.
    pub before: Option<Offset>,
}

/// The records are deleted, for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordsDeleted {
    /// The first offset that is still served.
    pub log_start: Offset,
}

impl Request for DeleteRecords {
    const KIND: RequestKind = RequestKind(33);
    const NAME: &'static str = "delete_records";
    type Response = RecordsDeleted;
}
