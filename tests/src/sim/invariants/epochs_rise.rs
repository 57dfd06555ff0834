//! Along a log offsets follow on each other and leader epochs never fall (Kafka's `LeaderEpochFileCache`).

use std::collections::BTreeMap;

use weir_wire::ids::{LeaderEpoch, Offset};

use super::Invariant;
use crate::sim::snapshot::{ReplicaId, Snapshot};

/// Where each replica's log was read to, and the epoch there.
#[derive(Debug, Default)]
pub(super) struct EpochsRise(BTreeMap<ReplicaId, (Offset, LeaderEpoch)>);

impl Invariant for EpochsRise {
    fn check(&mut self, seen: &Snapshot) -> Result<(), String> {
        for batch in &seen.committed {
            let (from, epoch) = (batch.header.base_offset, batch.header.leader_epoch);
            let last = self.0.insert(batch.replica, (batch.header.next_offset(), epoch));
            // Whoever reads a log anew begins at its start, and retention lets go of what was not read yet.
            if let Some((end, before)) = last.filter(|(end, _)| from >= *end) {
                let is_let_go = seen
                    .replicas
                    .iter()
                    .any(|replica| replica.id == batch.replica && end < replica.log_start);
                if from != end && !is_let_go {
                    return Err(format!("{}: nothing at {end}, the next batch is at {from}", batch.replica));
                }
                if epoch < before {
                    return Err(format!("{}: epoch {epoch} at {from} behind {before}", batch.replica));
                }
            }
        }
        Ok(())
    }
}
