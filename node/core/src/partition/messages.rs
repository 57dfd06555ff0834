//! What a replica is told, and what it asks for.

use serde::{Deserialize, Serialize};
use weir_wire::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use weir_wire::lane::Acks;

use super::epochs::EpochCheckpoint;
use super::outcome::AppendOutcome;
use super::settings::PartitionConfig;

/// Names one append from the moment it is asked until it is completed. The shell chooses the number and never uses
/// it twice for one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The metadata says that this replica leads from now on.
    ///
    /// Ignored when the reign is older than the one in force. The same reign again only updates the replication
    /// factor. A reign that is not above every epoch in the log is answered with [`Effect::LeadershipRefused`]:
    /// no (offset, epoch) may ever stand for two contents.
    BecomeLeader {
        /// The number of the reign.
        leader_epoch: LeaderEpoch,
        /// How many replicas are assigned, in sync or not.
        replication_factor: u32,
    },
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
    /// Time passed. Wanted about once a minute.
    Tick,
}

/// Which operation of the storage failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFault {
    /// Writing bytes.
    Write,
    /// Flushing them to the disk.
    Flush,
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
    /// Records below this may be read from now on.
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
    /// Its topic was deleted.
    Deleted,
}
