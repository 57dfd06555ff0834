//! Every partition is owned once membership is stable (KIP-848: the group converges to its target).

use std::collections::BTreeSet;

use weir_core::group::TopicPartition;

/// Every partition that somebody wants is handed out by somebody.
pub(crate) fn owned_when_stable(
    wanted: &BTreeSet<TopicPartition>,
    handed_out: &BTreeSet<TopicPartition>,
) -> Result<(), String> {
    match wanted.symmetric_difference(handed_out).next() {
        None => Ok(()),
        Some((topic, partition)) => Err(format!(
            "membership is stable, and partition {partition} of {topic} is nobody's, or not wanted"
        )),
    }
}
