//! How an append ends.

use weir_wire::ids::{LeaderEpoch, Offset, ProducerEpoch};

use super::messages::RetireCause;

/// The end of an append. The five differ in what the sender may do next, so a caller that matches on them alone is
/// right; the reasons are for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The batch is stored, once, and the promise was kept.
    Stored {
        /// Where its first record lies; `None` where it was stored too long ago to remember.
        base_offset: Option<Offset>,
        /// What was kept.
        promise: Promise,
        /// Whether an earlier try had stored it.
        duplicate: bool,
    },
    /// Send it again: either nothing was stored, or the producer's sequence makes a second try safe.
    Retry(RetryReason),
    /// A newer life of this producer is known; this one may not produce any more.
    Fenced {
        /// The life that holds.
        current: ProducerEpoch,
    },
    /// Nothing was stored, and sending the same again will not help.
    Failed(FailReason),
    /// It may or may not be stored, and nobody can say any more.
    Unknown(UnknownReason),
}

/// Which promise a stored batch was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// How many replicas are known to have it, at least; 0 where nothing was promised (`acks=0`).
    pub replicas: u32,
    /// Whether each of them has flushed it.
    pub flushed: bool,
}

/// Why to send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryReason {
    /// This replica does not lead.
    NotLeader,
    /// The sender believes in an older reign: refresh the metadata.
    FencedLeaderEpoch {
        /// The reign in force.
        current: LeaderEpoch,
    },
    /// The sender believes in a newer reign than this replica has heard of: it will hear of it.
    UnknownLeaderEpoch {
        /// The reign in force here.
        current: LeaderEpoch,
    },
    /// The part that `after` names is not stored here: reopen the lane and resend from the oldest unsettled batch.
    MissingPart,
    /// The batch leaves a gap behind the producer's last one, which may still be on its way.
    OutOfOrderSequence,
    /// Fewer replicas in sync than `min.insync.replicas`; nothing was stored.
    NotEnoughReplicas,
    /// Too many appends wait for their promise.
    Busy,
    /// The disk is nearly full: the shell answers so without asking the core, since nothing is to be decided.
    StorageFull,
    /// This replica's storage failed; another replica, or this one after recovery, will lead.
    Retired(RetireCause),
    /// It was appended, and then the promise could not be kept; a second try finds it or stores it.
    Interrupted(Interruption),
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailReason {
    /// Larger than `max.message.bytes`.
    MessageTooLarge {
        /// The limit, in bytes.
        limit: u32,
    },
    /// Its header contradicts itself or its check.
    InvalidBatch(InvalidBatch),
    /// The replica stopped for good because its topic was deleted.
    TopicDeleted,
    /// The partition has no offsets left.
    LogFull,
}

/// What contradicts what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidBatch {
    /// More records than offsets.
    MoreRecordsThanOffsets,
    /// A part of a lane holds at least one record and no gaps between its offsets.
    LanePartNotDense,
    /// A check of the producer's order was asked for a batch without a producer, or none for one with a producer.
    ProducerAndCheckDisagree,
    /// The sequence is not below the limit of its kind, or `after` is not below the sequence.
    SequenceOutOfRange,
    /// Control batches are written by nodes only.
    ControlBatch,
}

/// Why nobody can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownReason {
    /// Not the batch that was stored under its sequence: the pipeline made something else of it this time.
    NondeterministicPipeline,
    /// Its sequence is behind the newest stored one, and no remembered batch is its own: stored too long ago, given
    /// up before it came, or meant for another partition the first time.
    SequenceNotRemembered,
    /// It was appended without a producer, and then the promise could not be kept.
    Interrupted(Interruption),
}

/// What came between an append and its promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interruption {
    /// The replica leads no more.
    LeadershipLost,
    /// A replica left the ISR, or `min.insync.replicas` rose.
    NotEnoughReplicasAfterAppend,
    /// The replica stopped for good.
    Retired(RetireCause),
}
