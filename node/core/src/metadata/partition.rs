//! How one partition changes: who is in sync, who is eligible, and what counts up with it.

use weir_wire::ids::NodeId;

use super::rules::{Rule, Rules};
use super::{LogTail, Nodes, PartitionState};
use crate::topic_config::TopicConfig;

/// What decisions about a partition look at besides the partition.
#[derive(Clone, Copy)]
pub(super) struct Around<'i> {
    pub(super) nodes: &'i Nodes,
    /// The configuration of its topic.
    pub(super) config: &'i TopicConfig,
    pub(super) rules: Rules,
}

/// Whether the reign goes on where the same node leads after a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reign {
    GoesOn,
    Ends,
}

impl PartitionState {
    /// Makes a change, lets a reassignment end that can, and counts: the partition epoch grows if anything changed, the
    /// leader epoch if the reign ended. Returns whether anything changed.
    ///
    /// No reign outlives a replica that leaves the assignment: its node deletes the log. Should it come back later, with
    /// an empty one, no leader may take it for the follower that it knew.
    pub(super) fn change(
        &mut self,
        around: Around<'_>,
        edit: impl FnOnce(&mut PartitionState) -> Reign,
    ) -> bool {
        let (before, rules) = (self.clone(), around.rules);
        let reign = edit(self);
        self.settle(around);
        let other_leader = self.leader != before.leader && rules.hold(Rule::NewLeaderNewEpoch);
        let is_gone = |node: &NodeId| !self.is_on(*node);
        let one_left = before.replicas.iter().any(is_gone) && rules.hold(Rule::RemovalEndsReigns);
        if other_leader || one_left || reign == Reign::Ends {
            self.leader_epoch = self.leader_epoch.next();
        }
        let changed = *self != before;
        if changed {
            self.partition_epoch.0 += 1;
        }
        changed
    }

    /// As [`PartitionState::change`], and counts where nothing changed too: what was proposed before compares with an
    /// epoch that is over.
    pub(super) fn change_and_count(
        &mut self,
        around: Around<'_>,
        edit: impl FnOnce(&mut PartitionState) -> Reign,
    ) {
        if !self.change(around, edit) {
            self.partition_epoch.0 += 1;
        }
    }

    /// Whether the partition is assigned to a node.
    pub(super) fn is_on(&self, node: NodeId) -> bool {
        self.replicas.contains(&node)
    }

    /// Replaces the ISR. Who leaves it while too few remain for anything to be committed may still lead (KIP-966).
    pub(super) fn set_isr(&mut self, around: Around<'_>, is_in: impl Fn(NodeId) -> bool) {
        let isr: Vec<NodeId> = self.replicas.iter().copied().filter(|node| is_in(*node)).collect();
        let required = around.config.required_in_sync(self.replication_factor());
        let eligible = |node: &NodeId| {
            isr.len() < required
                && (self.isr.contains(node) || self.elr.contains(node))
                && !isr.contains(node)
        };
        self.elr = self.replicas.iter().copied().filter(eligible).collect();
        self.cut.retain(|node, _| !isr.contains(node));
        self.unclean &= isr.len() < self.replicas.len();
        self.isr = isr;
    }

    /// Takes a node out of the ISR, and out of the leadership.
    pub(super) fn leave(&mut self, around: Around<'_>, node: NodeId) {
        let isr = self.isr.clone();
        self.set_isr(around, |member| member != node && isr.contains(&member));
        self.leader = self.leader.filter(|leader| *leader != node);
    }

    /// Takes a node out of ISR and ELR, since it may lack what it had: `left` is what it still has, `None` if that
    /// is nothing. A partition whose last member lost everything is not given to another that lost something: what
    /// was committed meanwhile may be gone, and an operator has to say so.
    pub(super) fn lose(&mut self, around: Around<'_>, node: NodeId, left: Option<LogTail>) {
        let was_member = self.isr.contains(&node) || self.elr.contains(&node);
        self.leave(around, node);
        self.elr.retain(|member| *member != node);
        match left {
            Some(tail) if was_member || self.cut.contains_key(&node) => {
                self.cut.insert(node, tail);
            }
            Some(_) => {}
            None if was_member && self.is_without_members() => self.cut.clear(),
            None => {
                self.cut.remove(&node);
            }
        }
    }

    /// Whether nobody is known to hold everything that was committed.
    pub(super) fn is_without_members(&self) -> bool {
        self.isr.is_empty() && self.elr.is_empty()
    }
}
