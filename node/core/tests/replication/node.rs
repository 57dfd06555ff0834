//! A replica with a shell around it: a disk that may lose what was not flushed, and streams to followers.

use std::collections::BTreeMap;

use weir_core::partition::{
    Append, AppendOutcome, BatchMeta, Checkpoints, Effect, EpochCheckpoint, EpochStart, Input, Member,
    Partition, PartitionConfig, ProducerCheckpoint, ProposalNumber, Replicated, RequestId, Restore,
    RetireCause, Rule, StoredBatch, SubscribeAnswer, SubscriptionNumber,
};
use weir_core::time::Now;
use weir_wire::ids::{LeaderEpoch, NodeId, Offset, PartitionEpoch};

/// A frame on its way: to whom, and what that node's core is told.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) to: NodeId,
    pub(crate) input: Input,
}

/// An ISR change on its way to the controller.
#[derive(Clone, Debug)]
pub(crate) struct Proposal {
    pub(crate) number: ProposalNumber,
    pub(crate) leader: Member,
    pub(crate) leader_epoch: LeaderEpoch,
    pub(crate) partition_epoch: PartitionEpoch,
    pub(crate) isr: Vec<Member>,
    pub(crate) flushed: Vec<NodeId>,
}

/// What leaves a node.
#[derive(Clone, Debug)]
pub(crate) enum Out {
    Message(Message),
    Proposal(Proposal),
    Answer(RequestId, AppendOutcome),
}

/// What lies on a disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) batches: Vec<StoredBatch>,
    pub(crate) flushed: Offset,
    high_watermark: Offset,
    epochs: EpochCheckpoint,
    snapshots: Vec<ProducerCheckpoint>,
}

/// Longer than anything is waited for.
const HOUR_NS: u64 = 3_600_000_000_000;

impl Disk {
    pub(crate) fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, StoredBatch::end)
    }

    fn cut(&mut self, to: Offset) {
        self.batches.retain(|batch| batch.end() <= to);
        let end = self.end();
        self.flushed = self.flushed.min(end);
        self.snapshots.retain(|snapshot| snapshot.end <= end);
        self.epochs.entries.retain(|entry| entry.start <= end);
    }

    /// The reigns as a scan of the batches finds them.
    pub(crate) fn reigns(&self) -> Vec<EpochStart> {
        let mut reigns: Vec<EpochStart> = Vec::new();
        for batch in &self.batches {
            if reigns.last().is_none_or(|last| last.epoch != batch.leader_epoch) {
                reigns.push(EpochStart { epoch: batch.leader_epoch, start: batch.base_offset });
            }
        }
        reigns
    }

    /// Puts a replica together again, as after a start or a truncation.
    fn restore(&self, now: Now, config: PartitionConfig) -> Restore {
        let found = Checkpoints {
            log_start: Offset::ZERO,
            log_end: self.end(),
            flushed_end: self.flushed,
            high_watermark: self.high_watermark,
            epochs: Some(self.epochs.clone()),
            producers: self.snapshots.last().cloned(),
        };
        let mut restore = Restore::new(now, config, found).expect("checkpoints fit the log");
        let from = restore.replay_from();
        for batch in self.batches.iter().filter(|batch| batch.end() > from) {
            restore.replay(batch).expect("the log is in order");
        }
        restore
    }
}

/// Where a follower's stream is.
#[derive(Clone, Copy, Debug)]
struct Stream {
    number: SubscriptionNumber,
    cursor: Offset,
    sent: Option<Offset>,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) me: Member,
    pub(crate) is_up: bool,
    pub(crate) partition: Partition,
    pub(crate) disk: Disk,
    pub(crate) config: PartitionConfig,
    /// Whether a flush is under way.
    pub(crate) is_flushing: bool,
    /// The truncation that the storage is busy with.
    pub(crate) cut: Option<Offset>,
    /// Why it stopped for good, which no schedule gives it a reason for.
    pub(crate) retired: Option<RetireCause>,
    rule: Option<Rule>,
    offered: BTreeMap<RequestId, BatchMeta>,
    streams: BTreeMap<NodeId, Stream>,
}

impl Node {
    pub(crate) fn new(me: Member, config: PartitionConfig, rule: Option<Rule>) -> Node {
        Node {
            me,
            is_up: true,
            partition: without(Partition::new(config), rule),
            disk: Disk::default(),
            config,
            is_flushing: false,
            cut: None,
            retired: None,
            rule,
            offered: BTreeMap::new(),
            streams: BTreeMap::new(),
        }
    }

    /// The process is gone; what was not flushed may be gone above `kept`.
    pub(crate) fn crash(&mut self, kept: Offset) {
        self.is_up = false;
        self.disk.cut(kept.max(self.disk.flushed));
        self.is_flushing = false;
        self.cut = None;
        self.offered.clear();
        self.streams.clear();
    }

    /// Another process on the same disk. (Recovery flushes what it found.)
    pub(crate) fn start(&mut self, now: Now, me: Member, config: PartitionConfig, knows_watermark: bool) {
        self.me = me;
        self.is_up = true;
        self.config = config;
        self.disk.flushed = self.disk.end();
        if !knows_watermark {
            self.disk.high_watermark = Offset::ZERO;
        }
        let partition = self.disk.restore(now, config).finish().expect("the log was replayed whole");
        self.partition = without(partition, self.rule);
    }

    pub(crate) fn append(&mut self, now: Now, append: Append, out: &mut Vec<Out>) {
        self.offered.insert(append.request, append.batch);
        self.handle(now, Input::Append(append), out);
        self.offered.remove(&append.request);
    }

    pub(crate) fn handle(&mut self, now: Now, input: Input, out: &mut Vec<Out>) {
        let frame = if let Input::Replicated(frame) = &input { frame.batches.clone() } else { Vec::new() };
        let mut effects = Vec::new();
        self.partition.handle(now, input, &mut effects);
        let end = self.disk.end();
        for effect in effects {
            self.carry_out(effect, &frame, out);
        }
        if self.disk.end() > end {
            self.handle(now, Input::Written { end: self.disk.end() }, out);
        }
        self.must_say_what_it_waits_for(now);
    }

    /// Whoever says that no time need pass is told of none.
    fn must_say_what_it_waits_for(&self, now: Now) {
        if self.partition.awaits_time() {
            return;
        }
        let mut effects = Vec::new();
        let later = Now { monotonic_ns: now.monotonic_ns + HOUR_NS, ..now };
        self.partition.clone().handle(later, Input::Tick, &mut effects);
        assert!(effects.is_empty(), "a tick was not wanted and would have led to {effects:?}");
    }

    fn carry_out(&mut self, effect: Effect, frame: &[StoredBatch], out: &mut Vec<Out>) {
        let mut send = |to: Member, input| out.push(Out::Message(Message { to: to.node, input }));
        match effect {
            Effect::Write { request, base_offset, leader_epoch } => {
                assert_eq!(self.disk.end(), base_offset, "a write goes behind the one before it");
                self.disk.batches.push(StoredBatch {
                    base_offset,
                    leader_epoch,
                    batch: self.offered[&request],
                });
            }
            Effect::WriteRevision { .. } => unreachable!("these topics have one revision"),
            Effect::WriteReplicated { skip, base_offset, end } => {
                assert_eq!(self.disk.end(), base_offset, "a write goes behind the one before it");
                self.disk.batches.extend(&frame[skip..]);
                assert_eq!(self.disk.end(), end, "what is written ends where the core says");
            }
            Effect::Flush { .. } => {
                assert!(!self.is_flushing, "one flush at a time");
                self.is_flushing = true;
            }
            Effect::Complete { request, outcome } => out.push(Out::Answer(request, outcome)),
            Effect::HighWatermark(to) => self.disk.high_watermark = to,
            Effect::SaveEpochs(epochs) => self.disk.epochs = epochs,
            Effect::ProposeIsr { proposal: number, leader_epoch, partition_epoch, isr, flushed } => {
                let leader = self.me;
                out.push(Out::Proposal(Proposal {
                    number,
                    leader,
                    leader_epoch,
                    partition_epoch,
                    isr,
                    flushed,
                }));
            }
            Effect::AcceptSubscription { follower, subscription, from } => {
                let stream = Stream { number: subscription, cursor: from, sent: None };
                self.streams.insert(follower.node, stream);
                let answer = SubscribeAnswer::Subscribed;
                send(follower, Input::SubscribeAnswered { subscription, answer });
            }
            Effect::AnswerSubscribe { follower, subscription, answer } => {
                send(follower, Input::SubscribeAnswered { subscription, answer });
            }
            Effect::EndSubscription { follower, subscription } => {
                let ended = self.streams.remove(&follower.node);
                assert!(ended.is_some_and(|stream| stream.number == subscription), "it was streaming");
                send(follower, Input::SubscriptionEnded(subscription));
            }
            Effect::Subscribe(asked) => send(asked.leader, Input::Subscribe(asked)),
            Effect::Unsubscribe { leader, subscription } => {
                send(leader, Input::Unsubscribe { follower: self.me, subscription });
            }
            Effect::Report { leader, report } => send(leader, Input::Report(report)),
            Effect::Truncate { to } => {
                self.cut = Some(to);
                self.is_flushing = false;
            }
            Effect::StartOver { at } => panic!("no log starts above 0, and one is to start over at {at}"),
            Effect::LogStart(to) => panic!("no log start moves, and one moves to {to}"),
            Effect::LeadershipRefused { offered, newest } => {
                panic!("{:?} was offered reign {offered}, its log has {newest}", self.me)
            }
            Effect::Retired(cause) => self.retired = Some(cause),
        }
    }

    /// The next frame of the stream to a follower, if there is news: at most `batches_max` batches.
    pub(crate) fn next_frame(&mut self, to: NodeId, batches_max: usize) -> Option<Message> {
        let stream = self.streams.get_mut(&to)?;
        let ahead = self.disk.batches.iter().filter(|batch| batch.end() > stream.cursor);
        let batches: Vec<StoredBatch> = ahead.take(batches_max).copied().collect();
        let high_watermark = self.partition.high_watermark();
        if batches.is_empty() && stream.sent == Some(high_watermark) {
            return None;
        }
        let (subscription, from) = (stream.number, stream.cursor);
        stream.cursor = batches.last().map_or(from, StoredBatch::end);
        stream.sent = Some(high_watermark);
        let log_start = Offset::ZERO;
        let frame = Replicated { subscription, from, batches, high_watermark, log_start };
        Some(Message { to, input: Input::Replicated(frame) })
    }

    /// The flush under way is done; with `write.caching` the storage flushes unasked.
    pub(crate) fn finish_flush(&mut self, now: Now, out: &mut Vec<Out>) {
        let asked = std::mem::take(&mut self.is_flushing);
        if self.cut.is_none() && (asked || self.config.write_caching) {
            self.disk.flushed = self.disk.end();
            self.handle(now, Input::Flushed { end: self.disk.end() }, out);
        }
    }

    /// The storage has cut the log.
    pub(crate) fn finish_cut(&mut self, now: Now, out: &mut Vec<Out>) {
        if let Some(to) = self.cut.take() {
            self.disk.cut(to);
            self.disk.flushed = self.disk.end();
            let left =
                self.disk.restore(now, self.config).finish_truncation().expect("it was replayed whole");
            self.handle(now, Input::Truncated(left), out);
        }
    }

    pub(crate) fn take_snapshot(&mut self) {
        if self.cut.is_none() {
            self.disk.snapshots.push(self.partition.producer_checkpoint());
        }
    }

    /// What a replay of the whole log from nothing gives.
    pub(crate) fn replayed(&self, now: Now) -> Partition {
        let bare = Disk { batches: self.disk.batches.clone(), ..Disk::default() };
        bare.restore(now, self.config).finish().expect("the log was replayed whole")
    }
}

fn without(partition: Partition, rule: Option<Rule>) -> Partition {
    match rule {
        Some(rule) => partition.without_rule(rule),
        None => partition,
    }
}
