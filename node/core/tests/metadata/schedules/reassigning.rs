//! Operators who give partitions other replicas, take that back, drain nodes and remove them.

use weir_core::metadata::{AlterPartition, Applied, Command, Image, MetadataError, PartitionState};
use weir_wire::ids::{NodeId, PartitionIndex, TopicId};

use super::world::World;

/// How often leaders may have to say who is in sync until every reassignment has ended.
const ROUNDS: usize = 3;

impl World {
    pub(super) fn reassign(&mut self) -> Result<(), String> {
        match self.random.below(10) {
            0 => self.drain(),
            1 => self.remove(),
            _ => self.reassign_one(),
        }
    }

    fn reassign_one(&mut self) -> Result<(), String> {
        let partitions = partitions(&self.image);
        if partitions.is_empty() {
            return Ok(());
        }
        let (topic, partition, before) = partitions[self.random.below(partitions.len())].clone();
        let target = (!self.random.percent(25)).then(|| self.target());
        let is_taken_back = target.is_none() && before.reassignment.is_some();
        let result = self.submit(Command::Reassign { topic, partition, target }, &[])?;
        let what = match result {
            Ok(Applied::Reassigned { .. }) if is_taken_back => "a reassignment taken back",
            Ok(Applied::Reassigned { under_way: true }) if before.reassignment.is_some() => {
                "reassigned again while under way"
            }
            Ok(Applied::Reassigned { under_way: true }) => "reassigned",
            Err(MetadataError::TooFewWouldStay { .. }) => "refused: too few would stay",
            Err(MetadataError::TakesNoReplicas { .. }) => "refused: takes no replicas",
            _ => return Ok(()),
        };
        *self.tally.entry(what).or_insert(0) += 1;
        Ok(())
    }

    fn target(&mut self) -> Vec<NodeId> {
        let mut target = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            let node = self.node();
            if !target.contains(&node) || self.random.percent(5) {
                target.push(node);
            }
        }
        target
    }

    fn drain(&mut self) -> Result<(), String> {
        let (node, draining) = (self.node(), self.random.percent(30));
        self.submit(Command::SetDraining { node, draining }, &[])?.map_or(Ok(()), |_| Ok(()))
    }

    fn remove(&mut self) -> Result<(), String> {
        let node = self.node();
        if self.submit(Command::RemoveNode { node }, &[])?.is_ok() {
            *self.tally.entry("removed a node").or_insert(0) += 1;
        }
        Ok(())
    }

    /// Notes which targets took over by a command.
    pub(super) fn count_takeovers(&mut self, before: &Image) {
        for (_, topic, index, after) in self.image.partitions() {
            let Some((_, earlier)) = before.topic_by_id(topic.id) else { continue };
            let Some(earlier) = earlier.partitions.get(usize::try_from(index.0).unwrap()) else { continue };
            let Some(under_way) = &earlier.reassignment else { continue };
            if after.reassignment.is_none() && after.replicas == under_way.target {
                *self.tally.entry("a target took over").or_insert(0) += 1;
                if earlier.leader.is_some_and(|leader| !under_way.target.contains(&leader)) {
                    *self.tally.entry("a target took over, and the leader with it").or_insert(0) += 1;
                }
            }
        }
    }

    /// With every node alive and every replica in sync, whatever is under way ends.
    pub(super) fn reassignments_end(&mut self) -> Result<(), String> {
        for node in self.image.nodes.keys().copied().collect::<Vec<_>>() {
            self.comes_back(node)?;
        }
        for _ in 0..ROUNDS {
            for (topic, partition, state) in partitions(&self.image) {
                if state.reassignment.is_some() {
                    self.all_are_in_sync(topic, partition, &state)?;
                }
            }
        }
        let left = partitions(&self.image)
            .into_iter()
            .find(|(.., state)| state.reassignment.is_some() && state.leader.is_some());
        left.map_or(Ok(()), |(topic, partition, state)| {
            Err(format!("{partition} of {topic}: the reassignment does not end: {state:?}"))
        })
    }

    fn all_are_in_sync(
        &mut self,
        topic: TopicId,
        partition: PartitionIndex,
        state: &PartitionState,
    ) -> Result<(), String> {
        let Some(leader) = state.leader else { return Ok(()) };
        let asked = AlterPartition {
            topic,
            partition,
            leader,
            leader_incarnation: self.image.nodes[&leader].incarnation,
            leader_epoch: state.leader_epoch,
            partition_epoch: state.partition_epoch,
            isr: self.image.with_incarnations(&state.replicas),
            flushed: Vec::new(),
        };
        self.submit(Command::AlterPartition(asked), &[]).map(|_| ())
    }
}

fn partitions(image: &Image) -> Vec<(TopicId, PartitionIndex, PartitionState)> {
    image.partitions().map(|(_, topic, index, state)| (topic.id, index, state.clone())).collect()
}
