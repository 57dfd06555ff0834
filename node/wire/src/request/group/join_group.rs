//! Joining a group.

use serde::{Deserialize, Serialize};

use super::TopicPartitions;
use crate::ids::MemberEpoch;
use crate::request::{Request, RequestKind};

/// Asks to become a member. Sent again, because no answer came, it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinGroup {
    /// The group, which begins to exist with its first member.
    pub group: String,
    /// The member: random, chosen by the client, never used for another life.
    pub member: String,
    /// `group.instance.id`: a name that outlives the process, for members that left politely, come back within the
    /// session and want what they had (KIP-345).
    pub instance: Option<String>,
    /// What it wants to read.
    pub subscription: Subscription,
    /// How long it may take to let go of a partition before it is expelled.
    pub rebalance_timeout_ms: u32,
}

impl JoinGroup {
    /// The longest time to let go.
    pub const REBALANCE_TIMEOUT_MS_MAX: u32 = 30 * 60 * 1000;
}

/// Which topics a member wants: those named and those that the pattern matches.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Topics by name; one that does not exist is read once it does.
    pub topics: Vec<String>,
    /// A regular expression that the whole name must match. Topics of the cluster itself never match.
    pub pattern: Option<String>,
}

impl Subscription {
    /// The most topics that a member may name.
    pub const TOPICS_MAX: usize = 1_000;
    /// The longest pattern in bytes.
    pub const PATTERN_BYTES_MAX: usize = 1_024;
}

/// What a member may hold: the answer to joining and to every heartbeat. It was committed before it was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The number of this state. The member confirms it once it has let go of everything that is not in the list, and
    /// names it in its commits.
    pub member_epoch: MemberEpoch,
    /// What the member may read from now on; what it holds beyond that it lets go of. `None`: as it heard.
    pub assignment: Option<Vec<TopicPartitions>>,
    /// How long the next heartbeat may wait to be sent after this answer, in milliseconds.
    pub heartbeat_interval_ms: u32,
    /// How long after sending a heartbeat that was answered the member may go on, in milliseconds.
    pub session_timeout_ms: u32,
}

impl Request for JoinGroup {
    const KIND: RequestKind = RequestKind(40);
    const NAME: &'static str = "join_group";
    type Response = Membership;
}
