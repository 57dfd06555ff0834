//! The metadata connection (`weir-meta/1`): consensus, commands on their way to the active controller, joining, and
//! heartbeats. Nodes speak it, clients cannot.
//!
//! Each request has a stream of its own, so that none waits behind another: a frame with a [`PeerRequest`] as header
//! and the request's body as payload, then a frame with a [`PeerAnswer`] and the body of the response. A peer that
//! does not answer in time is asked again on a new stream.
//!
//! The messages of consensus are ours and not those of the library that carries it out, so that its next version
//! reads what this one wrote.

mod append;
mod change_voters;
mod heartbeat;
mod join;
mod propose;
mod quorum;
mod snapshot;
mod vote;

pub use append::{AppendEntries, Appended};
pub use change_voters::{ChangeVoters, VotersChanged};
pub use heartbeat::{Heartbeat, HeartbeatTaken};
pub use join::{Join, Joined};
pub use propose::{Propose, Proposed};
pub use quorum::{DescribeQuorum, QuorumDescription, VoterProgress};
pub use snapshot::{InstallSnapshot, SnapshotInstalled};
pub use vote::{AskVote, VoteAnswered};

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::frame::Limits;
use crate::ids::{ClusterId, NodeId};
use crate::request::RequestKind;

/// The most that one frame of the metadata connection may hold: the payload may be a whole metadata image, which is
/// about 100 bytes a partition.
pub const METADATA_LIMITS: Limits =
    Limits { header_bytes_max: 16 * 1024, payload_bytes_max: 256 * 1024 * 1024 };

/// Header of a request between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRequest {
    /// Which request the payload holds.
    pub kind: RequestKind,
    /// The asker's cluster; `None` from a node that has none yet.
    pub cluster: Option<ClusterId>,
}

/// Header of the answer to a [`PeerRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerAnswer {
    /// `None`: the payload is the response. Otherwise the payload is empty.
    pub refusal: Option<Refusal>,
}

/// Why a node does not do what another one asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The asked node belongs to another cluster.
    #[error("it belongs to cluster {found}: check the addresses of --join, and --data")]
    WrongCluster {
        /// Its cluster.
        found: ClusterId,
    },
    /// The asked node is not the active controller.
    #[error("it is not the active controller")]
    NotController {
        /// Who is, as far as it knows.
        leader: Option<Member>,
    },
    /// The asked node has no cluster yet.
    #[error("it belongs to no cluster yet; start one node without --join first")]
    NotFormed,
    /// The number that a node wants to join with is taken.
    #[error(
        "node id {node} is taken by a node that runs at {address}: choose another --node-id, or stop that node first"
    )]
    DuplicateNode {
        /// The number.
        node: NodeId,
        /// Where that node is reached.
        address: String,
    },
    /// The request is not what this place of the protocol must hold.
    #[error("the request is not valid: {0}")]
    Invalid(String),
    /// The certificate names another node than the request.
    #[error(
        "the certificate is node {certificate}'s, the request is node {claimed}'s: check --node-id and --certs"
    )]
    OtherIdentity {
        /// Who the certificate names.
        certificate: NodeId,
        /// Who the request names.
        claimed: NodeId,
    },
    /// Not now.
    #[error("it cannot answer now: {0}")]
    Unavailable(String),
}

/// A node and where it is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub node: NodeId,
    /// Its `host:port`.
    pub address: String,
}

/// The position of an entry in the metadata log, and whose reign wrote it there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LogPosition {
    /// The term of the reign.
    pub term: u64,
    /// Who reigned.
    pub leader: NodeId,
    /// Counts the entries from 0.
    pub index: u64,
}

impl fmt::Display for LogPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.index, self.term)
    }
}

/// A vote in the election of the active controller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// The term that is voted on.
    pub term: u64,
    /// Who gets it.
    pub node: NodeId,
    /// Whether a majority gave it.
    pub committed: bool,
}

/// Who takes part in the metadata quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The sets of voters: one, or two while voters change.
    pub voters: Vec<Vec<NodeId>>,
    /// All voters and learners.
    pub members: Vec<Member>,
}

/// An entry of the metadata log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Where it stands.
    pub position: LogPosition,
    /// What it says.
    pub body: EntryBody,
}

/// What an entry of the metadata log says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryBody {
    /// A reign began.
    Blank,
    /// Commands to the metadata, encoded; opaque here.
    Commands(Vec<u8>),
    /// Who takes part from here on.
    Membership(Membership),
}
