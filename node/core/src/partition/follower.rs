//! The follower's part: it subscribes, cuts its log to what it shares with its leader, writes what comes and reports
//! how far it is.

use weir_wire::ids::{LeaderEpoch, Offset};

use super::epochs::EpochEnd;
use super::log_state::{LogEnds, LogState};
use super::messages::{Effect, RetireCause, StoredBatch};
use super::reign::{Following, Member};
use super::rules::Rule;
use super::subscription::{Replicated, Report, Subscribe, SubscribeAnswer, SubscriptionNumber};
use crate::time::Now;

/// How long an answer to a [`Subscribe`] is waited for.
const ANSWER_WAIT_MAX_MS: u64 = 3_000;

/// One reign, followed.
#[derive(Clone, Debug)]
pub(crate) struct Follower {
    /// Its number.
    pub(crate) epoch: LeaderEpoch,
    pub(crate) me: Member,
    pub(crate) leader: Option<Member>,
    /// Whether committed records may be given up for this leader.
    unclean: bool,
    link: Link,
    /// The highest mark that this leader told under a subscription that it had accepted.
    leader_high_watermark: Offset,
    /// The first offset that the leader serves.
    leader_log_start: Offset,
}

/// How the follower stands with its leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// To be asked as soon as nothing is being written.
    Due,
    /// To be asked at the next tick.
    Held,
    /// Asked, not answered. The leader was told these ends then.
    Asked { subscription: SubscriptionNumber, at_ns: u64, told: Reported },
    /// Accepted: this log is the beginning of the leader's.
    Following { subscription: SubscriptionNumber, reported: Reported },
}

/// What the leader was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reported {
    written: Offset,
    flushed: Offset,
}

/// How much of the log has to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// What ends above it.
    To(Offset),
    /// All of it; the log goes on there.
    StartOver(Offset),
}

impl Follower {
    pub(crate) fn begin(following: &Following) -> Follower {
        Follower {
            epoch: following.leader_epoch,
            me: following.me,
            leader: following.leader,
            unclean: following.unclean,
            link: Link::Due,
            leader_high_watermark: Offset::ZERO,
            leader_log_start: Offset::ZERO,
        }
    }

    /// The same reign, newer metadata.
    pub(crate) fn update(&mut self, following: &Following) {
        self.unclean = following.unclean;
    }

    /// Whether a cut would take records that are committed, and no unclean election says that they are given up
    /// (INVARIANTS 11; Kafka's `ReplicaFetcherThread.truncate` only warns).
    pub(crate) fn would_lose_committed(&self, log: &LogState, cut: Cut) -> Option<RetireCause> {
        let (Cut::To(to) | Cut::StartOver(to)) = cut;
        let high_watermark = log.ends.high_watermark;
        (to < high_watermark && !self.unclean)
            .then_some(RetireCause::WouldCutCommitted { to, high_watermark })
    }

    /// The subscription that the leader accepted, if it stands.
    pub(crate) fn subscription(&self) -> Option<SubscriptionNumber> {
        match self.link {
            Link::Following { subscription, .. } => Some(subscription),
            Link::Due | Link::Held | Link::Asked { .. } => None,
        }
    }

    /// Takes in the leader's answer; returns what it demands of the log.
    pub(crate) fn answered(
        &mut self,
        log: &mut LogState,
        number: SubscriptionNumber,
        answer: SubscribeAnswer,
        effects: &mut Vec<Effect>,
    ) -> Option<Cut> {
        let reported = match self.link {
            Link::Asked { subscription, told, .. } if subscription == number => told,
            _ => return None,
        };
        self.link = Link::Held;
        let cut = match answer {
            SubscribeAnswer::Subscribed => {
                // A reign that this replica began and wrote nothing in is not in the leader's log (KAFKA-10706).
                if log.epochs.truncate_from_end(log.ends.end) {
                    effects.push(Effect::SaveEpochs(log.epochs.checkpoint()));
                }
                self.link = Link::Following { subscription: number, reported };
                return None;
            }
            SubscribeAnswer::Refused(_) => return None,
            SubscribeAnswer::OutOfRange { log_start } => Cut::StartOver(log_start),
            SubscribeAnswer::Diverged(leader) => {
                let to = common_end(log, leader);
                if to >= log.ends.end {
                    // Nothing to cut: the leader contradicts itself.
                    return None;
                }
                if to < log.ends.log_start { Cut::StartOver(to) } else { Cut::To(to) }
            }
        };
        self.link = Link::Due;
        Some(cut)
    }

    /// The leader ended the subscription, or the connection is gone.
    pub(crate) fn ended(&mut self, number: SubscriptionNumber) {
        let names_it = match self.link {
            Link::Asked { subscription, .. } | Link::Following { subscription, .. } => subscription == number,
            Link::Due | Link::Held => false,
        };
        if names_it {
            self.link = Link::Held;
        }
    }

    /// Takes in a frame. Batches that are in the log already are left out: under one subscription the leader's log only
    /// grows, so they are the same. A frame that does not go on where the log ends, or that cannot be, ends the
    /// subscription; the next one starts from where the log ends. Returns what it demands of the log.
    pub(crate) fn replicated(
        &mut self,
        log: &mut LogState,
        now: Now,
        frame: &Replicated,
        effects: &mut Vec<Effect>,
    ) -> Option<Cut> {
        if matches!(self.link, Link::Asked { subscription, .. } if subscription == frame.subscription) {
            // The answer comes on another stream and was overtaken. What comes under a subscription says that it was
            // accepted: dropped, it would be missed for as long as the subscription stands.
            self.answered(log, frame.subscription, SubscribeAnswer::Subscribed, effects);
        }
        let in_force = self.subscription()?;
        if frame.subscription != in_force && log.rules.hold(Rule::SubscriptionNumbers) {
            return None;
        }
        let skip = frame.batches.iter().take_while(|batch| batch.end() <= log.ends.end).count();
        let new = &frame.batches[skip..];
        if frame.from > log.ends.end || !self.continues(log, new) {
            self.leave(effects);
            return None;
        }
        if !log.is_bare() && new.first().is_some_and(|first| first.base_offset < log.ends.end) {
            // What lies in the files is deleted, every record of it, and ends where no batch of the leader's does.
            self.leave(effects);
            return Some(Cut::StartOver(log.ends.end));
        }
        if let (Some(first), Some(last)) = (new.first(), new.last()) {
            record(log, now, new, effects);
            let (base_offset, end) = (first.base_offset, last.end());
            effects.push(Effect::WriteReplicated { skip, base_offset, end });
        }
        self.leader_high_watermark = self.leader_high_watermark.max(frame.high_watermark);
        self.leader_log_start = self.leader_log_start.max(frame.log_start);
        None
    }

    /// Whether the batches could stand in the leader's log right behind this one. An empty log may start within the first
    /// of them: records are deleted one by one, batches are sent whole (Kafka's `UnexpectedAppendOffsetException`).
    fn continues(&self, log: &LogState, batches: &[StoredBatch]) -> bool {
        let LogEnds { log_start, mut end, .. } = log.ends;
        let mut epoch = log.epochs.newest().map(|newest| newest.epoch);
        batches.iter().all(|batch| {
            let is_behind = batch.base_offset >= end || (log_start == end && batch.end() > end);
            let fits = is_behind
                && Offset::MAX.since(batch.base_offset) > u64::from(batch.batch.last_offset_delta)
                && epoch.is_none_or(|epoch| epoch <= batch.leader_epoch)
                && batch.leader_epoch <= self.epoch;
            if fits {
                (end, epoch) = (batch.end(), Some(batch.leader_epoch));
            }
            fits
        })
    }

    /// Whether a tick may change something: it asks for a subscription, again.
    pub(crate) fn awaits_time(&self) -> bool {
        matches!(self.link, Link::Held | Link::Asked { .. })
    }

    pub(crate) fn tick(&mut self, now: Now) {
        match self.link {
            Link::Held => self.link = Link::Due,
            Link::Asked { at_ns, .. } if now.ms_since(at_ns) > ANSWER_WAIT_MAX_MS => self.link = Link::Due,
            Link::Due | Link::Asked { .. } | Link::Following { .. } => {}
        }
    }

    /// After every input: flushes, moves the marks as far as this log goes, reports, asks.
    pub(crate) fn settle(
        &mut self,
        log: &mut LogState,
        now: Now,
        last_subscription: &mut SubscriptionNumber,
        effects: &mut Vec<Effect>,
    ) {
        let is_behind = log.ends.written < self.leader_high_watermark;
        log.flush_if_needed(now, is_behind, effects);
        log.commit(self.leader_high_watermark.min(log.durable_end()), effects);
        log.move_log_start(self.leader_log_start, effects);
        let Some(leader) = self.leader else { return };
        let ends = Reported { written: log.ends.written, flushed: log.ends.flushed };
        match &mut self.link {
            Link::Following { subscription, reported } if *reported != ends => {
                *reported = ends;
                let (log_end, flushed_end) = (ends.written, ends.flushed);
                let report = Report { follower: self.me, subscription: *subscription, log_end, flushed_end };
                effects.push(Effect::Report { leader, report });
            }
            // What is still being written might fail, and the leader would count on it.
            Link::Due if log.ends.written == log.ends.end => {
                // Numbers grow also over a replica that is closed and opened again by the same process.
                let subscription = SubscriptionNumber((last_subscription.0 + 1).max(now.monotonic_ns));
                *last_subscription = subscription;
                self.link = Link::Asked { subscription, at_ns: now.monotonic_ns, told: ends };
                effects.push(Effect::Subscribe(Subscribe {
                    follower: self.me,
                    leader,
                    leader_epoch: self.epoch,
                    subscription,
                    log_end: log.ends.end,
                    flushed_end: log.ends.flushed,
                    last_epoch: log.epochs.last_written(log.ends.end),
                }));
            }
            Link::Due | Link::Held | Link::Asked { .. } | Link::Following { .. } => {}
        }
    }

    /// Ends the subscription, if there is one, and holds off until the next tick.
    pub(crate) fn leave(&mut self, effects: &mut Vec<Effect>) {
        let was = std::mem::replace(&mut self.link, Link::Held);
        if let (Some(leader), Link::Asked { subscription, .. } | Link::Following { subscription, .. }) =
            (self.leader, was)
        {
            effects.push(Effect::Unsubscribe { leader, subscription });
        }
    }
}

/// Takes batches into the log as they are, without checking them: their leader did (INVARIANTS 39).
fn record(log: &mut LogState, now: Now, batches: &[StoredBatch], effects: &mut Vec<Effect>) {
    let known = log.epochs.newest();
    for stored in batches {
        if log.epochs.newest().is_none_or(|newest| newest.epoch < stored.leader_epoch) {
            log.epochs.assign(stored.leader_epoch, stored.base_offset.max(log.ends.log_start));
        }
        log.producers.record(now, &log.config, log.rules, stored.base_offset, &stored.batch);
        if let Some(revision) = stored.batch.revision {
            log.revisions.record(revision, stored.base_offset);
        }
        log.ends.end = stored.end();
    }
    if log.epochs.newest() != known {
        effects.push(Effect::SaveEpochs(log.epochs.checkpoint()));
    }
}

/// Where the histories part, as far as one answer can tell (INVARIANTS 9; KIP-279): in the reign that the leader named
/// if both have it, else at the end of what this log has of older ones; then the leader is asked again.
fn common_end(log: &LogState, leader: EpochEnd) -> Offset {
    let end = log.ends.end;
    match log.epochs.end_of(leader.epoch, end) {
        Some(own) if own.epoch == leader.epoch => own.end.min(leader.end).min(end),
        Some(own) => own.end.min(end),
        None => leader.end.min(end),
    }
}
