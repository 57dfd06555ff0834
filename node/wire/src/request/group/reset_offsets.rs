//! Moving a group to other offsets.

use serde::{Deserialize, Serialize};

use super::PartitionOffset;
use crate::error::WireError;
use crate::ids::Offset;
use crate::request::{Request, RequestKind};

/// Sets committed offsets from outside. Refused while the group has members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetOffsets {
    /// The group; it begins to exist if it does not.
    pub group: String,
    /// The new offsets.
    pub offsets: Vec<PartitionOffset>,
    /// Only say what would be done.
    pub dry_run: bool,
}

/// What became of each offset, in the order sent: the one that it replaces, if there was one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetsReset {
    /// One entry for each.
    pub results: Vec<Result<Option<Offset>, WireError>>,
}

impl Request for ResetOffsets {
    const KIND: RequestKind = RequestKind(49);
    const NAME: &'static str = "reset_offsets";
    type Response = OffsetsReset;
}
