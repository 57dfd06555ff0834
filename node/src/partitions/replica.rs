//! One hosted replica: a task that feeds what happens to [`weir_core::partition::Partition`] and carries out what it
//! asks for.
//!
//! ```text
//! inbox ──┐                  ┌─▶ log (write)        ─▶ Input::Written
//!         ├─▶ core.handle ───┼─▶ worker (flush)     ─▶ Input::Flushed, by way of the flush channel
//! flushes ┘                  ├─▶ view (marks, bell)
//!                            └─▶ replies
//! ```
//!
//! `apply` does not wait: everything that takes time was started and reports back as the next event. Appends that
//! arrived together are written together, and reported written once.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tracing::{Span, field};
use weir_core::partition::{
    Append, AppendOutcome, Effect, Input, Partition, ReadError, RequestId, RetireCause, RetryReason,
    StorageFault,
};
use weir_wire::batch::{self, BatchHeader};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::fetch::FetchEnd;
use weir_wire::ids::{LeaderEpoch, Offset};

use super::handle::{AppendRequest, AppendTag, CloseReport, MESSAGES_QUEUED_MAX, Message, TopicSettings};
use super::space::SpaceGuard;
use super::view::{Standing, View};
use crate::outside::Outside;
use crate::storage::{
    Flushed, Log, ReadError as LogReadError, Removed, Repaired, RetentionLimits, StampedBatch, StorageError,
};

/// The log target under which everything that the core is told and decides is written down, at level trace.
const CORE_TARGET: &str = "weir_core";

/// A replica's task, before it runs.
pub(super) struct Replica {
    pub(super) outside: Outside,
    /// Topic and index, for the log.
    pub(super) name: String,
    pub(super) core: Partition,
    pub(super) log: Log,
    pub(super) view: Arc<View>,
    pub(super) retention: RetentionLimits,
    pub(super) space: Arc<SpaceGuard>,
    pub(super) inbox: mpsc::Receiver<Message>,
    pub(super) state: State,
}

/// What the task keeps between events.
pub(super) struct State {
    /// Where what workers did arrives. At most one flush, one removal and one repair are under way.
    done: (mpsc::UnboundedSender<Done>, mpsc::UnboundedReceiver<Done>),
    next_request: u64,
    /// Appends that were asked and not completed.
    waiting: HashMap<RequestId, Waiting>,
    /// Batches that the core wants written, stamped, in order; written before anything else is handled.
    to_write: Vec<StampedBatch>,
    /// The memory of the batches to be written, given back afterwards.
    memory: Vec<Arc<OwnedSemaphorePermit>>,
    effects: Vec<Effect>,
    /// Whether a snapshot is due: a segment was rolled since the last one.
    snapshot_due: bool,
    flushing: Flushing,
}

/// At most one flush is under way; who wants one meanwhile shares the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flushing {
    No,
    UnderWay,
    UnderWayAndWanted,
}

/// What a worker did for this replica.
enum Done {
    Flush(Flushed),
    Removal(Removed),
    Repair(Repaired),
}

struct Waiting {
    tag: AppendTag,
    reply: mpsc::UnboundedSender<(AppendTag, AppendOutcome)>,
    /// Until the core asks for it to be written or refuses it.
    batch: Option<(Bytes, Option<Arc<OwnedSemaphorePermit>>)>,
}

impl State {
    pub(super) fn new() -> State {
        State {
            done: mpsc::unbounded_channel(),
            next_request: 0,
            waiting: HashMap::new(),
            to_write: Vec::new(),
            memory: Vec::new(),
            effects: Vec::new(),
            snapshot_due: false,
            flushing: Flushing::No,
        }
    }
}

impl Replica {
    /// Runs until the inbox is closed, the topic is deleted, or it is asked to close.
    pub(super) async fn run(mut self) {
        let mut messages = Vec::with_capacity(MESSAGES_QUEUED_MAX);
        loop {
            tokio::select! {
                biased;
                Some(done) = self.state.done.1.recv() => self.work_done(done),
                received = self.inbox.recv_many(&mut messages, MESSAGES_QUEUED_MAX) => {
                    if received == 0 {
                        return;
                    }
                    let mut rest = messages.drain(..);
                    for message in rest.by_ref() {
                        match message {
                            Message::Append(request) => self.append(request),
                            Message::Delete(reply) => {
                                self.handle(Input::Delete);
                                // Who asked has given up waiting; the replica is gone all the same.
                                let _ = reply.send(());
                                return;
                            }
                            Message::Close(reply) => {
                                self.write();
                                self.finish_flushing().await;
                                let report = self.close();
                                // Who asked has given up waiting; the log is closed all the same.
                                let _ = reply.send(report);
                                return;
                            }
                            other => {
                                self.write();
                                self.apply(other);
                            }
                        }
                    }
                    self.write();
                }
            }
        }
    }

    fn apply(&mut self, message: Message) {
        match message {
            Message::CheckPosition { leader_epoch, position, reply } => {
                let window = self.core.read_window(leader_epoch, position);
                // Who asked may be gone.
                let _ = reply.send(window.map(|_| ()).map_err(fetch_end));
            }
            Message::Lead { leader_epoch, replication_factor, reply } => {
                self.handle(Input::BecomeLeader { leader_epoch, replication_factor });
                self.publish_standing();
                // Who asked may have stopped waiting.
                let _ = reply.send(());
            }
            Message::Configure(settings) => self.configure(*settings),
            Message::Housekeep => self.housekeep(),
            Message::Append(_) | Message::Delete(_) | Message::Close(_) => {
                unreachable!("handled by the loop, which knows what they end")
            }
        }
    }

    fn append(&mut self, request: AppendRequest) {
        if !self.space.has_room(request.batch.len()) {
            let outcome = AppendOutcome::Retry(RetryReason::StorageFull);
            // The lane may be gone; its client reopens it and asks again.
            let _ = request.reply.send((request.tag, outcome));
            return;
        }
        let AppendRequest { batch, meta, leader_epoch, check, acks, tag, reply, memory } = request;
        let id = RequestId(self.state.next_request);
        self.state.next_request += 1;
        self.state.waiting.insert(id, Waiting { tag, reply, batch: Some((batch, memory)) });
        self.handle(Input::Append(Append { request: id, leader_epoch, batch: meta, check, acks }));
    }

    /// Gives the core an input and carries out its effects.
    fn handle(&mut self, input: Input) {
        let mut effects = std::mem::take(&mut self.state.effects);
        tracing::trace!(target: CORE_TARGET, partition = %self.name, ?input);
        self.core.handle(self.outside.clock.now(), input, &mut effects);
        for effect in effects.drain(..) {
            tracing::trace!(target: CORE_TARGET, partition = %self.name, ?effect);
            self.carry_out(effect);
        }
        self.state.effects = effects;
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Write { request, base_offset, leader_epoch } => {
                self.stamp(request, base_offset, leader_epoch);
            }
            Effect::Flush { .. } => self.start_flush(),
            Effect::Complete { request, outcome } => {
                let waiting = self.state.waiting.remove(&request).expect("each request is completed once");
                // The lane may be gone; its client reopens it and asks again.
                let _ = waiting.reply.send((waiting.tag, outcome));
            }
            Effect::HighWatermark(to) => self.view.set_high_watermark(to),
            // Retention moved the log's own start before the core was told.
            Effect::LogStart(to) => self.view.set_log_start(to),
            Effect::SaveEpochs(checkpoint) => {
                if let Err(error) = self.log.side_files().save_epochs(&checkpoint) {
                    self.storage_failed(StorageFault::Write, &error);
                }
            }
            Effect::LeadershipRefused { offered, newest } => tracing::error!(
                partition = %self.name, %offered, %newest,
                "the metadata offers a reign that is not above those in the log; the partition stays without a leader"
            ),
            Effect::Retired(cause) => {
                let standing =
                    if cause == RetireCause::Deleted { Standing::Deleted } else { Standing::Failed };
                self.view.set_standing(standing, self.view.leader_epoch());
            }
        }
    }

    /// Puts offset and epoch into a batch and lines it up for writing. The bytes are ours alone by now, so this
    /// usually copies nothing.
    fn stamp(&mut self, request: RequestId, base_offset: Offset, leader_epoch: LeaderEpoch) {
        let waiting = self.state.waiting.get_mut(&request).expect("a write is asked for an append in hand");
        let (bytes, memory) = waiting.batch.take().expect("a batch is written once");
        let mut bytes = bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        batch::stamp(&mut bytes, base_offset, leader_epoch);
        let bytes = bytes.freeze();
        let header = BatchHeader::parse(&bytes).expect("the batch was validated before it came here");
        self.state.to_write.push(StampedBatch { header, bytes });
        self.state.memory.extend(memory);
    }

    /// Writes what is lined up, in one go, and tells the core.
    fn write(&mut self) {
        if self.state.to_write.is_empty() {
            return;
        }
        let batches = std::mem::take(&mut self.state.to_write);
        let written = self.log.append(&batches);
        self.state.memory.clear();
        match written {
            Ok(appended) => {
                self.state.snapshot_due |= appended.rolled_at.is_some();
                self.view.set_log_end(appended.end);
                self.handle(Input::Written { end: appended.end });
                if self.state.snapshot_due {
                    self.save_snapshot();
                }
            }
            Err(error) => self.storage_failed(StorageFault::Write, &error),
        }
    }

    fn start_flush(&mut self) {
        if self.state.flushing != Flushing::No {
            self.state.flushing = Flushing::UnderWayAndWanted;
            return;
        }
        let Some(job) = self.log.prepare_flush() else {
            // Everything is flushed already, by a roll or an interval; the core has not heard of it.
            return self.handle(Input::Flushed { end: self.log.flushed_end() });
        };
        self.state.flushing = Flushing::UnderWay;
        self.start(move || Done::Flush(job.run()));
    }

    /// Has a worker do it; the outcome comes back as the next event.
    fn start(&self, job: impl FnOnce() -> Done + Send + 'static) {
        let done = self.state.done.0.clone();
        self.outside.workers.run(Box::new(move || {
            // The task ends only when the node stops or the topic is gone.
            let _ = done.send(job());
        }));
    }

    fn work_done(&mut self, done: Done) {
        match done {
            Done::Flush(outcome) => self.flush_ended(outcome),
            Done::Removal(outcome) => match self.log.removal_done(outcome) {
                Ok((segments, bytes)) => {
                    tracing::info!(partition = %self.name, segments, bytes, "old segments were deleted");
                }
                Err(error) => {
                    tracing::warn!(partition = %self.name, %error, "old segments could not be deleted; trying again");
                }
            },
            Done::Repair(outcome) => match self.log.repair_done(outcome) {
                Ok(()) => tracing::info!(partition = %self.name, "an index was made anew"),
                Err(error @ LogReadError::Corrupt { .. }) => {
                    tracing::error!(partition = %self.name, %error, "a segment is damaged; what lies before is still served");
                }
                Err(error) => {
                    tracing::warn!(partition = %self.name, %error, "an index could not be made anew; trying again");
                }
            },
        }
    }

    fn flush_ended(&mut self, outcome: Flushed) {
        let was = std::mem::replace(&mut self.state.flushing, Flushing::No);
        match self.log.flush_done(outcome) {
            Ok(end) => {
                self.view.set_recovery_point(self.log.recovery_point());
                if was == Flushing::UnderWayAndWanted {
                    self.start_flush();
                }
                self.handle(Input::Flushed { end });
            }
            Err(error) => self.storage_failed(StorageFault::Flush, &error),
        }
    }

    /// Waits until nothing is being flushed and nothing is left to flush, so that what was appended is answered.
    async fn finish_flushing(&mut self) {
        if self.core.retired().is_none() {
            self.start_flush();
        }
        while self.state.flushing != Flushing::No || self.log.is_removing() || self.log.is_repairing() {
            let done = self.state.done.1.recv().await.expect("the sender is kept beside the receiver");
            self.work_done(done);
        }
    }

    /// What a failed write or flush left behind is not known, so the replica stops for good; a restart recovers it.
    fn storage_failed(&mut self, fault: StorageFault, error: &StorageError) {
        tracing::error!(partition = %self.name, ?fault, %error, "the replica is offline until the node restarts");
        metrics::counter!("weir_storage_failures_total").increment(1);
        self.handle(Input::StorageFailed(fault));
    }

    fn publish_standing(&self) {
        if let Some(leader_epoch) = self.core.leading() {
            Span::current().record("leader_epoch", field::display(leader_epoch));
            self.view.set_standing(Standing::Leading, leader_epoch);
        }
    }

    fn configure(&mut self, settings: TopicSettings) {
        self.log.set_config(settings.log);
        self.retention = settings.retention;
        self.handle(Input::Configure(settings.core));
    }

    /// What is due now and then: retention, rolling by time, a flush of what `write.caching` left unflushed, indexes.
    fn housekeep(&mut self) {
        if self.core.retired().is_some() {
            return;
        }
        self.handle(Input::Tick);
        if let Err(error) = self.retain() {
            tracing::warn!(partition = %self.name, %error, "retention could not be applied; trying again");
        }
        if self.core.flushed_end() < self.core.written_end() {
            self.start_flush();
        }
        match self.log.prepare_repair() {
            Ok(Some(job)) => self.start(move || Done::Repair(job.run())),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(partition = %self.name, %error, "an index is to be made anew, and cannot yet");
            }
        }
    }

    /// Lets go of what is older or more than the topic keeps.
    fn retain(&mut self) -> Result<(), StorageError> {
        let now_ms = self.outside.clock.now().wall_ms;
        let due = self.log.retention(now_ms, self.view.high_watermark(), &self.retention)?;
        if let Some(job) = due.job {
            self.handle(Input::MoveLogStart { to: self.log.start() });
            self.start(move || Done::Removal(job.run()));
        }
        if due.last_segment_expired && self.log.roll()?.is_some() {
            self.save_snapshot();
        }
        Ok(())
    }

    fn save_snapshot(&mut self) {
        self.state.snapshot_due = false;
        // A snapshot only saves time at the next start; the log is what counts.
        let checkpoint = self.core.producer_checkpoint();
        if let Err(error) = self.log.side_files().save_snapshot(checkpoint.end, &checkpoint) {
            tracing::warn!(partition = %self.name, %error, "a producer snapshot could not be written");
        }
    }

    fn close(mut self) -> CloseReport {
        self.handle(Input::Resign);
        self.view.set_standing(Standing::Idle, self.view.leader_epoch());
        let checkpoint = self.core.producer_checkpoint();
        let high_watermark = self.core.high_watermark();
        let flushed = self.log.recovery_point();
        let saved = self.log.side_files().save_snapshot(checkpoint.end, &checkpoint);
        match saved.and_then(|_| self.log.close()) {
            Ok(recovery_point) => {
                CloseReport { is_clean: self.core.retired().is_none(), recovery_point, high_watermark }
            }
            Err(error) => {
                tracing::error!(partition = %self.name, %error, "the partition could not be closed cleanly");
                CloseReport { is_clean: false, recovery_point: flushed, high_watermark }
            }
        }
    }
}

/// Why a consumer cannot read on, as it travels.
fn fetch_end(error: ReadError) -> FetchEnd {
    let code = match error {
        ReadError::OutOfRange { log_start, high_watermark } => {
            return FetchEnd::OutOfRange { log_start, high_watermark };
        }
        ReadError::Truncated { diverges_at } => return FetchEnd::Truncated { diverges_at },
        ReadError::NotLeader => ErrorCode::NotLeader,
        ReadError::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        ReadError::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
        ReadError::OffsetNotAvailable => ErrorCode::LeaderNotAvailable,
        ReadError::TopicDeleted => ErrorCode::UnknownTopic,
    };
    FetchEnd::Error(WireError::new(code, error.to_string()))
}
