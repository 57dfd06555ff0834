//! A node that comes back with everything that it had keeps its place in ISR and ELR (INVARIANTS 1.4 to 28): nobody is
//! taken for one that lost something because an answer or a process was lost.

use weir_core::metadata::{Applied, Command, PartitionState};

use super::Step;

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    let (Command::RegisterNode(asked), Ok(Applied::Registered(_))) = (step.command, step.result) else {
        return Ok(());
    };
    let is_member =
        |state: &PartitionState| state.isr.contains(&asked.node) || state.elr.contains(&asked.node);
    for ((topic, index), before, after) in step.partitions() {
        let is_whole = !step.lost.contains(&(topic, index, asked.node));
        if is_whole && is_member(before) && !is_member(after) {
            return Err(format!(
                "{index} of {topic}: {} lost its place in {before:?}: {after:?}",
                asked.node
            ));
        }
    }
    Ok(())
}
