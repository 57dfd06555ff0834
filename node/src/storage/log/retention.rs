//! Letting go of the beginning of a log: by age, by size, by an operator's word.

use std::path::PathBuf;
use std::sync::Arc;

use weir_wire::ids::Offset;

use super::super::disk::remove_if_there;
use super::super::error::{Doing, StorageError};
use super::super::lookup::max_timestamp;
use super::super::names::FileKind;
use super::super::shared::{Segment, SegmentView, Shared};
use super::super::side_files::SideFiles;
use super::{Active, Log};

/// How much of a log is kept. Kafka's names in the comments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionLimits {
    /// `retention.ms`: a segment goes when its highest timestamp is older; `None` keeps all. A segment without
    /// timestamps is not old.
    pub retention_ms: Option<u64>,
    /// `retention.bytes`: the oldest segments go while the others alone have at least as much; `None` keeps all.
    pub retention_bytes: Option<u64>,
}

/// What retention found to do.
#[derive(Debug)]
#[must_use]
pub struct Retention {
    /// Removes what has to go; readers do not see it any more already.
    pub job: Option<RemovalJob>,
    /// Whether all of the last segment is too old as well: roll, and ask again.
    pub last_segment_expired: bool,
}

/// Removes the files of segments that are no longer part of a log. Runs on any thread, once.
pub struct RemovalJob {
    shared: Arc<Shared>,
    side: SideFiles,
    start: Offset,
    segments: Vec<Segment>,
}

/// What became of a [`RemovalJob`]; to be given to [`Log::removal_done`] in any case.
#[derive(Debug)]
pub struct Removed {
    segments: Vec<Segment>,
    result: Result<(), StorageError>,
}

impl std::fmt::Debug for RemovalJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemovalJob").field("folder", &self.shared.folder).field("start", &self.start).finish()
    }
}

impl RemovalJob {
    /// Writes down where the log starts, then removes the files. Until the first is done a crash may bring back what
    /// is removed here; afterwards it cannot.
    #[must_use]
    pub fn run(self) -> Removed {
        let result = self.remove();
        Removed { segments: self.segments, result }
    }

    fn remove(&self) -> Result<(), StorageError> {
        // Indexes first: they can be made anew, and on a full disk they make the room that the start needs.
        self.remove_files(&[FileKind::Index, FileKind::TimeIndex])?;
        self.side.change_meta(|meta| meta.start = meta.start.max(self.start))?;
        self.remove_files(&[FileKind::Log])?;
        self.side.start_moved(self.start).map(|_| ())
    }

    fn remove_files(&self, kinds: &[FileKind]) -> Result<(), StorageError> {
        for segment in &self.segments {
            for kind in kinds {
                let path: PathBuf = self.shared.path(segment.base, *kind);
                remove_if_there(&*self.shared.storage.disk, &path).doing("removing", &path)?;
            }
        }
        Ok(())
    }
}

impl Log {
    /// Finds the segments that may go: below `high_watermark` as a whole, not being appended to, and over a limit.
    /// `now_ms` is the wall clock's, in milliseconds since 1970. Does nothing while a removal or a compaction is under way.
    ///
    /// # Errors
    /// When the age of a segment cannot be read.
    pub fn retention(
        &mut self,
        now_ms: i64,
        high_watermark: Offset,
        limits: &RetentionLimits,
    ) -> Result<Retention, StorageError> {
        if self.removing || self.is_compacting() {
            return Ok(Retention { job: None, last_segment_expired: false });
        }
        let views = self.views();
        let closed = views.len() - usize::from(!matches!(self.active, Active::None));
        let mut excess = limits.retention_bytes.map_or(0, |kept| self.bytes().saturating_sub(kept));
        let mut going = 0;
        for view in &views[..closed.min(views.len())] {
            if view.end > high_watermark {
                break;
            }
            let too_many = limits.retention_bytes.is_some() && excess >= view.segment.bytes;
            if !too_many && !self.is_expired(view, now_ms, limits)? {
                break;
            }
            excess = excess.saturating_sub(view.segment.bytes);
            going += 1;
        }
        let last_segment_expired = going == closed && self.is_last_expired(now_ms, high_watermark, limits)?;
        let start = views.get(going).map_or(self.end(), |view| view.segment.base);
        let job = (going > 0 || !self.unremoved.is_empty()).then(|| self.start_at(start.max(self.start())));
        Ok(Retention { job, last_segment_expired })
    }

    /// Moves the log's start to `offset`, for an operator who wants records deleted. They are not readable any more
    /// at once, and for good once the job is done. `None` if the log starts there or later already.
    ///
    /// # Panics
    /// If `offset` lies behind the log's end, or a removal or a compaction is under way.
    pub fn set_log_start(&mut self, offset: Offset) -> Option<RemovalJob> {
        assert!(offset <= self.end(), "offset {offset} lies behind the log's end {}", self.end());
        assert!(!self.removing && !self.is_compacting(), "segments leave a log one way at a time");
        (offset > self.start()).then(|| self.start_at(offset))
    }

    /// Whether a removal was handed out whose outcome has not been reported yet.
    #[must_use]
    pub fn is_removing(&self) -> bool {
        self.removing
    }

    /// Takes the outcome of a removal. Returns how many segments and bytes went.
    ///
    /// # Errors
    /// What the disk said. What could not be removed is part of the next removal, or of the next start.
    pub fn removal_done(&mut self, removed: Removed) -> Result<(usize, u64), StorageError> {
        assert!(self.removing, "a removal is done that was never begun");
        self.removing = false;
        match removed.result {
            Ok(()) => {
                let bytes = removed.segments.iter().map(|segment| segment.bytes).sum();
                Ok((removed.segments.len(), bytes))
            }
            Err(error) => {
                self.unremoved = removed.segments;
                Err(error)
            }
        }
    }

    /// Lets the log start at `start`, and makes the job that removes what lies before.
    fn start_at(&mut self, start: Offset) -> RemovalJob {
        let keeps_last = !matches!(self.active, Active::None);
        let mut segments = std::mem::take(&mut self.unremoved);
        {
            let mut state = self.shared.state();
            state.start = start;
            while let Some(first) = state.view(0)
                && first.end <= start
                && !(first.is_last && keeps_last)
            {
                segments.extend(state.segments.pop_front());
            }
            state.check();
        }
        segments.iter().for_each(|segment| self.shared.storage.files.forget(segment.number));
        self.removing = true;
        RemovalJob { shared: self.shared.clone(), side: self.side.clone(), start, segments }
    }

    fn views(&self) -> Vec<SegmentView> {
        let state = self.shared.state();
        (0..state.segments.len()).filter_map(|index| state.view(index)).collect()
    }

    fn is_expired(
        &self,
        view: &SegmentView,
        now_ms: i64,
        limits: &RetentionLimits,
    ) -> Result<bool, StorageError> {
        if limits.retention_ms.is_none() {
            return Ok(false);
        }
        Ok(max_timestamp(&self.shared, view)?.is_some_and(|max| is_older(max, now_ms, limits)))
    }

    fn is_last_expired(
        &mut self,
        now_ms: i64,
        high_watermark: Offset,
        limits: &RetentionLimits,
    ) -> Result<bool, StorageError> {
        if limits.retention_ms.is_none() || self.end() > high_watermark || self.retired.is_some() {
            return Ok(false);
        }
        if self.last_segment().is_none_or(|segment| segment.bytes == 0) {
            return Ok(false);
        }
        self.load_active()?;
        let Active::Open(active) = &self.active else { return Ok(false) };
        Ok(is_older(active.indexes.builder.max_timestamp_ms(), now_ms, limits))
    }
}

/// Whether a timestamp lies before what is kept. Timestamps before 1970 mean that there was none.
fn is_older(timestamp_ms: i64, now_ms: i64, limits: &RetentionLimits) -> bool {
    let kept_ms = limits.retention_ms.and_then(|kept| i64::try_from(kept).ok());
    timestamp_ms >= 0 && kept_ms.is_some_and(|kept| now_ms.saturating_sub(timestamp_ms) > kept)
}
