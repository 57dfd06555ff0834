//! How a node keeps its lease.

use serde::{Deserialize, Serialize};

use crate::ids::{Incarnation, NodeId};
use crate::request::{Request, RequestKind};

/// Says to the active controller that a node is alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Who is.
    pub node: NodeId,
    /// Under which registration.
    pub incarnation: Incarnation,
}

/// The answer to [`Heartbeat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatTaken {
    /// Whether the lease runs on. If not, another registration is in force, or the node is fenced: it must register
    /// again.
    pub is_current: bool,
}

impl Request for Heartbeat {
    const KIND: RequestKind = RequestKind(106);
    const NAME: &'static str = "heartbeat";
    type Response = HeartbeatTaken;
}
