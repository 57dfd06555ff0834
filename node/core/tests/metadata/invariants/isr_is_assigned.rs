//! ISR and ELR are disjoint subsets of the assigned replicas, in their order, and the replicas are different nodes
//! (INVARIANTS 23, 28).

use weir_wire::ids::NodeId;

use super::Step;

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    for (name, _, index, state) in step.after.partitions() {
        let in_order = |members: &[NodeId]| {
            let places: Vec<_> = members
                .iter()
                .map(|node| state.replicas.iter().position(|replica| replica == node))
                .collect();
            places.iter().all(Option::is_some) && places.is_sorted_by(|one, next| one < next)
        };
        let distinct =
            (1..state.replicas.len()).all(|at| !state.replicas[..at].contains(&state.replicas[at]));
        let disjoint = !state.isr.iter().any(|node| state.elr.contains(node));
        if !(in_order(&state.isr) && in_order(&state.elr) && distinct && disjoint) {
            return Err(format!("{name}/{index}: not disjoint subsets: {state:?}"));
        }
    }
    Ok(())
}
