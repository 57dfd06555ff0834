//! Nodes that go: those whose lease ran out, and those that say that they are about to stop. And replicas that go, of
//! nodes that stay.

use weir_wire::ids::{Incarnation, NodeId, PartitionIndex, TopicId};

use super::partition::{Around, Reign};
use super::rules::Rules;
use super::{Applied, Image, MetadataError, NodeState, PartitionState};

impl Image {
    /// Takes a node out of every ISR and leadership. It may come back only by registering.
    pub(super) fn fence_node(
        &mut self,
        rules: Rules,
        node: NodeId,
        incarnation: Incarnation,
    ) -> Result<Applied, MetadataError> {
        self.current_life(node, incarnation)?.fenced = true;
        self.change_partitions_on(rules, node, |partition, around| {
            partition.leave(around, node);
            partition.elect(around);
        });
        Ok(Applied::Fenced)
    }

    /// Hands the leaderships of a node over to others in sync, and takes it out of the ISRs in which others remain.
    pub(super) fn begin_shutdown(
        &mut self,
        rules: Rules,
        node: NodeId,
        incarnation: Incarnation,
    ) -> Result<Applied, MetadataError> {
        self.current_life(node, incarnation)?.stopping = true;
        self.change_partitions_on(rules, node, |partition, around| {
            let is_active = |member: &NodeId| around.nodes.get(member).is_some_and(NodeState::is_active);
            if partition.isr.iter().any(is_active) {
                partition.leave(around, node);
                partition.elect(around);
            }
        });
        Ok(Applied::ShutdownBegun)
    }

    /// Takes replicas that failed out of every ISR and leadership, until another process of their node registers. What
    /// they hold counts on, so they stay in the ELR (KIP-858 does the same for a folder that failed). One that leads and
    /// that nobody can take over from stays. Topics and partitions that are gone meanwhile are passed over.
    pub(super) fn fail_replicas(
        &mut self,
        rules: Rules,
        node: NodeId,
        incarnation: Incarnation,
        replicas: &[(TopicId, PartitionIndex)],
    ) -> Result<Applied, MetadataError> {
        self.current_life(node, incarnation)?;
        let Image { nodes, topics, topic_names, .. } = self;
        for (topic, index) in replicas {
            let Some(topic) = topic_names.get(topic).and_then(|name| topics.get_mut(name)) else { continue };
            let around = Around { nodes, config: &topic.config(), rules };
            let at = usize::try_from(index.0).unwrap_or(usize::MAX);
            let Some(partition) = topic.partitions.get_mut(at).filter(|one| one.is_on(node)) else {
                continue;
            };
            partition.change(around, |partition| {
                partition.failed.insert(node);
                partition.elect(around);
                if partition.leader != Some(node) {
                    partition.leave(around, node);
                }
                Reign::GoesOn
            });
        }
        Ok(Applied::ReplicasFailed)
    }

    /// The state of a node, if it is this incarnation of it.
    pub(super) fn current_life(
        &mut self,
        node: NodeId,
        incarnation: Incarnation,
    ) -> Result<&mut NodeState, MetadataError> {
        let state = self.nodes.get_mut(&node).ok_or(MetadataError::UnknownNode(node))?;
        if state.incarnation != incarnation {
            let known = state.incarnation;
            return Err(MetadataError::StaleIncarnation { node, asked: incarnation, known });
        }
        Ok(state)
    }

    fn change_partitions_on(
        &mut self,
        rules: Rules,
        node: NodeId,
        edit: impl Fn(&mut PartitionState, Around<'_>),
    ) {
        let Image { nodes, topics, .. } = self;
        for topic in topics.values_mut() {
            let around = Around { nodes, config: &topic.config(), rules };
            for partition in topic.partitions.iter_mut().filter(|partition| partition.is_on(node)) {
                partition.change(around, |partition| {
                    edit(partition, around);
                    Reign::GoesOn
                });
            }
        }
    }
}
