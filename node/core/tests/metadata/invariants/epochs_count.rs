//! The partition epoch counts every change by one, and every decision on the ISR whether it changed anything or not, so
//! that who asked hears of it. The leader epoch never falls, grows at most by one, and does grow
//! with another leader, with a registration of the leader's node (INVARIANTS 25, 57), and with a replica that leaves the
//! assignment: should it come back with an empty log, no leader may take it for the follower that it knew.

use weir_core::metadata::{Applied, Command, PartitionState};

use super::{Place, Step};

pub(super) fn check(step: &Step<'_>) -> Result<(), String> {
    for (place, before, after) in step.partitions() {
        let steps = u32::from(before != after || is_decided(step, place));
        if after.partition_epoch.0 != before.partition_epoch.0 + steps {
            return Err(format!("{place:?}: the partition epoch does not count {before:?} to {after:?}"));
        }
        let one_left = before.replicas.iter().any(|node| !after.replicas.contains(node));
        let must_grow = before.leader != after.leader || leader_registered(step, before) || one_left;
        let grows = after.leader_epoch.0 - before.leader_epoch.0;
        if grows > 1 || (must_grow && grows == 0) {
            return Err(format!("{place:?}: the leader epoch does not count {before:?} to {after:?}"));
        }
    }
    Ok(())
}

/// Whether a leader's wish for this partition was granted.
fn is_decided(step: &Step<'_>, place: Place) -> bool {
    matches!((step.command, step.result), (Command::AlterPartition(asked), Ok(_)) if (asked.topic, asked.partition) == place)
}

/// Whether the command began another life of the node that led.
fn leader_registered(step: &Step<'_>, before: &PartitionState) -> bool {
    let (Command::RegisterNode(registration), Ok(Applied::Registered(incarnation))) =
        (step.command, step.result)
    else {
        return false;
    };
    let earlier = step.before.nodes.get(&registration.node).map(|state| state.incarnation);
    before.leader == Some(registration.node) && earlier != Some(*incarnation)
}
