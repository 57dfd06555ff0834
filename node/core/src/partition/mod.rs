//! The heart: one replica of one partition, as a synchronous function.
//!
//! [`Partition::handle`] takes something that happened and appends what is to be done about it to a list. It does no
//! IO, reads no clock and draws no random number, so every run can be replayed.
//!
//! ```text
//!  Append ──> leader: fence, validate, producers: news? ──> Write (offset and epoch given in the same call)
//!  Written ──> Flush, unless one is under way (group commit) or `write.caching` says that written is enough
//!  Flushed ──> HighWatermark ──> Complete, for every append whose promise holds now
//! ```
//!
//! Replication, with the calls of the shell in between:
//!
//! ```text
//!  leader                                              follower
//!  BecomeLeader ──> SaveEpochs                         BecomeFollower ──> Subscribe
//!  Subscribe ──> AcceptSubscription from               SubscribeAnswered ──> (Truncate | StartOver, Truncated, Subscribe)
//!            └─> AnswerSubscribe (diverged, refused)
//!  the shell streams the log from there, and marks     Replicated ──> SaveEpochs, WriteReplicated
//!                                                      Written ──> Flush, Report    Flushed ──> HighWatermark, Report
//!  Report ──> HighWatermark, Complete, ProposeIsr
//!  BecomeLeader (newer partition epoch) | IsrRefused | IsrUnknown
//! ```
//!
//! A leader decides per subscription and per report, never per data frame: after [`Effect::AcceptSubscription`] the
//! shell streams by itself. A follower decides per frame: it checks that the frame goes on where its log ends, and
//! records batches without checking them again.
//!
//! The shell guarantees: effects are carried out in order, all before the next input; [`Input::Written`] comes in the
//! order of the writes; nothing that was begun before a truncation is reported after [`Input::Truncated`]; every
//! [`Effect::ProposeIsr`] is answered or leads to newer metadata; no process uses an older incarnation than its own.
//! Nothing is lost if frames arrive twice, out of order or not at all, but a follower only goes on after a lost one when
//! it is told [`Input::SubscriptionEnded`], or a later frame shows the gap.
//!
//! What holds after every call is asserted in `invariants`. Roles live in files of their own (`leader`, `follower`),
//! and share what a replica is whatever its role (`log_state`).
//!
//! Revisions of the topic's pipeline stand in the log as control batches: the leader asks for one before the first batch
//! of a later revision ([`Effect::WriteRevision`]), everybody else reads them ([`messages::BatchMeta::revision`]).

mod epochs;
mod follower;
mod headers;
mod invariants;
mod isr;
mod lag;
mod leader;
mod log_state;
mod messages;
mod outcome;
mod producers;
mod progress;
mod purgatory;
mod reads;
mod reign;
mod restore;
mod revisions;
mod roles;
mod rules;
mod serving;
mod settings;
mod status;
mod subscription;

use weir_wire::ids::{LeaderEpoch, Offset, PartitionEpoch};

pub use epochs::{EpochCheckpoint, EpochEnd, EpochStart};
pub use messages::{
    Append, AppendCheck, BatchMeta, Effect, Input, ProducerStamp, ProposalNumber, RequestId, RetireCause,
    StorageFault, StoredBatch,
};
pub use outcome::{
    AppendOutcome, FailReason, Interruption, InvalidBatch, Promise, RetryReason, UnknownReason,
};
pub use producers::{
    CONTIGUOUS_SEQUENCES, ProducerCheckpoint, ProducerSnapshot, REMEMBERED_CONTIGUOUS_MAX, REMEMBERED_MAX,
    RememberedBatch,
};
pub use purgatory::WAITING_MAX;
pub use reads::{ReadError, ReadWindow};
pub use reign::{Assigned, Following, Member, Reign};
pub use restore::{Checkpoints, Rebuilt, Restore, RestoreError};
pub use revisions::{REVISIONS_REMEMBERED_MAX, RevisionProgress, RevisionStart};
#[doc(hidden)]
pub use rules::Rule;
pub use settings::{PRODUCERS_MAX, PartitionConfig, REPLICA_LAG_TIME_MAX_MS};
pub use status::{FollowerStatus, PartitionStats};
pub use subscription::{
    Replicated, Report, Subscribe, SubscribeAnswer, SubscribeRefusal, SubscriptionNumber,
};

use crate::time::Now;
use follower::{Cut, Follower};
use leader::Leader;
use log_state::{LogEnds, LogState};
use producers::Producers;
use revisions::Revisions;
use rules::Rules;

/// One replica of one partition.
#[derive(Clone, Debug)]
pub struct Partition {
    log: LogState,
    role: Role,
    /// The newest metadata that this replica was told.
    known: Option<(LeaderEpoch, PartitionEpoch)>,
    /// The truncation under way.
    cutting: Option<Cutting>,
    last_proposal: ProposalNumber,
    last_subscription: SubscriptionNumber,
}

/// The log is being cut by the storage: until it is done, `log` tells of what was.
#[derive(Clone, Debug)]
struct Cutting {
    to: Offset,
    /// Nothing is left.
    starts_over: bool,
    /// The newest role that was assigned meanwhile.
    then: Option<Input>,
}

#[derive(Clone, Debug)]
enum Role {
    /// Recovered, or resigned: nobody has said yet whom it follows or that it leads.
    Idle,
    Leader(Leader),
    Follower(Follower),
    /// Stopped for good.
    Retired {
        cause: RetireCause,
        /// The reign that it led then, which may still serve reads.
        last_epoch: Option<LeaderEpoch>,
    },
}

impl Partition {
    /// A replica of an empty log.
    #[must_use]
    pub fn new(config: PartitionConfig) -> Partition {
        let zero = Offset::ZERO;
        let ends = LogEnds { log_start: zero, high_watermark: zero, flushed: zero, written: zero, end: zero };
        let (epochs, revisions) = (epochs::EpochCache::default(), Revisions::default());
        Partition::from_log(LogState::new(config, ends, epochs, Producers::new(), revisions))
    }

    fn from_log(log: LogState) -> Partition {
        Partition {
            log,
            role: Role::Idle,
            known: None,
            cutting: None,
            last_proposal: ProposalNumber::default(),
            last_subscription: SubscriptionNumber::default(),
        }
    }

    /// The same replica with one rule taken away, for tests that must then fail.
    #[doc(hidden)]
    #[must_use]
    pub fn without_rule(mut self, rule: Rule) -> Partition {
        self.log.rules = Rules::all_but(rule);
        if rule == Rule::ProducersSurviveReload {
            self.log.producers = Producers::new();
        }
        self
    }

    /// Takes in one thing that happened and appends what is to be done about it, in order.
    ///
    /// # Panics
    /// When the shell reports what cannot be (a flush of what was not written), or an invariant broke: both are our
    /// own mistakes, and going on would make them somebody else's loss.
    pub fn handle(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        let before = self.log.ends;
        let is_cut = self.cutting.is_some() && matches!(input, Input::Truncated(_));
        self.take_in(now, input, effects);
        if self.cutting.is_none() {
            match &mut self.role {
                Role::Leader(leader) => {
                    leader.settle(&mut self.log, now, &mut self.last_proposal, effects);
                }
                Role::Follower(follower) => {
                    follower.settle(&mut self.log, now, &mut self.last_subscription, effects);
                }
                Role::Idle | Role::Retired { .. } => {}
            }
            self.log.move_log_start(self.log.deleted_before, effects);
        }
        invariants::assert_all(self, if is_cut { self.log.ends } else { before });
    }

    fn take_in(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::BecomeLeader(_) | Input::BecomeFollower(_) | Input::Resign => {
                self.assign_role(now, input, effects);
            }
            Input::Delete => self.retire(RetireCause::Deleted, effects),
            Input::Configure(config) => self.configure(config),
            Input::Append(append) => self.append(now, &append, effects),
            Input::StorageFailed(StorageFault::Write) => self.retire(RetireCause::WriteFailed, effects),
            Input::StorageFailed(StorageFault::Flush) => self.retire(RetireCause::FlushFailed, effects),
            Input::StorageFailed(StorageFault::Damage) => self.retire(RetireCause::Damaged, effects),
            Input::Truncated(left) => self.truncated(now, left, effects),
            Input::Tick => self.tick(now),
            Input::DeleteRecords { before } => {
                self.log.deleted_before = self.log.deleted_before.max(before);
            }
            // Reports of what was under way when the replica stopped, and orders that came too late.
            Input::Written { .. } | Input::Flushed { .. } | Input::MoveLogStart { .. }
                if self.is_resting() => {}
            Input::Written { end } => self.log.written(now, end),
            Input::Flushed { end } => self.log.flushed(now, end),
            Input::MoveLogStart { to } => self.log.move_log_start(to, effects),
            Input::IsrRefused(_)
            | Input::IsrUnknown(_)
            | Input::Subscribe(_)
            | Input::Report(_)
            | Input::Unsubscribe { .. } => self.serve(input, effects),
            Input::SubscribeAnswered { .. } | Input::Replicated(_) | Input::SubscriptionEnded(_) => {
                self.follow(now, input, effects);
            }
        }
    }

    fn configure(&mut self, config: PartitionConfig) {
        let is_switched_off = self.log.config.write_caching && !config.write_caching;
        self.log.config = config;
        if let Role::Leader(leader) = &mut self.role
            && is_switched_off
        {
            leader.progress.caching_ends(&self.log);
        }
    }

    /// What a leader is told about its followers and its ISR. Whoever does not lead says so to who asks.
    fn serve(&mut self, input: Input, effects: &mut Vec<Effect>) {
        let Role::Leader(leader) = &mut self.role else {
            if let Input::Subscribe(Subscribe { follower, subscription, .. }) = input {
                let answer = SubscribeAnswer::Refused(SubscribeRefusal::NotLeader);
                effects.push(Effect::AnswerSubscribe { follower, subscription, answer });
            }
            return;
        };
        match input {
            Input::IsrRefused(number) => leader.progress.isr.refused(number),
            Input::IsrUnknown(number) => leader.progress.isr.unknown(number),
            Input::Subscribe(asked) => leader.subscribe(&self.log, &asked, effects),
            Input::Report(report) => leader.report(&self.log, &report),
            Input::Unsubscribe { follower, subscription } => {
                leader.unsubscribe(follower, subscription, effects);
            }
            _ => unreachable!("the caller hands over what is for leaders"),
        }
    }

    /// What a follower is told by its leader.
    fn follow(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        let (Role::Follower(follower), None) = (&mut self.role, &self.cutting) else { return };
        match input {
            Input::SubscribeAnswered { subscription, answer } => {
                let cut = follower.answered(&mut self.log, subscription, answer, effects);
                match cut.and_then(|cut| follower.would_lose_committed(&self.log, cut)) {
                    Some(cause) => self.retire(cause, effects),
                    None => self.cut(cut, effects),
                }
            }
            Input::Replicated(frame) => {
                let cut = follower.replicated(&mut self.log, now, &frame, effects);
                self.cut(cut, effects);
            }
            Input::SubscriptionEnded(subscription) => follower.ended(subscription),
            _ => unreachable!("the caller hands over what is for followers"),
        }
    }

    fn tick(&mut self, now: Now) {
        self.log.producers.expire(now, &self.log.config, self.log.rules);
        match &mut self.role {
            Role::Leader(leader) => leader.progress.isr.tick(),
            Role::Follower(follower) => follower.tick(now),
            Role::Idle | Role::Retired { .. } => {}
        }
    }

    /// Has the log cut. What was being flushed is not waited for: its report would tell of bytes that are gone.
    fn cut(&mut self, cut: Option<Cut>, effects: &mut Vec<Effect>) {
        let (to, starts_over, effect) = match cut {
            None => return,
            Some(Cut::To(to)) => (to, false, Effect::Truncate { to }),
            Some(Cut::StartOver(at)) => (at, true, Effect::StartOver { at }),
        };
        self.cutting = Some(Cutting { to, starts_over, then: None });
        effects.push(effect);
    }

    fn truncated(&mut self, now: Now, left: Rebuilt, effects: &mut Vec<Effect>) {
        let Some(cutting) = self.cutting.take() else { return };
        assert!(left.log.ends.end <= cutting.to, "a log that was cut ends at or below the cut");
        self.log.truncated(*left.log, effects);
        self.log.bare_at = cutting.starts_over.then_some(self.log.ends.end);
        if let Some(role) = cutting.then {
            self.assign_role(now, role, effects);
        }
    }

    fn append(&mut self, now: Now, append: &Append, effects: &mut Vec<Effect>) {
        let outcome = match &mut self.role {
            Role::Leader(leader) => return leader.append(&mut self.log, now, append, effects),
            Role::Retired { cause: RetireCause::Deleted, .. } => {
                AppendOutcome::Failed(FailReason::TopicDeleted)
            }
            Role::Retired { cause, .. } => AppendOutcome::Retry(RetryReason::Retired(*cause)),
            Role::Follower(_) | Role::Idle => AppendOutcome::Retry(RetryReason::NotLeader),
        };
        effects.push(Effect::Complete { request: append.request, outcome });
    }

    /// Whether the storage's reports tell of nothing that this replica goes on with.
    fn is_resting(&self) -> bool {
        self.cutting.is_some() || matches!(self.role, Role::Retired { .. })
    }
}
