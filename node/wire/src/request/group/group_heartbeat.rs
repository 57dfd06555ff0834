//! Saying that a member is alive, and hearing what it may hold.

use serde::{Deserialize, Serialize};

use super::{Membership, Subscription};
use crate::ids::MemberEpoch;
use crate::request::{Request, RequestKind};

/// Keeps the session, confirms a membership, and changes the subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupHeartbeat {
    /// The group.
    pub group: String,
    /// The member.
    pub member: String,
    /// The newest membership that the member confirms: it holds nothing that was not in its list.
    pub confirmed: MemberEpoch,
    /// The newest membership that the member heard of; it may still be letting go.
    pub heard: MemberEpoch,
    /// What it wants to read from now on; `None`: as before.
    pub subscription: Option<Subscription>,
    /// How long the answer may be held for news beyond what was heard, in milliseconds; the node holds it no longer
    /// than the heartbeat interval. A later heartbeat of the same member ends the wait.
    pub wait_ms_max: u32,
}

impl Request for GroupHeartbeat {
    const KIND: RequestKind = RequestKind(41);
    const NAME: &'static str = "group_heartbeat";
    type Response = Membership;
}
