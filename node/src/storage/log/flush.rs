//! Making appends durable: a job for a worker, so that the writer never waits for the platter.

use std::path::PathBuf;
use std::sync::Arc;

use weir_wire::ids::Offset;

use super::super::disk::{Disk, DiskFile};
use super::super::error::{Doing, StorageError};
use super::super::names::FileKind;
use super::super::shared::{Segment, Shared};
use super::{Active, Log, LogPoint, RecoveryPoint};

/// A segment that takes no appends any more and has unsynced bytes.
pub(super) struct DirtySegment {
    pub(super) segment: Segment,
    pub(super) file: Arc<dyn DiskFile>,
    /// Whether its indexes are complete, so that syncing them is worth it.
    pub(super) indexes: bool,
}

/// The flush that is under way.
pub(super) struct Flushing {
    /// The log was cut since: what is flushed is no longer the log's.
    pub(super) stale: bool,
}

/// Makes everything durable that had been appended when it was prepared. It holds what it needs, so it can be run on
/// any thread, once.
pub struct FlushJob {
    shared: Arc<Shared>,
    /// In the order of the log.
    files: Vec<DirtySegment>,
    /// Synced last: only then do new segments survive.
    folder: Option<PathBuf>,
    target: LogPoint,
    /// Nobody will read soon what is flushed.
    forgets: bool,
}

/// What became of a [`FlushJob`]; to be given to [`Log::flush_done`] in any case.
#[derive(Debug)]
pub struct Flushed {
    target: LogPoint,
    result: Result<(), StorageError>,
}

impl Flushed {
    /// Whether the disk kept its word.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.result.is_ok()
    }
}

impl FlushJob {
    /// Waits until the disk has it.
    #[must_use]
    pub fn run(self) -> Flushed {
        Flushed { result: self.sync(), target: self.target }
    }

    /// As this job, and gives the memory back in which the system keeps what it flushed.
    #[must_use]
    pub fn forgetting(self) -> FlushJob {
        FlushJob { forgets: true, ..self }
    }

    /// The offset up to which the log will be durable.
    #[must_use]
    pub fn target(&self) -> Offset {
        self.target.offset
    }

    fn sync(&self) -> Result<(), StorageError> {
        for dirty in &self.files {
            let path = self.shared.path(dirty.segment.base, FileKind::Log);
            dirty.file.sync_data().doing("syncing", &path)?;
            if self.forgets {
                dirty.file.forget_cached();
            }
            if dirty.indexes {
                self.sync_indexes(&dirty.segment);
            }
        }
        let disk: &dyn Disk = &*self.shared.storage.disk;
        self.folder.iter().try_for_each(|folder| disk.sync_dir(folder).doing("syncing", folder))
    }

    /// An index can be made anew, so nobody has to be told when this fails.
    fn sync_indexes(&self, segment: &Segment) {
        for kind in [FileKind::Index, FileKind::TimeIndex] {
            let synced = self.shared.file(segment, kind).is_ok_and(|file| file.sync_data().is_ok());
            if !synced {
                self.shared.suspect(segment.number);
            }
        }
    }
}

impl Log {
    /// Whether a flush would make anything durable.
    #[must_use]
    pub fn needs_flush(&self) -> bool {
        self.folder_dirty || !self.dirty.is_empty() || self.end_point().offset != self.flushed.offset
    }

    /// Whether a flush was prepared whose outcome has not been reported yet.
    #[must_use]
    pub fn is_flushing(&self) -> bool {
        self.flushing.is_some()
    }

    /// A job that makes everything appended so far durable. `None` when there is nothing to do, when a flush is under
    /// way (what comes meanwhile shares the next one), and for a retired log.
    pub fn prepare_flush(&mut self) -> Option<FlushJob> {
        if self.flushing.is_some() || self.retired.is_some() || !self.needs_flush() {
            return None;
        }
        let mut files = std::mem::take(&mut self.dirty);
        if let Active::Open(active) = &self.active
            && let Some(file) = &active.file
        {
            let segment = self.last_segment().expect("an active segment is the last one");
            files.push(DirtySegment { segment, file: file.clone(), indexes: false });
        }
        let folder = std::mem::take(&mut self.folder_dirty).then(|| self.shared.folder.clone());
        self.flushing = Some(Flushing { stale: false });
        let (shared, target) = (self.shared.clone(), self.end_point());
        Some(FlushJob { shared, files, folder, target, forgets: false })
    }

    /// Takes the outcome of a flush. Returns the offset up to which the log is durable now.
    ///
    /// # Errors
    /// What the disk said. The log is retired then: after a failed sync nobody knows what is on the disk, and another
    /// sync that succeeds would not change that. It is never tried again.
    pub fn flush_done(&mut self, flushed: Flushed) -> Result<Offset, StorageError> {
        let flushing = self.flushing.take().expect("a flush is done that was never prepared");
        if let Err(error) = flushed.result {
            self.retire(&error);
            return Err(error);
        }
        if !flushing.stale {
            assert!(flushed.target.offset >= self.flushed.offset, "a log that was not cut does not shrink");
            self.flushed = flushed.target;
        }
        self.release_if_clean();
        Ok(self.flushed.offset)
    }

    /// Flushes in the caller's thread.
    ///
    /// # Errors
    /// As [`flush_done`](Log::flush_done).
    ///
    /// # Panics
    /// If a flush is under way: an error of the disk is told to one of two only.
    pub fn flush(&mut self) -> Result<Offset, StorageError> {
        assert!(self.flushing.is_none(), "one flush at a time");
        self.check_in_service()?;
        match self.prepare_flush() {
            Some(job) => {
                let flushed = job.run();
                self.flush_done(flushed)
            }
            None => Ok(self.flushed.offset),
        }
    }

    /// Makes everything durable and ends the log's life in this process; the answer belongs into the recovery-point
    /// checkpoint. Files, memory and readers' handles go with it.
    ///
    /// # Errors
    /// As [`flush_done`](Log::flush_done).
    ///
    /// # Panics
    /// If a flush is under way: wait for its outcome first.
    pub fn close(mut self) -> Result<RecoveryPoint, StorageError> {
        self.write_pending();
        self.flush()?;
        if let Some(segment) = self.last_segment()
            && matches!(self.active, Active::Open(_))
        {
            for kind in [FileKind::Index, FileKind::TimeIndex] {
                let path = self.shared.path(segment.base, kind);
                self.shared.file(&segment, kind)?.sync_data().doing("syncing", &path)?;
            }
        }
        Ok(self.recovery_point())
    }

    /// Ends the log's life as [`close`](Log::close) does, without making anything durable: its files are about to be
    /// removed. Call it before they are. A file that is still open keeps its room, and gives it back in whose thread it
    /// is closed last, which takes 100 ms for a gigabyte; readers that nobody ended yet would keep them open for long.
    pub fn give_up(mut self) {
        self.active = Active::None;
        self.dirty.clear();
        self.shared.let_go();
    }

    /// An idle log needs no handle of its own, and keeps nothing in memory that its indexes lack.
    fn release_if_clean(&mut self) {
        if self.needs_flush() {
            return;
        }
        self.write_pending();
        if let Active::Open(active) = &mut self.active {
            active.file = None;
        }
    }
}
