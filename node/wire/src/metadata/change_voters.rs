//! Another node votes in the place of one, which may be gone.

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::request::{Request, RequestKind};

/// Asks the active controller for other voters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeVoters {
    /// Who shall not vote any more.
    pub out: NodeId,
    /// Who shall in its place; `None` for whichever can.
    pub with: Option<NodeId>,
    /// Whether the node takes no part at all any more. Nobody need take its place then, if others vote.
    pub forget: bool,
}

/// The answer to [`ChangeVoters`]: so it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VotersChanged {
    /// Who votes.
    pub voters: Vec<NodeId>,
}

impl Request for ChangeVoters {
    const KIND: RequestKind = RequestKind(108);
    const NAME: &'static str = "change-voters";
    type Response = VotersChanged;
}
