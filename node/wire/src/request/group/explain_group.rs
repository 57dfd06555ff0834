//! What an assignor would do to a group, before it does.

use serde::{Deserialize, Serialize};

use crate::ids::{PartitionIndex, TopicId};
use crate::request::{Request, RequestKind};

/// Asks what would move. Nothing is changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainGroup {
    /// The group.
    pub group: String,
    /// The assignor to try; `None` for the one in force.
    pub assignor: Option<String>,
}

/// What would move, and how even it would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupExplanation {
    /// Whose answer this is: `range` when the one that was asked failed.
    pub assignor: String,
    /// Why the one that was asked failed.
    pub failure: Option<String>,
    /// Every partition that would change its owner.
    pub moves: Vec<PartitionMove>,
    /// Every member with how much it would have.
    pub loads: Vec<MemberLoad>,
}

/// A partition that would change its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionMove {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// Who should have it now.
    pub from: Option<String>,
    /// Who would.
    pub to: Option<String>,
}

/// How many partitions a member has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLoad {
    /// The member.
    pub member: String,
    /// How many it should have now.
    pub before: u32,
    /// How many it would.
    pub after: u32,
}

impl GroupExplanation {
    /// The fewest and the most partitions of a member after the change; the closer, the more even.
    #[must_use]
    pub fn evenness(&self) -> (u32, u32) {
        let after = || self.loads.iter().map(|load| load.after);
        (after().min().unwrap_or(0), after().max().unwrap_or(0))
    }
}

impl Request for ExplainGroup {
    const KIND: RequestKind = RequestKind(51);
    const NAME: &'static str = "explain_group";
    type Response = GroupExplanation;
}
