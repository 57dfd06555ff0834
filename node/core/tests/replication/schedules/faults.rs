//! What goes wrong: proposals that are lost or repeated, elections, crashes, `write.caching` switched.

use weir_core::partition::Input;
use weir_wire::ids::Offset;

use super::tally::Tally;
use super::world::{Asked, World};
use crate::controller::Refusal;
use crate::node::{Message, Proposal};

impl World {
    /// The controller gets a proposal, or it is lost, or its answer is.
    pub(super) fn decide(&mut self, tally: &mut Tally) {
        if self.proposals.is_empty() {
            return;
        }
        let index = self.random.below(self.proposals.len());
        let proposal = self.proposals.remove(index);
        let place = usize::try_from(proposal.leader.node.0).unwrap();
        if self.random.percent(20) && !self.is_healing {
            // Nobody knows; it may still arrive.
            if self.random.percent(60) {
                self.proposals.push(proposal.clone());
            }
            return self.answer_proposal(place, &proposal, Input::IsrUnknown(proposal.number), tally);
        }
        if self.random.percent(10) {
            self.proposals.push(proposal.clone());
        }
        let before = self.controller.current().isr.len();
        let decided = self.controller.alter(&proposal);
        self.note(|| format!("{proposal:?} is decided: {decided:?}"));
        match decided {
            Ok(()) => {
                let after = self.controller.current().isr.len();
                tally.expansions += u64::from(after > before);
                tally.shrinks += u64::from(after < before);
                tally.told_flushed += u64::from(!proposal.flushed.is_empty());
                if self.random.percent(30) {
                    self.answer_proposal(place, &proposal, Input::IsrUnknown(proposal.number), tally);
                }
            }
            Err(Refusal::Stale) => {
                self.answer_proposal(place, &proposal, Input::IsrUnknown(proposal.number), tally);
            }
            // A copy that is still on its way may be decided otherwise.
            Err(Refusal::Ineligible) => {
                self.proposals
                    .retain(|other| other.number != proposal.number || other.leader != proposal.leader);
                self.answer_proposal(place, &proposal, Input::IsrRefused(proposal.number), tally);
            }
        }
    }

    fn answer_proposal(&mut self, place: usize, proposal: &Proposal, answer: Input, tally: &mut Tally) {
        if self.nodes[place].me != proposal.leader {
            return;
        }
        tally.refused += u64::from(matches!(answer, Input::IsrRefused(_)));
        tally.unknown += u64::from(matches!(answer, Input::IsrUnknown(_)));
        if self.random.percent(80) || self.is_healing {
            self.on(place, |node, now, out| node.handle(now, answer, out), tally);
        } else {
            // Late.
            self.flight.push(Message { to: proposal.leader.node, input: answer });
        }
    }

    pub(super) fn elect(&mut self, place: usize, tally: &mut Tally) {
        tally.elections += 1;
        self.controller.elect(self.nodes[place].me.node);
        self.note(|| format!("elected: {:?}", self.controller.current()));
    }

    pub(super) fn crash(&mut self, place: usize, tally: &mut Tally) {
        let node = self.nodes[place].me.node;
        if !self.nodes[place].is_up {
            return;
        }
        let version = self.controller.current();
        let has_spare = version.isr.iter().chain(&version.elr).any(|other| *other != node);
        // With `write.caching` one crash less than `min.insync.replicas` may cost what was not flushed (KIP-966).
        let is_tolerable = has_spare && self.lost.len() + 1 < self.controller.min_isr;
        let is_cached = version.write_caching || version.unflushed.contains(&node);
        let may_lose = !is_cached || is_tolerable;
        let (flushed, end) = (self.nodes[place].disk.flushed, self.nodes[place].disk.end());
        // A clean stop flushes; a power cut takes any part of what was not flushed.
        let kept =
            if may_lose { Offset(flushed.0 + self.random.next() % (end.since(flushed) + 1)) } else { end };
        if may_lose && is_cached {
            self.lost.insert(node);
        }
        tally.crashes += 1;
        tally.lost_bytes += u64::from(kept < end);
        self.note(|| format!("node {place} crashes at {end}, {flushed} flushed, {kept} kept"));
        let before = self.nodes[place].disk.batches.clone();
        self.nodes[place].crash(kept);
        self.power_cut.extend(&before[self.nodes[place].disk.batches.len()..]);
        self.asked.retain(|(asked, _), asked_for| {
            if *asked == node
                && let Asked::Idempotent(produce) = asked_for
            {
                self.clients[produce.client].has_failed = true;
            }
            *asked != node
        });
    }

    pub(super) fn start(&mut self, place: usize, _: &mut Tally) {
        if self.nodes[place].is_up {
            return;
        }
        let node = self.nodes[place].me.node;
        let lost = self.lost.remove(&node);
        let me = self.controller.register(node, lost);
        let knows_watermark = self.random.percent(60);
        let config = self.config_of(self.controller.versions.len() - 1);
        self.nodes[place].start(self.now, me, config, knows_watermark);
        self.note(|| format!("node {place} starts as {me:?}"));
        self.learned[place] = self.controller.versions.len() - 2;
    }

    /// Switching on holds at once for what a crash may cost; switching off for a replica when its leader says that it has
    /// flushed (INVARIANTS 1.4, to 13).
    pub(super) fn switch_caching(&mut self, tally: &mut Tally) {
        let is_on = self.controller.current().write_caching;
        if !is_on && self.nodes.iter().any(|node| !node.is_up) {
            // They would be taken for nodes that lost what was acknowledged, and more of them may be down than may lose it.
            return;
        }
        tally.switches += 1;
        self.controller.switch_caching();
        self.note(|| format!("write.caching is {}", self.controller.current().write_caching));
    }
}
