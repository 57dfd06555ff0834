//! Who leads: from the ISR, else from the ELR (KIP-966), and anybody else only when an operator says so.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use weir_wire::ids::{NodeId, PartitionIndex, TopicId};

use super::partition::{Around, Reign};
use super::rules::{Rule, Rules};
use super::{
    Applied, Command, ElectionKind, Image, MetadataError, NodeState, Nodes, PartitionState, Selection,
};
use crate::node_config::NodeConfig;

impl PartitionState {
    /// Sees to it that a live member of the ISR leads. Does nothing where one does, or where nobody can. A leader whose
    /// replica failed stays where nobody can take over: it still serves what is committed.
    pub(super) fn elect(&mut self, around: Around<'_>) {
        let is_live = |node: &NodeId| around.nodes.get(node).is_some_and(|state| !state.fenced);
        let leads_on = |leader: &NodeId| is_live(leader) && self.isr.contains(leader);
        self.leader = self.leader.filter(leads_on);
        if self.leader.is_some_and(|leader| !self.failed.contains(&leader)) {
            return;
        }
        if let Some(node) = self.successor(around) {
            let (isr, failed) = (self.isr.clone(), self.failed.clone());
            let stays = |member: &NodeId| isr.contains(member) && !failed.contains(member);
            self.set_isr(around, |member| member == node || stays(&member));
            self.leader = Some(node);
        } else if let Some(node) =
            self.longest_cut().filter(|node| is_live(node) && !self.failed.contains(node))
        {
            self.elect_uncleanly(around, node);
        }
    }

    /// The replica that may lead without loss: in the order of assignment, one of the ISR before one of the ELR,
    /// and one that is about to stop only if there is no other.
    fn successor(&self, around: Around<'_>) -> Option<NodeId> {
        let first = |among: &[NodeId], may_stop: bool| {
            let fits = |node: &&NodeId| {
                let state = around.nodes.get(*node).filter(|_| !self.failed.contains(*node));
                state.is_some_and(|state| !state.fenced && (may_stop || !state.stopping))
            };
            among.iter().find(fits).copied()
        };
        if !around.rules.hold(Rule::LeadersComeFromIsrAndElr) {
            return first(&self.replicas, true);
        }
        first(&self.isr, false)
            .or_else(|| first(&self.elr, false))
            .or_else(|| first(&self.isr, true))
            .or_else(|| first(&self.elr, true))
    }

    /// Of the replicas that lost something the one that holds most, once all members of ISR and ELR are among them.
    fn longest_cut(&self) -> Option<NodeId> {
        if !self.is_without_members() {
            return None;
        }
        let rank = |node: &NodeId| Reverse(self.replicas.iter().position(|replica| replica == node));
        self.cut.iter().max_by_key(|(node, tail)| (**tail, rank(node))).map(|(node, _)| *node)
    }

    /// Begins a reign that may lack acknowledged records: the others follow it, whatever they hold.
    fn elect_uncleanly(&mut self, around: Around<'_>, node: NodeId) {
        self.isr.clear();
        self.elr.clear();
        self.set_isr(around, |member| member == node);
        self.elr.clear();
        self.cut.clear();
        self.leader = Some(node);
        self.unclean = self.replicas.len() > 1;
    }

    /// The preferred leader, where it could lead and does not.
    pub(super) fn preferred_move(&self, nodes: &Nodes) -> Option<NodeId> {
        let preferred = *self.replicas.first()?;
        let is_active = nodes.get(&preferred).is_some_and(NodeState::is_active);
        (self.leader != Some(preferred) && is_active && self.isr.contains(&preferred)).then_some(preferred)
    }

    /// Whom an operator's unclean election makes the leader: of the live replicas the one known to hold most.
    fn unclean_candidate(&self, nodes: &Nodes) -> Option<NodeId> {
        let rank = |node: &NodeId| Reverse(self.replicas.iter().position(|replica| replica == node));
        self.replicas
            .iter()
            .copied()
            .filter_map(|node| nodes.get(&node).map(|state| (node, state)))
            .filter(|(node, state)| !state.fenced && !self.failed.contains(node))
            .max_by_key(|(node, state)| (state.is_active(), self.cut.get(node), rank(node)))
            .map(|(node, _)| node)
    }
}

impl Image {
    /// The partitions that a preferred-leader election would move.
    #[must_use]
    pub fn preferred_moves(&self) -> Vec<(TopicId, PartitionIndex)> {
        self.partitions()
            .filter(|(.., state)| state.preferred_move(&self.nodes).is_some())
            .map(|(_, topic, index, _)| (topic.id, index))
            .collect()
    }

    /// What the active controller proposes every `leader.imbalance.check.interval.seconds`, if there is anything: that
    /// leaderships go back, where a node leads so much less of what it is preferred for than it could that it is more than
    /// `leader.imbalance.per.broker.percentage`.
    #[must_use]
    pub fn rebalance(&self, settings: &NodeConfig) -> Option<Command> {
        let is_wanted =
            settings.auto_leader_rebalance && self.is_imbalanced(settings.leader_imbalance_percentage);
        let kind = ElectionKind::Preferred;
        is_wanted.then_some(Command::ElectLeaders { selection: Selection::All, kind })
    }

    fn is_imbalanced(&self, percentage: u64) -> bool {
        let mut preferred: BTreeMap<NodeId, (u64, u64)> = BTreeMap::new();
        for (.., state) in self.partitions() {
            let Some(first) = state.replicas.first() else { continue };
            let (all, away) = preferred.entry(*first).or_default();
            *all += 1;
            *away += u64::from(state.preferred_move(&self.nodes).is_some());
        }
        preferred.values().any(|(all, away)| away * 100 > all * percentage)
    }

    pub(super) fn elect_leaders(
        &mut self,
        rules: Rules,
        selection: &Selection,
        kind: ElectionKind,
    ) -> Result<Applied, MetadataError> {
        match selection {
            Selection::All => Ok(self.elect_all(rules, kind)),
            Selection::One { topic, partition } => self.elect_one(rules, topic, *partition, kind),
        }
    }

    fn elect_all(&mut self, rules: Rules, kind: ElectionKind) -> Applied {
        let (mut changed, mut impossible) = (0, 0);
        let Image { nodes, topics, .. } = self;
        for topic in topics.values_mut() {
            let around = Around { nodes, config: &topic.config(), rules };
            for partition in &mut topic.partitions {
                match partition.elect_by(around, kind) {
                    Election::Elected => changed += 1,
                    Election::NoCandidate => impossible += 1,
                    Election::NotNeeded => {}
                }
            }
        }
        Applied::LeadersElected { changed, impossible }
    }

    fn elect_one(
        &mut self,
        rules: Rules,
        name: &str,
        index: PartitionIndex,
        kind: ElectionKind,
    ) -> Result<Applied, MetadataError> {
        let Image { nodes, topics, .. } = self;
        let topic = topics.get_mut(name).ok_or_else(|| MetadataError::UnknownTopic(name.to_owned()))?;
        let around = Around { nodes, config: &topic.config(), rules };
        let partition = topic.partition_mut(name, index)?;
        match partition.elect_by(around, kind) {
            Election::Elected => Ok(Applied::LeadersElected { changed: 1, impossible: 0 }),
            Election::NoCandidate => Err(MetadataError::NoCandidate {
                topic: name.to_owned(),
                partition: index,
                preferred: (kind == ElectionKind::Preferred).then(|| partition.replicas[0]),
            }),
            Election::NotNeeded => match (kind, partition.leader) {
                (ElectionKind::Unclean, Some(leader)) => {
                    Err(MetadataError::ElectionNotNeeded { topic: name.to_owned(), partition: index, leader })
                }
                _ => Ok(Applied::LeadersElected { changed: 0, impossible: 0 }),
            },
        }
    }
}

enum Election {
    Elected,
    NotNeeded,
    NoCandidate,
}

impl PartitionState {
    fn elect_by(&mut self, around: Around<'_>, kind: ElectionKind) -> Election {
        let is_there = match kind {
            ElectionKind::Preferred => self.leader == self.replicas.first().copied(),
            ElectionKind::Unclean => self.leader.is_some(),
        };
        if is_there {
            return Election::NotNeeded;
        }
        let candidate = match kind {
            ElectionKind::Preferred => self.preferred_move(around.nodes),
            ElectionKind::Unclean => self.unclean_candidate(around.nodes),
        };
        let Some(node) = candidate else { return Election::NoCandidate };
        self.change(around, |partition| {
            match kind {
                ElectionKind::Preferred => partition.leader = Some(node),
                ElectionKind::Unclean => partition.elect_uncleanly(around, node),
            }
            Reign::Ends
        });
        Election::Elected
    }
}
