//! Other replicas for a partition, in two steps (KIP-455).
//!
//! ```text
//! 1 2 3  ──target 3 4 5──▶  1 2 3 4 5  ──4 and 5 are in sync──▶  3 4 5
//!           4 and 5 are added           1 and 2 leave, the leader moves if it was one of them
//! ```
//!
//! Until the target takes over nothing is promised by fewer than before: the partition needs as many in sync as its
//! earlier replicas did, and its preferred leader stays. What is asked for is kept in the metadata and ends by itself, whoever
//! asked may be gone. Cancelled, the earlier replicas are all there is again.

use weir_wire::ids::{NodeId, PartitionIndex, TopicId};

use super::partition::{Around, Reign};
use super::rules::{Rule, Rules};
use super::{Applied, Image, MetadataError, PartitionState, Reassignment};

impl PartitionState {
    /// The replicas but for those that are being added.
    #[must_use]
    pub fn settled(&self) -> &[NodeId] {
        self.reassignment.as_ref().map_or(&self.replicas, |reassignment| &reassignment.origin)
    }

    /// The replicas as they will be when everything that is under way has ended.
    #[must_use]
    pub fn intended(&self) -> &[NodeId] {
        self.reassignment.as_ref().map_or(&self.replicas, |reassignment| &reassignment.target)
    }

    /// How many replicas it has, for everything that is promised of them: those that are being added do not count, so
    /// that a partition which is moved needs no more in sync than before.
    #[must_use]
    pub fn replication_factor(&self) -> usize {
        self.settled().len()
    }

    /// Begins to make `target` the replicas, or goes back to what they were.
    fn aim(&mut self, target: Vec<NodeId>) {
        let origin = self.settled().to_vec();
        let added = target.iter().copied().filter(|node| !origin.contains(node));
        let replicas: Vec<NodeId> = origin.iter().copied().chain(added).collect();
        self.reassignment = (target != origin).then_some(Reassignment { origin, target });
        self.assign(replicas);
    }

    /// Makes these the replicas; whoever is none of them leaves everything.
    fn assign(&mut self, replicas: Vec<NodeId>) {
        let in_order = |members: &[NodeId]| -> Vec<NodeId> {
            replicas.iter().copied().filter(|node| members.contains(node)).collect()
        };
        (self.isr, self.elr) = (in_order(&self.isr), in_order(&self.elr));
        self.leader = self.leader.filter(|leader| replicas.contains(leader));
        self.cut.retain(|node, _| replicas.contains(node));
        self.unflushed.retain(|node| replicas.contains(node));
        self.failed.retain(|node| replicas.contains(node));
        self.unclean &= self.isr.len() < replicas.len();
        self.replicas = replicas;
    }

    /// Lets the target take over once it can: whoever was added is in sync, and so many of the target are that it keeps
    /// its own promise. Nothing that was committed is on fewer replicas than that.
    pub(super) fn settle(&mut self, around: Around<'_>) {
        let Some(Reassignment { origin, target }) = &self.reassignment else { return };
        let is_added = |node: &&NodeId| !origin.contains(node);
        let are_added = target.iter().filter(is_added).all(|node| self.isr.contains(node));
        let is_enough = self.keeps_its_promise(around, target);
        let has_to_wait = around.rules.hold(Rule::TargetIsInSyncFirst);
        if has_to_wait && !(are_added && is_enough) {
            return;
        }
        let target = target.clone();
        self.reassignment = None;
        self.assign(target);
        // With another number of replicas other replicas are eligible.
        let isr = self.isr.clone();
        self.set_isr(around, |node| isr.contains(&node));
        self.elect(around);
    }

    /// Whether so many of these replicas are in sync as they need among them.
    fn keeps_its_promise(&self, around: Around<'_>, replicas: &[NodeId]) -> bool {
        let in_sync = self.isr.iter().filter(|node| replicas.contains(node)).count();
        in_sync >= around.config.required_in_sync(replicas.len()).max(1)
    }

    /// Whether only these replicas may stay: enough of them are in sync, or nobody leaves who holds what is committed.
    fn may_be_left_to(&self, around: Around<'_>, replicas: &[NodeId]) -> bool {
        let stays = |node: &NodeId| replicas.contains(node);
        let nobody_leaves = self.isr.iter().chain(&self.elr).chain(self.cut.keys()).all(stays);
        nobody_leaves || self.keeps_its_promise(around, replicas)
    }
}

impl Image {
    /// Gives a partition other replicas, the preferred leader first; `None` takes back what is under way. Who asks
    /// again for what is under way, or done, changes nothing.
    pub(super) fn reassign(
        &mut self,
        rules: Rules,
        id: TopicId,
        index: PartitionIndex,
        target: Option<&[NodeId]>,
    ) -> Result<Applied, MetadataError> {
        let unknown = MetadataError::UnknownTopicId(id);
        let Image { nodes, topics, topic_names, .. } = self;
        let name = topic_names.get(&id).ok_or_else(|| unknown.clone())?;
        let topic = topics.get_mut(name).ok_or(unknown)?;
        let around = Around { nodes, config: &topic.config(), rules };
        let partition = topic.partition_mut(name, index)?;
        let target = target.map_or_else(|| partition.settled().to_vec(), <[NodeId]>::to_vec);
        if target != partition.intended() {
            check_target(partition, around, &target)?;
            let mut stay = partition.settled().to_vec();
            stay.extend(target.iter().filter(|node| !partition.settled().contains(node)));
            if !partition.may_be_left_to(around, &stay) {
                let (topic, partition) = (name.clone(), index);
                return Err(MetadataError::TooFewWouldStay { topic, partition });
            }
            partition.change(around, |partition| {
                partition.aim(target);
                // Who left may have led, and fewer in sync make others eligible.
                let isr = partition.isr.clone();
                partition.set_isr(around, |node| isr.contains(&node));
                partition.elect(around);
                Reign::GoesOn
            });
        }
        Ok(Applied::Reassigned { under_way: partition.reassignment.is_some() })
    }
}

/// Replicas must be different nodes, and a node that gets one must be able to take it.
fn check_target(
    partition: &PartitionState,
    around: Around<'_>,
    target: &[NodeId],
) -> Result<(), MetadataError> {
    if target.is_empty() {
        return Err(MetadataError::NoReplicas);
    }
    for (at, node) in target.iter().enumerate() {
        if target[..at].contains(node) {
            return Err(MetadataError::ReplicaNamedTwice(*node));
        }
        let state = around.nodes.get(node).ok_or(MetadataError::UnknownNode(*node))?;
        if !partition.is_on(*node) && !state.takes_replicas() {
            let (node, draining) = (*node, state.is_active());
            return Err(MetadataError::TakesNoReplicas { node, draining });
        }
    }
    Ok(())
}
