//! Nodes that are emptied, filled and removed. What is to be moved is decided from the image alone, so that who asks
//! again after an interruption goes on where it ended.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::ids::{NodeId, PartitionIndex, TopicId};

use super::{Applied, Image, MetadataError, NodeState, PartitionState};

/// Other replicas for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// The replicas that it is to have.
    pub target: Vec<NodeId>,
}

/// How many replicas each node has, or will have.
type Load = BTreeMap<NodeId, usize>;

impl Image {
    pub(super) fn set_draining(&mut self, node: NodeId, draining: bool) -> Result<Applied, MetadataError> {
        self.nodes.get_mut(&node).ok_or(MetadataError::UnknownNode(node))?.draining = draining;
        Ok(Applied::DrainingSet)
    }

    /// Who votes is not known here: that a voter is replaced first is for the controller to see to.
    pub(super) fn remove_node(&mut self, node: NodeId) -> Result<Applied, MetadataError> {
        self.check_removable(node)?;
        if let Some(state) = self.nodes.remove(&node) {
            self.removed_nodes.insert(node, state.incarnation);
        }
        Ok(Applied::NodeRemoved)
    }

    /// Whether a node is gone and has no replicas.
    ///
    /// # Errors
    /// [`MetadataError::UnknownNode`], or [`MetadataError::NodeInUse`] with what to do first.
    pub fn check_removable(&self, node: NodeId) -> Result<(), MetadataError> {
        let state = self.nodes.get(&node).ok_or(MetadataError::UnknownNode(node))?;
        let replicas = self.hosted(node).count();
        let why = if replicas > 0 {
            let noun = if replicas == 1 { "replica" } else { "replicas" };
            format!("it has {replicas} {noun}; move them away with 'weir cluster drain {node}' first")
        } else if !state.fenced {
            "it is alive; stop it, and wait until its lease ran out".to_owned()
        } else {
            return Ok(());
        };
        Err(MetadataError::NodeInUse { node, why })
    }

    /// What empties a node: each of its replicas goes to a node that does not have the partition, in a rack that has fewest
    /// of it, and of those to the one that has least. Partitions that leave the node already are not named.
    ///
    /// # Errors
    /// [`MetadataError::UnknownNode`], and [`MetadataError::NoRoom`] for the first partition that no other node can take.
    pub fn emptying(&self, node: NodeId) -> Result<Vec<Move>, MetadataError> {
        self.nodes.get(&node).ok_or(MetadataError::UnknownNode(node))?;
        let mut load = self.load();
        let mut moves = Vec::new();
        for (name, topic, partition, state) in self.partitions() {
            let intended = state.intended();
            let Some(place) = intended.iter().position(|replica| *replica == node) else { continue };
            let Some(next) = self.room_for(intended, node, &load) else {
                let (topic, replicas) = (name.to_owned(), intended.len());
                return Err(MetadataError::NoRoom { node, topic, partition, replicas });
            };
            *load.entry(next).or_default() += 1;
            let mut target = intended.to_vec();
            target[place] = next;
            moves.push(Move { topic: topic.id, partition, target });
        }
        Ok(moves)
    }

    /// What gives a node its fair share: replicas of those that have most come to it until it has as many as each would
    /// have if all had the same. No partition loses a rack by it.
    ///
    /// # Errors
    /// [`MetadataError::UnknownNode`], and [`MetadataError::TakesNoReplicas`].
    pub fn filling(&self, node: NodeId) -> Result<Vec<Move>, MetadataError> {
        let state = self.nodes.get(&node).ok_or(MetadataError::UnknownNode(node))?;
        if !state.takes_replicas() {
            return Err(MetadataError::TakesNoReplicas { node, draining: state.is_active() });
        }
        let mut load = self.load();
        let takers = self.nodes.values().filter(|state| state.takes_replicas()).count();
        let share = load.values().sum::<usize>() / takers.max(1);
        let mut moves = Vec::new();
        for (_, topic, partition, state) in self.partitions() {
            if load.get(&node).copied().unwrap_or(0) >= share {
                break;
            }
            let Some(place) = self.donor(state, node, &load, share) else { continue };
            let mut target = state.intended().to_vec();
            load.entry(target[place]).and_modify(|count| *count -= 1);
            *load.entry(node).or_default() += 1;
            target[place] = node;
            moves.push(Move { topic: topic.id, partition, target });
        }
        Ok(moves)
    }

    /// How many replicas still have to leave a node.
    #[must_use]
    pub fn replicas_on(&self, node: NodeId) -> usize {
        self.hosted(node).count()
    }

    fn load(&self) -> Load {
        let mut load = Load::new();
        for (.., state) in self.partitions() {
            for node in state.intended() {
                *load.entry(*node).or_default() += 1;
            }
        }
        load
    }

    fn rack(&self, node: NodeId) -> Option<&str> {
        self.nodes.get(&node)?.rack.as_deref()
    }

    /// Who takes the place of `leaving` among these replicas.
    fn room_for(&self, replicas: &[NodeId], leaving: NodeId, load: &Load) -> Option<NodeId> {
        let takes = |(node, state): &(&NodeId, &NodeState)| {
            state.takes_replicas() && **node != leaving && !replicas.contains(node)
        };
        let in_rack = |node: NodeId| {
            let others = replicas.iter().filter(|replica| **replica != leaving);
            others.filter(|replica| self.rack(**replica) == self.rack(node)).count()
        };
        let rank = |node: NodeId| (in_rack(node), load.get(&node).copied().unwrap_or(0), node);
        let candidates = self.nodes.iter().filter(takes).map(|(node, _)| *node);
        candidates.min_by_key(|node| rank(*node))
    }

    /// The place of the replica that goes to `node`: of a node that has more than its share, and of those the most.
    fn donor(&self, state: &PartitionState, node: NodeId, load: &Load, share: usize) -> Option<usize> {
        let replicas = state.intended();
        if replicas.contains(&node) {
            return None;
        }
        let racks = |replicas: &[NodeId]| {
            replicas.iter().map(|replica| self.rack(*replica)).collect::<BTreeSet<_>>().len()
        };
        let loses_no_rack = |place: &usize| {
            let mut after = replicas.to_vec();
            after[*place] = node;
            racks(&after) >= racks(replicas)
        };
        let has = |place: usize| load.get(&replicas[place]).copied().unwrap_or(0);
        let places = (0..replicas.len()).filter(|place| has(*place) > share).filter(loses_no_rack);
        places.max_by_key(|place| has(*place))
    }
}
