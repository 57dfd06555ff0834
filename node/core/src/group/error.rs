//! Why a coordinator refuses, with what to do about it.

use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{MemberEpoch, Offset, PartitionIndex, TopicId};
use weir_wire::names::NameError;
use weir_wire::request::{CommittedOffset, JoinGroup, PARTITIONS_PER_REQUEST_MAX, Subscription};

const METADATA_MAX: usize = CommittedOffset::METADATA_BYTES_MAX;
const REBALANCE_MS_MAX: u32 = JoinGroup::REBALANCE_TIMEOUT_MS_MAX;

/// Why a request, or one partition of it, was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// This node does not coordinate the group any more.
    #[error(
        "this node does not coordinate the group any more; ask the leader of its partition of '__consumer_offsets'"
    )]
    NotCoordinator,
    /// Too many answers wait for their writes.
    #[error("the coordinator has too many requests waiting; try again")]
    Busy,
    /// A name that is not legal.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A topic's name that is not legal.
    #[error("{0}")]
    TopicName(NameError),
    /// No such group.
    #[error("there is no group '{0}'; 'weir groups list' shows which there are")]
    UnknownGroup(String),
    /// As many groups as one coordinator takes.
    #[error("this coordinator has as many groups as it takes ({0}); delete some, or let them expire")]
    TooManyGroups(usize),
    /// As many members as one group takes.
    #[error("the group has as many members as it takes ({0})")]
    GroupFull(usize),
    /// No such member.
    #[error(
        "'{0}' is no member of the group, or its session ended: let go of every partition and join again"
    )]
    UnknownMember(String),
    /// A membership of an earlier life, or from a future that never was.
    #[error(
        "epoch {named} is not one of this membership ({joined} to {current}): let go of every partition and join again"
    )]
    FencedEpoch {
        /// What was named.
        named: MemberEpoch,
        /// The first epoch of the membership.
        joined: MemberEpoch,
        /// The newest.
        current: MemberEpoch,
    },
    /// It did not let go in time.
    #[error(
        "the member did not let go of its partitions in time and was expelled: let go and join under a new id"
    )]
    Expelled,
    /// The instance is alive under another member id.
    #[error("another member with group.instance.id '{0}' is alive; stop it, or wait until its session ends")]
    InstanceInUse(String),
    /// A member came back as another instance.
    #[error("a member cannot change its group.instance.id; leave and join again")]
    InstanceChanged,
    /// Subscribed to nothing.
    #[error("a subscription names topics or a pattern; this one has neither")]
    EmptySubscription,
    /// Too many topics.
    #[error("a subscription names at most {max} topics, this one {0}; use a pattern", max = Subscription::TOPICS_MAX)]
    TooManyTopics(usize),
    /// Not a regular expression.
    #[error("'{pattern}' is not a regular expression that can be used: {why}")]
    Pattern {
        /// What was sent.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
    /// Too much time to let go.
    #[error("a member may take at most {max} ms to let go of a partition, not {0}", max = REBALANCE_MS_MAX)]
    RebalanceTimeout(u32),
    /// Too many partitions in one request.
    #[error("one request names at most {PARTITIONS_PER_REQUEST_MAX} partitions, this one {0}")]
    TooManyPartitions(usize),
    /// It can be done to groups without members only.
    #[error("group '{group}' has {members} active member{}; stop them first", if *.members == 1 { "" } else { "s" })]
    NonEmpty {
        /// The group.
        group: String,
        /// How many.
        members: usize,
    },
    /// A member reads the topic.
    #[error("members of the group read topic '{0}'; stop them first")]
    TopicInUse(String),
    /// No such assignor.
    #[error("there is no assignor '{asked}'; there are: {}", .known.join(", "))]
    UnknownAssignor {
        /// What was asked for.
        asked: String,
        /// What there is.
        known: Vec<String>,
    },
    /// No such topic.
    #[error("there is no topic with id {0}")]
    UnknownTopic(TopicId),
    /// No such partition.
    #[error("topic '{topic}' has no partition {partition}; it has {count}")]
    UnknownPartition {
        /// The topic's name.
        topic: String,
        /// What was asked for.
        partition: PartitionIndex,
        /// How many there are.
        count: u32,
    },
    /// The committer does not hold the partition.
    #[error(
        "the member does not hold partition {partition} of '{topic}', or did not all the time since epoch {named}"
    )]
    NotOwner {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
        /// The epoch that it named.
        named: MemberEpoch,
    },
    /// Beyond the end of the log.
    #[error("offset {offset} is beyond the end of the partition, {end}")]
    BeyondLogEnd {
        /// What was sent.
        offset: Offset,
        /// The end.
        end: Offset,
    },
    /// Too much metadata.
    #[error("the metadata of an offset has at most {max} bytes, this one {0}", max = METADATA_MAX)]
    MetadataTooLarge(usize),
}

impl GroupError {
    /// The code that travels.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            GroupError::NotCoordinator => ErrorCode::NotCoordinator,
            GroupError::Busy => ErrorCode::Busy,
            GroupError::Name(_) => ErrorCode::InvalidGroupId,
            GroupError::TopicName(_) => ErrorCode::InvalidTopicName,
            GroupError::UnknownGroup(_) => ErrorCode::GroupIdNotFound,
            GroupError::TooManyGroups(_) | GroupError::GroupFull(_) => ErrorCode::GroupMaxSizeReached,
            GroupError::UnknownMember(_) => ErrorCode::UnknownMemberId,
            GroupError::FencedEpoch { .. } | GroupError::Expelled => ErrorCode::FencedMemberEpoch,
            GroupError::InstanceInUse(_) => ErrorCode::UnreleasedInstanceId,
            GroupError::EmptySubscription | GroupError::TooManyTopics(_) => ErrorCode::InvalidSubscription,
            GroupError::Pattern { .. } => ErrorCode::InvalidRegularExpression,
            GroupError::InstanceChanged
            | GroupError::RebalanceTimeout(_)
            | GroupError::TooManyPartitions(_) => ErrorCode::InvalidRequest,
            GroupError::NonEmpty { .. } | GroupError::TopicInUse(_) => ErrorCode::NonEmptyGroup,
            GroupError::UnknownAssignor { .. } => ErrorCode::UnsupportedAssignor,
            GroupError::UnknownTopic(_) => ErrorCode::UnknownTopic,
            GroupError::UnknownPartition { .. } => ErrorCode::UnknownPartition,
            GroupError::NotOwner { .. } => ErrorCode::NotPartitionOwner,
            GroupError::BeyondLogEnd { .. } => ErrorCode::OffsetOutOfRange,
            GroupError::MetadataTooLarge(_) => ErrorCode::OffsetMetadataTooLarge,
        }
    }

    /// As it travels.
    #[must_use]
    pub fn to_wire(&self) -> WireError {
        WireError::new(self.code(), self.to_string())
    }
}
