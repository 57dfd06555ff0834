//! The produce stream: a lane.
//!
//! A lane is one topic id, one acks level, one producer id and epoch, perhaps one guessed partition, and one total
//! order of batches. The client opens it with [`LaneOpen`], then sends [`LaneBatch`] frames whose payload is one
//! record batch, and the node answers each with a [`LaneAnswer`], in any order.
//!
//! The producer id, epoch and base sequence stand in each batch's own header too, under its checksum; the node
//! refuses a batch whose header disagrees with its lane.

use serde::{Deserialize, Serialize};

use crate::error::WireError;
use crate::ids::{
    ClusterId, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Revision, Sequence, TopicId,
};

/// Lane sequences stay below this, so that they never wrap: the client settles the lane and goes on at the next
/// producer epoch with sequence 0.
pub const LANE_SEQUENCE_MAX: Sequence = Sequence(1 << 30);

/// The most batches of one lane that may be unanswered at a time; the node reads no further.
pub const LANE_BATCHES_IN_FLIGHT_MAX: usize = 64;

/// What must hold before a produce is answered (Kafka's `acks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Acks {
    /// Nothing: the batch was received.
    None,
    /// The leader has it (flushed, unless the topic says `write.caching=true`).
    Leader,
    /// Every replica in sync has it (flushed, unless the topic says `write.caching=true`).
    All,
}

impl std::str::FromStr for Acks {
    type Err = String;

    fn from_str(text: &str) -> Result<Acks, String> {
        match text {
            "0" => Ok(Acks::None),
            "1" => Ok(Acks::Leader),
            "all" | "-1" => Ok(Acks::All),
            _ => Err(format!("acks is 0, 1 or all, not '{text}'")),
        }
    }
}

/// Payload of the opening frame of a produce stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneOpen {
    /// The cluster that the client means.
    pub cluster: ClusterId,
    /// The topic.
    pub topic: TopicId,
    /// The lane's own producer id; `None` for a producer without idempotence.
    pub producer: Option<(ProducerId, ProducerEpoch)>,
    /// The promise asked for, for every batch of the lane.
    pub acks: Acks,
    /// The pipeline revision that the batches are made for.
    pub revision: Revision,
    /// Where the batches go.
    pub target: LaneTarget,
}

/// Where the batches of a lane go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LaneTarget {
    /// To this partition, whatever the partitioner would say; sequences are contiguous as Kafka's are.
    Explicit {
        /// The partition.
        partition: PartitionIndex,
        /// Its reign as the client knows it.
        leader_epoch: LeaderEpoch,
    },
    /// Where the partitioner says; the client expects this partition and has entered at its leader.
    Guessed {
        /// The partition.
        partition: PartitionIndex,
        /// Its reign as the client knows it.
        leader_epoch: LeaderEpoch,
    },
    /// Where the partitioner says.
    Unguessed,
}

/// Header of a frame that carries one batch of a lane; the payload is the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneBatch {
    /// The batch's number in its lane, from 0, kept when it is sent again.
    pub ordinal: u64,
    /// Whether it was sent before, in this or an earlier opening.
    pub resent: bool,
}

/// Header of the answer to one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneAnswer {
    /// The batch's number in its lane.
    pub ordinal: u64,
    /// Which promise was kept for the stored records.
    pub promise: Promise,
    /// What became of the records, each outcome once.
    pub outcomes: Vec<Outcome>,
    /// Which records had which outcome, in the order of the batch.
    pub runs: Vec<Run>,
}

/// A run of neighbouring records of a batch with the same outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// How many records.
    pub records: u32,
    /// Index into the answer's outcomes.
    pub outcome: u32,
}

/// What became of some records of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// Stored: the first record of this outcome has the base offset, the following ones the following offsets.
    Stored {
        /// The partition.
        partition: PartitionIndex,
        /// The first offset; `None` where it is stored but too long ago for the partition to remember where.
        base_offset: Option<Offset>,
        /// Whether an earlier try had stored it.
        duplicate: bool,
    },
    /// Dropped by an interceptor, as its operator wants.
    Dropped,
    /// Rejected by an interceptor, with its reason.
    Rejected(WireError),
    /// Not stored, and sending the same again will not help.
    Failed(WireError),
    /// Not stored by this try: reopen the lane and send again from the oldest unsettled batch.
    Retry(WireError),
    /// May or may not be stored, and nobody can say any more.
    Unknown(WireError),
}

impl Outcome {
    /// Whether the record needs no further try.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !matches!(self, Outcome::Retry(_))
    }
}

/// The promise that was kept for the stored records of a batch: the weakest over its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// How many replicas have the records.
    pub replicas: u32,
    /// Whether each of them has flushed the records to its disk.
    pub flushed: bool,
    /// The pipeline revision that made the records. In an answer that is [`ErrorCode::StaleRevision`] throughout, the one
    /// that is in force: the lane can go on there without asking.
    ///
    /// [`ErrorCode::StaleRevision`]: crate::error::ErrorCode::StaleRevision
    pub revision: Revision,
}
