//! There are eligible leader replicas only while the ISR is below `min.insync.replicas`: above it the ISR may commit
//! what they lack (INVARIANTS 28; KIP-966).

use super::Step;

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    for (name, topic, index, state) in step.after.partitions() {
        let factor = state.reassignment.as_ref().map_or(&state.replicas, |under_way| &under_way.origin).len();
        let asked = topic.configs.get("min.insync.replicas").and_then(|text| text.parse().ok());
        let required = asked.unwrap_or(factor / 2 + 1).min(factor);
        if state.isr.len() >= required && !state.elr.is_empty() {
            return Err(format!("{name}/{index}: {required} required, and yet an ELR: {state:?}"));
        }
    }
    Ok(())
}
