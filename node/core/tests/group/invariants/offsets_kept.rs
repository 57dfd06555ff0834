//! No committed offset is lost (INVARIANTS 44: the coordinator is the replay of its partition, answers wait for it).

use std::collections::BTreeMap;

use weir_core::group::TopicPartition;
use weir_wire::group_log::GroupRecord;
use weir_wire::ids::Offset;

/// The newest acknowledged commit of each partition; offsets only grow in these schedules.
#[derive(Clone, Debug, Default)]
pub(crate) struct OffsetsKept(BTreeMap<TopicPartition, Offset>);

impl OffsetsKept {
    pub(crate) fn acknowledged(&mut self, partition: TopicPartition, offset: Offset) {
        let newest = self.0.entry(partition).or_default();
        *newest = offset.max(*newest);
    }

    /// What was acknowledged is there, or something that was committed later.
    pub(crate) fn check(&self, records: &[GroupRecord], order: &BTreeMap<Offset, u64>) -> Result<(), String> {
        let stored: BTreeMap<TopicPartition, Offset> = records
            .iter()
            .filter_map(|record| match record {
                GroupRecord::Offset(_, topic, partition, Some(value)) => {
                    Some(((*topic, *partition), value.offset))
                }
                _ => None,
            })
            .collect();
        for (partition, acknowledged) in &self.0 {
            let found = stored.get(partition);
            // In the order of the log: commits may overtake one another on their way.
            let is_kept = found.is_some_and(|found| order.get(found) >= order.get(acknowledged));
            if !is_kept {
                return Err(format!(
                    "offset {acknowledged} of partition {} was acknowledged, {found:?} is stored",
                    partition.1
                ));
            }
        }
        Ok(())
    }
}
