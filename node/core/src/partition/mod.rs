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
//! It need not guarantee that frames arrive once, in order, or at all.
//!
//! What holds after every call is asserted in `invariants`. Roles live in files of their own (`leader`, `follower`),
//! and share what a replica is whatever its role (`log_state`).
//!
//! Revisions of the topic's pipeline will stand in the log as control batches. [`messages::BatchMeta::is_control`]
//! keeps them apart today: appends refuse them, and replaying passes the producers by.

mod epochs;
mod headers;
mod invariants;
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
mod rules;
mod settings;
mod subscription;

use weir_wire::ids::{LeaderEpoch, Offset};

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
#[doc(hidden)]
pub use rules::Rule;
pub use settings::{PRODUCERS_MAX, PartitionConfig, REPLICA_LAG_TIME_MAX_MS};
pub use subscription::{
    Replicated, Report, Subscribe, SubscribeAnswer, SubscribeRefusal, SubscriptionNumber,
};

use crate::time::Now;
use leader::Leader;
use log_state::{LogEnds, LogState};
use producers::Producers;
use rules::Rules;

/// One replica of one partition.
#[derive(Clone, Debug)]
pub struct Partition {
    log: LogState,
    role: Role,
}

#[derive(Clone, Debug)]
enum Role {
    /// Recovered, or resigned: nobody has said yet whom it follows or that it leads.
    Idle,
    Leader(Leader),
    /// Stopped for good.
    Retired {
        cause: RetireCause,
        /// The reign that it led then, which may still serve reads.
        last_epoch: Option<LeaderEpoch>,
    },
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionStats {
    /// Producers that are remembered.
    pub producers: usize,
    /// Producers that were forgotten because there were too many of them, since this replica started.
    pub producers_evicted: u64,
    /// Producers that were forgotten because they were quiet, since this replica started.
    pub producers_expired: u64,
    /// Appends that wait for their promise.
    pub waiting: usize,
}

impl Partition {
    /// A replica of an empty log.
    #[must_use]
    pub fn new(config: PartitionConfig) -> Partition {
        let zero = Offset::ZERO;
        let ends = LogEnds { log_start: zero, high_watermark: zero, flushed: zero, written: zero, end: zero };
        Partition::from_log(LogState::new(config, ends, epochs::EpochCache::default(), Producers::new()))
    }

    fn from_log(log: LogState) -> Partition {
        Partition { log, role: Role::Idle }
    }

    /// The same replica with one rule taken away, for tests that must then fail.
    #[doc(hidden)]
    #[must_use]
    pub fn without_rule(mut self, rule: Rule) -> Partition {
        self.log.rules = Rules::all_but(rule);
        self
    }

    /// Takes in one thing that happened and appends what is to be done about it, in order.
    ///
    /// # Panics
    /// When the shell reports what cannot be (a flush of what was not written), or an invariant broke: both are our
    /// own mistakes, and going on would make them somebody else's loss.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an input is taken in; later ones will carry more than numbers"
    )]
    pub fn handle(&mut self, now: Now, input: Input, effects: &mut Vec<Effect>) {
        let before = self.log.ends;
        match input {
            Input::BecomeLeader(reign) => {
                let replication_factor = u32::try_from(reign.replicas.len()).unwrap_or(u32::MAX);
                self.become_leader(reign.leader_epoch, replication_factor, effects);
            }
            Input::BecomeFollower(_)
            | Input::IsrRefused(_)
            | Input::IsrUnknown(_)
            | Input::Subscribe(_)
            | Input::Report(_)
            | Input::Unsubscribe { .. }
            | Input::SubscribeAnswered { .. }
            | Input::Replicated(_)
            | Input::SubscriptionEnded(_)
            | Input::Truncated(_) => {}
            Input::Resign => self.resign(effects),
            Input::Delete => self.retire(RetireCause::Deleted, effects),
            Input::Configure(config) => self.log.config = config,
            Input::Append(append) => self.append(now, &append, effects),
            Input::Written { end } if !self.is_retired() => self.log.written(end),
            Input::Flushed { end } if !self.is_retired() => self.log.flushed(end),
            Input::StorageFailed(StorageFault::Write) => self.retire(RetireCause::WriteFailed, effects),
            Input::StorageFailed(StorageFault::Flush) => self.retire(RetireCause::FlushFailed, effects),
            Input::MoveLogStart { to } if !self.is_retired() => self.log.move_log_start(to, effects),
            // Reports of what was under way when the replica stopped, and orders that came too late.
            Input::Written { .. } | Input::Flushed { .. } | Input::MoveLogStart { .. } => {}
            Input::Tick => self.log.producers.expire(now, &self.log.config, self.log.rules),
        }
        if let Role::Leader(leader) = &mut self.role {
            leader.settle(&mut self.log, effects);
        }
        invariants::assert_all(self, before);
    }

    fn become_leader(&mut self, offered: LeaderEpoch, replication_factor: u32, effects: &mut Vec<Effect>) {
        if self.is_retired() {
            return;
        }
        if let Role::Leader(leader) = &mut self.role {
            if offered < leader.epoch {
                return;
            }
            if offered == leader.epoch {
                leader.progress = progress::Progress::leader_alone(replication_factor);
                return;
            }
        }
        if let Some(newest) = self.log.epochs.newest().map(|newest| newest.epoch)
            && offered <= newest
        {
            effects.push(Effect::LeadershipRefused { offered, newest });
            return;
        }
        let mut next = Leader::begin(&mut self.log, offered, replication_factor, effects);
        if let Role::Leader(last) = &mut self.role {
            // The same replica goes on with the same log: what waits is still there and still waits.
            next.waiting = std::mem::take(&mut last.waiting);
        }
        self.role = Role::Leader(next);
    }

    fn resign(&mut self, effects: &mut Vec<Effect>) {
        if let Role::Leader(leader) = &mut self.role {
            leader.interrupt(Interruption::LeadershipLost, effects);
            self.role = Role::Idle;
        }
    }

    fn retire(&mut self, cause: RetireCause, effects: &mut Vec<Effect>) {
        let last_epoch = match &mut self.role {
            Role::Leader(leader) => {
                leader.interrupt(Interruption::Retired(cause), effects);
                Some(leader.epoch)
            }
            Role::Idle => None,
            // A deletion is news also to a replica whose storage failed; nothing else is.
            Role::Retired { cause: RetireCause::Deleted, .. } => return,
            Role::Retired { .. } if cause != RetireCause::Deleted => return,
            Role::Retired { last_epoch, .. } => *last_epoch,
        };
        self.role = Role::Retired { cause, last_epoch };
        effects.push(Effect::Retired(cause));
    }

    fn append(&mut self, now: Now, append: &Append, effects: &mut Vec<Effect>) {
        let outcome = match &mut self.role {
            Role::Leader(leader) => return leader.append(&mut self.log, now, append, effects),
            Role::Retired { cause: RetireCause::Deleted, .. } => {
                AppendOutcome::Failed(FailReason::TopicDeleted)
            }
            Role::Retired { cause, .. } => AppendOutcome::Retry(RetryReason::Retired(*cause)),
            Role::Idle => AppendOutcome::Retry(RetryReason::NotLeader),
        };
        effects.push(Effect::Complete { request: append.request, outcome });
    }

    fn is_retired(&self) -> bool {
        matches!(self.role, Role::Retired { .. })
    }

    /// The first offset that is served.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.log.ends.log_start
    }

    /// The end of what is committed, as this replica knows it.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.log.ends.high_watermark
    }

    /// The next offset to be given out.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log.ends.end
    }

    /// The end of what is written.
    #[must_use]
    pub fn written_end(&self) -> Offset {
        self.log.ends.written
    }

    /// The end of what is flushed.
    #[must_use]
    pub fn flushed_end(&self) -> Offset {
        self.log.ends.flushed
    }

    /// The reign in which this replica leads, if it does.
    #[must_use]
    pub fn leading(&self) -> Option<LeaderEpoch> {
        match &self.role {
            Role::Leader(leader) => Some(leader.epoch),
            Role::Idle | Role::Retired { .. } => None,
        }
    }

    /// Why this replica stopped for good, if it did.
    #[must_use]
    pub fn retired(&self) -> Option<RetireCause> {
        match self.role {
            Role::Retired { cause, .. } => Some(cause),
            Role::Idle | Role::Leader(_) => None,
        }
    }

    /// The newest reign in the log or in force; `None` before the first.
    #[must_use]
    pub fn newest_epoch(&self) -> Option<LeaderEpoch> {
        self.log.epochs.newest().map(|newest| newest.epoch)
    }

    /// Where a reign ended: what a follower or consumer compares its own history with (KIP-101, KIP-320). `None` for a
    /// reign newer than any in this log.
    #[must_use]
    pub fn end_offset_for(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        self.log.epochs.end_of(epoch, self.log.ends.end)
    }

    /// The reigns of the log, to be stored beside it.
    #[must_use]
    pub fn epoch_checkpoint(&self) -> EpochCheckpoint {
        self.log.epochs.checkpoint()
    }

    /// The producers of the log, to be stored beside it under the offset that it names, when a segment rolls and at
    /// shutdown. Restoring needs one at or below the end of the log that recovery finds, so keep the last few, and
    /// delete those above that end before anything is appended: they tell of batches that are gone.
    #[must_use]
    pub fn producer_checkpoint(&self) -> ProducerCheckpoint {
        self.log.producers.checkpoint(self.log.ends.end)
    }

    /// Figures for metrics.
    #[must_use]
    pub fn stats(&self) -> PartitionStats {
        let waiting = match &self.role {
            Role::Leader(leader) => leader.waiting.len(),
            Role::Idle | Role::Retired { .. } => 0,
        };
        PartitionStats {
            producers: self.log.producers.len(),
            producers_evicted: self.log.producers.evicted(),
            producers_expired: self.log.producers.expired(),
            waiting,
        }
    }
}
