//! Only who owns a partition commits for it, for what it read since it was given it (KIP-848; KIP-1251 for tenures).
//!
//! Members say with each offset who they are and in which of their tenures they got there. Such a name must belong to one
//! tenure of the coordinator's, of that very member, and a tenure to one name.

use std::collections::BTreeMap;

use weir_wire::group_log::GroupRecord;
use weir_wire::ids::MemberEpoch;

use super::GroupInvariant;
use crate::sim::group_log::{GroupState, TopicPartition};
use crate::sim::plan::GROUP;

/// A member, and since when it had the partition.
type Tenure = (String, MemberEpoch);

/// Which tenures names belong to, and the other way round.
#[derive(Debug, Default)]
pub(super) struct CommitsOfOwners {
    tenures: BTreeMap<(String, TopicPartition), Tenure>,
    names: BTreeMap<(Tenure, TopicPartition), String>,
}

impl GroupInvariant for CommitsOfOwners {
    fn check(&mut self, group: &GroupState, changes: &[GroupRecord]) -> Result<(), String> {
        for change in changes {
            let GroupRecord::Offset(of, topic, index, Some(value)) = change else { continue };
            let (partition, offset) = ((*topic, *index), value.offset);
            let mut owners = group.owners(partition);
            let Some((id, since)) = owners.next().filter(|_| of == GROUP) else {
                return Err(format!(
                    "{index}/{offset} was committed by '{}', and nobody owns it",
                    value.metadata
                ));
            };
            // Members that leave commits to the library say nothing.
            let Some((process, _)) = value.metadata.split_once('/') else { continue };
            let client = &group.members[id].client;
            let tenure = (id.clone(), since);
            let name = value.metadata.clone();
            let known_tenure =
                self.tenures.entry((name.clone(), partition)).or_insert_with(|| tenure.clone());
            let known_name = self.names.entry((tenure.clone(), partition)).or_insert_with(|| name.clone());
            if !client.ends_with(&format!("/{process}")) || *known_tenure != tenure || *known_name != name {
                return Err(format!(
                    "{index}/{offset} was committed in tenure {name}, while {client} has it as {tenure:?}, known as {known_name}; \
                     {name} was {known_tenure:?}"
                ));
            }
        }
        Ok(())
    }
}
