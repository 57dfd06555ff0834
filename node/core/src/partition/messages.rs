//! What a replica is told, and what it asks for.

use serde::{Deserialize, Serialize};
use weir_wire::ids::{
    LeaderEpoch, NodeId, Offset, PartitionEpoch, ProducerEpoch, ProducerId, Revision, Sequence,
};
use weir_wire::lane::Acks;

use super::epochs::EpochCheckpoint;
use super::outcome::AppendOutcome;
use super::reign::{Following, Member, Reign};
use super::restore::Rebuilt;
use super::settings::PartitionConfig;
use super::subscription::{Replicated, Report, Subscribe, SubscribeAnswer, SubscriptionNumber};

/// Names one append from the moment it is asked until it is completed. The shell chooses the number and never uses
/// it twice for one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An operator has deleted what lies below: the log starts there as soon as so much is committed, whatever role this
    /// replica has, and whatever becomes of its log.
    DeleteRecords {
        /// The first offset that stays.
        before: Offset,
    },
    /// The metadata says that this replica leads.
    ///
    /// Ignored when the metadata is older than what is known (a lower leader epoch or partition epoch). The same reign
    /// again brings an ISR that the controller decided, or other lives of the replicas' nodes. A reign that is not
    /// above every epoch in the log is answered with [`Effect::LeadershipRefused`]: no (offset, epoch) may ever stand
    /// for two contents.
    BecomeLeader(Reign),
    /// The metadata says that this replica follows, or that nobody leads. Ignored as above when older.
    BecomeFollower(Following),
    /// To a leader: the controller refused [`Effect::ProposeIsr`] of this number for good, and changed nothing (a
    /// member is not eligible). Only where it said so: see [`Input::IsrUnknown`].
    IsrRefused(ProposalNumber),
    /// To a leader: nobody knows what became of the proposal of this number (no answer, or a refusal because another
    /// change came first, which may have been this one). It counts until newer metadata says what holds.
    IsrUnknown(ProposalNumber),
    /// To a leader: a follower asks to be sent this partition.
    Subscribe(Subscribe),
    /// To a leader: how far a follower is.
    Report(Report),
    /// To a leader: the follower wants no more, or its connection is gone.
    Unsubscribe {
        /// Whose.
        follower: Member,
        /// Which.
        subscription: SubscriptionNumber,
    },
    /// To a follower: what the leader said to its [`Effect::Subscribe`].
    SubscribeAnswered {
        /// Which.
        subscription: SubscriptionNumber,
        /// What.
        answer: SubscribeAnswer,
    },
    /// To a follower: batches or marks out of the leader's log. The shell keeps the bytes; they are needed when
    /// [`Effect::WriteReplicated`] asks for them, in the same call or never.
    Replicated(Replicated),
    /// To a follower: the leader ended the subscription, or the connection is gone. The next [`Input::Tick`] asks
    /// again.
    SubscriptionEnded(SubscriptionNumber),
    /// What [`Effect::Truncate`] or [`Effect::StartOver`] asked for is done, and this is what is left.
    Truncated(Rebuilt),
    /// The metadata says that this replica leads no more, or the node is handing its leaderships over.
    Resign,
    /// The topic was deleted. Final.
    Delete,
    /// The topic's configuration changed.
    Configure(PartitionConfig),
    /// Store a batch.
    Append(Append),
    /// Everything below `end` was written: a reader finds it, a power cut may lose it.
    Written {
        /// The end of what was written; a batch boundary.
        end: Offset,
    },
    /// Everything below `end` was flushed: a power cut does not lose it. Reported for the flushes that were asked
    /// for, and for any other that the storage did (when a segment rolls, at an interval, at shutdown).
    Flushed {
        /// The end of what was flushed; a batch boundary, at most what was reported written.
        end: Offset,
    },
    /// A write or a flush failed. Final for this replica: what a failed flush left behind is not known, so nothing
    /// may go on as if it had not happened. It comes back as a new [`super::Partition`] out of recovery.
    StorageFailed(StorageFault),
    /// Records below this are no longer wanted (retention, or a person deleted them). Cut to the high watermark.
    MoveLogStart {
        /// The first offset to keep.
        to: Offset,
    },
    /// Time passed. Wanted every 100 to 500 ms.
    Tick,
}

/// Numbers the ISR proposals of one replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProposalNumber(pub u64);

/// Which operation of the storage failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFault {
    /// Writing bytes.
    Write,
    /// Flushing them to the disk.
    Flush,
    /// Keeping them: what is read back is not what was written.
    Damage,
}

/// A batch to store. The shell keeps the bytes; they are needed when [`Effect::Write`] asks for them, in the same
/// call or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Append {
    /// The number under which it will be completed.
    pub request: RequestId,
    /// The reign that the sender believes in.
    pub leader_epoch: LeaderEpoch,
    /// What stands in the batch's header.
    pub batch: BatchMeta,
    /// How its place in the producer's order is checked.
    pub check: AppendCheck,
    /// The promise asked for.
    pub acks: Acks,
    /// The revision of the topic's pipeline that made it; `None` for the one that the topic was created with.
    pub revision: Option<Revision>,
}

/// What the core knows of a batch: fields of its header, none of which the core changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMeta {
    /// The size of the whole batch, header included.
    pub bytes: u32,
    /// How many records it holds. 0 is a batch that lost all of them to an interceptor.
    pub record_count: u32,
    /// The distance from its first to its last offset. Dense batches: the record count less one.
    pub last_offset_delta: u32,
    /// The highest timestamp of its records, milliseconds since 1970.
    pub max_timestamp_ms: i64,
    /// Whether it is a control batch: written by nodes, skipped by consumers, of no producer.
    pub is_control: bool,
    /// Which revision it marks, if it is a control batch that marks one. Not in the header: see
    /// [`StoredBatch::read`].
    pub revision: Option<Revision>,
    /// The producer, if it is idempotent.
    pub producer: Option<ProducerStamp>,
}

/// The producer fields of a batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerStamp {
    /// Who.
    pub id: ProducerId,
    /// In which of its lives.
    pub epoch: ProducerEpoch,
    /// The number of the batch's first record in the producer's stream (Kafka's contiguous producers), or of the
    /// first record of the lane batch that this is a part of.
    pub base_sequence: Sequence,
}

/// How a batch's place in its producer's order is checked before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendCheck {
    /// Not at all: the batch has no producer.
    Unchecked,
    /// As Kafka does: each batch of a producer starts with the sequence after the last one of the batch before it;
    /// for producers that name their partition. A producer that is not remembered may start anywhere, but only with
    /// the first batch of an opening: Kafka, which lacks the link, would let a second batch overtake a first one that
    /// was refused.
    Contiguous {
        /// The base sequence of the batch that this opening sent before; `None` for its first.
        after: Option<Sequence>,
    },
    /// As one part of a lane: sequences only grow, and `after` links the parts of one opening of the lane.
    Lane {
        /// The base sequence of the part that this opening sent to this partition before; `None` for its first.
        after: Option<Sequence>,
    },
}

/// A batch as it lies in the log, for replaying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Where.
    pub base_offset: Offset,
    /// In which reign it was appended.
    pub leader_epoch: LeaderEpoch,
    /// The rest of its header.
    pub batch: BatchMeta,
}

impl StoredBatch {
    /// The offset after its last one.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.base_offset + u64::from(self.batch.last_offset_delta) + 1
    }
}

/// Something to do. Effects are carried out in order, all of them before the next input is handled; what takes time
/// (a flush) is started in order and reports back as an input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write the batch of this request behind everything written before, stamped with these two.
    Write {
        /// The append that brought the bytes.
        request: RequestId,
        /// Where it lies.
        base_offset: Offset,
        /// The reign in which it lies.
        leader_epoch: LeaderEpoch,
    },
    /// Write a control batch that says that this revision holds from here on, behind everything written before, stamped
    /// with these two. The batch of the same request follows.
    WriteRevision {
        /// The append that is the first of its revision.
        request: RequestId,
        /// The revision.
        revision: Revision,
        /// Where the control batch lies.
        base_offset: Offset,
        /// The reign in which it lies.
        leader_epoch: LeaderEpoch,
    },
    /// Flush at least what was written below `up_to`, then report [`Input::Flushed`]. Never asked while an earlier
    /// one is under way: appends that arrive meanwhile share the next.
    Flush {
        /// The written end when it was asked.
        up_to: Offset,
    },
    /// Answer an append. Each request is completed once, unless it was waiting when the process died.
    Complete {
        /// Which.
        request: RequestId,
        /// How.
        outcome: AppendOutcome,
    },
    /// Records below this may be read from now on. Lower than before only after a truncation.
    HighWatermark(Offset),
    /// Nothing below this is served any more; segments that end at or below it may go.
    LogStart(Offset),
    /// Store this durably, now, before the next input: the reigns of the log (INVARIANTS 5 and 7 of the epoch
    /// cache: additions are flushed before they count).
    SaveEpochs(EpochCheckpoint),
    /// The offered reign cannot be taken; the metadata and the log contradict each other. Tell a person.
    LeadershipRefused {
        /// The reign that was offered.
        offered: LeaderEpoch,
        /// The newest reign in the log.
        newest: LeaderEpoch,
    },
    /// Ask the controller to make this the ISR (KIP-497): one command, compared with the partition epoch. Never asked
    /// while an earlier one of the same partition epoch is without an answer. Applied: the next image says so, by
    /// [`Input::BecomeLeader`].
    /// Anything else: [`Input::IsrRefused`] or [`Input::IsrUnknown`].
    ProposeIsr {
        /// The number to answer with.
        proposal: ProposalNumber,
        /// The reign that proposes.
        leader_epoch: LeaderEpoch,
        /// What the controller compares.
        partition_epoch: PartitionEpoch,
        /// The whole ISR, with the lives that the leader means. It may be the one in force: then it only settles what
        /// became of an earlier proposal, and must raise the partition epoch all the same.
        isr: Vec<Member>,
        /// Who has flushed everything that was acknowledged while `write.caching` was on, if the controller does not
        /// know it yet.
        flushed: Vec<NodeId>,
    },
    /// Leader: answer a follower's [`Input::Subscribe`] with anything but [`SubscribeAnswer::Subscribed`].
    AnswerSubscribe {
        /// To whom.
        follower: Member,
        /// Which.
        subscription: SubscriptionNumber,
        /// What.
        answer: SubscribeAnswer,
    },
    /// Leader: answer [`SubscribeAnswer::Subscribed`], then stream whole batches from `from` up to the written end as
    /// it grows, and the high watermark and log start as they change, until [`Effect::EndSubscription`]. A stream that
    /// the log start has overtaken cannot go on: report [`Input::Unsubscribe`], and the follower starts over.
    AcceptSubscription {
        /// To whom.
        follower: Member,
        /// Under which number.
        subscription: SubscriptionNumber,
        /// The follower's log end.
        from: Offset,
    },
    /// Leader: stop streaming under this number and tell the follower that it ended.
    EndSubscription {
        /// Whose.
        follower: Member,
        /// Which.
        subscription: SubscriptionNumber,
    },
    /// Follower: ask the leader. An earlier subscription of this partition is over: its frames need not come any more.
    Subscribe(Subscribe),
    /// Follower: this subscription is over; tell the leader.
    Unsubscribe {
        /// Whom.
        leader: Member,
        /// Which.
        subscription: SubscriptionNumber,
    },
    /// Follower: write the batches of the frame in hand as they are, but for the first `skip`, which are in the log
    /// already; then report [`Input::Written`].
    WriteReplicated {
        /// How many to leave out.
        skip: usize,
        /// Where the first one to be written starts: at the log's end, or, right after [`Effect::StartOver`], below it.
        base_offset: Offset,
        /// Where the last one ends.
        end: Offset,
    },
    /// Follower: tell the leader how far this replica is.
    Report {
        /// Whom.
        leader: Member,
        /// What.
        report: Report,
    },
    /// Follower: cut the log, as one unit: batches that end above `to`, the indexes and snapshots that know of them;
    /// then put what is left together with [`super::Restore`] and report [`Input::Truncated`]. Nothing else is asked of
    /// the storage meanwhile.
    Truncate {
        /// The highest end that the log may have.
        to: Offset,
    },
    /// Follower: throw all of the log away and begin an empty one; then as after [`Effect::Truncate`].
    StartOver {
        /// Where the empty log starts and ends.
        at: Offset,
    },
    /// This replica stopped for good; what it had committed may still be read unless the topic is deleted.
    Retired(RetireCause),
}

/// Why a replica stopped for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetireCause {
    /// A write failed.
    WriteFailed,
    /// A flush failed.
    FlushFailed,
    /// The disk changed what it had stored, and other replicas in sync have it as it was.
    Damaged,
    /// Its topic was deleted.
    Deleted,
    /// Its leader's log ends, or parts from this one, below what was committed: one of the two is wrong, and a follower
    /// that obeyed would destroy what may be the only copies.
    WouldCutCommitted {
        /// Where it would have cut.
        to: Offset,
        /// The end of what it knows to be committed.
        high_watermark: Offset,
    },
}
