//! Another leader comes from ISR and ELR as they were (INVARIANTS 28, 29, 31; KIP-966), or was admitted by the leader before
//! it with the word that ended a reassignment. Any other election is one that
//! an operator ordered, or one in which every member had to leave since its log lost something (INVARIANTS 1.4), and
//! it leaves its leader alone in the ISR.

use weir_core::metadata::{Command, ElectionKind, PartitionState};
use weir_wire::ids::NodeId;

use super::{Place, Step};

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    for (place, before, after) in step.partitions() {
        let Some(leader) = after.leader.filter(|leader| before.leader != Some(*leader)) else { continue };
        if is_member(before, leader) && !was_lost(step, place, leader) || was_admitted(step, place, leader) {
            continue;
        }
        let ordered = matches!(step.command, Command::ElectLeaders { kind: ElectionKind::Unclean, .. });
        let members_left =
            before.replicas.iter().any(|node| is_member(before, *node) && !was_lost(step, place, *node));
        let is_alone = after.isr == [leader] && after.elr.is_empty();
        let is_marked = after.unclean || after.replicas.len() == 1;
        let is_due = ordered || !members_left;
        if !(is_due && is_alone && is_marked) {
            return Err(format!("{place:?}: {leader} was elected over {before:?}: {after:?}"));
        }
    }
    Ok(())
}

fn is_member(state: &PartitionState, node: NodeId) -> bool {
    state.isr.contains(&node) || state.elr.contains(&node)
}

fn was_admitted(step: &Step<'_>, place: Place, leader: NodeId) -> bool {
    let (Command::AlterPartition(asked), Ok(_)) = (step.command, step.result) else { return false };
    (asked.topic, asked.partition) == place && asked.isr.iter().any(|(node, _)| *node == leader)
}

fn was_lost(step: &Step<'_>, (topic, partition): Place, node: NodeId) -> bool {
    step.lost.contains(&(topic, partition, node))
}
