//! From what lies on disk back to a replica.

use weir_wire::ids::{LeaderEpoch, Offset};

use super::Partition;
use super::epochs::{EpochCache, EpochCheckpoint};
use super::log_state::{LogEnds, LogState};
use super::messages::StoredBatch;
use super::producers::{ProducerCheckpoint, Producers};
use super::revisions::Revisions;
use super::settings::PartitionConfig;
use crate::time::Now;

/// What recovery found beside and in the segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    /// The first offset that is served.
    pub log_start: Offset,
    /// The end of the last whole batch.
    pub log_end: Offset,
    /// The end of what is known to be flushed; the recovery point. Cut to the log.
    pub flushed_end: Offset,
    /// The high watermark checkpoint. A hint: it may be stale or missing (0), and is cut to the log.
    pub high_watermark: Offset,
    /// The reigns. Without them they are read off the log.
    pub epochs: Option<EpochCheckpoint>,
    /// The newest producer snapshot at or below the log end. Without one producers are read off the log.
    pub producers: Option<ProducerCheckpoint>,
}

/// A replica that is being put together. Give it every batch from [`Restore::replay_from`] on, then finish it.
#[derive(Clone, Debug)]
pub struct Restore {
    now: Now,
    log: LogState,
    /// Where the next batch must start, or above (compaction leaves gaps).
    next: Offset,
    /// Where batches begin that the producers do not know yet.
    producers_from: Offset,
    /// The reign of the last replayed batch.
    last_epoch: Option<LeaderEpoch>,
}

/// What is left of a replica's log after [`super::Effect::Truncate`] or [`super::Effect::StartOver`]: its marks,
/// reigns and producers, for [`super::Input::Truncated`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    pub(super) log: Box<LogState>,
}

/// Why a replica cannot be put together. All final: fall back to older checkpoints, or to none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A log ends before it starts.
    #[error("the log ends at {log_end}, before its start at {log_start}")]
    EndsBeforeStart {
        /// The claimed start.
        log_start: Offset,
        /// The claimed end.
        log_end: Offset,
    },
    /// Reigns out of order.
    #[error("the leader epoch checkpoint is not in order: restore without it, from the log")]
    EpochsOutOfOrder,
    /// The snapshot knows of batches that the log no longer has.
    #[error(
        "the producer snapshot reaches up to {snapshot_end}, the log only to {log_end}: use an older snapshot"
    )]
    SnapshotAheadOfLog {
        /// The end that the snapshot stands for.
        snapshot_end: Offset,
        /// The end of the log.
        log_end: Offset,
    },
    /// The snapshot contradicts itself.
    #[error("the producer snapshot contradicts itself: use an older one, or none")]
    SnapshotUnsound,
    /// A batch that starts before its predecessor's end.
    #[error("the batch at {base_offset} starts before the end of the batch before it, {expected}")]
    OffsetsWentBack {
        /// The lowest offset that could follow.
        expected: Offset,
        /// The one found.
        base_offset: Offset,
    },
    /// A batch of an older reign than its predecessor's.
    #[error("the batch at {base_offset} has leader epoch {found}, below {newest} before it")]
    EpochWentBack {
        /// Where.
        base_offset: Offset,
        /// The batch's epoch.
        found: LeaderEpoch,
        /// The epoch before it.
        newest: LeaderEpoch,
    },
    /// Not every batch was replayed, or more than there are.
    #[error("the batches end at {reached}, the log at {log_end}")]
    WrongEnd {
        /// The end of the last replayed batch.
        reached: Offset,
        /// The end of the log.
        log_end: Offset,
    },
}

impl Restore {
    /// Starts with the checkpoints.
    ///
    /// # Errors
    /// When they contradict each other or themselves.
    pub fn new(now: Now, config: PartitionConfig, found: Checkpoints) -> Result<Restore, RestoreError> {
        let Checkpoints { log_start, log_end, flushed_end, high_watermark, epochs, producers } = found;
        if log_end < log_start {
            return Err(RestoreError::EndsBeforeStart { log_start, log_end });
        }
        let epochs_known = epochs.is_some();
        let mut epochs =
            EpochCache::load(epochs.unwrap_or_default()).ok_or(RestoreError::EpochsOutOfOrder)?;
        // Truncations of the stored cache may be late; the log decides. A reign that starts right at the log end stays:
        // this replica did begin it, and may have lost what it wrote, so it must not be begun again.
        epochs.truncate_from_end(log_end + 1);
        epochs.truncate_from_start(log_start);
        let snapshot_end = producers.as_ref().map(|snapshot| snapshot.end);
        if let Some(snapshot_end) = snapshot_end.filter(|end| *end > log_end) {
            return Err(RestoreError::SnapshotAheadOfLog { snapshot_end, log_end });
        }
        let (producers, revisions) = match producers {
            Some(snapshot) => {
                let revisions = Revisions::load(&snapshot.revisions, snapshot.end);
                let producers = Producers::load(now, snapshot);
                producers.zip(revisions).ok_or(RestoreError::SnapshotUnsound)?
            }
            None => (Producers::new(), Revisions::default()),
        };
        let producers_from = snapshot_end.unwrap_or(log_start);
        let next = if epochs_known { producers_from.max(log_start) } else { log_start };
        let ends = LogEnds {
            log_start,
            high_watermark: high_watermark.clamp(log_start, log_end),
            flushed: flushed_end.clamp(log_start, log_end),
            written: log_end,
            end: log_end,
        };
        let mut log = LogState::new(config, ends, epochs, producers, revisions);
        log.revisions.truncate_from_start(log_start);
        Ok(Restore { now, log, next, producers_from, last_epoch: None })
    }

    /// Where replaying starts; batches that end at or below it are not wanted, and only the first may start below it.
    /// At the log end there is nothing to do.
    #[must_use]
    pub fn replay_from(&self) -> Offset {
        self.next
    }

    /// Takes in the next batch of the log.
    ///
    /// # Errors
    /// When it cannot follow the one before it.
    pub fn replay(&mut self, stored: &StoredBatch) -> Result<(), RestoreError> {
        let StoredBatch { base_offset, leader_epoch, batch } = *stored;
        // The log may start in the middle of a batch: records are deleted one by one, batches whole.
        let straddles_start = self.last_epoch.is_none() && stored.end() > self.next;
        if base_offset < self.next && !straddles_start {
            return Err(RestoreError::OffsetsWentBack { expected: self.next, base_offset });
        }
        let start = base_offset.max(self.next);
        let known =
            self.log.epochs.newest().filter(|newest| newest.start <= start).map(|newest| newest.epoch);
        if let Some(newest) = self.last_epoch.max(known).filter(|newest| *newest > leader_epoch) {
            return Err(RestoreError::EpochWentBack { base_offset, found: leader_epoch, newest });
        }
        if self.log.epochs.newest().is_none_or(|newest| newest.epoch < leader_epoch) {
            self.log.epochs.assign(leader_epoch, start);
        }
        if stored.end() > self.producers_from {
            self.log.producers.record(self.now, &self.log.config, self.log.rules, base_offset, &batch);
            if let Some(revision) = batch.revision {
                self.log.revisions.record(revision, base_offset);
            }
        }
        self.last_epoch = Some(leader_epoch);
        self.next = stored.end();
        Ok(())
    }

    /// The replica, without a role.
    ///
    /// # Errors
    /// When the batches do not end where the log does.
    pub fn finish(self) -> Result<Partition, RestoreError> {
        self.finish_log().map(Partition::from_log)
    }

    /// What is left of a log that was cut while its replica went on.
    ///
    /// # Errors
    /// When the batches do not end where the log does.
    pub fn finish_truncation(self) -> Result<Rebuilt, RestoreError> {
        self.finish_log().map(|log| Rebuilt { log: Box::new(log) })
    }

    fn finish_log(self) -> Result<LogState, RestoreError> {
        let log_end = self.log.ends.end;
        if self.next != log_end {
            return Err(RestoreError::WrongEnd { reached: self.next, log_end });
        }
        Ok(self.log)
    }
}
