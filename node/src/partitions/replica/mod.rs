//! One hosted replica: a task that feeds what happens to [`weir_core::partition::Partition`] and carries out what it
//! asks for.
//!
//! ```text
//! inbox ────┐                  ┌─▶ log (write)        ─▶ Input::Written
//! mailbox ──┼─▶ core.handle ───┼─▶ worker (flush)     ─▶ Input::Flushed, by way of the flush channel
//! flushes ──┘                  ├─▶ view (marks, bell)
//!                              ├─▶ replies
//!                              └─▶ links to leaders, answers to followers, proposals to the controller
//! ```
//!
//! | file | what it holds |
//! |---|---|
//! | `mod` | the task: this node's own business |
//! | `peers` | followers, leaders, and who is in sync |
//! | `cutting` | taking back the end of the log |
//! | `early` | followers that hear of a reign before this replica does |
//! | `compacting` | rounds of compaction |
//! | `comparing` | what the log holds, told to who compares it |
//! | `housekeeping` | what is due now and then |
//! | `reigns` | the part that the metadata gives it |
//!
//! `apply` does not wait: everything that takes time was started and reports back as the next event. Appends that
//! arrived together are written together, and reported written once.

mod compacting;
mod comparing;
mod cutting;
mod early;
mod housekeeping;
mod peers;
mod reigns;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use weir_core::partition::{
    Append, AppendOutcome, Effect, EpochCheckpoint, Input, Member, Partition, ReadError, RequestId,
    RetireCause, RetryReason, StorageFault,
};
use weir_wire::batch::control::{self, RevisionMarker};
use weir_wire::batch::{self, BatchHeader};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::fetch::FetchEnd;
use weir_wire::ids::{LeaderEpoch, Offset};

use super::failures::Failures;
use super::handle::{
    AppendRequest, AppendTag, CloseReport, MESSAGES_QUEUED_MAX, Message, Progress, TopicSettings,
};
use super::links::Links;
use super::mailbox::{Credit, Mailbox, Ticking};
use super::space::SpaceGuard;
use super::view::{Standing, View};
use crate::controller::Controller;
use crate::outside::Outside;
use crate::storage::{
    Compacted, DataFolder, Flushed, Log, PartitionKey, ReadError as LogReadError, Removed, Repaired,
    StampedBatch, StorageError,
};
use comparing::Comparing;
use cutting::CutOrder;
use peers::Peers;

/// The log target under which everything that the core is told and decides is written down, at level trace.
const CORE_TARGET: &str = "weir_core";

/// A replica's task, before it runs.
pub(super) struct Replica {
    pub(super) outside: Outside,
    /// Topic and index, for the log.
    pub(super) name: String,
    pub(super) key: PartitionKey,
    /// This node as the metadata knew it when it last gave this replica a role.
    pub(super) me: Option<Member>,
    pub(super) core: Partition,
    /// `None` only while it is being cut.
    pub(super) log: Option<Log>,
    pub(super) data: Arc<DataFolder>,
    pub(super) view: Arc<View>,
    pub(super) settings: TopicSettings,
    pub(super) space: Arc<SpaceGuard>,
    pub(super) controller: Controller,
    pub(super) links: Arc<Links>,
    pub(super) ticking: Arc<Ticking>,
    pub(super) failures: Arc<Failures>,
    pub(super) inbox: mpsc::Receiver<Message>,
    pub(super) mailbox: Arc<Mailbox>,
    pub(super) state: State,
}

/// What the task keeps between events.
pub(super) struct State {
    /// Where what workers did arrives. At most one flush, one removal, one repair and one step of compaction are under
    /// way.
    done: (mpsc::UnboundedSender<Done>, mpsc::UnboundedReceiver<Done>),
    next_request: u64,
    /// Appends that were asked and not completed.
    waiting: HashMap<RequestId, Waiting>,
    /// Batches that the core wants written, stamped, in order; written before anything else is handled.
    to_write: Vec<StampedBatch>,
    /// The memory of the batches to be written, given back afterwards.
    memory: Vec<Arc<OwnedSemaphorePermit>>,
    /// What the leader may send again once they are written.
    credit: Vec<Credit>,
    /// What was written last came on the catch-up stream.
    catches_up: bool,
    peers: Peers,
    /// What the core wants cut, before anything else is handled.
    cut: Option<CutOrder>,
    effects: Vec<Effect>,
    /// Whether a snapshot is due: a segment was rolled since the last one.
    snapshot_due: bool,
    flushing: Flushing,
    /// When the newest flush began.
    flush_began_ns: u64,
    /// The flush that is under way began before the log was cut: it says nothing about what was written since.
    flush_is_stale: bool,
    /// Who waits for the round of compaction that is under way.
    compaction: Option<oneshot::Sender<()>>,
    /// The storage failed: nothing is written any more.
    is_broken: bool,
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
    Compaction(Box<Compacted>),
}

struct Waiting {
    tag: AppendTag,
    reply: mpsc::UnboundedSender<(AppendTag, AppendOutcome)>,
    /// Until the core asks for it to be written or refuses it.
    batch: Option<(Bytes, Option<Arc<OwnedSemaphorePermit>>)>,
    /// What made it, for the marker that may have to go before it.
    made_by: Option<Arc<RevisionMarker>>,
    /// Plugins made it: if it is stored already, it is held against that.
    by_plugins: bool,
}

impl State {
    pub(super) fn new() -> State {
        State {
            done: mpsc::unbounded_channel(),
            next_request: 0,
            waiting: HashMap::new(),
            to_write: Vec::new(),
            memory: Vec::new(),
            credit: Vec::new(),
            catches_up: false,
            peers: Peers::default(),
            cut: None,
            effects: Vec::new(),
            snapshot_due: false,
            flushing: Flushing::No,
            flush_began_ns: 0,
            flush_is_stale: false,
            compaction: None,
            is_broken: false,
        }
    }
}

impl Replica {
    /// Runs until the inbox is closed, the topic is deleted, or it is asked to close.
    pub(super) async fn run(mut self) {
        self.serve().await;
        self.mailbox.close();
    }

    async fn serve(&mut self) {
        // It grows with what comes: on an idle node most replicas get little mail.
        let mut messages = Vec::new();
        loop {
            tokio::select! {
                biased;
                Some(done) = self.state.done.1.recv() => self.work_done(done),
                () = self.mailbox.wait() => self.take_mail().await,
                received = self.inbox.recv_many(&mut messages, MESSAGES_QUEUED_MAX) => {
                    if received == 0 {
                        return;
                    }
                    let mut rest = messages.drain(..);
                    for message in rest.by_ref() {
                        match message {
                            Message::Append(request) => self.append(*request),
                            Message::Delete(reply) => {
                                self.handle(Input::Delete);
                                self.end_compaction().await;
                                self.give_log_up();
                                // Who asked has given up waiting; the replica is gone all the same.
                                let _ = reply.send(());
                                return;
                            }
                            Message::Leave(reply) => {
                                self.resign();
                                self.end_compaction().await;
                                self.give_log_up();
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
                            Message::Role { role, reply } => {
                                self.write();
                                let leader_epoch = self.take_role(*role).await;
                                // Who asked may have stopped waiting.
                                let _ = reply.send(());
                                self.cut_if_due().await;
                                self.told_of(leader_epoch);
                                self.cut_if_due().await;
                            }
                            other => {
                                self.write();
                                self.apply(other);
                                self.cut_if_due().await;
                            }
                        }
                    }
                    self.write();
                }
            }
            self.cut_if_due().await;
        }
    }

    fn apply(&mut self, message: Message) {
        match message {
            Message::CheckPosition { leader_epoch, position, reply } => {
                let window = self.core.read_window(leader_epoch, position);
                // Who asked may be gone.
                let _ = reply.send(window.map(|_| ()).map_err(fetch_end));
            }
            Message::LatestOffset { leader_epoch, reply } => {
                let latest = self.core.latest_offset(leader_epoch);
                // Who asked may be gone.
                let _ = reply.send(latest.map_err(|error| read_refusal(&error)));
            }
            Message::Progress(reply) => {
                // Who asked may be gone.
                let revision = self.core.revision_progress();
                let _ = reply.send(Progress { log_ends: self.state.peers.log_ends(), revision });
            }
            Message::Configure(settings) => self.configure(*settings),
            Message::Housekeep => self.housekeep(),
            Message::Damaged { offset, reply } => {
                // Who read it may have stopped waiting.
                let _ = reply.send(self.give_up_damaged(offset));
            }
            Message::DeleteRecords { before, reply } => {
                self.handle(Input::DeleteRecords { before });
                // Who told may have stopped waiting.
                let _ = reply.send(());
            }
            Message::Compact(reply) => self.begin_compaction(reply),
            Message::Append(_)
            | Message::Role { .. }
            | Message::Delete(_)
            | Message::Leave(_)
            | Message::Close(_) => {
                unreachable!("handled by the loop, which waits or ends for them")
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
        let AppendRequest { batch, meta, leader_epoch, check, acks, made_by, by_plugins, tag, reply, memory } =
            request;
        let id = RequestId(self.state.next_request);
        self.state.next_request += 1;
        let revision = made_by.as_ref().map(|marker| marker.revision);
        self.state
            .waiting
            .insert(id, Waiting { tag, reply, batch: Some((batch, memory)), made_by, by_plugins });
        self.handle(Input::Append(Append { request: id, leader_epoch, batch: meta, check, acks, revision }));
    }

    /// Gives the core an input and carries out its effects.
    fn handle(&mut self, input: Input) {
        let mut effects = std::mem::take(&mut self.state.effects);
        self.decide(input, &mut effects);
        for effect in effects.drain(..) {
            self.carry_out(effect);
        }
        self.state.effects = effects;
        self.say_whether_time_matters();
    }

    fn decide(&mut self, input: Input, effects: &mut Vec<Effect>) {
        tracing::trace!(target: CORE_TARGET, partition = %self.name, ?input);
        self.core.handle(self.outside.clock.now(), input, effects);
    }

    fn say_whether_time_matters(&self) {
        self.ticking.want(&self.mailbox, self.core.awaits_time());
    }

    fn carry_out(&mut self, effect: Effect) {
        tracing::trace!(target: CORE_TARGET, partition = %self.name, ?effect);
        match effect {
            // Its reign could not be noted, say: what is not in order is not begun. The core has answered for it.
            Effect::Write { .. } | Effect::WriteRevision { .. } | Effect::WriteReplicated { .. }
                if self.state.is_broken => {}
            Effect::Write { request, base_offset, leader_epoch } => {
                self.stamp(request, base_offset, leader_epoch);
            }
            Effect::WriteRevision { request, base_offset, leader_epoch, .. } => {
                self.mark(request, base_offset, leader_epoch);
            }
            Effect::Flush { .. } => self.start_flush(),
            Effect::Complete { request, outcome } => {
                let waiting = self.state.waiting.remove(&request).expect("each request is completed once");
                self.complete(waiting, outcome);
            }
            Effect::HighWatermark(to) => self.view.set_high_watermark(to),
            Effect::LogStart(to) => self.raise_log_start(to),
            Effect::SaveEpochs(checkpoint) => self.save_epochs(&checkpoint),
            Effect::LeadershipRefused { offered, newest } => tracing::error!(
                partition = %self.name, %offered, %newest,
                "the metadata offers a reign that is not above those in the log; the partition stays without a leader"
            ),
            Effect::WriteReplicated { skip, base_offset, end } => {
                self.write_replicated(skip, base_offset, end);
            }
            Effect::Truncate { to } => self.state.cut = Some(CutOrder::Truncate { to }),
            Effect::StartOver { at } => self.state.cut = Some(CutOrder::StartOver { at }),
            Effect::ProposeIsr { .. }
            | Effect::AnswerSubscribe { .. }
            | Effect::AcceptSubscription { .. }
            | Effect::EndSubscription { .. }
            | Effect::Subscribe(_)
            | Effect::Unsubscribe { .. }
            | Effect::Report { .. } => self.tell_others(effect),
            Effect::Retired(cause) => self.retired(cause),
        }
    }

    /// This replica stopped for good. Where its node lives on, the cluster hears of it.
    fn retired(&self, cause: RetireCause) {
        let standing = match cause {
            RetireCause::Deleted => Standing::Deleted,
            RetireCause::WriteFailed | RetireCause::FlushFailed | RetireCause::Damaged => Standing::Failed,
            RetireCause::WouldCutCommitted { to, high_watermark } => {
                metrics::counter!("weir_truncations_refused_total").increment(1);
                tracing::error!(
                    partition = %self.name, %to, %high_watermark,
                    "the leader lacks records that were committed: this replica keeps them and goes offline. Compare the \
                     replicas ('weir log verify', 'weir log dump'); to give its records up, stop the node, move the \
                     partition's folder away, and start it again"
                );
                Standing::Failed
            }
        };
        self.view.set_standing(standing, self.view.leader_epoch());
        if standing == Standing::Failed {
            self.failures.note((self.key.topic_id, self.key.partition));
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

    /// Answers a request, once a part that plugins made and that is stored already was held against what is stored.
    fn complete(&self, waiting: Waiting, outcome: AppendOutcome) {
        let Waiting { tag, reply, batch, by_plugins, .. } = waiting;
        if let AppendOutcome::Stored { base_offset: Some(base_offset), duplicate: true, .. } = outcome
            && by_plugins
            && let (Some((sent, _)), Some(log)) = (batch, &self.log)
        {
            let (outside, reader) = (self.outside.clone(), log.reader());
            let comparing = Comparing { outside, reader, sent, base_offset, outcome, tag, reply };
            tokio::spawn(comparing.run());
            return;
        }
        // The lane may be gone; its client reopens it and asks again.
        let _ = reply.send((tag, outcome));
    }

    /// Lines up the control batch that says what made the batch of this request and those behind it.
    fn mark(&mut self, request: RequestId, base_offset: Offset, leader_epoch: LeaderEpoch) {
        let waiting = self.state.waiting.get(&request).expect("a marker is asked for an append in hand");
        let marker = waiting.made_by.as_ref().expect("the core knows of a revision from the request alone");
        let unstamped = control::encode_revision(marker, self.outside.clock.now().wall_ms);
        let mut bytes = BytesMut::from(&unstamped[..]);
        batch::stamp(&mut bytes, base_offset, leader_epoch);
        let bytes = bytes.freeze();
        let header = BatchHeader::parse(&bytes).expect("a batch that was just made");
        tracing::info!(partition = %self.name, revision = %marker.revision, offset = %(base_offset + 1),
            "the first batch of a revision of the topic's pipeline");
        self.state.to_write.push(StampedBatch { header, bytes });
    }

    /// Writes what is lined up, in one go, and tells the core.
    fn write(&mut self) {
        if self.state.to_write.is_empty() {
            // Frames that the core did not want.
            return self.state.credit.clear();
        }
        let batches = std::mem::take(&mut self.state.to_write);
        // What a follower makes up for is of long ago. It would only take the place of what consumers do read.
        let catches_up = self.state.catches_up;
        let log = self.log_mut();
        let written = if catches_up { log.append_passing(&batches) } else { log.append(&batches) };
        self.state.memory.clear();
        self.state.credit.clear();
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
        let Some(job) = self.log_mut().prepare_flush() else {
            // Everything is flushed already, by a roll or an interval; the core has not heard of it.
            return self.handle(Input::Flushed { end: self.log().flushed_end() });
        };
        self.state.flushing = Flushing::UnderWay;
        self.state.flush_began_ns = self.outside.clock.now().monotonic_ns;
        // Where the system kept all the same what passes.
        let job = if self.state.catches_up { job.forgetting() } else { job };
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
            Done::Removal(outcome) => match self.log_mut().removal_done(outcome) {
                Ok((segments, bytes)) => {
                    tracing::info!(partition = %self.name, segments, bytes, "old segments were deleted");
                }
                Err(error) => {
                    tracing::warn!(partition = %self.name, %error, "old segments could not be deleted; trying again");
                }
            },
            Done::Compaction(outcome) => self.step_compacted(*outcome),
            Done::Repair(outcome) => match self.log_mut().repair_done(outcome) {
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
        let is_stale = std::mem::take(&mut self.state.flush_is_stale);
        match self.log_mut().flush_done(outcome) {
            Ok(end) => {
                let took_ns = self.outside.clock.now().monotonic_ns.saturating_sub(self.state.flush_began_ns);
                metrics::counter!("weir_log_flushes_total").increment(1);
                metrics::histogram!("weir_log_flush_seconds").record(Duration::from_nanos(took_ns));
                self.view.set_recovery_point(self.log().recovery_point());
                if was == Flushing::UnderWayAndWanted {
                    self.start_flush();
                }
                if !is_stale {
                    self.handle(Input::Flushed { end });
                }
            }
            Err(error) => self.storage_failed(StorageFault::Flush, &error),
        }
    }

    /// Waits until nothing is being flushed and nothing is left to flush, so that what was appended is answered.
    async fn finish_flushing(&mut self) {
        if self.core.retired().is_none() {
            self.start_flush();
        }
        self.log().cancel_compaction();
        while self.state.flushing != Flushing::No
            || self.log().is_compacting()
            || self.log().is_removing()
            || self.log().is_repairing()
        {
            self.wait_for_work().await;
        }
    }

    /// Waits for the next thing that a worker does for this replica.
    async fn wait_for_work(&mut self) {
        let done = self.state.done.1.recv().await.expect("the sender is kept beside the receiver");
        self.work_done(done);
    }

    /// What a failed write or flush left behind is not known, so the replica stops for good; a restart recovers it.
    fn storage_failed(&mut self, fault: StorageFault, error: &StorageError) {
        tracing::error!(partition = %self.name, ?fault, %error, "the replica is offline until the node restarts");
        metrics::counter!("weir_storage_failures_total").increment(1);
        self.state.is_broken = true;
        self.handle(Input::StorageFailed(fault));
    }

    fn save_epochs(&mut self, checkpoint: &EpochCheckpoint) {
        if let Err(error) = self.log().side_files().save_epochs(checkpoint) {
            self.storage_failed(StorageFault::Write, &error);
        }
    }

    /// The log. It is away only while it is cut, which nothing interrupts.
    fn log(&self) -> &Log {
        self.log.as_ref().expect("the log is here between two cuts")
    }

    fn log_mut(&mut self) -> &mut Log {
        self.log.as_mut().expect("the log is here between two cuts")
    }

    fn configure(&mut self, settings: TopicSettings) {
        self.log_mut().set_config(settings.log);
        self.handle(Input::Configure(settings.core));
        self.settings = settings;
    }

    fn save_snapshot(&mut self) {
        self.state.snapshot_due = false;
        // A snapshot only saves time at the next start; the log is what counts.
        let checkpoint = self.core.producer_checkpoint();
        if let Err(error) = self.log().side_files().save_snapshot(checkpoint.end, &checkpoint) {
            tracing::warn!(partition = %self.name, %error, "a producer snapshot could not be written");
        }
    }

    /// Gives up its part: who waits for it is sent elsewhere.
    fn resign(&mut self) {
        self.handle(Input::Resign);
        self.view.set_standing(Standing::Idle, self.view.leader_epoch());
    }

    /// Before the folder is removed.
    fn give_log_up(&mut self) {
        if let Some(log) = self.log.take() {
            log.give_up();
        }
    }

    fn close(&mut self) -> CloseReport {
        self.resign();
        let checkpoint = self.core.producer_checkpoint();
        let high_watermark = self.core.high_watermark();
        let log = self.log.take().expect("the log is here between two cuts");
        let flushed = log.recovery_point();
        let saved = log.side_files().save_snapshot(checkpoint.end, &checkpoint);
        match saved.and_then(|_| log.close()) {
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
    match error {
        ReadError::OutOfRange { log_start, high_watermark } => {
            FetchEnd::OutOfRange { log_start, high_watermark }
        }
        ReadError::Truncated { diverges_at } => FetchEnd::Truncated { diverges_at },
        error => FetchEnd::Error(read_refusal(&error)),
    }
}

fn read_refusal(error: &ReadError) -> WireError {
    let code = match error {
        ReadError::OutOfRange { .. } | ReadError::Truncated { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::NotLeader => ErrorCode::NotLeader,
        ReadError::FencedLeaderEpoch { .. } => ErrorCode::FencedLeaderEpoch,
        ReadError::UnknownLeaderEpoch { .. } => ErrorCode::UnknownLeaderEpoch,
        ReadError::OffsetNotAvailable => ErrorCode::LeaderNotAvailable,
        ReadError::TopicDeleted => ErrorCode::UnknownTopic,
    };
    WireError::new(code, error.to_string())
}
