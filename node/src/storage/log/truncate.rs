//! Taking back the end of a log. Truncation is one unit: batches, indexes, snapshots, memory (Kafka's
//! `UnifiedLog.truncateTo`).

use weir_wire::ids::Offset;

use super::super::disk::remove_if_there;
use super::super::error::{Doing, ReadError, StorageError};
use super::super::index::{IndexEntry, IndexFault, OffsetEntry, TimeEntry, entry_count, last_where};
use super::super::lookup::{Located, locate};
use super::super::names::FileKind;
use super::super::shared::{Segment, SegmentView, Shared};
use super::append::relative;
use super::flush::DirtySegment;
use super::{Active, Log, LogPoint};

/// Why a log was not cut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TruncateError {
    /// Where to cut could not be found out; the log is as it was.
    #[error("cannot find where to cut: {0}")]
    Read(#[from] ReadError),
    /// The disk failed. If that was in the middle of the cut, the log is retired: a restart finishes or undoes it.
    #[error(transparent)]
    Io(#[from] StorageError),
}

impl Log {
    /// Cuts the log so that no offset from `target` on is left. Cuts whole batches: the end may come to lie below
    /// `target`. Returns the new end. When this returns the cut is durable; a flush under way counts for nothing.
    ///
    /// # Errors
    /// See [`TruncateError`].
    pub fn truncate_to(&mut self, target: Offset) -> Result<Offset, TruncateError> {
        self.check_in_service()?;
        let (start, end) = (self.start(), self.end());
        if target >= end {
            return Ok(end);
        }
        if target <= start {
            return Ok(self.restart_at(target)?);
        }
        self.write_pending();
        let (index, view) = {
            let state = self.shared.state();
            let index = state.segment_of(target);
            (index, state.view(index).expect("an offset between start and end lies in a segment"))
        };
        let cut = locate(&self.shared, &view, target)?;
        let new_end = cut.header.base_offset;
        if new_end <= start {
            return Ok(self.restart_at(new_end)?);
        }
        assert!(!self.is_compacting(), "a log is not cut while it is compacted");
        self.uncleaned_from(new_end)?;
        self.lower_recovery_point(new_end)?;
        let done = self.cut_at(index, &view, &cut);
        self.retire_on_error(done)?;
        Ok(new_end)
    }

    /// Empties the log and lets it go on at `offset`, above or below what it held.
    ///
    /// # Errors
    /// A failure in the middle of it retires the log.
    ///
    /// # Panics
    /// If a removal is under way: it might take away a file of the new life.
    pub fn restart_at(&mut self, offset: Offset) -> Result<Offset, StorageError> {
        self.check_in_service()?;
        assert!(!self.removing, "a log is not restarted while a removal is under way");
        assert!(!self.is_compacting(), "a log is not cut while it is compacted");
        self.uncleaned_from(Offset::ZERO)?;
        let lowest = offset.min(self.start());
        self.disown_recovery_points(lowest)?;
        let removed = {
            let mut state = self.shared.state();
            state.generation += 1;
            let removed: Vec<Segment> = self.unremoved.drain(..).chain(state.segments.drain(..)).collect();
            (state.start, state.end) = (offset, offset);
            state.pending = Vec::new();
            state.pending_times = Vec::new();
            let before = state.tail.cost();
            state.tail.shrink_to(0);
            self.shared.storage.tails.changed(before, 0);
            removed
        };
        self.after_cut(LogPoint { offset, segment: offset, position: 0 });
        self.active = Active::None;
        self.dirty.clear();
        let side = self.side.clone();
        let done = side
            .cut(None)
            .and_then(|_| self.remove_segments(&removed))
            .and_then(|()| side.change_meta(|meta| meta.start = offset));
        self.retire_on_error(done)?;
        Ok(offset)
    }

    /// Takes nothing more from now on, since the disk changed what stands at or behind `offset`: the next time it is opened
    /// the log is checked from there on, as if nothing of it had been flushed.
    ///
    /// # Errors
    /// The disk's; the log goes on then.
    pub fn give_up_from(&mut self, offset: Offset) -> Result<(), StorageError> {
        let offset = offset.max(self.start());
        self.disown_recovery_points(offset)?;
        let segment = {
            let state = self.shared.state();
            state.view(state.segment_of(offset)).map_or(offset, |view| view.segment.base)
        };
        // Nor may a recovery point that is told from now on lie behind it.
        self.after_cut(LogPoint { offset: segment, segment, position: 0 });
        self.retired.get_or_insert_with(|| format!("the log is damaged at or behind offset {offset}"));
        Ok(())
    }

    /// Says on disk that recovery points of before may lie behind the end that is coming.
    fn lower_recovery_point(&self, new_end: Offset) -> Result<(), StorageError> {
        if new_end >= self.flushed.offset {
            return Ok(());
        }
        self.disown_recovery_points(new_end)
    }

    /// Older recovery points may lie behind what is left at `lowest`, at whatever point a crash interrupts the cut.
    fn disown_recovery_points(&self, lowest: Offset) -> Result<(), StorageError> {
        self.side.change_meta(|meta| {
            meta.truncations += 1;
            meta.truncated_to = meta.truncated_to.min(lowest);
        })
    }

    fn cut_at(&mut self, index: usize, view: &SegmentView, cut: &Located) -> Result<(), StorageError> {
        let new_end = cut.header.base_offset;
        // A segment that loses all its batches goes as a whole.
        let kept = if cut.position == 0 { index } else { index + 1 };
        let removed = {
            let mut state = self.shared.state();
            state.generation += 1;
            state.end = new_end;
            let removed: Vec<Segment> = state.segments.drain(kept..).collect();
            let last = state.segments.back_mut().expect("the log goes on above its start");
            if last.number == view.segment.number {
                last.bytes = cut.position;
                last.max_timestamp_ms = None;
            }
            let before = state.tail.cost();
            state.tail.truncate(new_end);
            self.shared.storage.tails.changed(before, state.tail.cost());
            removed
        };
        self.dirty.retain(|dirty| removed.iter().all(|segment| segment.number != dirty.segment.number));
        self.active = Active::None;
        let last = self.last_segment().expect("the log goes on above its start");
        self.after_cut(LogPoint { offset: new_end, segment: last.base, position: last.bytes });
        self.side.cut(Some(new_end))?;
        self.remove_segments(&removed)?;
        if last.number == view.segment.number {
            self.active = Active::Resting;
            self.shorten(&last, new_end)?;
        }
        Ok(())
    }

    /// Brings down what was known of the longer log.
    fn after_cut(&mut self, end: LogPoint) {
        if let Some(flushing) = &mut self.flushing {
            flushing.stale = true;
        }
        if end.offset < self.flushed.offset || self.shared.state().segments.is_empty() {
            self.flushed = end;
        }
        self.last_epoch = None;
    }

    /// Removes the files of segments that are no longer part of the log, the last one first, so that a crash in the
    /// middle leaves a log without a hole.
    fn remove_segments(&mut self, removed: &[Segment]) -> Result<(), StorageError> {
        let disk = &*self.shared.storage.disk;
        for segment in removed.iter().rev() {
            self.shared.storage.files.forget(segment.number);
            for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
                let path = self.shared.path(segment.base, kind);
                remove_if_there(disk, &path).doing("removing", &path)?;
            }
        }
        if !removed.is_empty() {
            disk.sync_dir(&self.shared.folder).doing("syncing", &self.shared.folder)?;
        }
        Ok(())
    }

    /// Cuts the files of the segment that is the last one now. Synced at once: bytes that are appended next must not
    /// meet what stood there before, whatever the disk makes of the order.
    fn shorten(&mut self, segment: &Segment, end: Offset) -> Result<(), StorageError> {
        let path = self.shared.path(segment.base, FileKind::Log);
        let file = self.shared.file(segment, FileKind::Log)?;
        file.set_len(segment.bytes).doing("cutting", &path)?;
        file.sync_data().doing("syncing", &path)?;
        let end = relative(end, segment.base);
        shorten_index::<OffsetEntry>(&self.shared, segment, FileKind::Index, |entry| entry.relative < end)?;
        shorten_index::<TimeEntry>(&self.shared, segment, FileKind::TimeIndex, |entry| {
            entry.relative <= end
        })?;
        if self.needs_flush() {
            self.dirty.push(DirtySegment { segment: *segment, file, indexes: false });
        }
        Ok(())
    }

    fn retire_on_error<T>(&mut self, result: Result<T, StorageError>) -> Result<T, StorageError> {
        if let Err(error) = &result {
            self.retire(error);
        }
        result
    }
}

/// Cuts an index behind the entries that hold for the shorter segment. A damaged one is emptied, and made anew when
/// the segment is appended to.
fn shorten_index<E: IndexEntry>(
    shared: &Shared,
    segment: &Segment,
    kind: FileKind,
    holds: impl Fn(&E) -> bool,
) -> Result<(), StorageError> {
    let path = shared.path(segment.base, kind);
    let file = shared.file(segment, kind)?;
    let entries = match entry_count::<E>(&*file).and_then(|count| last_where(&*file, count, holds)) {
        Ok(last) => last.map_or(0, |(number, _)| number + 1),
        Err(IndexFault::Damaged) => 0,
        Err(IndexFault::Io(error)) => return Err(StorageError::of("reading", &path, &error)),
    };
    file.set_len(entries * E::BYTES as u64).doing("cutting", &path)
}
