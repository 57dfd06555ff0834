//! What a leader and a follower of one partition tell each other. Each type is one frame of the replication streams;
//! the shell carries them and decides nothing.
//!
//! ```text
//!  follower                                              leader
//!     |  Subscribe (number, reign, both lives, log end)    |
//!     |--------------------------------------------------->|  compare histories
//!     |        Diverged: cut there, subscribe again        |
//!     |<---------------------------------------------------|
//!     |        Subscribed: the leader set my position      |
//!     |<---------------------------------------------------|
//!     |        Replicated (batches, high watermark)        |
//!     |<===================================================|
//!     |  Report (log end, flushed end)                     |
//!     |===================================================>|
//! ```

use weir_wire::ids::{LeaderEpoch, NodeId, Offset};

use super::epochs::EpochEnd;
use super::messages::StoredBatch;
use super::reign::Member;

/// Numbers the subscriptions of one replica, whoever led: they only grow within a life of its node, so a frame that
/// names one can be told from every late one (INVARIANTS 56).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionNumber(pub u64);

/// A follower asks for a partition. Asking again ends its earlier subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe {
    /// Who asks, and in which life.
    pub follower: Member,
    /// Whom it asks, and in which life it believes it to be.
    pub leader: Member,
    /// The reign that it believes in.
    pub leader_epoch: LeaderEpoch,
    /// The number under which all that follows will travel.
    pub subscription: SubscriptionNumber,
    /// Where its log ends; everything below is written.
    pub log_end: Offset,
    /// Where what it has flushed ends.
    pub flushed_end: Offset,
    /// The reign of the last batch in its log; `None` if its log is empty.
    pub last_epoch: Option<LeaderEpoch>,
}

/// How far a follower is: the acknowledgement of everything below. Only the newest counts, so a shell may leave out
/// one that a newer one of the same subscription overtakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Whose report.
    pub follower: Member,
    /// Under which number.
    pub subscription: SubscriptionNumber,
    /// Where what it has written ends.
    pub log_end: Offset,
    /// Where what it has flushed ends.
    pub flushed_end: Offset,
}

/// The leader's answer to a [`Subscribe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeAnswer {
    /// The follower's log is the beginning of the leader's: batches follow from its log end.
    Subscribed,
    /// It is not: the leader has `EpochEnd` for the reign that the follower named. The follower cuts and asks again.
    Diverged(EpochEnd),
    /// The follower's log cannot be joined to the leader's, which starts at the offset: it starts over there.
    OutOfRange {
        /// The first offset that the leader has.
        log_start: Offset,
    },
    /// Not now, or not this way.
    Refused(SubscribeRefusal),
}

/// Why a leader does not serve a follower. All pass, as one of the two will hear newer metadata, but for
/// [`AheadOfLeader`](SubscribeRefusal::AheadOfLeader) where an epoch in the follower's log is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeRefusal {
    /// It does not lead.
    #[error("this replica does not lead the partition")]
    NotLeader,
    /// The follower believes in an older reign (KIP-320).
    #[error("the follower names an older leader epoch than {current}")]
    FencedLeaderEpoch {
        /// The reign in force.
        current: LeaderEpoch,
    },
    /// The follower believes in a newer reign than the leader has heard of (KIP-320).
    #[error("the follower names a newer leader epoch than {current}, which is the newest known here")]
    UnknownLeaderEpoch {
        /// The reign in force here.
        current: LeaderEpoch,
    },
    /// The follower means another life of the leader.
    #[error("the follower means another incarnation of the leader")]
    OtherLeader,
    /// The follower is not assigned to the partition, as far as the leader has heard.
    #[error("node {node} has no replica of the partition, as far as is known here")]
    NotAssigned {
        /// Who asked.
        node: NodeId,
    },
    /// Another life of the follower is registered, as far as the leader has heard (KIP-903).
    #[error("another incarnation of the follower is registered, as far as is known here")]
    OtherFollower,
    /// The follower has a newer reign in its log than the leader.
    #[error("the follower's log holds leader epoch {last_epoch}, above the leader's own")]
    AheadOfLeader {
        /// The newest reign in the follower's log.
        last_epoch: LeaderEpoch,
    },
}

/// Batches on their way from the leader's log to a follower's, or none and a new mark. One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replicated {
    /// Under which number.
    pub subscription: SubscriptionNumber,
    /// Where the frame goes on: the end of the last batch of the frame before it; for the first, the follower's log
    /// end as it subscribed. (The first batch may start above it, where compaction left a gap.)
    pub from: Offset,
    /// The headers of the batches, in order.
    pub batches: Vec<StoredBatch>,
    /// The leader's high watermark.
    pub high_watermark: Offset,
    /// The first offset that the leader serves.
    pub log_start: Offset,
}
