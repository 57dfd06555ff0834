//! A committed offset never goes back, and is never gone: nobody here seeks back, resets or deletes, and who takes a
//! partition over begins where the one before had committed (Kafka's coordinators; KIP-848 fences the commits of former
//! owners).

use std::collections::BTreeMap;

use weir_wire::group_log::GroupRecord;
use weir_wire::ids::Offset;

use super::GroupInvariant;
use crate::sim::group_log::{GroupState, TopicPartition};

/// The highest offset that was committed of each partition.
#[derive(Debug, Default)]
pub(super) struct OffsetsAdvance(BTreeMap<TopicPartition, Offset>);

impl GroupInvariant for OffsetsAdvance {
    fn check(&mut self, group: &GroupState, _: &[GroupRecord]) -> Result<(), String> {
        for (partition, highest) in &self.0 {
            let now = group.committed.get(partition);
            if now.is_none_or(|now| now < highest) {
                return Err(format!(
                    "{highest} of partition {} was committed, and now {now:?} is",
                    partition.1
                ));
            }
        }
        self.0.extend(group.committed.iter().map(|(partition, offset)| (*partition, *offset)));
        Ok(())
    }
}
