//! Which replicas are in sync, as the controller decided it and as it may have decided since.
//!
//! ```text
//!  decided ──propose──> one proposal in flight ──newer metadata──> decided
//!                            |        └────────refused───────────> decided, as before
//!                            └──nobody knows──> in limbo: counted until newer metadata comes
//! ```
//!
//! The high watermark counts with the **maximal** ISR: the decided one and whoever any proposal may have added
//! (KIP-497). A larger set than the true one only holds it back; a smaller one would lose what was acknowledged.

use std::collections::BTreeSet;

use weir_wire::ids::{NodeId, PartitionEpoch};

use super::messages::ProposalNumber;
use super::rules::{Rule, Rules};

/// The replicas in sync.
#[derive(Clone, Debug)]
pub(crate) struct Isr {
    decided: BTreeSet<NodeId>,
    /// The version of the metadata that `decided` is of.
    partition_epoch: PartitionEpoch,
    proposal: Option<Proposal>,
    /// Who may be in sync by a proposal of this partition epoch that nobody knows the end of.
    limbo: BTreeSet<NodeId>,
    /// Whether to wait for the next tick before proposing again.
    is_held: bool,
}

#[derive(Clone, Debug)]
struct Proposal {
    number: ProposalNumber,
    isr: BTreeSet<NodeId>,
}

impl Isr {
    pub(crate) fn new(partition_epoch: PartitionEpoch, decided: BTreeSet<NodeId>) -> Isr {
        Isr { decided, partition_epoch, proposal: None, limbo: BTreeSet::new(), is_held: false }
    }

    /// Takes in what the controller decided. A newer version ends every proposal that names the one before it: the
    /// controller compares.
    pub(crate) fn decide(&mut self, partition_epoch: PartitionEpoch, decided: BTreeSet<NodeId>) {
        if partition_epoch > self.partition_epoch {
            *self = Isr::new(partition_epoch, decided);
        }
    }

    pub(crate) fn decided(&self) -> &BTreeSet<NodeId> {
        &self.decided
    }

    pub(crate) fn partition_epoch(&self) -> PartitionEpoch {
        self.partition_epoch
    }

    /// Whether the high watermark must count with this replica.
    pub(crate) fn may_hold(&self, node: NodeId, rules: Rules) -> bool {
        let proposed = self.proposal.as_ref().map(|proposal| proposal.isr.contains(&node));
        if !rules.hold(Rule::MaximalIsr) {
            return proposed.unwrap_or_else(|| self.decided.contains(&node));
        }
        self.decided.contains(&node) || self.limbo.contains(&node) || proposed == Some(true)
    }

    /// Whether `wanted` should be proposed now. Also the decided ISR is, while something is in limbo: any decision
    /// settles it; and when there is something else to say with it.
    pub(crate) fn is_due(&self, wanted: &BTreeSet<NodeId>, has_more_to_say: bool) -> bool {
        let is_news = *wanted != self.decided || !self.limbo.is_empty() || has_more_to_say;
        is_news && self.proposal.is_none() && !self.is_held
    }

    pub(crate) fn propose(&mut self, number: ProposalNumber, isr: BTreeSet<NodeId>) {
        assert!(self.proposal.is_none(), "one proposal is in flight at a time");
        self.proposal = Some(Proposal { number, isr });
    }

    /// The proposal was refused: what was decided holds on, and what is in limbo stays there.
    pub(crate) fn refused(&mut self, number: ProposalNumber) {
        if self.take(number).is_some() {
            self.is_held = true;
        }
    }

    /// Nobody knows what became of the proposal.
    pub(crate) fn unknown(&mut self, number: ProposalNumber) {
        if let Some(proposal) = self.take(number) {
            self.limbo.extend(proposal.isr);
            self.is_held = true;
        }
    }

    pub(crate) fn tick(&mut self) {
        self.is_held = false;
    }

    /// Whether it waits for the next tick to propose.
    pub(crate) fn is_held(&self) -> bool {
        self.is_held
    }

    fn take(&mut self, number: ProposalNumber) -> Option<Proposal> {
        self.proposal.take_if(|proposal| proposal.number == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(nodes: &[u32]) -> BTreeSet<NodeId> {
        nodes.iter().copied().map(NodeId).collect()
    }

    fn maximal(isr: &Isr) -> Vec<u32> {
        (0..5).filter(|node| isr.may_hold(NodeId(*node), Rules::default())).collect()
    }

    #[test]
    fn a_pending_change_counts_only_where_it_adds() {
        let mut isr = Isr::new(PartitionEpoch(7), nodes(&[0, 1]));
        isr.propose(ProposalNumber(1), nodes(&[0, 2]));
        assert_eq!(
            maximal(&isr),
            [0, 1, 2],
            "who would leave is still counted, who would join is counted at once"
        );
        isr.refused(ProposalNumber(1));
        assert_eq!(maximal(&isr), [0, 1]);
    }

    #[test]
    fn an_unknown_end_counts_until_newer_metadata() {
        let mut isr = Isr::new(PartitionEpoch(7), nodes(&[0]));
        isr.propose(ProposalNumber(1), nodes(&[0, 1]));
        isr.unknown(ProposalNumber(1));
        assert!(!isr.is_due(&nodes(&[0]), false), "not before the next tick");
        isr.tick();
        assert!(isr.is_due(&nodes(&[0]), false), "the ISR in force is proposed to settle what is in limbo");
        isr.propose(ProposalNumber(2), nodes(&[0, 2]));
        isr.refused(ProposalNumber(2));
        assert_eq!(maximal(&isr), [0, 1], "a refusal says nothing about the earlier one");
        isr.decide(PartitionEpoch(7), nodes(&[0, 3]));
        assert_eq!(maximal(&isr), [0, 1], "the same version again is no news");
        isr.decide(PartitionEpoch(8), nodes(&[0]));
        assert_eq!(maximal(&isr), [0]);
    }

    #[test]
    fn answers_to_other_proposals_are_ignored() {
        let mut isr = Isr::new(PartitionEpoch(7), nodes(&[0]));
        isr.propose(ProposalNumber(2), nodes(&[0, 1]));
        isr.refused(ProposalNumber(1));
        isr.unknown(ProposalNumber(3));
        assert_eq!(maximal(&isr), [0, 1]);
        assert!(isr.limbo.is_empty());
    }
}
