//! What a coordinator is told, and what it asks for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_wire::group_log::GroupRecord;
use weir_wire::ids::{MetadataIndex, Offset, PartitionIndex, TopicId};
use weir_wire::request::{
    AssignorSet, CommitOffsets, DeleteGroup, DeleteOffsets, DescribeGroup, ExplainGroup, FetchOffsets,
    GroupDescription, GroupExplanation, GroupHeartbeat, GroupsListed, JoinGroup, LeaveGroup, Membership,
    OffsetsCommitted, OffsetsDeleted, OffsetsFetched, OffsetsReset, ResetOffsets, SetAssignor,
};

use super::assignors::{AssignInput, Assignment};
use super::error::GroupError;
use crate::node_config::NodeConfig;

/// One partition of one topic.
pub type TopicPartition = (TopicId, PartitionIndex);

/// Names one request from the moment it is asked until it is answered. The shell never uses a number twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names one write to the coordinator's partition: 1, 2, 3...
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteId(pub u64);

/// Names one question to an assignor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Somebody asks for something. Answered once, by [`Effect::Respond`].
    Request {
        /// The number under which it will be answered.
        request: RequestId,
        /// Who.
        asker: Asker,
        /// What.
        ask: Ask,
    },
    /// A write, and every one before it, is committed: no later coordinator can miss it.
    Committed {
        /// The newest one that is.
        write: WriteId,
    },
    /// A write failed, or this replica leads no more. Final: what is committed can be found out by reading only, so
    /// the next coordinator, perhaps on this node, begins with [`super::Replay`].
    Stop,
    /// Which topics there are. An older view than the one known is ignored.
    Topics(Arc<Topics>),
    /// Settings changed.
    Configure(GroupConfig),
    /// An assignor answered, or failed with a reason.
    Assigned {
        /// The question.
        call: CallId,
        /// The answer.
        answer: Result<Assignment, String>,
    },
    /// Time passed: wanted when [`super::Coordinator::deadline_ns`] is reached.
    Tick,
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asker {
    /// The principal of its certificate.
    pub client: String,
    /// Where it is.
    pub host: String,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To become a member.
    Join(JoinGroup),
    /// To stay one.
    Heartbeat(GroupHeartbeat),
    /// To be one no more.
    Leave(LeaveGroup),
    /// To store offsets.
    Commit(CommitOffsets, LogEnds),
    /// For stored offsets.
    Fetch(FetchOffsets),
    /// To forget offsets.
    DeleteOffsets(DeleteOffsets),
    /// To set offsets from outside.
    Reset(ResetOffsets, LogEnds),
    /// Which groups there are.
    List,
    /// All about a group.
    Describe(DescribeGroup),
    /// To delete a group.
    Delete(DeleteGroup),
    /// To choose a group's assignor.
    SetAssignor(SetAssignor),
    /// What an assignor would do.
    Explain(ExplainGroup),
}

/// The end of what may be read of the partitions of a request, as far as the shell could find out. An offset beyond is
/// refused; one of a partition that is not here is taken on trust.
pub type LogEnds = BTreeMap<TopicPartition, Offset>;

/// A successful answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the answer type of its request")]
pub enum Reply {
    Membership(Membership),
    Left,
    Committed(OffsetsCommitted),
    Fetched(OffsetsFetched),
    OffsetsDeleted(OffsetsDeleted),
    Reset(OffsetsReset),
    Listed(GroupsListed),
    Described(GroupDescription),
    Deleted,
    AssignorSet(AssignorSet),
    Explained(GroupExplanation),
}

/// Something to do, in order, all of it before the next input is handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Append the records as one batch, with `acks=all`, behind those of every earlier write; then report
    /// [`Input::Committed`], or [`Input::Stop`] if that cannot be.
    Append {
        /// The number to report.
        write: WriteId,
        /// What to append.
        records: Vec<GroupRecord>,
    },
    /// Answer a request.
    Respond {
        /// Which.
        request: RequestId,
        /// How.
        answer: Result<Reply, GroupError>,
    },
    /// Ask an assignor, and report [`Input::Assigned`]. A late answer is ignored.
    Assign {
        /// The number to report.
        call: CallId,
        /// The group, for the log.
        group: String,
        /// The assignor.
        assignor: String,
        /// The question.
        input: AssignInput,
    },
    /// Tell a person.
    Report(Report),
}

/// What a person should hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// An assignor failed; `range` stood in for it.
    AssignorFailed {
        /// The group.
        group: String,
        /// The assignor.
        assignor: String,
        /// What was wrong.
        why: String,
    },
    /// A member was not heard of for a whole session; its partitions go to others.
    SessionEnded {
        /// The group.
        group: String,
        /// The member.
        member: String,
    },
    /// A member did not let go of partitions in time. It hears so, and its session runs out.
    MemberExpelled {
        /// The group.
        group: String,
        /// The member.
        member: String,
    },
}

/// The topics of the cluster, as one metadata image has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    /// The image.
    pub index: MetadataIndex,
    by_name: BTreeMap<String, TopicShape>,
    by_id: BTreeMap<TopicId, String>,
    pushed_assignors: BTreeSet<String>,
}

/// What a group needs to know of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicShape {
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: u32,
}

impl Topics {
    /// The topics of an image.
    pub fn new(index: MetadataIndex, topics: impl IntoIterator<Item = (String, TopicShape)>) -> Topics {
        let by_name: BTreeMap<String, TopicShape> = topics.into_iter().collect();
        let by_id = by_name.iter().map(|(name, shape)| (shape.id, name.clone())).collect();
        Topics { index, by_name, by_id, pushed_assignors: BTreeSet::new() }
    }

    /// With the assignors that operators pushed, as `name@version`: what groups may choose besides the configured ones.
    #[must_use]
    pub fn with_assignors(self, pushed_assignors: BTreeSet<String>) -> Topics {
        Topics { pushed_assignors, ..self }
    }

    pub(super) fn pushed_assignors(&self) -> &BTreeSet<String> {
        &self.pushed_assignors
    }

    pub(super) fn named(&self, name: &str) -> Option<TopicShape> {
        self.by_name.get(name).copied()
    }

    pub(super) fn by_id(&self, id: TopicId) -> Option<(&str, TopicShape)> {
        let name = self.by_id.get(&id)?;
        Some((name, self.named(name)?))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, TopicShape)> {
        self.by_name.iter().map(|(name, shape)| (name.as_str(), *shape))
    }
}

/// Settings of all groups. May change at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.consumer.session.timeout.ms`.
    pub session_timeout_ms: u32,
    /// `group.consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: u32,
    /// How long an assignor may take before `range` stands in for it.
    pub assign_timeout_ms: u32,
    /// `offsets.retention.minutes`: how long an empty group is remembered.
    pub offsets_retention_ms: u64,
    /// `offsets.retention.check.interval.ms`: how often it is looked for groups that are to be forgotten.
    pub offsets_check_interval_ms: u64,
    /// The assignor of groups that chose none.
    pub assignor: String,
    /// Every assignor that may be chosen.
    pub assignors: BTreeSet<String>,
    /// `group.consumer.max.size`: the most members of one group.
    pub members_max: usize,
    /// The most groups of one coordinator.
    pub groups_max: usize,
}

impl GroupConfig {
    /// What is configured for nodes says how groups are looked after.
    #[must_use]
    pub fn of(config: &NodeConfig) -> GroupConfig {
        GroupConfig {
            session_timeout_ms: config.group_session_timeout_ms,
            heartbeat_interval_ms: config.group_heartbeat_interval_ms,
            offsets_retention_ms: u64::from(config.offsets_retention_minutes) * 60 * 1000,
            offsets_check_interval_ms: config.offsets_retention_check_interval_ms,
            assignor: config.group_assignor.clone(),
            members_max: usize::try_from(config.group_max_size).unwrap_or(usize::MAX),
            ..GroupConfig::default()
        }
    }
}

impl Default for GroupConfig {
    fn default() -> GroupConfig {
        GroupConfig {
            session_timeout_ms: 15_000,
            heartbeat_interval_ms: 3_000,
            assign_timeout_ms: 2_000,
            offsets_retention_ms: 7 * 24 * 60 * 60 * 1000,
            offsets_check_interval_ms: 10 * 60 * 1000,
            assignor: "roundrobin".to_owned(),
            assignors: ["range", "roundrobin"].map(str::to_owned).into(),
            members_max: 1_000,
            groups_max: 100_000,
        }
    }
}
