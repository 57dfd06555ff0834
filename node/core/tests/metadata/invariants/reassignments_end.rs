//! A reassignment adds, and takes away only when the target keeps the partition's promise: whoever was added is in sync,
//! and so many of the target are that nothing committed is on fewer replicas than `min.insync.replicas` asks for (KIP-455).
//! One that could end has ended.

use weir_core::metadata::{Command, PartitionState, TopicState};
use weir_wire::ids::NodeId;

use super::Step;

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    for (name, topic, index, state) in step.after.partitions() {
        let Some(under_way) = &state.reassignment else { continue };
        let added = under_way.target.iter().filter(|node| !under_way.origin.contains(node));
        let expected: Vec<NodeId> = under_way.origin.iter().chain(added).copied().collect();
        if state.replicas != expected {
            return Err(format!("{name}/{index}: neither before nor after: {state:?}"));
        }
        if can_end(topic, state, &under_way.origin, &under_way.target) {
            return Err(format!("{name}/{index}: it could end: {state:?}"));
        }
    }
    for ((id, index), before, after) in step.partitions() {
        let (_, topic) = step.after.topic_by_id(id).ok_or("a partition without a topic")?;
        let leaves = before.replicas.iter().any(|node| !after.replicas.contains(node));
        let is_asked = matches!(step.command, Command::Reassign { .. });
        let was_under_way = before.reassignment.is_some();
        if leaves && !is_asked && !was_under_way {
            return Err(format!("{index} of {id}: nobody asked for other replicas: {before:?}, {after:?}"));
        }
        if leaves && !keeps_its_promise(topic, before, after) {
            return Err(format!("{index} of {id}: too few are left: {before:?}, {after:?}"));
        }
    }
    Ok(())
}

fn required(topic: &TopicState, factor: usize) -> usize {
    let asked = topic.configs.get("min.insync.replicas").and_then(|text| text.parse().ok());
    asked.unwrap_or(factor / 2 + 1).min(factor)
}

fn can_end(topic: &TopicState, state: &PartitionState, origin: &[NodeId], target: &[NodeId]) -> bool {
    let is_in = |node: &&NodeId| state.isr.contains(node);
    let are_added = target.iter().filter(|node| !origin.contains(node)).all(|node| is_in(&node));
    are_added && target.iter().filter(is_in).count() >= required(topic, target.len())
}

/// Whether enough of those that stay are in sync, or all that held everything stay.
fn keeps_its_promise(topic: &TopicState, before: &PartitionState, after: &PartitionState) -> bool {
    let factor = after.reassignment.as_ref().map_or(&after.replicas, |under_way| &under_way.origin).len();
    let added = match &before.reassignment {
        Some(under_way) if after.reassignment.is_none() && after.replicas == under_way.target => {
            let is_added = |node: &&NodeId| !under_way.origin.contains(node);
            under_way.target.iter().filter(is_added).all(|node| after.isr.contains(node))
        }
        _ => true,
    };
    let all_stay = before.isr.iter().chain(&before.elr).all(|node| after.replicas.contains(node));
    added && (after.isr.len() >= required(topic, factor) || all_stay)
}
