//! Committing how far a group has come.

use serde::{Deserialize, Serialize};

use super::PartitionOffset;
use crate::error::WireError;
use crate::ids::MemberEpoch;
use crate::request::{Request, RequestKind};

/// Stores offsets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitOffsets {
    /// The group.
    pub group: String,
    /// Who commits; `None`: an application that assigns partitions itself, in a group without members.
    pub committer: Option<Committer>,
    /// The offsets, at most [`super::PARTITIONS_PER_REQUEST_MAX`]; of one partition the last one counts.
    pub offsets: Vec<PartitionOffset>,
}

/// A member that commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committer {
    /// The member.
    pub member: String,
    /// The membership by which it held the partitions when it took the records.
    pub member_epoch: MemberEpoch,
}

/// What became of each offset, in the order sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffsetsCommitted {
    /// One entry for each.
    pub results: Vec<Result<(), WireError>>,
}

impl Request for CommitOffsets {
    const KIND: RequestKind = RequestKind(43);
    const NAME: &'static str = "commit_offsets";
    type Response = OffsetsCommitted;
}
