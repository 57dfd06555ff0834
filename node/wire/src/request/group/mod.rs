//! Consumer groups: taking part, committing, and looking after them. Each is sent to the group's coordinator, the
//! leader of the partition of `__consumer_offsets` that [`crate::placement::coordinator_of`] names.
//!
//! The shape is KIP-848's: the node decides who reads what, members hear it in the answers to their heartbeats.
//! Two things differ. A heartbeat may be held until there is news, so that a rebalance need not wait for the
//! interval; and a member confirms what it was told by naming its epoch, not by listing what it holds, so that a
//! heartbeat that comes late or twice confirms nothing that was said after it was sent.

mod commit_offsets;
mod delete_group;
mod delete_offsets;
mod describe_group;
mod explain_group;
mod fetch_offsets;
mod group_heartbeat;
mod join_group;
mod leave_group;
mod list_groups;
mod reset_offsets;
mod set_assignor;

pub use commit_offsets::{CommitOffsets, Committer, OffsetsCommitted};
pub use delete_group::{DeleteGroup, GroupDeleted};
pub use delete_offsets::{DeleteOffsets, OffsetsDeleted};
pub use describe_group::{
    DescribeGroup, GroupDescription, GroupPartition, GroupState, MemberDescription, MemberState,
};
pub use explain_group::{ExplainGroup, GroupExplanation, MemberLoad, PartitionMove};
pub use fetch_offsets::{FetchOffsets, OffsetsFetched};
pub use group_heartbeat::GroupHeartbeat;
pub use join_group::{JoinGroup, Membership, Subscription};
pub use leave_group::{GroupLeft, LeaveGroup};
pub use list_groups::{GroupListing, GroupsListed, ListGroups};
pub use reset_offsets::{OffsetsReset, ResetOffsets};
pub use set_assignor::{AssignorSet, SetAssignor};

use serde::{Deserialize, Serialize};

use crate::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};

/// Some partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPartitions {
    /// The topic.
    pub topic: TopicId,
    /// Which of its partitions, in order.
    pub partitions: Vec<PartitionIndex>,
}

impl TopicPartitions {
    /// Gathers single partitions, already in order, by topic.
    #[must_use]
    pub fn gather(partitions: impl IntoIterator<Item = (TopicId, PartitionIndex)>) -> Vec<TopicPartitions> {
        let mut topics: Vec<TopicPartitions> = Vec::new();
        for (topic, partition) in partitions {
            match topics.last_mut() {
                Some(last) if last.topic == topic => last.partitions.push(partition),
                _ => topics.push(TopicPartitions { topic, partitions: vec![partition] }),
            }
        }
        topics
    }

    /// The same, one by one.
    pub fn each(topics: &[TopicPartitions]) -> impl Iterator<Item = (TopicId, PartitionIndex)> {
        topics.iter().flat_map(|of| of.partitions.iter().map(|partition| (of.topic, *partition)))
    }
}

/// How far a group has come in one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommittedOffset {
    /// The next offset to read: one above the last that was taken.
    pub offset: Offset,
    /// The reign in which the record before it was read, so that a truncation is noticed (KIP-320).
    pub leader_epoch: Option<LeaderEpoch>,
    /// Whatever the application wants to remember, at most [`CommittedOffset::METADATA_BYTES_MAX`] bytes.
    pub metadata: String,
}

impl CommittedOffset {
    /// The longest metadata in bytes (Kafka's `offset.metadata.max.bytes`).
    pub const METADATA_BYTES_MAX: usize = 4096;
}

/// An offset for one partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionOffset {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// How far.
    pub committed: CommittedOffset,
}

/// The most partitions that one request of a group may name.
pub const PARTITIONS_PER_REQUEST_MAX: usize = 10_000;
