//! A leader's wish for another ISR is granted only to the leader of this reign and life, that knew the newest state, and
//! with members that live as the incarnation that caught up (INVARIANTS 23; KIP-497, KIP-841, KIP-903).

use weir_core::metadata::Command;

use super::Step;

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    let (Command::AlterPartition(asked), Ok(_)) = (step.command, step.result) else { return Ok(()) };
    let (_, topic) = step.before.topic_by_id(asked.topic).ok_or("a topic that is gone was altered")?;
    let state = &topic.partitions[usize::try_from(asked.partition.0).unwrap()];
    let lives = |(node, incarnation): &(_, _)| {
        let known = &step.before.nodes[node];
        state.replicas.contains(node) && known.is_active() && known.incarnation == *incarnation
    };
    let holds = state.leader == Some(asked.leader)
        && state.leader_epoch == asked.leader_epoch
        && state.partition_epoch == asked.partition_epoch
        && asked.isr.contains(&(asked.leader, asked.leader_incarnation))
        && asked.isr.iter().all(lives);
    if holds { Ok(()) } else { Err(format!("{asked:?} was granted on {state:?}")) }
}
