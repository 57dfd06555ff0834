//! What the image means for one node, and what an operator sees of a partition.

use weir_wire::ids::{Incarnation, NodeId, PartitionIndex};

use super::{Image, NodeState, PartitionState, TopicState};

/// A partition that is assigned to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosted<'i> {
    /// The topic's name.
    pub name: &'i str,
    /// The topic.
    pub topic: &'i TopicState,
    /// The partition.
    pub partition: PartitionIndex,
    /// Its state.
    pub state: &'i PartitionState,
    /// What the node is in it.
    pub role: Role,
}

/// What a node is in a partition that is assigned to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads.
    Leader {
        /// The replicas in sync, each as it runs now; the node itself is among them.
        isr: Vec<(NodeId, Incarnation)>,
    },
    /// It follows.
    Follower {
        /// Whom.
        leader: NodeId,
        /// As what the leader runs now.
        incarnation: Incarnation,
    },
    /// Nobody leads at the moment.
    Leaderless,
}

impl Image {
    /// Every partition that is assigned to a node.
    pub fn hosted(&self, node: NodeId) -> impl Iterator<Item = Hosted<'_>> {
        self.partitions().filter(move |(.., state)| state.is_on(node)).map(
            move |(name, topic, partition, state)| {
                let role = self.role(node, state);
                Hosted { name, topic, partition, state, role }
            },
        )
    }

    fn role(&self, node: NodeId, state: &PartitionState) -> Role {
        match state.leader {
            Some(leader) if leader == node => Role::Leader { isr: self.with_incarnations(&state.isr) },
            Some(leader) => Role::Follower { leader, incarnation: self.incarnation(leader) },
            None => Role::Leaderless,
        }
    }

    /// Nodes as they run now.
    #[must_use]
    pub fn with_incarnations(&self, nodes: &[NodeId]) -> Vec<(NodeId, Incarnation)> {
        nodes.iter().map(|node| (*node, self.incarnation(*node))).collect()
    }

    /// As what a node runs now; 0 for one that never did.
    fn incarnation(&self, node: NodeId) -> Incarnation {
        self.nodes.get(&node).map_or(Incarnation(0), |state| state.incarnation)
    }

    /// The replicas of a partition that are on no live node, or failed.
    #[must_use]
    pub fn offline(&self, partition: &PartitionState) -> Vec<NodeId> {
        let is_fenced = |node: &NodeId| self.nodes.get(node).is_none_or(|state| state.fenced);
        let is_offline = |node: &NodeId| is_fenced(node) || partition.failed.contains(node);
        partition.replicas.iter().copied().filter(is_offline).collect()
    }

    /// Whether a node that is about to stop leads nothing that another could lead: then it may.
    #[must_use]
    pub fn may_stop(&self, node: NodeId) -> bool {
        let could_lead = |other: &NodeId| self.nodes.get(other).is_some_and(NodeState::is_active);
        !self.partitions().any(|(.., state)| {
            state.leader == Some(node) && state.isr.iter().any(|other| *other != node && could_lead(other))
        })
    }
}
