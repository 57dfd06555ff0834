//! Everything that a coordinator knows about one group.

use serde::{Deserialize, Serialize};

use super::{CommittedOffset, Subscription, TopicPartitions};
use crate::ids::{GroupEpoch, MemberEpoch, Offset, PartitionIndex, TopicId};
use crate::request::{Request, RequestKind};

/// Asks for a group's description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeGroup {
    /// Its name.
    pub group: String,
}

/// A group, described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDescription {
    /// Its name.
    pub group: String,
    /// What it is doing.
    pub state: GroupState,
    /// Moves with every change that asks for a new target.
    pub epoch: GroupEpoch,
    /// The epoch that the target was made for.
    pub target_epoch: GroupEpoch,
    /// Who assigns its partitions.
    pub assignor: String,
    /// Who made the target: another one than the assignor when that one failed.
    pub assigned_by: String,
    /// What was wrong with that one, as far as this coordinator knows.
    pub failure: Option<String>,
    /// Its members, by id.
    pub members: Vec<MemberDescription>,
    /// Every partition that is assigned or that something was committed for.
    pub partitions: Vec<GroupPartition>,
}

/// What a group is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupState {
    /// It has no members, only offsets.
    Empty,
    /// The assignor was asked and has not answered.
    Assigning,
    /// Partitions are on their way to other members.
    Reconciling,
    /// Every member holds what it should.
    Stable,
}

/// A member, described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberDescription {
    /// Its id.
    pub member: String,
    /// Its `group.instance.id`.
    pub instance: Option<String>,
    /// The principal that it connected as.
    pub client: String,
    /// From where.
    pub host: String,
    /// Counts the changes of what it may hold.
    pub epoch: MemberEpoch,
    /// What it is doing.
    pub state: MemberState,
    /// What it wants to read.
    pub subscription: Subscription,
    /// What it may hold.
    pub assigned: Vec<TopicPartitions>,
    /// What it was told to let go of.
    pub revoking: Vec<TopicPartitions>,
    /// What it should hold.
    pub target: Vec<TopicPartitions>,
}

/// What a member is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MemberState {
    /// It holds what it should.
    Stable,
    /// It was told to let go of partitions.
    Revoking,
    /// It waits for partitions that others hold.
    Waiting,
    /// It left and said that it returns.
    Away,
}

/// A partition of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPartition {
    /// The topic's id.
    pub topic: TopicId,
    /// The topic's name; empty when it exists no more.
    pub topic_name: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// Who may read it.
    pub member: Option<String>,
    /// How far the group has come.
    pub committed: Option<CommittedOffset>,
    /// The end of what may be read; `None` where nobody could be asked.
    pub log_end: Option<Offset>,
}

impl GroupPartition {
    /// How many offsets the group is behind.
    #[must_use]
    pub fn lag(&self) -> Option<u64> {
        Some(self.log_end?.since(self.committed.as_ref()?.offset))
    }
}

impl Request for DescribeGroup {
    const KIND: RequestKind = RequestKind(47);
    const NAME: &'static str = "describe_group";
    type Response = GroupDescription;
}
