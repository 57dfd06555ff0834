//! Looking at groups and looking after them.

use std::collections::BTreeSet;

use weir_wire::request::{
    AssignorSet, GroupDescription, GroupListing, GroupPartition, MemberDescription, SetAssignor,
    TopicPartitions,
};

use super::calls::check_assignor;
use super::error::GroupError;
use super::group::{Desk, Group, member_state};
use super::messages::{GroupConfig, Reply, TopicPartition};
use super::offsets::committed;

impl Group {
    pub(crate) fn listing(&self, config: &GroupConfig) -> GroupListing {
        GroupListing {
            group: self.name.clone(),
            state: self.state(),
            members: u32::try_from(self.stored.members.len()).unwrap_or(u32::MAX),
            assignor: self.assignor(config).to_owned(),
        }
    }

    /// Everything but the ends of the logs, which the shell adds.
    pub(crate) fn describe(&self, desk: &Desk<'_>) -> Reply {
        let members = self.stored.members.iter().map(|(id, member)| MemberDescription {
            member: id.clone(),
            instance: member.value.instance.clone(),
            client: member.value.client.clone(),
            host: member.value.host.clone(),
            epoch: member.holding.epoch,
            state: member_state(member),
            subscription: member.value.subscription.clone(),
            assigned: TopicPartitions::gather(member.holding.assigned.keys().copied()),
            revoking: TopicPartitions::gather(member.holding.revoking.keys().copied()),
            target: TopicPartitions::gather(member.target.iter().copied()),
        });
        let all = self.owners.keys().chain(self.targets.keys()).chain(self.stored.offsets.keys());
        let all: BTreeSet<TopicPartition> = all.copied().collect();
        let partitions = all.into_iter().map(|(topic, partition)| GroupPartition {
            topic,
            topic_name: desk.topics.by_id(topic).map_or_else(String::new, |(name, _)| name.to_owned()),
            partition,
            member: self.owners.get(&(topic, partition)).cloned(),
            committed: self.stored.offsets.get(&(topic, partition)).map(committed),
            log_end: None,
        });
        Reply::Described(GroupDescription {
            group: self.name.clone(),
            state: self.state(),
            epoch: self.stored.value.epoch,
            target_epoch: self.stored.value.target_epoch,
            assignor: self.assignor(desk.config).to_owned(),
            assigned_by: self.stored.value.assigned_by.clone(),
            failure: self.failure.clone(),
            members: members.collect(),
            partitions: partitions.collect(),
        })
    }

    pub(crate) fn delete(&mut self, desk: &mut Desk<'_>) -> Result<Reply, GroupError> {
        self.check_empty()?;
        self.end(desk);
        Ok(Reply::Deleted)
    }

    /// Chooses the assignor. The epoch moves also if the same one is chosen again, since whoever asks wants to be sure.
    pub(crate) fn set_assignor(
        &mut self,
        desk: &mut Desk<'_>,
        set: SetAssignor,
    ) -> Result<Reply, GroupError> {
        check_assignor(desk, set.assignor.as_deref())?;
        self.begin(desk);
        self.stored.value.assignor = set.assignor;
        if self.stored.members.is_empty() {
            self.put_group(desk);
        } else {
            self.want_target(desk);
        }
        let assignor = self.assignor(desk.config).to_owned();
        Ok(Reply::AssignorSet(AssignorSet { epoch: self.stored.value.epoch, assignor }))
    }
}
