//! What is stored of a group. It changes by records only, the same ones live and when a successor reads them, so what
//! is replayed is what was.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::group_log::{
    CurrentValue, GroupRecord, GroupValue, MemberValue, OffsetValue, PartitionSince, Revocation, TargetValue,
};
use weir_wire::ids::MemberEpoch;
use weir_wire::request::TopicPartitions;

use super::messages::TopicPartition;

/// All stored groups, by name.
pub(crate) type StoredGroups = BTreeMap<String, StoredGroup>;

/// A group, as its records have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredGroup {
    /// What is stored of the group itself; epoch 0 before anything is.
    pub(crate) value: GroupValue,
    /// Its members, by id.
    pub(crate) members: BTreeMap<String, StoredMember>,
    /// How far it has come.
    pub(crate) offsets: BTreeMap<TopicPartition, OffsetValue>,
}

/// A member, as its records have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StoredMember {
    /// Who it is and what it wants; `joined` is 0 before that is known.
    pub(crate) value: MemberValue,
    /// What it should hold.
    pub(crate) target: BTreeSet<TopicPartition>,
    /// What it may hold.
    pub(crate) holding: Holding,
}

/// What a member may hold. Nobody else may hold any of it.
///
/// ```text
///            granted                      told to let go                 confirmed, or the session ended
///  free ────────────────▶ assigned ────────────────────────▶ revoking ────────────────────────▶ free
///                         since: epoch                       told: epoch
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    /// The number of this state: grows with every grant and every revocation.
    pub(crate) epoch: MemberEpoch,
    /// The partitions that it may read, each since which epoch.
    pub(crate) assigned: BTreeMap<TopicPartition, MemberEpoch>,
    /// The partitions that it was told to let go of and may still hold.
    pub(crate) revoking: BTreeMap<TopicPartition, Revoking>,
}

/// A partition that a member was told to let go of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revoking {
    /// Since which epoch it was assigned.
    pub(crate) since: MemberEpoch,
    /// The epoch that says to let go; confirming that one or a later one frees the partition.
    pub(crate) told: MemberEpoch,
}

impl Holding {
    /// Since which epoch the partition is held, if it is.
    pub(crate) fn held_since(&self, partition: &TopicPartition) -> Option<MemberEpoch> {
        let assigned = self.assigned.get(partition).copied();
        assigned.or_else(|| self.revoking.get(partition).map(|revoking| revoking.since))
    }

    /// Everything that may be held.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        self.assigned.keys().chain(self.revoking.keys()).copied()
    }

    pub(crate) fn to_value(&self) -> CurrentValue {
        let held = |(topic, partition): TopicPartition, since| PartitionSince { topic, partition, since };
        CurrentValue {
            epoch: self.epoch,
            assigned: self.assigned.iter().map(|(partition, since)| held(*partition, *since)).collect(),
            revoking: self
                .revoking
                .iter()
                .map(|(partition, revoking)| Revocation {
                    held: held(*partition, revoking.since),
                    told: revoking.told,
                })
                .collect(),
        }
    }

    fn from_value(value: &CurrentValue) -> Holding {
        let assigned = value.assigned.iter().map(|held| ((held.topic, held.partition), held.since));
        let revoking = value.revoking.iter().map(|Revocation { held, told }| {
            ((held.topic, held.partition), Revoking { since: held.since, told: *told })
        });
        Holding { epoch: value.epoch, assigned: assigned.collect(), revoking: revoking.collect() }
    }
}

/// Applies one record. A compacted log may hold the parts of a member in any order, so each part alone makes it.
pub(crate) fn apply(groups: &mut StoredGroups, record: &GroupRecord) {
    match record {
        GroupRecord::Group(group, None) => {
            groups.remove(group);
        }
        GroupRecord::Group(group, _)
        | GroupRecord::Member(group, ..)
        | GroupRecord::Target(group, ..)
        | GroupRecord::Current(group, ..)
        | GroupRecord::Offset(group, ..) => groups.entry(group.clone()).or_default().apply(record),
    }
}

impl StoredGroup {
    /// Applies a record of this group; that the group itself ends is for whoever holds it.
    pub(crate) fn apply(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Group(_, value) => self.value = value.clone().unwrap_or_default(),
            GroupRecord::Member(_, member, Some(value)) => self.member(member).value = value.clone(),
            GroupRecord::Member(_, member, None) => {
                self.members.remove(member);
            }
            GroupRecord::Target(_, member, Some(value)) => {
                self.member(member).target = TopicPartitions::each(&value.partitions).collect();
            }
            GroupRecord::Current(_, member, Some(value)) => {
                self.member(member).holding = Holding::from_value(value);
            }
            // The end of a member stands in the same batch.
            GroupRecord::Target(_, _, None) | GroupRecord::Current(_, _, None) => {}
            GroupRecord::Offset(_, topic, partition, Some(value)) => {
                self.offsets.insert((*topic, *partition), value.clone());
            }
            GroupRecord::Offset(_, topic, partition, None) => {
                self.offsets.remove(&(*topic, *partition));
            }
        }
    }

    fn member(&mut self, member: &str) -> &mut StoredMember {
        self.members.entry(member.to_owned()).or_default()
    }

    /// The records that make this group from nothing.
    pub(crate) fn to_records(&self, group: &str) -> Vec<GroupRecord> {
        let group = || group.to_owned();
        let mut records = vec![GroupRecord::Group(group(), Some(self.value.clone()))];
        for (id, member) in &self.members {
            let partitions = TopicPartitions::gather(member.target.iter().copied());
            records.push(GroupRecord::Member(group(), id.clone(), Some(member.value.clone())));
            records.push(GroupRecord::Target(group(), id.clone(), Some(TargetValue { partitions })));
            records.push(GroupRecord::Current(group(), id.clone(), Some(member.holding.to_value())));
        }
        records.extend(self.offsets.iter().map(|((topic, partition), value)| {
            GroupRecord::Offset(group(), *topic, *partition, Some(value.clone()))
        }));
        records
    }

    /// The highest number that was given out on the group's count.
    pub(crate) fn count(&self) -> u64 {
        let members =
            self.members.values().map(|member| member.holding.epoch.0.max(member.value.joined.0)).max();
        self.value.epoch.0.max(members.unwrap_or(0))
    }
}
