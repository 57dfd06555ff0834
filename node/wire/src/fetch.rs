//! The fetch stream: partitions, positions and credit.
//!
//! A consumer opens one stream per leader, subscribes partitions at positions and grants bytes of credit. The node
//! sends what is committed as it becomes readable, as far as credit goes; a batch is never split, so a frame may
//! overdraw the credit once. Nobody polls an empty log.
//!
//! Each subscription has a number chosen by the client. Seeking is a new subscription: frames of an overtaken number
//! are ignored, and the credit that they used comes back with them.

use serde::{Deserialize, Serialize};

use crate::error::WireError;
use crate::ids::{ClusterId, LeaderEpoch, Offset, PartitionIndex, TopicId};

/// The most partitions that one fetch stream may hold.
pub const FETCH_SUBSCRIPTIONS_MAX: usize = 10_000;
/// The most credit that a stream may have, in bytes; grants above it are cut.
pub const FETCH_CREDIT_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Payload of the opening frame of a fetch stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchOpen {
    /// The cluster that the client means.
    pub cluster: ClusterId,
    /// About how many bytes of one partition a frame should hold at most; a larger single batch is sent alone.
    pub frame_bytes_max: u32,
}

/// The place of a consumer in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the record before it, if known; the node checks it against its own history (KIP-320).
    pub epoch: Option<LeaderEpoch>,
}

/// Header of a frame from the consumer. No payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchCommand {
    /// Start sending a partition.
    Subscribe {
        /// The subscription's number, never used before on this stream.
        subscription: u64,
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
        /// The reign that the client knows.
        leader_epoch: LeaderEpoch,
        /// Where to start.
        position: Position,
    },
    /// Stop sending a partition.
    Unsubscribe {
        /// The subscription's number.
        subscription: u64,
    },
    /// Allow so many more payload bytes.
    Credit {
        /// Bytes to add.
        bytes: u64,
    },
}

/// Header of a frame from the node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchEvent {
    /// Whole record batches, all of them below the high watermark. The first may start before the position.
    Data {
        /// The subscription.
        subscription: u64,
        /// Where the next frame will start.
        next_offset: Offset,
        /// The end of what may be read at the moment.
        high_watermark: Offset,
        /// The reign that serves.
        leader_epoch: LeaderEpoch,
    },
    /// Everything committed has been sent; more follows when there is more. A new leader says so only when it knows of
    /// everything that the last one committed. No payload.
    CaughtUp {
        /// The subscription.
        subscription: u64,
        /// The end of what may be read at the moment, equal to the position.
        high_watermark: Offset,
    },
    /// The subscription ended. No payload.
    Ended {
        /// The subscription.
        subscription: u64,
        /// Why.
        reason: FetchEnd,
    },
}

/// Why a subscription ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchEnd {
    /// The position is outside of what is stored: choose another by the reset policy.
    OutOfRange {
        /// The first offset still stored.
        log_start: Offset,
        /// The high watermark.
        high_watermark: Offset,
    },
    /// The log was truncated below the position since it was read (KIP-320): records that were read are gone.
    Truncated {
        /// Where the consumer's history and the log part.
        diverges_at: Position,
    },
    /// Anything else, typed.
    Error(WireError),
}
