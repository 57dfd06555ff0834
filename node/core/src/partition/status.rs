//! What others may know of a replica: its marks, its role, its figures.

use std::collections::BTreeSet;

use weir_wire::ids::{LeaderEpoch, NodeId, Offset, ProducerId};

use super::epochs::{EpochCheckpoint, EpochEnd};
use super::messages::RetireCause;
use super::producers::ProducerCheckpoint;
use super::reign::Member;
use super::revisions::RevisionProgress;
use super::subscription::SubscriptionNumber;
use super::{Partition, Role};

/// Figures for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionStats {
    /// Producers that are remembered.
    pub producers: usize,
    /// Producers that were forgotten because there were too many of them, since this replica started.
    pub producers_evicted: u64,
    /// Producers that were forgotten because they were quiet, since this replica started.
    pub producers_expired: u64,
    /// Appends that wait for their promise.
    pub waiting: usize,
}

/// A follower, as its leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerStatus {
    /// Who, and in which life.
    pub member: Member,
    /// The subscription in force.
    pub subscription: Option<SubscriptionNumber>,
    /// Where its log ends, if it said so in this reign.
    pub log_end: Option<Offset>,
    /// Where what it has flushed ends, if it said so in this reign.
    pub flushed_end: Option<Offset>,
}

impl Partition {
    /// The first offset that is served.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.log.ends.log_start
    }

    /// The end of what is committed, as this replica knows it.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.log.ends.high_watermark
    }

    /// The next offset to be given out.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log.ends.end
    }

    /// The end of what is written.
    #[must_use]
    pub fn written_end(&self) -> Offset {
        self.log.ends.written
    }

    /// The end of what is flushed.
    #[must_use]
    pub fn flushed_end(&self) -> Offset {
        self.log.ends.flushed
    }

    /// Whether something is due once time has passed: then [`Input::Tick`](super::Input::Tick) is wanted. A replica that
    /// is at rest, and whose others are, needs none.
    #[must_use]
    pub fn awaits_time(&self) -> bool {
        let of_role = match &self.role {
            Role::Leader(leader) => leader.progress.awaits_time(&self.log),
            Role::Follower(follower) => follower.awaits_time(),
            Role::Idle | Role::Retired { .. } => false,
        };
        of_role || self.log.awaits_flush()
    }

    /// The reign in which this replica leads, if it does.
    #[must_use]
    pub fn leading(&self) -> Option<LeaderEpoch> {
        match &self.role {
            Role::Leader(leader) => Some(leader.epoch),
            Role::Idle | Role::Follower(_) | Role::Retired { .. } => None,
        }
    }

    /// Where the log ended when this replica's reign began, if it leads. Until the high watermark is there, more may be
    /// committed than it says.
    #[must_use]
    pub fn reign_start(&self) -> Option<Offset> {
        match &self.role {
            Role::Leader(leader) => Some(leader.progress.epoch_start()),
            Role::Idle | Role::Follower(_) | Role::Retired { .. } => None,
        }
    }

    /// The leader that this replica follows, if it follows one.
    #[must_use]
    pub fn following(&self) -> Option<Member> {
        match &self.role {
            Role::Follower(follower) => follower.leader,
            Role::Idle | Role::Leader(_) | Role::Retired { .. } => None,
        }
    }

    /// The subscription under which this replica follows, if its leader accepted one that stands.
    #[must_use]
    pub fn subscription(&self) -> Option<SubscriptionNumber> {
        match &self.role {
            Role::Follower(follower) if self.cutting.is_none() => follower.subscription(),
            Role::Idle | Role::Leader(_) | Role::Follower(_) | Role::Retired { .. } => None,
        }
    }

    /// The replicas in sync as the controller decided it, if this one leads.
    #[must_use]
    pub fn isr(&self) -> Option<&BTreeSet<NodeId>> {
        match &self.role {
            Role::Leader(leader) => Some(leader.progress.isr.decided()),
            Role::Idle | Role::Follower(_) | Role::Retired { .. } => None,
        }
    }

    /// The other replicas, if this one leads.
    #[must_use]
    pub fn followers(&self) -> Vec<FollowerStatus> {
        match &self.role {
            Role::Leader(leader) => leader.progress.status(),
            Role::Idle | Role::Follower(_) | Role::Retired { .. } => Vec::new(),
        }
    }

    /// Why this replica stopped for good, if it did.
    #[must_use]
    pub fn retired(&self) -> Option<RetireCause> {
        match self.role {
            Role::Retired { cause, .. } => Some(cause),
            Role::Idle | Role::Leader(_) | Role::Follower(_) => None,
        }
    }

    /// The newest reign in the log or in force; `None` before the first.
    #[must_use]
    pub fn newest_epoch(&self) -> Option<LeaderEpoch> {
        self.log.epochs.newest().map(|newest| newest.epoch)
    }

    /// Where a reign ended: what a follower or consumer compares its own history with (KIP-101, KIP-320). `None` for a
    /// reign newer than any in this log.
    #[must_use]
    pub fn end_offset_for(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        self.log.epochs.end_of(epoch, self.log.ends.end)
    }

    /// The reigns of the log, to be stored beside it.
    #[must_use]
    pub fn epoch_checkpoint(&self) -> EpochCheckpoint {
        self.log.epochs.checkpoint()
    }

    /// The producers and revisions of the log, to be stored beside it under the offset that it names, when a segment rolls and at
    /// shutdown. Restoring needs one at or below the end of the log that recovery finds, so keep the last few, and
    /// delete those above that end before anything is appended: they tell of batches that are gone.
    #[must_use]
    pub fn producer_checkpoint(&self) -> ProducerCheckpoint {
        self.log.producers.checkpoint(self.log.ends.end, self.log.revisions.starts())
    }

    /// How far the log is with the newest revision of the pipeline that it has a marker of.
    #[must_use]
    pub fn revision_progress(&self) -> Option<RevisionProgress> {
        self.log.revisions.progress()
    }

    /// The producers that are remembered: of each the newest batch must stay in the log.
    #[must_use]
    pub fn remembered_producers(&self) -> BTreeSet<ProducerId> {
        self.log.producers.ids().collect()
    }

    /// Figures for metrics.
    #[must_use]
    pub fn stats(&self) -> PartitionStats {
        let waiting = match &self.role {
            Role::Leader(leader) => leader.waiting.len(),
            Role::Idle | Role::Follower(_) | Role::Retired { .. } => 0,
        };
        PartitionStats {
            producers: self.log.producers.len(),
            producers_evicted: self.log.producers.evicted(),
            producers_expired: self.log.producers.expired(),
            waiting,
        }
    }
}
