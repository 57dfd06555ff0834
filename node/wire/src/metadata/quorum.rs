//! How the metadata quorum stands, as its leader sees it.

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::request::{Request, RequestKind};

/// Asks the active controller how the quorum stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeQuorum {}

/// The answer to [`DescribeQuorum`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumDescription {
    /// The active controller.
    pub leader: NodeId,
    /// Its term.
    pub term: u64,
    /// The last entry of its log.
    pub last_index: Option<u64>,
    /// The last entry that a majority has.
    pub committed_index: Option<u64>,
    /// Milliseconds since a majority last answered it.
    pub quorum_acknowledged_ms: Option<u64>,
    /// Everybody who takes part.
    pub members: Vec<VoterProgress>,
}

/// How far one node of the quorum is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoterProgress {
    /// Its number.
    pub node: NodeId,
    /// Whether it votes.
    pub is_voter: bool,
    /// The last entry that it is known to have; `None` before it answered the first time.
    pub matched_index: Option<u64>,
}

impl Request for DescribeQuorum {
    const KIND: RequestKind = RequestKind(107);
    const NAME: &'static str = "describe-quorum";
    type Response = QuorumDescription;
}
