//! New partitions are placed on nodes that are neither fenced nor stopping, and who stops is made a leader only where
//! nobody else can lead without loss.

use weir_core::metadata::{Command, ElectionKind};

use super::Step;

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    let is_active = |node: &_| step.after.nodes.get(node).is_some_and(|state| state.is_active());
    for (name, topic, index, state) in step.after.partitions() {
        let earlier = step.before.topic_by_id(topic.id).map_or(0, |(_, topic)| topic.partitions.len());
        let is_new = usize::try_from(index.0).unwrap() >= earlier;
        if is_new && !state.replicas.iter().all(is_active) {
            return Err(format!("{name}/{index}: placed on a node that goes: {state:?}"));
        }
    }
    let ordered = matches!(step.command, Command::ElectLeaders { kind: ElectionKind::Unclean, .. });
    for (place, before, after) in step.partitions().filter(|_| !ordered) {
        let Some(leader) = after.leader.filter(|leader| before.leader != Some(*leader)) else { continue };
        let can_lead = |node: &_| is_active(node) && !after.failed.contains(node);
        if !is_active(&leader) && after.isr.iter().chain(&after.elr).any(can_lead) {
            return Err(format!("{place:?}: {leader} is stopping and was elected: {after:?}"));
        }
    }
    Ok(())
}
