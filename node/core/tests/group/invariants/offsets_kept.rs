//! No committed offset is lost (INVARIANTS 44: the coordinator is the replay of its partition, answers wait for it).

use std::collections::{BTreeMap, BTreeSet};

use weir_core::group::TopicPartition;
use weir_wire::group_log::GroupRecord;
use weir_wire::ids::Offset;

/// Where in the log each offset was committed first and last; each stands for one commit, which may be sent twice.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order(BTreeMap<Offset, (u64, u64)>);

impl Order {
    pub(crate) fn append(&mut self, offset: Offset, position: u64) {
        self.0.entry(offset).or_insert((position, position)).1 = position;
    }

    /// What is stored was committed no earlier than what was acknowledged.
    fn holds(&self, acknowledged: Offset, stored: Offset) -> bool {
        match (self.0.get(&acknowledged), self.0.get(&stored)) {
            (Some((first, _)), Some((_, last))) => last >= first,
            _ => false,
        }
    }
}

/// The acknowledged commits of each partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct OffsetsKept(BTreeSet<(TopicPartition, Offset)>);

impl OffsetsKept {
    pub(crate) fn acknowledged(&mut self, partition: TopicPartition, offset: Offset) {
        self.0.insert((partition, offset));
    }

    /// What was acknowledged is there, or something that was committed later.
    pub(crate) fn check(&self, records: &[GroupRecord], order: &Order) -> Result<(), String> {
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
            let is_kept = found.is_some_and(|found| order.holds(*acknowledged, *found));
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
