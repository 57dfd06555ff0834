//! Other replicas for partitions (KIP-455), and for all partitions of a node at once.

use serde::{Deserialize, Serialize};

use super::{ReplicaState, Request, RequestKind};
use crate::error::WireError;
use crate::ids::{NodeId, Offset, PartitionIndex};

/// Asks for other replicas. Asking again for what is under way, or done, does no more than asking once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterReassignments {
    /// Which partitions get which replicas; at most [`AlterReassignments::PARTITIONS_MAX`].
    pub partitions: Vec<ReplicasWanted>,
    /// Sets how fast the nodes that lead send to replicas that are being added, before anything is moved.
    pub throttle: Option<Throttle>,
}

impl AlterReassignments {
    /// The most partitions that one request names.
    pub const PARTITIONS_MAX: usize = 10_000;
}

/// How fast replicas that are being added are sent what they lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Throttle {
    /// As fast as it goes.
    Off,
    /// So many bytes a second, from each node.
    BytesPerSecond(u64),
}

/// The replicas that a partition is to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicasWanted {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// The nodes, the preferred leader first; `None` takes back what is under way.
    pub replicas: Option<Vec<NodeId>>,
}

/// What became of each partition that was named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReassignmentsAltered {
    /// In the order asked.
    pub partitions: Vec<ReassignmentAltered>,
}

/// What became of one partition that was named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReassignmentAltered {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// Whether replicas are still to come; or why nothing changed.
    pub outcome: Result<bool, WireError>,
}

/// Asks which reassignments are under way, and how far they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListReassignments;

/// What is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReassignmentsListed {
    /// By topic and partition.
    pub reassignments: Vec<ReassignmentProgress>,
}

/// A reassignment that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReassignmentProgress {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// The replicas before.
    pub origin: Vec<NodeId>,
    /// The replicas afterwards.
    pub target: Vec<NodeId>,
    /// The replicas in sync.
    pub isr: Vec<NodeId>,
    /// Who leads.
    pub leader: Option<NodeId>,
    /// The first offset that is stored; `None` where the leader did not answer.
    pub log_start: Option<Offset>,
    /// How far each replica is, the leader's own included, as the leader knows it.
    pub replicas: Vec<ReplicaState>,
}

/// Asks for a node to be emptied, or to take part again. Asking again goes on where it was interrupted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShiftReplicas {
    /// The node.
    pub node: NodeId,
    /// Which way.
    pub shift: Shift,
    /// As in [`AlterReassignments`].
    pub throttle: Option<Throttle>,
}

/// Which way replicas go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shift {
    /// All that the node has go to others, and it gets no new ones.
    Away,
    /// Nothing moves, but it may get new ones again.
    Allow,
    /// As many come to it as make its share, and it may get new ones again.
    Onto,
}

/// Replicas are on their way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicasShifting {
    /// What this request set in motion.
    pub partitions: Vec<ReassignmentAltered>,
    /// How many replicas the node has, those that are on their way to it or from it included.
    pub replicas: u32,
}

impl Request for AlterReassignments {
    const KIND: RequestKind = RequestKind(34);
    const NAME: &'static str = "alter_reassignments";
    type Response = ReassignmentsAltered;
}

impl Request for ListReassignments {
    const KIND: RequestKind = RequestKind(35);
    const NAME: &'static str = "list_reassignments";
    type Response = ReassignmentsListed;
}

impl Request for ShiftReplicas {
    const KIND: RequestKind = RequestKind(36);
    const NAME: &'static str = "shift_replicas";
    type Response = ReplicasShifting;
}
