//! A leader is in sync with itself: it is a member of the ISR (KIP-966; Kafka's `PartitionChangeBuilder`).

use super::Step;

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    for (name, _, index, state) in step.after.partitions() {
        if state.leader.is_some_and(|leader| !state.isr.contains(&leader)) {
            return Err(format!("{name}/{index}: the leader is outside of the ISR: {state:?}"));
        }
    }
    Ok(())
}
