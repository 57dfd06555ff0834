//! Leaders and members of the ISR are registered and not fenced, and their replicas did not fail, but for one that is
//! alone in sync (KIP-841, KIP-858; INVARIANTS 23).

use weir_wire::ids::NodeId;

use super::Step;

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    let is_fenced = |node: &NodeId| step.after.nodes.get(node).is_none_or(|state| state.fenced);
    for (name, _, index, state) in step.after.partitions() {
        let has_failed = state.isr.iter().any(|node| state.failed.contains(node));
        if has_failed && state.leader.into_iter().collect::<Vec<_>>() != state.isr {
            return Err(format!("{name}/{index}: a replica that failed leads or is in sync: {state:?}"));
        }
        if state.leader.iter().chain(&state.isr).any(is_fenced) {
            return Err(format!("{name}/{index}: a fenced node leads or is in sync: {state:?}"));
        }
    }
    Ok(())
}
