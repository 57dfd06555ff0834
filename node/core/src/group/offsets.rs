//! How far groups have come: committed, fetched, reset, deleted, and forgotten.

use weir_wire::error::WireError;
use weir_wire::group_log::{GroupRecord, OffsetValue};
use weir_wire::ids::MemberEpoch;
use weir_wire::names;
use weir_wire::request::{
    CommitOffsets, CommittedOffset, DeleteOffsets, FetchOffsets, OffsetsCommitted, OffsetsDeleted,
    OffsetsFetched, OffsetsReset, PARTITIONS_PER_REQUEST_MAX, PartitionOffset, ResetOffsets, TopicPartitions,
};

use super::error::GroupError;
use super::group::{Desk, Group};
use super::messages::{LogEnds, Reply, TopicPartition, Topics};
use super::rules::Rule;

/// Checks what can be seen without the group.
pub(crate) fn check_request(group: &str, partitions: usize) -> Result<(), GroupError> {
    names::check_group_name(group)?;
    check_count(partitions)
}

fn check_count(partitions: usize) -> Result<(), GroupError> {
    if partitions > PARTITIONS_PER_REQUEST_MAX {
        return Err(GroupError::TooManyPartitions(partitions));
    }
    Ok(())
}

impl Group {
    pub(crate) fn commit(
        &mut self,
        desk: &mut Desk<'_>,
        commit: CommitOffsets,
        log_ends: &LogEnds,
    ) -> Result<Reply, GroupError> {
        let by = match &commit.committer {
            Some(committer) => {
                let is_member = self.check_membership(&committer.member, committer.member_epoch);
                if desk.rules.hold(Rule::OnlyTheOwnerCommits) {
                    is_member?;
                }
                Some((committer.member.as_str(), committer.member_epoch))
            }
            None => {
                self.check_empty()?;
                self.begin(desk);
                None
            }
        };
        let results = commit
            .offsets
            .into_iter()
            .map(|offset| {
                check_offset(desk.topics, &offset, log_ends)?;
                if let Some((member, named)) = by {
                    self.check_owner(desk, member, named, &offset)?;
                }
                self.put_offset(desk, offset);
                Ok(())
            })
            .map(|result: Result<(), GroupError>| result.map_err(|error| error.to_wire()))
            .collect();
        Ok(Reply::Committed(OffsetsCommitted { results }))
    }

    /// Whoever commits has held the partition from the epoch that it names until now: nobody else can have read and
    /// committed in between.
    fn check_owner(
        &self,
        desk: &Desk<'_>,
        member: &str,
        named: MemberEpoch,
        offset: &PartitionOffset,
    ) -> Result<(), GroupError> {
        let holding = self.stored.members.get(member).map(|member| &member.holding);
        let since = holding.and_then(|holding| holding.held_since(&(offset.topic, offset.partition)));
        let holds = since.is_some() || !desk.rules.hold(Rule::OnlyTheOwnerCommits);
        let held = since.is_none_or(|since| since <= named) || !desk.rules.hold(Rule::CommitsAreOfThisTenure);
        if holds && held {
            return Ok(());
        }
        let topic = desk.topics.by_id(offset.topic).map_or_else(String::new, |(name, _)| name.to_owned());
        Err(GroupError::NotOwner { topic, partition: offset.partition, named })
    }

    pub(crate) fn check_empty(&self) -> Result<(), GroupError> {
        match self.stored.members.len() {
            0 => Ok(()),
            members => Err(GroupError::NonEmpty { group: self.name.clone(), members }),
        }
    }

    fn put_offset(&mut self, desk: &mut Desk<'_>, offset: PartitionOffset) {
        let CommittedOffset { offset: next, leader_epoch, metadata } = offset.committed;
        let value = OffsetValue {
            offset: next,
            leader_epoch,
            metadata,
            committed_ms: desk.now.wall_ms,
            metadata_index: desk.topics.index,
        };
        self.put(desk, GroupRecord::Offset(self.name.clone(), offset.topic, offset.partition, Some(value)));
    }

    fn drop_offset(&mut self, desk: &mut Desk<'_>, (topic, partition): TopicPartition) {
        self.put(desk, GroupRecord::Offset(self.name.clone(), topic, partition, None));
    }

    pub(crate) fn fetch(&self, fetch: &FetchOffsets) -> Result<Reply, GroupError> {
        let found = |(partition, value): (&TopicPartition, &OffsetValue)| PartitionOffset {
            topic: partition.0,
            partition: partition.1,
            committed: committed(value),
        };
        let offsets = match &fetch.partitions {
            None => self.stored.offsets.iter().map(found).collect(),
            Some(partitions) => {
                check_count(TopicPartitions::each(partitions).count())?;
                let mut asked: Vec<TopicPartition> = TopicPartitions::each(partitions).collect();
                asked.sort_unstable();
                asked.dedup();
                asked
                    .iter()
                    .filter_map(|partition| self.stored.offsets.get_key_value(partition))
                    .map(found)
                    .collect()
            }
        };
        Ok(Reply::Fetched(OffsetsFetched { offsets }))
    }

    pub(crate) fn reset(
        &mut self,
        desk: &mut Desk<'_>,
        reset: ResetOffsets,
        log_ends: &LogEnds,
    ) -> Result<Reply, GroupError> {
        self.check_empty()?;
        if !reset.dry_run {
            self.begin(desk);
        }
        let results = reset
            .offsets
            .into_iter()
            .map(|offset| {
                check_offset(desk.topics, &offset, log_ends).map_err(|error| error.to_wire())?;
                let before = self.stored.offsets.get(&(offset.topic, offset.partition));
                let before = before.map(|value| value.offset);
                if !reset.dry_run {
                    self.put_offset(desk, offset);
                }
                Ok(before)
            })
            .collect::<Vec<Result<_, WireError>>>();
        Ok(Reply::Reset(OffsetsReset { results }))
    }

    pub(crate) fn delete_offsets(
        &mut self,
        desk: &mut Desk<'_>,
        delete: &DeleteOffsets,
    ) -> Result<Reply, GroupError> {
        check_count(TopicPartitions::each(&delete.partitions).count())?;
        let read = delete
            .partitions
            .iter()
            .find(|of| self.live.values().any(|live| live.topics.contains(&of.topic)));
        if let Some((name, _)) = read.and_then(|of| desk.topics.by_id(of.topic)) {
            return Err(GroupError::TopicInUse(name.to_owned()));
        }
        let mut count = 0;
        for partition in TopicPartitions::each(&delete.partitions) {
            if self.stored.offsets.contains_key(&partition) {
                self.drop_offset(desk, partition);
                count += 1;
            }
        }
        Ok(Reply::OffsetsDeleted(OffsetsDeleted { count }))
    }

    /// Forgets the offsets of topics that are gone: those that the metadata, at least as new as when the offset was
    /// committed, does not have.
    pub(crate) fn forget_deleted_topics(&mut self, desk: &mut Desk<'_>) {
        let is_gone = |(partition, value): &(&TopicPartition, &OffsetValue)| {
            desk.topics.index >= value.metadata_index && desk.topics.by_id(partition.0).is_none()
        };
        let gone: Vec<TopicPartition> =
            self.stored.offsets.iter().filter(is_gone).map(|(partition, _)| *partition).collect();
        for partition in gone {
            self.drop_offset(desk, partition);
        }
    }

    /// Forgets the offsets of a group that has been without members for long, and then the group.
    pub(crate) fn expire(&mut self, desk: &mut Desk<'_>) {
        let Some(empty_since_ms) = self.stored.value.empty_since_ms else { return };
        let now_ms = desk.now.wall_ms;
        let is_old = |since_ms: i64| {
            u64::try_from(now_ms.saturating_sub(since_ms))
                .is_ok_and(|ms| ms >= desk.config.offsets_retention_ms)
        };
        if !is_old(empty_since_ms) {
            return;
        }
        let offsets = self.stored.offsets.iter();
        let old: Vec<TopicPartition> = offsets
            .filter(|(_, value)| is_old(value.committed_ms))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in old {
            self.drop_offset(desk, partition);
        }
        if self.stored.offsets.is_empty() {
            self.end(desk);
        }
    }

    /// Ends a group without members.
    pub(crate) fn end(&mut self, desk: &mut Desk<'_>) {
        let partitions: Vec<TopicPartition> = self.stored.offsets.keys().copied().collect();
        for partition in partitions {
            self.drop_offset(desk, partition);
        }
        self.put(desk, GroupRecord::Group(self.name.clone(), None));
        self.is_over = true;
    }
}

pub(crate) fn committed(value: &OffsetValue) -> CommittedOffset {
    CommittedOffset {
        offset: value.offset,
        leader_epoch: value.leader_epoch,
        metadata: value.metadata.clone(),
    }
}

fn check_offset(topics: &Topics, offset: &PartitionOffset, log_ends: &LogEnds) -> Result<(), GroupError> {
    let PartitionOffset { topic, partition, committed } = offset;
    let (name, shape) = topics.by_id(*topic).ok_or(GroupError::UnknownTopic(*topic))?;
    if partition.0 >= shape.partitions {
        let (topic, count) = (name.to_owned(), shape.partitions);
        return Err(GroupError::UnknownPartition { topic, partition: *partition, count });
    }
    if committed.metadata.len() > CommittedOffset::METADATA_BYTES_MAX {
        return Err(GroupError::MetadataTooLarge(committed.metadata.len()));
    }
    match log_ends.get(&(*topic, *partition)) {
        Some(end) if committed.offset > *end => {
            Err(GroupError::BeyondLogEnd { offset: committed.offset, end: *end })
        }
        _ => Ok(()),
    }
}
