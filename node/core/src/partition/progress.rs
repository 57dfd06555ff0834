//! How far the replicas of a partition are, as its leader knows it.
//!
//! At the start of a reign nothing is known of anybody but the leader (KIP-320): the high watermark moves once each
//! replica in sync has subscribed in this reign.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::ids::{NodeId, Offset};

use super::isr::Isr;
use super::lag::EndMarks;
use super::log_state::LogState;
use super::outcome::Promise;
use super::reign::{Assigned, Member, Reign};
use super::rules::Rule;
use super::status::FollowerStatus;
use super::subscription::SubscriptionNumber;
use crate::time::Now;

/// The replicas of one reign.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    me: Member,
    replication_factor: u32,
    /// The log end when the reign began.
    epoch_start: Offset,
    /// Everything that was acknowledged before it had to be flushed ends here or below.
    cached_end: Offset,
    /// Who may not have flushed it, as far as the controller knows.
    unflushed: BTreeSet<NodeId>,
    /// All other replicas.
    pub(crate) followers: BTreeMap<NodeId, Follower>,
    pub(crate) isr: Isr,
    marks: EndMarks,
}

/// One other replica.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    /// Which life of the node all this is about.
    pub(crate) member: Member,
    is_eligible: bool,
    /// The subscription in force.
    pub(crate) subscription: Option<SubscriptionNumber>,
    /// The newest subscription ever asked for.
    pub(crate) newest_asked: Option<SubscriptionNumber>,
    /// Where its log ends; unknown before it subscribed in this reign.
    ends: Option<FollowerEnds>,
    /// The latest moment at which it was taken to be caught up without having said so.
    caught_up_ns: Option<u64>,
}

/// Where a follower's log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FollowerEnds {
    pub(crate) written: Offset,
    pub(crate) flushed: Offset,
}

impl FollowerEnds {
    /// What a peer claims, cut to what can be: nobody has more than the leader gave out.
    pub(crate) fn claimed(written: Offset, flushed: Offset, leader_end: Offset) -> FollowerEnds {
        let written = written.min(leader_end);
        FollowerEnds { written, flushed: flushed.min(written) }
    }
}

impl Follower {
    fn new(assigned: &Assigned, caught_up_ns: Option<u64>) -> Follower {
        Follower {
            member: assigned.member,
            is_eligible: assigned.is_eligible,
            subscription: None,
            newest_asked: None,
            ends: None,
            caught_up_ns,
        }
    }

    /// A subscription is accepted: it *sets* the position.
    pub(crate) fn subscribed(&mut self, subscription: SubscriptionNumber, ends: FollowerEnds) {
        self.subscription = Some(subscription);
        self.ends = Some(ends);
    }

    /// The follower reported; late reports of one subscription take nothing back.
    pub(crate) fn reported(&mut self, ends: FollowerEnds) {
        let known = self.ends.unwrap_or(ends);
        let (written, flushed) = (known.written.max(ends.written), known.flushed.max(ends.flushed));
        self.ends = Some(FollowerEnds { written, flushed });
    }

    /// The end that counts, if it is known.
    fn position(&self, log: &LogState) -> Option<Offset> {
        self.ends.map(|ends| if log.only_flushed_counts() { ends.flushed } else { ends.written })
    }
}

impl Progress {
    pub(crate) fn begin(log: &LogState, now: Now, reign: &Reign) -> Progress {
        let mut progress = Progress {
            me: reign.me,
            replication_factor: reign.replication_factor,
            epoch_start: log.ends.end,
            // Whatever earlier leaders acknowledged is in this log.
            cached_end: log.ends.end,
            unflushed: reign.unflushed.clone(),
            followers: BTreeMap::new(),
            isr: Isr::new(reign.partition_epoch, reign.isr.clone()),
            marks: EndMarks::default(),
        };
        progress.assign(now, &reign.replicas);
        if !log.rules.hold(Rule::FollowersUnknownAtReignStart) {
            let all = FollowerEnds { written: log.ends.end, flushed: log.ends.end };
            progress.followers.values_mut().for_each(|follower| follower.ends = Some(all));
        }
        progress
    }

    /// The same reign, newer metadata. Returns the subscriptions that are over because their follower lives another
    /// life or has no replica any more.
    pub(crate) fn update(
        &mut self,
        log: &LogState,
        now: Now,
        reign: &Reign,
    ) -> Vec<(Member, SubscriptionNumber)> {
        self.isr.decide(reign.partition_epoch, reign.isr.clone());
        self.unflushed.clone_from(&reign.unflushed);
        self.replication_factor = reign.replication_factor;
        let mut gone = Vec::new();
        let mut kept = BTreeMap::new();
        for assigned in &reign.replicas {
            let node = assigned.member.node;
            let Some(mut follower) = self.followers.remove(&node) else { continue };
            follower.is_eligible = assigned.is_eligible;
            if follower.member == assigned.member {
                kept.insert(node, follower);
            } else if !log.rules.hold(Rule::StaleFollowerIsFenced) {
                follower.member = assigned.member;
                kept.insert(node, follower);
            } else {
                gone.extend(follower.subscription.map(|number| (follower.member, number)));
            }
        }
        let unassigned = std::mem::replace(&mut self.followers, kept);
        gone.extend(unassigned.into_values().filter_map(|one| Some((one.member, one.subscription?))));
        self.assign(now, &reign.replicas);
        gone
    }

    /// Adds whoever is not known yet. A replica in sync is taken to be caught up now; the others never were.
    fn assign(&mut self, now: Now, replicas: &[Assigned]) {
        for assigned in replicas.iter().filter(|assigned| assigned.member.node != self.me.node) {
            let node = assigned.member.node;
            let caught_up_ns = self.isr.decided().contains(&node).then_some(now.monotonic_ns);
            self.followers.entry(node).or_insert_with(|| Follower::new(assigned, caught_up_ns));
        }
    }

    /// From now on only what is flushed is acknowledged.
    pub(crate) fn caching_ends(&mut self, log: &LogState) {
        self.cached_end = log.ends.end;
    }

    /// Who has flushed what was acknowledged before it had to be, and the controller does not know it.
    pub(crate) fn newly_flushed(&self, log: &LogState) -> Vec<NodeId> {
        if log.config.write_caching {
            return Vec::new();
        }
        let flushed_end = |node: &NodeId| match self.followers.get(node) {
            Some(follower) => follower.ends.map(|ends| ends.flushed),
            None => (*node == self.me.node).then_some(log.ends.flushed),
        };
        let is_early = !log.rules.hold(Rule::CachedIsFlushedFirst);
        let has_flushed =
            |node: &&NodeId| flushed_end(node).is_some_and(|end| is_early || end >= self.cached_end);
        self.unflushed.iter().filter(has_flushed).copied().collect()
    }

    /// The log end when the reign began.
    pub(crate) fn epoch_start(&self) -> Offset {
        self.epoch_start
    }

    /// How many replicas count for what is promised.
    pub(crate) fn replication_factor(&self) -> u32 {
        self.replication_factor
    }

    /// How many replicas are in sync, as decided.
    pub(crate) fn in_sync(&self) -> u32 {
        count(self.isr.decided().len())
    }

    /// Takes note of where the leader's own log ends.
    pub(crate) fn note_end(&mut self, log: &LogState, now: Now) {
        self.marks.note(log.durable_end(), now.monotonic_ns, log.config.replica_lag_time_max_ms);
    }

    /// What is committed: the lowest end over the leader, the maximal ISR, and whoever is about to join it (Kafka's
    /// `Partition.maybeIncrementLeaderHW`). `None` while one of them is unknown.
    pub(crate) fn lowest_end(&self, log: &LogState, now: Now) -> Option<Offset> {
        let counted = self.followers.iter().filter(|(node, follower)| {
            self.isr.may_hold(**node, log.rules) || self.may_join(log, now, follower)
        });
        let ends = counted.map(|(_, follower)| follower.position(log));
        ends.chain([Some(log.durable_end())]).min()?
    }

    /// The ISR that the leader would have: itself, who is in sync and not too late, and who caught up (KIP-841).
    pub(crate) fn wanted_isr(&self, log: &LogState, now: Now) -> BTreeSet<NodeId> {
        let stays = |node: &NodeId, follower: &Follower| {
            let is_in = self.isr.decided().contains(node);
            is_in && follower.is_eligible && !self.is_late(log, now, follower)
        };
        let wanted = self
            .followers
            .iter()
            .filter(|(node, follower)| stays(node, follower) || self.may_join(log, now, follower))
            .map(|(node, _)| *node);
        wanted.chain([self.me.node]).collect()
    }

    /// The lives of these nodes that the leader knows.
    pub(crate) fn members(&self, nodes: &BTreeSet<NodeId>) -> Vec<Member> {
        let member = |node: &NodeId| self.followers.get(node).map_or(self.me, |follower| follower.member);
        nodes.iter().map(member).collect()
    }

    /// Whether a follower may join the ISR: it has all that is committed and all that may be, as far as this leader
    /// knows (the start of its reign: the high watermark that it inherited may be too low), and is not so late that
    /// it would leave at once.
    fn may_join(&self, log: &LogState, now: Now, follower: &Follower) -> bool {
        let Some(position) = follower.position(log) else { return false };
        let has_inherited = position >= self.epoch_start || !log.rules.hold(Rule::EpochStartBeforeExpand);
        let has_committed = position >= log.ends.high_watermark && has_inherited;
        let is_here = follower.subscription.is_some() && follower.is_eligible;
        is_here && has_committed && !self.is_late(log, now, follower)
    }

    /// Whether a follower has been behind for longer than `replica.lag.time.max.ms`.
    fn is_late(&self, log: &LogState, now: Now, follower: &Follower) -> bool {
        let position = follower.position(log);
        if position.is_some_and(|position| position >= log.durable_end()) {
            return false;
        }
        let by_position = position.map(|position| self.marks.caught_up_ns(position, now.monotonic_ns));
        let caught_up_ns = by_position.max(follower.caught_up_ns);
        caught_up_ns.is_none_or(|since| now.ms_since(since) > log.config.replica_lag_time_max_ms)
    }

    /// Whether a tick may change something: a proposal waits for it, or somebody who counts is behind, and may be so for
    /// too long. Who has the whole log is never late.
    pub(crate) fn awaits_time(&self, log: &LogState) -> bool {
        let is_behind =
            |follower: &Follower| follower.position(log).is_none_or(|position| position < log.durable_end());
        let counts = |node: &NodeId, follower: &Follower| {
            self.isr.decided().contains(node) || follower.subscription.is_some()
        };
        let mut followers = self.followers.iter();
        self.isr.is_held() || followers.any(|(node, follower)| counts(node, follower) && is_behind(follower))
    }

    /// Somebody in the decided ISR who does not have everything below `end`, as far as the leader knows.
    pub(crate) fn lacking(&self, log: &LogState, end: Offset) -> Option<&Member> {
        let lacks = |follower: &&Follower| follower.position(log).is_none_or(|position| position < end);
        let in_sync = self.isr.decided().iter().filter_map(|node| self.followers.get(node));
        in_sync.filter(lacks).map(|follower| &follower.member).next()
    }

    pub(crate) fn status(&self) -> Vec<FollowerStatus> {
        let status = |follower: &Follower| FollowerStatus {
            member: follower.member,
            subscription: follower.subscription,
            log_end: follower.ends.map(|ends| ends.written),
            flushed_end: follower.ends.map(|ends| ends.flushed),
        };
        self.followers.values().map(status).collect()
    }

    /// What may be said of a batch that ends at `end` and is committed: only of replicas that said they have it.
    pub(crate) fn promise(&self, log: &LogState, end: Offset) -> Promise {
        let has = |follower: &&Follower| follower.position(log).is_some_and(|position| position >= end);
        let holders: Vec<&Follower> = self.followers.values().filter(has).collect();
        let has_flushed = |follower: &&Follower| follower.ends.is_some_and(|ends| ends.flushed >= end);
        Promise {
            replicas: count(holders.len() + 1),
            flushed: log.ends.flushed >= end && holders.iter().all(has_flushed),
        }
    }
}

fn count(replicas: usize) -> u32 {
    u32::try_from(replicas).unwrap_or(u32::MAX)
}
