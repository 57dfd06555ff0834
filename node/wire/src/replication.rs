//! Replication between nodes: numbered subscriptions, data as it comes, reports that acknowledge.
//!
//! A follower dials the leader (ALPN `weir-repl/1`) and opens two streams. All talk about subscriptions goes over the
//! *live* stream, whose frames the follower always drains; the *catch-up* stream carries bulk data for what lags,
//! at a lower priority and only as far as the follower's byte credit goes.
//!
//! ```text
//!  follower                               leader
//!     Subscribe 7 (end, last epoch)  ──▶  does the history part from mine?
//!     ◀──  Diverged 7 (epoch, end)        yes: truncate, ask again under a new number
//!     ◀──  Subscribed 7 (from)            no: the leader sets the position
//!     ◀──  Data 7, Data 7, HighWatermark 7 ...
//!     Report 7 (end, flushed)        ──▶  the acknowledgement
//! ```
//!
//! A subscription's number is chosen by the follower and never used twice in a process, so whatever a reconnect, a
//! truncation or a new reign left on the way is recognised by its number and dropped, on both sides.

use serde::{Deserialize, Serialize};

use crate::error::WireError;
use crate::frame::Limits;
use crate::ids::{ClusterId, Incarnation, LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId};

/// The most subscriptions that one follower may hold at one leader: every partition of a full cluster.
pub const REPLICA_SUBSCRIPTIONS_MAX: usize = 200_000;
/// About how many payload bytes one data frame holds at most; a larger single batch travels alone.
pub const REPLICA_FRAME_BYTES: usize = 1024 * 1024;
/// What both replication streams may carry per frame: the payload is record batches, and the longest that a log holds
/// travels alone.
pub const REPLICA_LIMITS: Limits = Limits { header_bytes_max: 4 * 1024, payload_bytes_max: 64 * 1024 * 1024 };
/// The most credit that a catch-up stream may have, in bytes; grants above it are cut.
pub const CATCH_UP_CREDIT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Payload of the opening frame of both replication streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaOpen {
    /// The cluster that the follower belongs to.
    pub cluster: ClusterId,
    /// The follower. Its certificate must say the same.
    pub follower: NodeId,
    /// The follower's life.
    pub incarnation: Incarnation,
    /// Which two streams belong together; a number never used before by this process.
    pub session: u64,
}

/// Names one subscription: a follower's place at the leader of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subscription(pub u64);

/// Header of a frame from the follower. No payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FollowerFrame {
    /// Follow a partition from here on. Live stream only.
    Subscribe {
        /// A number never used before by this process; they only grow.
        subscription: Subscription,
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
        /// The reign that the follower follows.
        leader_epoch: LeaderEpoch,
        /// The life of the leader that the follower believes in.
        leader_incarnation: Incarnation,
        /// The follower's log end.
        log_end: Offset,
        /// The end of what the follower has flushed.
        flushed_end: Offset,
        /// The reign of the follower's last batch; `None` for an empty log.
        last_epoch: Option<LeaderEpoch>,
    },
    /// How far the follower is. The acknowledgement of everything below. Live stream only.
    Report {
        /// The subscription.
        subscription: Subscription,
        /// The end of what is written.
        log_end: Offset,
        /// The end of what is flushed.
        flushed_end: Offset,
    },
    /// Send no more of it. Live stream only.
    Unsubscribe {
        /// The subscription.
        subscription: Subscription,
    },
    /// Allow so many more payload bytes. Catch-up stream only.
    Credit {
        /// Bytes to add.
        bytes: u64,
    },
}

/// Header of a frame from the leader.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaderFrame {
    /// The follower's history is the beginning of the leader's: data follows. No payload.
    Subscribed {
        /// The subscription.
        subscription: Subscription,
        /// Where data starts: the follower's log end.
        from: Offset,
        /// The leader's high watermark.
        high_watermark: Offset,
        /// The first offset that the leader still serves.
        log_start: Offset,
    },
    /// The follower's history parts from the leader's (KIP-320). The subscription is over. No payload.
    Diverged {
        /// The subscription.
        subscription: Subscription,
        /// The largest reign of the leader's log that is not above the follower's last one.
        epoch: LeaderEpoch,
        /// Where that reign ends in the leader's log.
        end: Offset,
    },
    /// The follower's log ends where the leader's has not begun, or beyond its end: it must start over. The subscription
    /// is over. No payload.
    OutOfRange {
        /// The subscription.
        subscription: Subscription,
        /// The first offset that the leader still serves.
        log_start: Offset,
    },
    /// The subscription is over, or never was: ask again when the metadata moved, or after a pause. No payload.
    Ended {
        /// The subscription.
        subscription: Subscription,
        /// Why.
        error: WireError,
    },
    /// Whole record batches, byte for byte as they lie in the leader's log.
    Data {
        /// The subscription.
        subscription: Subscription,
        /// Where the frame before it ended, on whichever stream that came; at first [`LeaderFrame::Subscribed`]'s `from`.
        from: Offset,
        /// The leader's high watermark.
        high_watermark: Offset,
        /// The first offset that the leader still serves.
        log_start: Offset,
    },
    /// A mark moved and there is no data to carry it. No payload. Live stream only.
    Marks {
        /// The subscription.
        subscription: Subscription,
        /// As in [`LeaderFrame::Data`].
        from: Offset,
        /// The leader's high watermark.
        high_watermark: Offset,
        /// The first offset that the leader still serves.
        log_start: Offset,
    },
}

impl LeaderFrame {
    /// The subscription that the frame is about.
    #[must_use]
    pub fn subscription(&self) -> Subscription {
        match self {
            LeaderFrame::Subscribed { subscription, .. }
            | LeaderFrame::Diverged { subscription, .. }
            | LeaderFrame::OutOfRange { subscription, .. }
            | LeaderFrame::Ended { subscription, .. }
            | LeaderFrame::Data { subscription, .. }
            | LeaderFrame::Marks { subscription, .. } => *subscription,
        }
    }
}
