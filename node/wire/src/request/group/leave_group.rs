//! Leaving a group.

use serde::{Deserialize, Serialize};

use crate::ids::MemberEpoch;
use crate::request::{Request, RequestKind};

/// Ends a membership at once. The member has let go of everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveGroup {
    /// The group.
    pub group: String,
    /// The member.
    pub member: String,
    /// The newest membership that it heard of.
    pub member_epoch: MemberEpoch,
    /// For members with an instance id: keep what it had until its session ends, so that a restart moves nothing.
    pub returns: bool,
}

/// The membership is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupLeft {}

impl Request for LeaveGroup {
    const KIND: RequestKind = RequestKind(42);
    const NAME: &'static str = "leave_group";
    type Response = GroupLeft;
}
