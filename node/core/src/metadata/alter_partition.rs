//! A leader's wish for another ISR: a compare-and-set (INVARIANTS 23; KIP-497, KIP-841, KIP-903). With it comes who
//! has flushed what was acknowledged before it had to be.

use weir_wire::ids::{Incarnation, NodeId};

use super::partition::{Around, Reign};
use super::rules::{Rule, Rules};
use super::{AlterPartition, Applied, Image, Ineligible, MetadataError, Nodes, PartitionState};

impl Image {
    pub(super) fn alter_partition(
        &mut self,
        rules: Rules,
        asked: &AlterPartition,
    ) -> Result<Applied, MetadataError> {
        let unknown = MetadataError::UnknownTopicId(asked.topic);
        let Image { nodes, topics, topic_names, .. } = self;
        let name = topic_names.get(&asked.topic).ok_or_else(|| unknown.clone())?;
        let topic = topics.get_mut(name).ok_or(unknown)?;
        let around = Around { nodes, config: &topic.config(), rules };
        let partition = topic.partition_mut(name, asked.partition)?;
        check_asker(partition, nodes, asked)?;
        check_members(partition, nodes, rules, asked)?;
        // Also the ISR in force is a decision: who asks for it wants to know what became of an earlier wish, and hears
        // of it by the partition epoch.
        partition.change_and_count(around, |partition| {
            partition.set_isr(around, |node| asked.isr.iter().any(|(member, _)| *member == node));
            partition.unflushed.retain(|node| !asked.flushed.contains(node));
            Reign::GoesOn
        });
        Ok(Applied::PartitionAltered(partition.partition_epoch))
    }
}

/// Who asks must lead, in this reign and life, and know the newest state.
fn check_asker(
    partition: &PartitionState,
    nodes: &Nodes,
    asked: &AlterPartition,
) -> Result<(), MetadataError> {
    if partition.leader != Some(asked.leader) || partition.leader_epoch != asked.leader_epoch {
        let PartitionState { leader, leader_epoch, .. } = *partition;
        return Err(MetadataError::NotLeader { leader, leader_epoch });
    }
    let known = nodes.get(&asked.leader).ok_or(MetadataError::UnknownNode(asked.leader))?.incarnation;
    if known != asked.leader_incarnation {
        let (node, asked) = (asked.leader, asked.leader_incarnation);
        return Err(MetadataError::StaleIncarnation { node, asked, known });
    }
    if partition.partition_epoch != asked.partition_epoch {
        let (asked, known) = (asked.partition_epoch, partition.partition_epoch);
        return Err(MetadataError::StalePartitionEpoch { asked, known });
    }
    Ok(())
}

fn check_members(
    partition: &PartitionState,
    nodes: &Nodes,
    rules: Rules,
    asked: &AlterPartition,
) -> Result<(), MetadataError> {
    let refuse = |node, why| Err(MetadataError::IneligibleReplica { node, why });
    if !asked.isr.iter().any(|(node, _)| *node == asked.leader) {
        return refuse(asked.leader, Ineligible::LeaderLeftOut);
    }
    for (at, (node, incarnation)) in asked.isr.iter().enumerate() {
        if asked.isr[..at].iter().any(|(earlier, _)| earlier == node) {
            return refuse(*node, Ineligible::NamedTwice);
        }
        if let Some(why) = ineligible(partition, nodes, rules, *node, *incarnation) {
            return refuse(*node, why);
        }
    }
    Ok(())
}

fn ineligible(
    partition: &PartitionState,
    nodes: &Nodes,
    rules: Rules,
    node: NodeId,
    asked: Incarnation,
) -> Option<Ineligible> {
    if !partition.is_on(node) {
        return Some(Ineligible::NotAssigned);
    }
    let Some(state) = nodes.get(&node) else { return Some(Ineligible::NotRegistered) };
    let known = state.incarnation;
    if state.fenced {
        Some(Ineligible::Fenced)
    } else if state.stopping {
        Some(Ineligible::Stopping)
    } else if partition.failed.contains(&node) {
        Some(Ineligible::Failed)
    } else if known != asked && rules.hold(Rule::IncarnationsMatch) {
        Some(Ineligible::OtherIncarnation { asked, known })
    } else {
        None
    }
}
