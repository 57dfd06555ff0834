//! What is committed in the log of the group's coordinators, read as it grows: the view that every coordinator shares.
//!
//! It is replayed here by rules of its own, not by the coordinator's, so that one is held against the other.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::batch::{self, Limits};
use weir_wire::group_log::{CurrentValue, GroupRecord};
use weir_wire::ids::{MemberEpoch, Offset, PartitionIndex, TopicId};
use weir_wire::request::TopicPartitions;

use super::invariants::groups::{self, GroupInvariant};
use super::plan::GROUP;
use super::snapshot::Snapshot;

/// One partition of one topic.
pub type TopicPartition = (TopicId, PartitionIndex);

/// What is committed in the log of the group's coordinators.
pub struct GroupLog {
    /// Up to where each partition of the log was read.
    next: BTreeMap<PartitionIndex, Offset>,
    state: GroupState,
    invariants: Vec<Box<dyn GroupInvariant>>,
}

/// The group, as its coordinators have it.
#[derive(Clone, Debug, Default)]
pub struct GroupState {
    /// Its members, by id.
    pub members: BTreeMap<String, MemberState>,
    /// How far it has come.
    pub committed: BTreeMap<TopicPartition, Offset>,
}

/// A member, as its coordinators have it.
#[derive(Clone, Debug, Default)]
pub struct MemberState {
    /// As whom its process connected.
    pub client: String,
    /// What it should have.
    pub target: BTreeSet<TopicPartition>,
    /// What it may read, each with the epoch since when.
    pub assigned: BTreeMap<TopicPartition, MemberEpoch>,
    /// What it was told to let go of, and may have still.
    pub revoking: BTreeMap<TopicPartition, MemberEpoch>,
}

impl Default for GroupLog {
    fn default() -> GroupLog {
        GroupLog { next: BTreeMap::new(), state: GroupState::default(), invariants: groups::all() }
    }
}

impl GroupLog {
    /// Takes in what is to be seen at this moment.
    ///
    /// # Errors
    /// What is not as it must be.
    ///
    /// # Panics
    /// When a batch that was committed cannot be read.
    pub fn follow(&mut self, seen: &Snapshot) -> Result<(), String> {
        for batch in &seen.committed {
            let next = self.next.entry(batch.replica.partition).or_default();
            // What one replica has shown the others show again.
            if batch.header.base_offset != *next {
                continue;
            }
            *next = batch.header.next_offset();
            if batch.header.attributes.is_control() {
                continue;
            }
            let records = batch::records(&batch.bytes, &Limits::default()).expect("a committed batch");
            let changes: Vec<GroupRecord> = records
                .iter()
                .map(|record| GroupRecord::decode(record.key.unwrap_or_default(), record.value))
                .collect::<Result<_, _>>()
                .map_err(|why| {
                    format!("a batch of the group's log at {}: {why}", batch.header.base_offset)
                })?;
            self.change(&changes)
                .map_err(|broken| format!("the group's log at {}: {broken}", batch.header.base_offset))?;
        }
        Ok(())
    }

    /// All records of a change count at once.
    fn change(&mut self, changes: &[GroupRecord]) -> Result<(), String> {
        changes.iter().for_each(|record| self.state.apply(record));
        let GroupLog { invariants, state, .. } = self;
        invariants.iter_mut().try_for_each(|invariant| invariant.check(state, changes))
    }

    /// Whether each of the topic's partitions has its member, and each process that takes part has exactly what the
    /// coordinator gave it.
    ///
    /// # Errors
    /// What is missing.
    pub fn is_settled(
        &self,
        topic: TopicId,
        partitions: usize,
        held: &BTreeMap<String, BTreeSet<PartitionIndex>>,
    ) -> Result<(), String> {
        let mut given: BTreeMap<String, BTreeSet<PartitionIndex>> = BTreeMap::new();
        let mut owned = 0;
        for (id, member) in &self.state.members {
            let assigned: BTreeSet<TopicPartition> = member.assigned.keys().copied().collect();
            if !member.revoking.is_empty() || assigned != member.target {
                return Err(format!("member {id} is on its way: {member:?}"));
            }
            owned += assigned.iter().filter(|(of, _)| *of == topic).count();
            let name = member.client.rsplit('/').next().unwrap_or_default().to_owned();
            if given.insert(name, assigned.into_iter().map(|(_, index)| index).collect()).is_some() {
                return Err(format!("{} is a member twice", member.client));
            }
        }
        if owned != partitions {
            return Err(format!("{owned} of {partitions} partitions have a member in the group"));
        }
        if given != *held {
            return Err(format!("the coordinator gave its members {given:?}, and they have {held:?}"));
        }
        Ok(())
    }

    /// Whether the group has committed all there is.
    ///
    /// # Errors
    /// What it has not.
    pub fn has_committed(&self, ends: &BTreeMap<PartitionIndex, Offset>) -> Result<(), String> {
        let committed: BTreeMap<PartitionIndex, Offset> =
            self.state.committed.iter().map(|((_, partition), offset)| (*partition, *offset)).collect();
        match ends.iter().find(|(partition, end)| committed.get(partition) != Some(end)) {
            None => Ok(()),
            Some((partition, end)) => {
                let committed = committed.get(partition);
                Err(format!("the group has committed {committed:?} of {partition}, which ends at {end}"))
            }
        }
    }
}

impl GroupState {
    fn apply(&mut self, record: &GroupRecord) {
        match record {
            GroupRecord::Group(group, ..)
            | GroupRecord::Member(group, ..)
            | GroupRecord::Target(group, ..)
            | GroupRecord::Current(group, ..)
            | GroupRecord::Offset(group, ..)
                if group != GROUP => {}
            GroupRecord::Group(_, Some(_)) => {}
            GroupRecord::Group(_, None) => *self = GroupState::default(),
            GroupRecord::Member(_, id, Some(value)) => self.member(id).client.clone_from(&value.client),
            GroupRecord::Target(_, id, Some(value)) => {
                self.member(id).target = TopicPartitions::each(&value.partitions).collect();
            }
            GroupRecord::Current(_, id, Some(CurrentValue { assigned, revoking, .. })) => {
                let member = self.member(id);
                member.assigned =
                    assigned.iter().map(|held| ((held.topic, held.partition), held.since)).collect();
                let revoking = revoking.iter().map(|revocation| revocation.held);
                member.revoking = revoking.map(|held| ((held.topic, held.partition), held.since)).collect();
            }
            GroupRecord::Member(_, id, None)
            | GroupRecord::Target(_, id, None)
            | GroupRecord::Current(_, id, None) => _ = self.members.remove(id),
            GroupRecord::Offset(_, topic, partition, Some(value)) => {
                self.committed.insert((*topic, *partition), value.offset);
            }
            GroupRecord::Offset(_, topic, partition, None) => {
                self.committed.remove(&(*topic, *partition));
            }
        }
    }

    fn member(&mut self, id: &str) -> &mut MemberState {
        self.members.entry(id.to_owned()).or_default()
    }

    /// Who may have a partition, each with the epoch since when.
    pub fn owners(&self, partition: TopicPartition) -> impl Iterator<Item = (&String, MemberEpoch)> {
        self.members.iter().filter_map(move |(id, member)| {
            let since = member.assigned.get(&partition).or_else(|| member.revoking.get(&partition));
            Some((id, *since?))
        })
    }
}
