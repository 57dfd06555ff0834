//! The leader's part: it gives out offsets, moves the high watermark and keeps promises.

use weir_wire::ids::{LeaderEpoch, Offset, Revision, Sequence};
use weir_wire::lane::{Acks, LANE_SEQUENCE_MAX};

use super::log_state::LogState;
use super::messages::{Append, AppendCheck, Effect, ProposalNumber, RequestId};
use super::outcome::{AppendOutcome, FailReason, Interruption, InvalidBatch, Promise, RetryReason};
use super::producers::{CONTIGUOUS_SEQUENCES, Verdict};
use super::progress::Progress;
use super::purgatory::{Purgatory, Waiting};
use super::reign::{Member, Reign};
use super::rules::Rule;
use crate::time::Now;

/// One reign.
#[derive(Clone, Debug)]
pub(crate) struct Leader {
    /// Its number.
    pub(crate) epoch: LeaderEpoch,
    pub(crate) me: Member,
    /// How far the replicas are.
    pub(crate) progress: Progress,
    /// The appends that wait for their promise.
    pub(crate) waiting: Purgatory,
}

/// What to do with an append.
enum Decision {
    /// Answer it; nothing is stored.
    Answer(AppendOutcome),
    /// An earlier try stored it: answer as soon as `covered_by` is covered.
    Stored { base_offset: Option<Offset>, covered_by: Offset },
    /// Store it.
    Store,
}

impl Leader {
    /// Starts a reign: it stands in the epoch cache, durably, before anything is served (INVARIANTS 5), also when it
    /// will write nothing.
    pub(crate) fn begin(log: &mut LogState, now: Now, reign: &Reign, effects: &mut Vec<Effect>) -> Leader {
        log.epochs.assign(reign.leader_epoch, log.ends.end);
        effects.push(Effect::SaveEpochs(log.epochs.checkpoint()));
        Leader {
            epoch: reign.leader_epoch,
            me: reign.me,
            progress: Progress::begin(log, now, reign),
            waiting: Purgatory::default(),
        }
    }

    pub(crate) fn append(
        &mut self,
        log: &mut LogState,
        now: Now,
        append: &Append,
        effects: &mut Vec<Effect>,
    ) {
        match self.decide(log, append) {
            Decision::Answer(outcome) => effects.push(Effect::Complete { request: append.request, outcome }),
            Decision::Stored { base_offset, covered_by } => {
                let end = if log.rules.hold(Rule::DuplicateWaits) { covered_by } else { Offset::ZERO };
                self.promise(append, end, base_offset, true, effects);
            }
            Decision::Store => {
                let base_offset = self.store(log, now, append, effects);
                self.promise(append, log.ends.end, Some(base_offset), false, effects);
            }
        }
    }

    /// After every input: asks for a flush, moves the high watermark, keeps the promises that can be kept now, ends
    /// those that cannot, and proposes an ISR. The high watermark goes first, so that who hears "stored" can read it.
    pub(crate) fn settle(
        &mut self,
        log: &mut LogState,
        now: Now,
        last_proposal: &mut ProposalNumber,
        effects: &mut Vec<Effect>,
    ) {
        log.flush_if_needed(now, false, effects);
        self.progress.note_end(log, now);
        if self.has_enough_in_sync(log)
            && let Some(committed) = self.progress.lowest_end(log, now)
        {
            log.commit(committed, effects);
        }
        self.keep_promises(log, effects);
        if !self.has_enough_in_sync(log) {
            let ended = self.waiting.interrupt_all(Interruption::NotEnoughReplicasAfterAppend);
            complete_all(ended, effects);
        }
        self.propose_isr(log, now, last_proposal, effects);
    }

    /// Ends every waiting append.
    pub(crate) fn interrupt(&mut self, by: Interruption, effects: &mut Vec<Effect>) {
        complete_all(self.waiting.interrupt(by), effects);
    }

    fn decide(&self, log: &LogState, append: &Append) -> Decision {
        if let Some(reason) = self.fence(append.leader_epoch) {
            return Decision::Answer(AppendOutcome::Retry(reason));
        }
        if let Err(reason) = validate(log, append) {
            return Decision::Answer(AppendOutcome::Failed(reason));
        }
        let decision = match log.producers.check(log.rules, &append.batch, append.check) {
            Verdict::Append => Decision::Store,
            Verdict::Stored { base_offset, covered_by } => Decision::Stored { base_offset, covered_by },
            Verdict::Fenced(current) => Decision::Answer(AppendOutcome::Fenced { current }),
            Verdict::Missing(reason) => Decision::Answer(AppendOutcome::Retry(reason)),
            Verdict::Unknown(reason) => Decision::Answer(AppendOutcome::Unknown(reason)),
        };
        let covered = match decision {
            Decision::Stored { covered_by, .. } => covered_by <= log.ends.high_watermark,
            Decision::Answer(_) => true,
            Decision::Store => false,
        };
        if covered || append.acks == Acks::None {
            return decision;
        }
        if append.acks == Acks::All && !self.has_enough_in_sync(log) {
            return Decision::Answer(AppendOutcome::Retry(RetryReason::NotEnoughReplicas));
        }
        if self.waiting.is_full() {
            return Decision::Answer(AppendOutcome::Retry(RetryReason::Busy));
        }
        decision
    }

    /// What is wrong with the reign that a sender believes in (KIP-320), if anything.
    pub(crate) fn fence(&self, believed: LeaderEpoch) -> Option<RetryReason> {
        let current = self.epoch;
        match believed.cmp(&current) {
            std::cmp::Ordering::Less => Some(RetryReason::FencedLeaderEpoch { current }),
            std::cmp::Ordering::Equal => None,
            std::cmp::Ordering::Greater => Some(RetryReason::UnknownLeaderEpoch { current }),
        }
    }

    /// Whether `acks=all` may be promised and the high watermark may move (KIP-966: below `min.insync.replicas` not
    /// even what `acks=1` stored becomes readable).
    fn has_enough_in_sync(&self, log: &LogState) -> bool {
        self.progress.in_sync() >= log.config.required_in_sync(self.progress.replication_factor())
    }

    fn store(&self, log: &mut LogState, now: Now, append: &Append, effects: &mut Vec<Effect>) -> Offset {
        let Append { request, batch, revision, .. } = append;
        if let Some(revision) = revision.filter(|_| *revision > log.revisions.newest()) {
            self.mark(log, *request, revision, effects);
        }
        let base_offset = log.ends.end;
        log.ends.end = base_offset + u64::from(batch.last_offset_delta) + 1;
        log.producers.record(now, &log.config, log.rules, base_offset, batch);
        log.revisions.appended(*revision, log.ends.end);
        effects.push(Effect::Write { request: *request, base_offset, leader_epoch: self.epoch });
        base_offset
    }

    /// Says in the log that a revision holds from here on.
    fn mark(&self, log: &mut LogState, request: RequestId, revision: Revision, effects: &mut Vec<Effect>) {
        let base_offset = log.ends.end;
        log.ends.end = base_offset + 1;
        log.revisions.record(revision, base_offset);
        effects.push(Effect::WriteRevision { request, revision, base_offset, leader_epoch: self.epoch });
    }

    /// Remembers that an append wants an answer once `end` is covered. `acks=0` is answered at once and promised
    /// nothing.
    fn promise(
        &mut self,
        append: &Append,
        end: Offset,
        base_offset: Option<Offset>,
        duplicate: bool,
        effects: &mut Vec<Effect>,
    ) {
        if append.acks == Acks::None {
            let promise = Promise { replicas: 0, flushed: false };
            let outcome = AppendOutcome::Stored { base_offset, promise, duplicate };
            effects.push(Effect::Complete { request: append.request, outcome });
        } else {
            let waiting = Waiting { base_offset, duplicate, idempotent: append.batch.producer.is_some() };
            self.waiting.insert(append.acks, end, append.request, waiting);
        }
    }

    fn keep_promises(&mut self, log: &LogState, effects: &mut Vec<Effect>) {
        let mut keep = |(request, waiting): (RequestId, Waiting), promise| {
            let Waiting { base_offset, duplicate, .. } = waiting;
            let outcome = AppendOutcome::Stored { base_offset, promise, duplicate };
            effects.push(Effect::Complete { request, outcome });
        };
        while let Some((end, request, waiting)) = self.waiting.take_leader(log.durable_end()) {
            keep((request, waiting), Promise { replicas: 1, flushed: end <= log.ends.flushed });
        }
        let committed = log.rules.hold(Rule::AcknowledgedIsCommitted);
        let covered = if committed { log.ends.high_watermark } else { log.ends.end };
        while let Some((end, request, waiting)) = self.waiting.take_all(covered) {
            keep((request, waiting), self.progress.promise(log, end));
        }
    }
}

fn complete_all(ended: Vec<(RequestId, AppendOutcome)>, effects: &mut Vec<Effect>) {
    effects.extend(ended.into_iter().map(|(request, outcome)| Effect::Complete { request, outcome }));
}

fn validate(log: &LogState, append: &Append) -> Result<(), FailReason> {
    let batch = &append.batch;
    if batch.bytes > log.config.max_message_bytes {
        return Err(FailReason::MessageTooLarge { limit: log.config.max_message_bytes });
    }
    let invalid = |what| Err(FailReason::InvalidBatch(what));
    if batch.is_control {
        return invalid(InvalidBatch::ControlBatch);
    }
    let offsets = u64::from(batch.last_offset_delta) + 1;
    if u64::from(batch.record_count) > offsets {
        return invalid(InvalidBatch::MoreRecordsThanOffsets);
    }
    let marker = u64::from(append.revision > log.revisions.newest());
    if Offset::MAX.since(log.ends.end) < offsets + marker {
        return Err(FailReason::LogFull);
    }
    match (append.check, batch.producer) {
        (AppendCheck::Unchecked, None) => Ok(()),
        (AppendCheck::Contiguous { .. }, Some(stamp)) => {
            let in_range = |sequence: Sequence| sequence.0 < CONTIGUOUS_SEQUENCES;
            let fits = in_range(stamp.base_sequence) && batch.last_offset_delta < CONTIGUOUS_SEQUENCES;
            if fits { Ok(()) } else { invalid(InvalidBatch::SequenceOutOfRange) }
        }
        (AppendCheck::Lane { after }, Some(stamp)) => {
            if u64::from(batch.record_count) != offsets {
                return invalid(InvalidBatch::LanePartNotDense);
            }
            let linked = after.is_none_or(|after| after < stamp.base_sequence);
            if linked && stamp.base_sequence < LANE_SEQUENCE_MAX {
                Ok(())
            } else {
                invalid(InvalidBatch::SequenceOutOfRange)
            }
        }
        (AppendCheck::Unchecked, Some(_))
        | (AppendCheck::Contiguous { .. } | AppendCheck::Lane { .. }, None) => {
            invalid(InvalidBatch::ProducerAndCheckDisagree)
        }
    }
}
