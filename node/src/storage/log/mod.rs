//! The log of one partition: one writer, many readers.
//!
//! ```text
//!  topics/orders-3/
//!    partition.metadata              topic id, partition, log start
//!    00000000000000000000.log        batches, as they were given
//!    00000000000000000000.index      sparse: offset -> position
//!    00000000000000000000.timeindex  sparse: timestamp -> offset
//!    00000000000000000000.snapshot   producers just before that offset
//!    00000000000000048213.log        the last segment: appends go here
//!    leader-epoch-checkpoint
//! ```
//!
//! ```text
//!  log start        recovery point   flushed end     log end
//!      |                  |               |             |
//!  ----[==================|===============|-------------)
//!                          on disk for sure               written, and lost if the power goes
//! ```
//!
//! `append` writes to the page cache at once, in the caller's thread. Making it durable is a job for another thread:
//! [`Log::prepare_flush`], [`FlushJob::run`], [`Log::flush_done`].

mod append;
mod compact;
mod flush;
pub(super) mod rebuild;
mod retention;
mod truncate;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_wire::ids::{LeaderEpoch, Offset};

use super::error::StorageError;
use super::reader::LogReader;
use super::shared::{Segment, Shared};
use super::side_files::{PartitionKey, SideFiles};

pub use append::{APPEND_BYTES_MAX, Appended, StampedBatch};
pub use compact::CompactionProgress;
pub use flush::{FlushJob, Flushed};
use rebuild::SegmentIndexes;
pub use rebuild::{RepairJob, Repaired};
pub use retention::{RemovalJob, Removed, Retention, RetentionLimits};
pub use truncate::TruncateError;

use append::ActiveSegment;
use compact::Compacting;
use flush::{DirtySegment, Flushing};

/// How a log lays out its files. Kafka's names in the comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`: an append that would make a segment longer goes to a new one.
    pub segment_bytes: u32,
    /// `segment.ms`: a batch whose maximum timestamp lies this far behind that of the segment's first batch goes to a
    /// new segment. By log time and not by a clock, so that replicas cut alike; a log that nobody appends to goes by the
    /// clock ([`Log::roll_if_overdue`]).
    pub segment_ms: u64,
    /// `index.interval.bytes`: how many bytes of log there are to an index entry.
    pub index_interval_bytes: u32,
    /// How many bytes of the end of this log memory keeps for readers, at most.
    pub tail_bytes_max: usize,
}

impl LogConfig {
    /// Longest segment: positions fit the index with room for one append.
    pub const SEGMENT_BYTES_MAX: u32 = i32::MAX.unsigned_abs();
    /// A week, in milliseconds (Kafka's default `segment.ms`).
    const WEEK_MS: u64 = 7 * 24 * 60 * 60 * 1000;
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            segment_bytes: 1 << 30,
            segment_ms: LogConfig::WEEK_MS,
            index_interval_bytes: 4096,
            tail_bytes_max: 8 << 20,
        }
    }
}

/// A place in a log, down to the byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogPoint {
    /// The offset of the batch that begins here.
    pub(super) offset: Offset,
    /// The segment.
    pub(super) segment: Offset,
    /// Where in the segment's file.
    pub(super) position: u64,
}

/// Up to where a log is on disk for sure, as it is kept over restarts. What lies behind has to be looked at after an
/// unclean stop; what lies before must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPoint {
    pub(super) point: LogPoint,
    /// How many cuts below flushed offsets there had been.
    pub(super) truncations: u64,
}

impl RecoveryPoint {
    /// The offset up to which everything is on disk.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.point.offset
    }
}

/// The log of one partition, for its one writer.
pub struct Log {
    shared: Arc<Shared>,
    side: SideFiles,
    key: PartitionKey,
    config: LogConfig,
    active: Active,
    /// Up to here the log is durable.
    flushed: LogPoint,
    /// Segments that take no appends any more and have unsynced bytes.
    dirty: Vec<DirtySegment>,
    /// Whether the partition's folder has unsynced names.
    folder_dirty: bool,
    /// The flush that is under way.
    flushing: Option<Flushing>,
    /// Whether a removal is under way.
    removing: bool,
    /// Segments that are no longer part of the log and whose files could not be removed yet.
    unremoved: Vec<Segment>,
    /// Whether an index is being repaired.
    repairing: bool,
    compacting: Compacting,
    /// When the clock alone last ended a segment, in milliseconds since 1970.
    rolled_by_clock_ms: Option<i64>,
    /// Why nothing is taken any more.
    retired: Option<String>,
    /// The epoch of the last batch, if it is known.
    last_epoch: Option<LeaderEpoch>,
}

/// What the next append does.
enum Active {
    /// Begins a segment.
    None,
    /// Goes to the last segment, which has not been looked at since the log was opened.
    Resting,
    /// Goes to the last segment.
    Open(Box<ActiveSegment>),
}

impl Log {
    pub(super) fn new(
        shared: Arc<Shared>,
        side: SideFiles,
        key: PartitionKey,
        config: LogConfig,
        flushed: LogPoint,
    ) -> Log {
        let active = if shared.state().segments.is_empty() { Active::None } else { Active::Resting };
        Log {
            shared,
            side,
            key,
            config,
            active,
            flushed,
            dirty: Vec::new(),
            folder_dirty: false,
            flushing: None,
            removing: false,
            unremoved: Vec::new(),
            repairing: false,
            compacting: Compacting::default(),
            rolled_by_clock_ms: None,
            retired: None,
            last_epoch: None,
        }
    }

    /// Whose log this is.
    #[must_use]
    pub fn key(&self) -> PartitionKey {
        self.key
    }

    /// The partition's folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.shared.state().start
    }

    /// The offset that the next batch gets.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.shared.state().end
    }

    /// Everything below this offset is on disk.
    #[must_use]
    pub fn flushed_end(&self) -> Offset {
        self.flushed.offset
    }

    /// What to keep in the recovery-point checkpoint.
    #[must_use]
    pub fn recovery_point(&self) -> RecoveryPoint {
        RecoveryPoint { point: self.flushed, truncations: self.side.meta().truncations }
    }

    /// The bytes of all segments.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.state().segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The base offsets of the segments.
    #[must_use]
    pub fn segments(&self) -> Vec<Offset> {
        self.shared.state().segments.iter().map(|segment| segment.base).collect()
    }

    /// Why this log takes nothing more, if that is so.
    #[must_use]
    pub fn retired(&self) -> Option<&str> {
        self.retired.as_deref()
    }

    /// A reader of this log.
    #[must_use]
    pub fn reader(&self) -> LogReader {
        LogReader::new(self.shared.clone())
    }

    /// Snapshots and epochs beside this log.
    #[must_use]
    pub fn side_files(&self) -> SideFiles {
        self.side.renewed()
    }

    /// Uses another configuration from now on. What is written stays as it is.
    pub fn set_config(&mut self, config: LogConfig) {
        self.config = config;
        let mut state = self.shared.state();
        state.index_interval_bytes = config.index_interval_bytes;
        let before = state.tail.cost();
        state.tail.shrink_to(config.tail_bytes_max);
        self.shared.storage.tails.changed(before, state.tail.cost());
    }

    /// The end of the log, down to the byte.
    fn end_point(&self) -> LogPoint {
        let state = self.shared.state();
        match state.segments.back() {
            Some(last) => LogPoint { offset: state.end, segment: last.base, position: last.bytes },
            None => LogPoint { offset: state.end, segment: state.end, position: 0 },
        }
    }

    fn last_segment(&self) -> Option<Segment> {
        self.shared.state().segments.back().copied()
    }

    fn check_in_service(&self) -> Result<(), StorageError> {
        match &self.retired {
            None => Ok(()),
            Some(reason) => {
                Err(StorageError::Retired { path: self.shared.folder.clone(), reason: reason.clone() })
            }
        }
    }

    /// Takes nothing more from now on: what is on the disk is open.
    fn retire(&mut self, error: &StorageError) {
        self.retired.get_or_insert_with(|| error.to_string());
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (start, end) = {
            let state = self.shared.state();
            (state.start, state.end)
        };
        f.debug_struct("Log")
            .field("folder", &self.shared.folder)
            .field("start", &start)
            .field("flushed", &self.flushed.offset)
            .field("end", &end)
            .finish_non_exhaustive()
    }
}
