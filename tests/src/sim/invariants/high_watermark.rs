//! A leader's high watermark never falls within its reign, and lies within its log (KIP-101; Kafka's
//! `UnifiedLog.maybeIncrementHighWatermark`).

use std::collections::BTreeMap;

use weir_node::partitions::Standing;
use weir_wire::ids::{LeaderEpoch, Offset};

use super::Invariant;
use crate::sim::snapshot::{ReplicaId, Snapshot};

/// The highest that was seen of each reign.
#[derive(Debug, Default)]
pub(super) struct HighWatermark(BTreeMap<(ReplicaId, LeaderEpoch), Offset>);

impl Invariant for HighWatermark {
    fn check(&mut self, seen: &Snapshot) -> Result<(), String> {
        for replica in &seen.replicas {
            let (start, mark, end) = (replica.log_start, replica.high_watermark, replica.log_end);
            if start > mark || mark > end {
                return Err(format!(
                    "{}: log start {start}, high watermark {mark}, log end {end} are out of order",
                    replica.id
                ));
            }
            if replica.standing == Standing::Leading {
                let highest = self.0.entry((replica.id, replica.leader_epoch)).or_insert(mark);
                if mark < *highest {
                    return Err(format!("{}: the high watermark fell from {highest} to {mark}", replica.id));
                }
                *highest = mark;
            }
        }
        Ok(())
    }
}
