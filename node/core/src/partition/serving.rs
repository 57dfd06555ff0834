//! The leader's part of replication: it admits subscriptions, takes in reports and proposes ISR changes. It decides
//! nothing per data frame: the shell streams by itself.

use super::leader::Leader;
use super::log_state::LogState;
use super::messages::{Effect, ProposalNumber};
use super::progress::FollowerEnds;
use super::reign::{Member, Reign};
use super::rules::Rule;
use super::subscription::{Report, Subscribe, SubscribeAnswer, SubscribeRefusal, SubscriptionNumber};
use crate::time::Now;

impl Leader {
    /// The same reign, newer metadata.
    pub(crate) fn update(&mut self, log: &LogState, now: Now, reign: &Reign, effects: &mut Vec<Effect>) {
        for (follower, subscription) in self.progress.update(log, now, reign) {
            effects.push(Effect::EndSubscription { follower, subscription });
        }
    }

    /// A follower asks. Whatever the answer, an earlier subscription of it is over.
    pub(crate) fn subscribe(&mut self, log: &LogState, asked: &Subscribe, effects: &mut Vec<Effect>) {
        let Subscribe { follower: asker, subscription, .. } = *asked;
        let answer = match self.admit(log, asked) {
            Err(refusal) => SubscribeAnswer::Refused(refusal),
            Ok(()) => {
                let follower = self.progress.followers.get_mut(&asker.node).expect("it was admitted");
                if follower.newest_asked.is_some_and(|newest| subscription <= newest) {
                    // A late or second copy: its answer is on its way, or nobody waits for it any more.
                    return;
                }
                follower.newest_asked = Some(subscription);
                if let Some(earlier) = follower.subscription.take() {
                    effects.push(Effect::EndSubscription { follower: asker, subscription: earlier });
                }
                compare(log, asked)
            }
        };
        if answer == SubscribeAnswer::Subscribed {
            let ends = FollowerEnds::claimed(asked.log_end, asked.flushed_end, log.ends.end);
            let follower = self.progress.followers.get_mut(&asker.node).expect("it was admitted");
            follower.subscribed(subscription, ends);
            let from = asked.log_end;
            effects.push(Effect::AcceptSubscription { follower: asker, subscription, from });
        } else {
            effects.push(Effect::AnswerSubscribe { follower: asker, subscription, answer });
        }
    }

    /// Whether the two mean the same reign and the same lives (KIP-320, KIP-903).
    fn admit(&self, log: &LogState, asked: &Subscribe) -> Result<(), SubscribeRefusal> {
        let current = self.epoch;
        if asked.leader_epoch < current {
            return Err(SubscribeRefusal::FencedLeaderEpoch { current });
        }
        if asked.leader_epoch > current {
            return Err(SubscribeRefusal::UnknownLeaderEpoch { current });
        }
        if asked.leader != self.me {
            return Err(SubscribeRefusal::OtherLeader);
        }
        let node = asked.follower.node;
        let follower = self.progress.followers.get(&node).ok_or(SubscribeRefusal::NotAssigned { node })?;
        if follower.member != asked.follower && log.rules.hold(Rule::StaleFollowerIsFenced) {
            return Err(SubscribeRefusal::OtherFollower);
        }
        Ok(())
    }

    pub(crate) fn report(&mut self, log: &LogState, report: &Report) {
        let Some(follower) = self.progress.followers.get_mut(&report.follower.node) else { return };
        let is_same_life = follower.member == report.follower || !log.rules.hold(Rule::StaleFollowerIsFenced);
        let is_in_force =
            follower.subscription == Some(report.subscription) || !log.rules.hold(Rule::SubscriptionNumbers);
        if is_same_life && is_in_force {
            follower.reported(FollowerEnds::claimed(report.log_end, report.flushed_end, log.ends.end));
        }
    }

    pub(crate) fn unsubscribe(
        &mut self,
        member: Member,
        number: SubscriptionNumber,
        effects: &mut Vec<Effect>,
    ) {
        let Some(follower) = self.progress.followers.get_mut(&member.node) else { return };
        if follower.member == member
            && let Some(subscription) = follower.subscription.take_if(|in_force| *in_force == number)
        {
            effects.push(Effect::EndSubscription { follower: member, subscription });
        }
    }

    /// Ends every subscription: the reign is over.
    pub(crate) fn end_subscriptions(&mut self, effects: &mut Vec<Effect>) {
        for follower in self.progress.followers.values_mut() {
            if let Some(subscription) = follower.subscription.take() {
                effects.push(Effect::EndSubscription { follower: follower.member, subscription });
            }
        }
    }

    /// Proposes the ISR that the reports call for, if it is another than the one in force, and says with it who has
    /// flushed what `write.caching` left.
    pub(crate) fn propose_isr(
        &mut self,
        log: &LogState,
        now: Now,
        last_proposal: &mut ProposalNumber,
        effects: &mut Vec<Effect>,
    ) {
        let wanted = self.progress.wanted_isr(log, now);
        let flushed = self.progress.newly_flushed(log);
        if !self.progress.isr.is_due(&wanted, !flushed.is_empty()) {
            return;
        }
        last_proposal.0 += 1;
        effects.push(Effect::ProposeIsr {
            proposal: *last_proposal,
            leader_epoch: self.epoch,
            partition_epoch: self.progress.isr.partition_epoch(),
            isr: self.progress.members(&wanted),
            flushed,
        });
        self.progress.isr.propose(*last_proposal, wanted);
    }
}

/// Whether the follower's log is the beginning of this one (INVARIANTS 6 and 8; KIP-101, KIP-279, KIP-320).
fn compare(log: &LogState, asked: &Subscribe) -> SubscribeAnswer {
    let (log_start, end) = (log.ends.log_start, log.ends.end);
    if asked.log_end < log_start {
        return SubscribeAnswer::OutOfRange { log_start };
    }
    let Some(last_epoch) = asked.last_epoch else {
        let joins = asked.log_end <= end;
        return if joins { SubscribeAnswer::Subscribed } else { SubscribeAnswer::OutOfRange { log_start } };
    };
    let Some(found) = log.epochs.end_of(last_epoch, end) else {
        return SubscribeAnswer::Refused(SubscribeRefusal::AheadOfLeader { last_epoch });
    };
    let is_same_reign = found.epoch >= last_epoch || !log.rules.hold(Rule::TruncateByEpoch);
    let common_end = if log.rules.hold(Rule::TruncateByEpoch) { found.end } else { end };
    if is_same_reign && asked.log_end <= common_end {
        SubscribeAnswer::Subscribed
    } else {
        SubscribeAnswer::Diverged(found)
    }
}
