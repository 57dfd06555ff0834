//! Which role a replica has: what the metadata says, and stopping for good.

use super::follower::{Cut, Follower};
use super::leader::Leader;
use super::messages::{Effect, Input, RetireCause};
use super::outcome::Interruption;
use super::reign::{Following, Reign};
use super::rules::Rule;
use super::{Partition, Role};
use crate::time::Now;

impl Partition {
    /// Takes the role that the metadata assigns, unless newer metadata was heard. While the log is being cut it waits.
    pub(super) fn assign_role(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        if matches!(self.role, Role::Retired { .. }) || !self.is_news(&input) {
            return;
        }
        if let Some(cutting) = &mut self.cutting {
            cutting.then = Some(input);
            return;
        }
        match input {
            Input::BecomeLeader(reign) => self.become_leader(now, &reign, effects),
            Input::BecomeFollower(following) => self.become_follower(&following, effects),
            Input::Resign => {
                self.end_role(Interruption::LeadershipLost, effects);
                self.role = Role::Idle;
            }
            _ => unreachable!("the caller hands over what assigns a role"),
        }
    }

    /// Takes note of the metadata that the input is of; whether none newer is known (INVARIANTS 25).
    fn is_news(&mut self, input: &Input) -> bool {
        let offered = match input {
            Input::BecomeLeader(reign) => (reign.leader_epoch, reign.partition_epoch),
            Input::BecomeFollower(following) => (following.leader_epoch, following.partition_epoch),
            _ => return true,
        };
        let is_newest = self.known.is_none_or(|known| known.0 <= offered.0 && known.1 <= offered.1);
        if is_newest {
            self.known = Some(offered);
        }
        is_newest
    }

    fn become_leader(&mut self, now: Now, reign: &Reign, effects: &mut Vec<Effect>) {
        let offered = reign.leader_epoch;
        if let Role::Leader(leader) = &mut self.role
            && leader.epoch == offered
        {
            return leader.update(&self.log, now, reign, effects);
        }
        if let Some(newest) = self.log.epochs.newest().map(|newest| newest.epoch)
            && offered <= newest
        {
            effects.push(Effect::LeadershipRefused { offered, newest });
            return;
        }
        let waiting = match &mut self.role {
            // The same replica goes on with the same log: what waits is still there and still waits.
            Role::Leader(last) => Some(std::mem::take(&mut last.waiting)),
            Role::Idle | Role::Follower(_) | Role::Retired { .. } => None,
        };
        self.end_role(Interruption::LeadershipLost, effects);
        let mut next = Leader::begin(&mut self.log, now, reign, effects);
        next.waiting = waiting.unwrap_or_default();
        self.role = Role::Leader(next);
    }

    fn become_follower(&mut self, following: &Following, effects: &mut Vec<Effect>) {
        match &mut self.role {
            // A node that registers again goes on following, in its next life: what it says in an earlier one counts
            // no more.
            Role::Follower(follower)
                if follower.epoch == following.leader_epoch && follower.me == following.me =>
            {
                return follower.update(following);
            }
            Role::Leader(leader) if leader.epoch == following.leader_epoch => return,
            _ => {}
        }
        self.end_role(Interruption::LeadershipLost, effects);
        self.role = Role::Follower(Follower::begin(following));
        let to = self.log.ends.high_watermark;
        if !self.log.rules.hold(Rule::TruncateByEpoch) && to < self.log.ends.end {
            self.cut(Some(Cut::To(to)), effects);
        }
    }

    pub(super) fn retire(&mut self, cause: RetireCause, effects: &mut Vec<Effect>) {
        let last_epoch = match &self.role {
            Role::Leader(leader) => Some(leader.epoch),
            Role::Idle | Role::Follower(_) => None,
            // A deletion is news also to a replica whose storage failed; nothing else is.
            Role::Retired { cause: RetireCause::Deleted, .. } => return,
            Role::Retired { .. } if cause != RetireCause::Deleted => return,
            Role::Retired { last_epoch, .. } => *last_epoch,
        };
        self.end_role(Interruption::Retired(cause), effects);
        self.role = Role::Retired { cause, last_epoch };
        effects.push(Effect::Retired(cause));
    }

    /// Tells everybody who counted on the role that it is over.
    fn end_role(&mut self, by: Interruption, effects: &mut Vec<Effect>) {
        match &mut self.role {
            Role::Leader(leader) => {
                leader.interrupt(by, effects);
                leader.end_subscriptions(effects);
            }
            Role::Follower(follower) => follower.leave(effects),
            Role::Idle | Role::Retired { .. } => {}
        }
    }
}
