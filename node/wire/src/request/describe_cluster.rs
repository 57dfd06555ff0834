//! The cluster's nodes and its quorum, for people and scripts.

use serde::{Deserialize, Serialize};

use super::{Request, RequestKind};
use crate::ids::{ClusterId, Incarnation, MetadataIndex, NodeId};
use crate::metadata::VoterProgress;

/// Asks how the cluster is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeCluster;

/// The cluster as the answering node knows it. Answered by any node from what it has, also while the quorum has no
/// majority, so that an operator sees why nothing moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterDescription {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The node that answers.
    pub answered_by: NodeId,
    /// The newest metadata that the answering node has applied.
    pub applied: MetadataIndex,
    /// The metadata quorum.
    pub quorum: QuorumView,
    /// All registered nodes, by number.
    pub nodes: Vec<NodeDescription>,
    /// Figures over all partitions.
    pub partitions: PartitionFigures,
}

/// A registered node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeDescription {
    /// The node's number.
    pub node: NodeId,
    /// Where clients reach it, as `host:port`.
    pub address: String,
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// Counts its registrations.
    pub incarnation: Incarnation,
    /// What it is good for.
    pub standing: NodeStanding,
    /// Partitions that it leads.
    pub leads: u32,
    /// Replicas that it hosts.
    pub replicas: u32,
}

/// What a node is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeStanding {
    /// It holds its lease.
    Live,
    /// It is handing over what it leads, to stop.
    Stopping,
    /// Its lease ran out: it leads nothing and is in no ISR.
    Fenced,
}

/// The metadata quorum, as the active controller sees it, or as far as the answering node knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuorumView {
    /// The active controller, if one is known.
    pub controller: Option<NodeId>,
    /// The newest term that is known.
    pub term: u64,
    /// The last entry of the metadata log.
    pub last_index: Option<u64>,
    /// The last entry that is known to be on a majority.
    pub committed_index: Option<u64>,
    /// Milliseconds since a majority last answered the active controller.
    pub acknowledged_ms: Option<u64>,
    /// Voters and learners.
    pub members: Vec<VoterProgress>,
    /// Whether the active controller said so; otherwise this is what the answering node knows by itself.
    pub is_from_controller: bool,
}

/// Figures over all partitions of the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionFigures {
    /// All of them.
    pub total: u32,
    /// Without a leader.
    pub leaderless: u32,
    /// With fewer replicas in sync than assigned.
    pub under_replicated: u32,
    /// With fewer replicas in sync than `min.insync.replicas`.
    pub under_min_isr: u32,
    /// Led by another replica than the preferred one.
    pub not_preferred: u32,
}

impl Request for DescribeCluster {
    const KIND: RequestKind = RequestKind(30);
    const NAME: &'static str = "describe_cluster";
    type Response = ClusterDescription;
}
