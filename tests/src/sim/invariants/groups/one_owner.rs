//! A partition has at most one owner in the coordinator's view, those included that were told to let go and have not
//! (INVARIANTS of KIP-848: "at most one member owns a partition").

use std::collections::BTreeMap;

use weir_wire::group_log::GroupRecord;

use super::GroupInvariant;
use crate::sim::group_log::{GroupState, TopicPartition};

#[derive(Debug, Default)]
pub(super) struct OneOwner;

impl GroupInvariant for OneOwner {
    fn check(&mut self, group: &GroupState, _: &[GroupRecord]) -> Result<(), String> {
        let mut owners: BTreeMap<TopicPartition, &str> = BTreeMap::new();
        for (id, member) in &group.members {
            for partition in member.assigned.keys().chain(member.revoking.keys()) {
                if let Some(other) = owners.insert(*partition, id) {
                    return Err(format!("partition {} belongs to both {other} and {id}", partition.1));
                }
            }
        }
        Ok(())
    }
}
