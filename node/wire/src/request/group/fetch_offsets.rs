//! Asking how far a group has come.

use serde::{Deserialize, Serialize};

use super::{PartitionOffset, TopicPartitions};
use crate::request::{Request, RequestKind};

/// Asks for committed offsets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchOffsets {
    /// The group; one that does not exist has committed nothing.
    pub group: String,
    /// Which partitions; `None` for all that something was committed for.
    pub partitions: Option<Vec<TopicPartitions>>,
}

/// What was committed, in the order of topic ids and partitions. A partition without a commit is absent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetsFetched {
    /// The offsets.
    pub offsets: Vec<PartitionOffset>,
}

impl Request for FetchOffsets {
    const KIND: RequestKind = RequestKind(44);
    const NAME: &'static str = "fetch_offsets";
    type Response = OffsetsFetched;
}
