//! At most one replica leads a partition in one leader epoch (KIP-101, KIP-320; the metadata decides who).

use std::collections::BTreeMap;

use weir_node::partitions::Standing;
use weir_wire::ids::{LeaderEpoch, PartitionIndex};

use super::Invariant;
use crate::sim::snapshot::{ReplicaId, Snapshot};

/// Who was seen leading.
#[derive(Debug, Default)]
pub(super) struct OneLeader(BTreeMap<(PartitionIndex, LeaderEpoch), ReplicaId>);

impl Invariant for OneLeader {
    fn check(&mut self, seen: &Snapshot) -> Result<(), String> {
        for replica in seen.replicas.iter().filter(|replica| replica.standing == Standing::Leading) {
            let reign = (replica.id.partition, replica.leader_epoch);
            let known = *self.0.entry(reign).or_insert(replica.id);
            if known != replica.id {
                return Err(format!("two leaders in epoch {}: {known}, and {}", reign.1, replica.id));
            }
        }
        Ok(())
    }
}
