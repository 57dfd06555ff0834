//! A partition has at most one owner (INVARIANTS 44 and 55; KIP-848, "at most one member owns a partition").

use std::collections::BTreeMap;

use weir_core::group::TopicPartition;
use weir_wire::group_log::GroupRecord;

/// In the coordinator's view: what a member may hold, and what it was told to let go of, nobody else may hold.
pub(crate) fn one_owner_for_the_coordinator(records: &[GroupRecord]) -> Result<(), String> {
    let mut owners: BTreeMap<TopicPartition, &str> = BTreeMap::new();
    for record in records {
        let GroupRecord::Current(_, member, Some(value)) = record else { continue };
        let revoking = value.revoking.iter().map(|revocation| &revocation.held);
        for held in value.assigned.iter().chain(revoking) {
            if let Some(other) = owners.insert((held.topic, held.partition), member) {
                return Err(format!("partition {} belongs to both {other} and {member}", held.partition));
            }
        }
    }
    Ok(())
}

/// In the world: at most one member hands out records of a partition at any moment, as long as each stops when its last
/// answered heartbeat was sent a session ago.
pub(crate) fn one_owner_for_the_world<'a>(
    handing_out: impl Iterator<Item = (&'a str, TopicPartition)>,
) -> Result<(), String> {
    let mut owners: BTreeMap<TopicPartition, &str> = BTreeMap::new();
    for (member, partition) in handing_out {
        if let Some(other) = owners.insert(partition, member) {
            return Err(format!("{other} and {member} both hand out records of {}", partition.1));
        }
    }
    Ok(())
}
