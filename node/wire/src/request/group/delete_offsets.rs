//! Forgetting how far a group has come.

use serde::{Deserialize, Serialize};

use super::TopicPartitions;
use crate::request::{Request, RequestKind};

/// Deletes committed offsets. Refused for topics that a member reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteOffsets {
    /// The group.
    pub group: String,
    /// Which partitions.
    pub partitions: Vec<TopicPartitions>,
}

/// The offsets are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetsDeleted {
    /// How many there were.
    pub count: u32,
}

impl Request for DeleteOffsets {
    const KIND: RequestKind = RequestKind(45);
    const NAME: &'static str = "delete_offsets";
    type Response = OffsetsDeleted;
}
