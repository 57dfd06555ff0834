//! A controller of one partition: registrations, elections from the ISR and then from the eligible leader replicas,
//! and the ISR compare-and-set (INVARIANTS 23, 27, 28 and 57). Every change is a version; nodes hear of versions late.

use std::collections::{BTreeMap, BTreeSet};

use weir_core::partition::{Assigned, Following, Input, Member, Reign};
use weir_wire::ids::{Incarnation, LeaderEpoch, NodeId, PartitionEpoch};

use crate::node::Proposal;

#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) leader: Option<NodeId>,
    pub(crate) leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    pub(crate) isr: BTreeSet<NodeId>,
    pub(crate) elr: BTreeSet<NodeId>,
    /// The newest incarnation of each node, and whether it is live (not fenced).
    pub(crate) nodes: BTreeMap<NodeId, (Incarnation, bool)>,
    pub(crate) write_caching: bool,
    /// Who may hold in memory only what was acknowledged before `write.caching` was switched off.
    pub(crate) unflushed: BTreeSet<NodeId>,
}

/// Why an ISR proposal changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Other metadata is in force by now; perhaps this very proposal put it there.
    Stale,
    /// A member may not be in the ISR.
    Ineligible,
}

#[derive(Clone, Debug)]
pub(crate) struct Controller {
    pub(crate) versions: Vec<Version>,
    pub(crate) min_isr: usize,
}

impl Controller {
    /// All nodes live and in sync, the first one leads.
    pub(crate) fn new(nodes: u32, min_isr: usize, write_caching: bool) -> Controller {
        let all: BTreeSet<NodeId> = (0..nodes).map(NodeId).collect();
        let first = Version {
            leader: Some(NodeId(0)),
            leader_epoch: LeaderEpoch(1),
            partition_epoch: PartitionEpoch(1),
            isr: all.clone(),
            elr: BTreeSet::new(),
            nodes: all.iter().map(|node| (*node, (Incarnation(1), true))).collect(),
            write_caching,
            unflushed: BTreeSet::new(),
        };
        Controller { versions: vec![first], min_isr }
    }

    pub(crate) fn current(&self) -> &Version {
        self.versions.last().expect("there is a first version")
    }

    /// Every change is one version: nobody hears of half of it. The partition epoch counts what changed of the partition,
    /// not of its nodes.
    fn change(&mut self, change: impl FnOnce(&mut Version)) {
        let mut next = self.current().clone();
        change(&mut next);
        if next.isr.len() >= self.min_isr {
            next.elr.clear();
        }
        let of_partition = |version: &Version| {
            (version.leader_epoch, version.partition_epoch, version.isr.clone(), version.elr.clone())
        };
        if of_partition(&next) != of_partition(self.current()) {
            next.partition_epoch = PartitionEpoch(self.current().partition_epoch.0 + 1);
        }
        self.versions.push(next);
    }

    pub(crate) fn switch_caching(&mut self) {
        self.change(|version| {
            version.write_caching = !version.write_caching;
            if !version.write_caching {
                version.unflushed = version.nodes.keys().copied().collect();
            }
            version.partition_epoch.0 += 1;
        });
    }

    /// Makes a replica lead that may, if there is one: `wanted` if it is one of them.
    pub(crate) fn elect(&mut self, wanted: NodeId) {
        self.change(|version| elect(version, wanted));
    }

    /// A node's lease ran out: it leads no more, and leaves the ISR unless it is the last.
    pub(crate) fn fence(&mut self, node: NodeId) {
        if !self.current().nodes[&node].1 {
            return;
        }
        self.change(|version| {
            version.nodes.get_mut(&node).unwrap().1 = false;
            leave(version, node);
            if version.leader == Some(node) {
                elect(version, node);
            }
        });
    }

    /// A process of the node begins. One that `lost` what it may have acknowledged leaves ISR and ELR.
    pub(crate) fn register(&mut self, node: NodeId, lost: bool) -> Member {
        self.change(|version| {
            let entry = version.nodes.get_mut(&node).unwrap();
            *entry = (Incarnation(entry.0.0 + 1), true);
            if lost {
                version.isr.remove(&node);
                version.elr.remove(&node);
            }
            if version.leader == Some(node) || version.leader.is_none() {
                elect(version, node);
            }
        });
        Member { node, incarnation: self.current().nodes[&node].0 }
    }

    pub(crate) fn alter(&mut self, proposal: &Proposal) -> Result<(), Refusal> {
        let version = self.current();
        let member = |node: NodeId| Member { node, incarnation: version.nodes[&node].0 };
        let is_current = version.leader.map(member) == Some(proposal.leader)
            && version.leader_epoch == proposal.leader_epoch
            && version.partition_epoch == proposal.partition_epoch;
        if !is_current {
            return Err(Refusal::Stale);
        }
        let is_eligible = |one: &Member| version.nodes[&one.node] == (one.incarnation, true);
        if !proposal.isr.iter().all(is_eligible) || !proposal.isr.contains(&proposal.leader) {
            return Err(Refusal::Ineligible);
        }
        let isr: BTreeSet<NodeId> = proposal.isr.iter().map(|member| member.node).collect();
        self.change(|version| {
            let before = std::mem::replace(&mut version.isr, isr);
            version.elr.extend(before);
            version.elr.retain(|node| !version.isr.contains(node));
            version.unflushed.retain(|node| !proposal.flushed.contains(node));
            // Also when it is the ISR in force: who asks wants to know what became of an earlier proposal.
            version.partition_epoch.0 += 1;
        });
        Ok(())
    }

    /// What a node is told that hears of a version; nothing if the version is of another life of it.
    pub(crate) fn role(&self, version: usize, me: Member) -> Option<Input> {
        let version = &self.versions[version];
        if version.nodes[&me.node].0 != me.incarnation {
            return None;
        }
        let (leader_epoch, partition_epoch) = (version.leader_epoch, version.partition_epoch);
        let member = |node: NodeId| Member { node, incarnation: version.nodes[&node].0 };
        if version.leader == Some(me.node) {
            let assigned =
                |node: &NodeId| Assigned { member: member(*node), is_eligible: version.nodes[node].1 };
            let replicas: Vec<Assigned> = version.nodes.keys().map(assigned).collect();
            let replication_factor = u32::try_from(replicas.len()).unwrap();
            let isr = version.isr.clone();
            let unflushed = version.unflushed.clone();
            let reign =
                Reign { leader_epoch, partition_epoch, me, replicas, replication_factor, isr, unflushed };
            return Some(Input::BecomeLeader(reign));
        }
        let leader = version.leader.map(member);
        Some(Input::BecomeFollower(Following { leader_epoch, partition_epoch, me, leader, unclean: false }))
    }
}

/// A reign begins, of a live replica in the ISR or else in the ELR, or of nobody.
fn elect(version: &mut Version, wanted: NodeId) {
    let live = |nodes: &BTreeSet<NodeId>| -> BTreeSet<NodeId> {
        nodes.iter().filter(|node| version.nodes[*node].1).copied().collect()
    };
    let (in_sync, eligible) = (live(&version.isr), live(&version.elr));
    let candidates = if in_sync.is_empty() { eligible } else { in_sync };
    let chosen = if candidates.contains(&wanted) { Some(wanted) } else { candidates.first().copied() };
    version.leader = chosen;
    version.leader_epoch = version.leader_epoch.next();
    if let Some(chosen) = chosen.filter(|chosen| !version.isr.contains(chosen)) {
        let before = std::mem::replace(&mut version.isr, BTreeSet::from([chosen]));
        version.elr.extend(before);
        version.elr.remove(&chosen);
    }
}

/// Takes a node out of the ISR, unless it is the last one there; who left may still lead while too few are left.
fn leave(version: &mut Version, node: NodeId) {
    if version.isr.len() > 1 && version.isr.remove(&node) {
        version.elr.insert(node);
    }
}
