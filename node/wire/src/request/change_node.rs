//! Nodes that leave for good, and voters that others replace.

use serde::{Deserialize, Serialize};

use super::{Request, RequestKind};
use crate::ids::NodeId;

/// Asks for a change of who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeNode {
    /// The node.
    pub node: NodeId,
    /// What is to become of it.
    pub change: NodeChange,
}

/// What is to become of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeChange {
    /// It is forgotten: it has stopped, and has no replicas. If it voted, another takes its place where one can.
    Remove,
    /// It votes no more on the metadata, and another does in its place.
    ReplaceVoter {
        /// Who; `None` for whichever can.
        with: Option<NodeId>,
    },
}

/// It is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeChanged {
    /// Who votes now.
    pub voters: Vec<NodeId>,
}

impl Request for ChangeNode {
    const KIND: RequestKind = RequestKind(37);
    const NAME: &'static str = "change_node";
    type Response = NodeChanged;
}
