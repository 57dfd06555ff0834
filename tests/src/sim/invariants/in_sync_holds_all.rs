//! Everything that is committed is on every member of every later ISR and ELR (StrongIsr of the TLA+ model of Kafka's
//! replication; KIP-966 for the ELR). Who is elected from them therefore has it.

use std::collections::BTreeMap;

use weir_node::partitions::Standing;
use weir_wire::ids::{Offset, PartitionIndex};

use super::Invariant;
use crate::sim::snapshot::Snapshot;

/// How far each partition was committed.
#[derive(Debug, Default)]
pub(super) struct InSyncHoldsAll(BTreeMap<PartitionIndex, Offset>);

impl Invariant for InSyncHoldsAll {
    fn check(&mut self, seen: &Snapshot) -> Result<(), String> {
        for replica in seen.replicas.iter().filter(|replica| replica.standing == Standing::Leading) {
            let committed = self.0.entry(replica.id.partition).or_default();
            *committed = replica.high_watermark.max(*committed);
        }
        for (partition, state) in seen.partitions() {
            let Some(committed) = self.0.get(&partition) else { continue };
            for replica in seen.replicas_of(partition) {
                let node = replica.id.node;
                let is_trusted = state.isr.contains(&node) || state.elr.contains(&node);
                let is_readable = replica.standing != Standing::Failed;
                if is_trusted && is_readable && replica.log_end < *committed {
                    return Err(format!(
                        "{}: it is in the ISR or ELR and ends at {}, though {committed} was committed",
                        replica.id, replica.log_end
                    ));
                }
            }
        }
        Ok(())
    }
}
