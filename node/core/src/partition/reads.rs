//! What may be read, and from whom.

use std::cmp::Ordering;

use weir_wire::fetch::Position;
use weir_wire::ids::{LeaderEpoch, Offset};

use super::messages::RetireCause;
use super::{Partition, Role};

/// A range that may be read: `from` up to but without `to`. Empty when a reader has everything that is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadWindow {
    /// The reader's position.
    pub from: Offset,
    /// The high watermark, or `from` where that is higher.
    pub to: Offset,
}

/// Why nothing may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Retryable, elsewhere.
    #[error("this replica does not lead the partition: refresh the metadata and ask the leader")]
    NotLeader,
    /// Retryable, after refreshing the metadata (KIP-320).
    #[error("the request names an older leader epoch than {current}: refresh the metadata")]
    FencedLeaderEpoch {
        /// The reign in force.
        current: LeaderEpoch,
    },
    /// Retryable: this replica will hear of that reign (KIP-320).
    #[error(
        "the request names a newer leader epoch than {current}, which is the newest known here: try again"
    )]
    UnknownLeaderEpoch {
        /// The reign in force here.
        current: LeaderEpoch,
    },
    /// The caller must choose another position.
    #[error("the position is outside of what is stored, which is from {log_start} up to {high_watermark}")]
    OutOfRange {
        /// The first offset served.
        log_start: Offset,
        /// The end of what is committed.
        high_watermark: Offset,
    },
    /// The caller read records that are no longer in the log (KIP-320): its history and the log part there.
    #[error("the log was truncated below the position since it was read, at offset {}", .diverges_at.offset)]
    Truncated {
        /// The end of what both have.
        diverges_at: Position,
    },
    /// Retryable: a new leader does not know yet what its predecessor had committed.
    #[error("a new leader has not yet found out where the committed log ends: try again")]
    OffsetNotAvailable,
    /// Final.
    #[error("the topic was deleted")]
    TopicDeleted,
}

impl Partition {
    /// What a consumer at `position` that believes in `leader_epoch` may read now.
    ///
    /// A position above the high watermark but within the log is waiting for what is not yet committed, so its window
    /// is empty; only beyond the log end or below the log start it is out of range (Kafka's `LocalLog.read`).
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn read_window(
        &self,
        leader_epoch: LeaderEpoch,
        position: Position,
    ) -> Result<ReadWindow, ReadError> {
        self.fence_reader(leader_epoch)?;
        let ends = &self.log.ends;
        let Position { offset: from, epoch } = position;
        if from < ends.log_start || from > ends.end {
            let (log_start, high_watermark) = (ends.log_start, ends.high_watermark);
            return Err(ReadError::OutOfRange { log_start, high_watermark });
        }
        if let Some(epoch) = epoch {
            self.compare_history(leader_epoch, from, epoch)?;
        }
        Ok(ReadWindow { from, to: ends.high_watermark.max(from) })
    }

    /// The offset that a consumer gets for "latest".
    ///
    /// # Errors
    /// [`ReadError::OffsetNotAvailable`] while the high watermark is below the start of the reign: it may be behind
    /// what the last leader answered, and a latest offset must not go backwards.
    pub fn latest_offset(&self, leader_epoch: LeaderEpoch) -> Result<Offset, ReadError> {
        self.fence_reader(leader_epoch)?;
        match &self.role {
            Role::Leader(leader) if self.log.ends.high_watermark < leader.progress.epoch_start() => {
                Err(ReadError::OffsetNotAvailable)
            }
            Role::Leader(_) | Role::Follower(_) | Role::Idle | Role::Retired { .. } => {
                Ok(self.log.ends.high_watermark)
            }
        }
    }

    /// A reader needs the leader; one whose disk failed while it led still serves what it had committed, until the
    /// metadata names another.
    fn fence_reader(&self, believed: LeaderEpoch) -> Result<(), ReadError> {
        let current = match &self.role {
            Role::Leader(leader) => leader.epoch,
            Role::Retired { cause: RetireCause::Deleted, .. } => return Err(ReadError::TopicDeleted),
            Role::Retired { last_epoch: Some(current), .. } => *current,
            Role::Retired { last_epoch: None, .. } | Role::Follower(_) | Role::Idle => {
                return Err(ReadError::NotLeader);
            }
        };
        match believed.cmp(&current) {
            Ordering::Less => Err(ReadError::FencedLeaderEpoch { current }),
            Ordering::Equal => Ok(()),
            Ordering::Greater => Err(ReadError::UnknownLeaderEpoch { current }),
        }
    }

    /// Whether the record before `from` is, in this log, of the epoch that the reader saw (KIP-320; the test is the
    /// one that a leader makes for a follower).
    fn compare_history(
        &self,
        current: LeaderEpoch,
        from: Offset,
        last_read: LeaderEpoch,
    ) -> Result<(), ReadError> {
        let Some(found) = self.end_offset_for(last_read) else {
            return Err(ReadError::UnknownLeaderEpoch { current });
        };
        if found.epoch < last_read || found.end < from {
            let diverges_at = Position { offset: found.end, epoch: Some(found.epoch) };
            return Err(ReadError::Truncated { diverges_at });
        }
        Ok(())
    }
}
