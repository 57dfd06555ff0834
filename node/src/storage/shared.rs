//! What the writer of a log shares with its readers.
//!
//! The lock is held for looking things up, never across a file operation. A reader notes the generation, reads the
//! files without the lock, and looks whether the generation is still the same: truncation and compaction change it, and
//! what was read across one is thrown away. Removal by retention needs no such care, as an open file stays readable after
//! its name is gone.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use weir_wire::ids::Offset;

use super::disk::{Disk, DiskFile};
use super::error::{ReadError, StorageError};
use super::index::{OffsetEntry, TimeEntry};
use super::locked;
use super::names::{FileKind, file_name, swap_file_name};
use super::open_files::OpenFiles;
use super::tail::{Tail, TailBudget};

/// What all logs of a data folder share.
pub(super) struct Storage {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) files: OpenFiles,
    pub(super) tails: TailBudget,
    next_segment: AtomicU64,
}

impl Storage {
    pub(super) fn new(disk: Arc<dyn Disk>, open_files_max: usize, tail_bytes_max: usize) -> Storage {
        Storage {
            files: OpenFiles::new(disk.clone(), open_files_max),
            tails: TailBudget::new(tail_bytes_max),
            next_segment: AtomicU64::new(0),
            disk,
        }
    }

    /// A number for a segment, never used twice.
    pub(super) fn segment_number(&self) -> u64 {
        self.next_segment.fetch_add(1, Ordering::Relaxed)
    }
}

/// One log, as its writer and its readers see it.
pub(super) struct Shared {
    pub(super) storage: Arc<Storage>,
    /// The partition's folder.
    pub(super) folder: PathBuf,
    state: Mutex<State>,
}

/// ```text
///  segment 0         segment 1          segment 2 (the last)
///  [=================|==================|========================)
///       ^ start                                    ^ tail begins ^ end
/// ```
pub(super) struct State {
    /// The first offset that may be read; may lie within the first segment.
    pub(super) start: Offset,
    /// The offset after the last batch; `start <= end`.
    pub(super) end: Offset,
    /// Counts truncations, and segments that took the place of others.
    pub(super) generation: u64,
    /// In order; each but the last ends exactly where the next begins.
    pub(super) segments: VecDeque<Segment>,
    /// Index entries of the last segment that are not in its file yet.
    pub(super) pending: Vec<OffsetEntry>,
    /// Likewise of the time index.
    pub(super) pending_times: Vec<TimeEntry>,
    /// `index.interval.bytes` of now.
    pub(super) index_interval_bytes: u32,
    pub(super) tail: Tail,
}

/// A segment as far as memory knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    /// The offset in its name: that of its first batch.
    pub(super) base: Offset,
    /// How many bytes of its file are whole batches.
    pub(super) bytes: u64,
    /// Names its files in [`OpenFiles`].
    pub(super) number: u64,
    /// An index of it said something false: to be rebuilt.
    pub(super) suspect: bool,
    /// The highest timestamp in it, once that was looked up; only for segments that do not grow any more.
    pub(super) max_timestamp_ms: Option<i64>,
    /// That of its first batch, once it was looked up.
    pub(super) first_timestamp_ms: Option<i64>,
    /// Where it ends, while its files may still have the names under which they wait for their place.
    pub(super) swap_end: Option<Offset>,
}

impl Segment {
    pub(super) fn new(base: Offset, bytes: u64, storage: &Storage) -> Segment {
        Segment {
            base,
            bytes,
            number: storage.segment_number(),
            suspect: false,
            max_timestamp_ms: None,
            first_timestamp_ms: None,
            swap_end: None,
        }
    }
}

/// A segment at one moment, for a reader.
#[derive(Clone, Copy, Debug)]
pub(super) struct SegmentView {
    pub(super) segment: Segment,
    /// The offset after its last batch.
    pub(super) end: Offset,
    /// Whether it is the last one, which may grow.
    pub(super) is_last: bool,
    pub(super) generation: u64,
}

impl State {
    /// The number of the segment that `offset` lies in; 0 if it lies before all.
    pub(super) fn segment_of(&self, offset: Offset) -> usize {
        self.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1)
    }

    pub(super) fn view(&self, index: usize) -> Option<SegmentView> {
        let segment = *self.segments.get(index)?;
        let next = self.segments.get(index + 1);
        Some(SegmentView {
            segment,
            end: next.map_or(self.end, |next| next.base),
            is_last: next.is_none(),
            generation: self.generation,
        })
    }

    /// The index entries of a segment that are not in its files yet.
    pub(super) fn pending_of(&self, segment: &Segment) -> (&[OffsetEntry], &[TimeEntry]) {
        match self.segments.back() {
            Some(last) if last.number == segment.number => (&self.pending, &self.pending_times),
            _ => (&[], &[]),
        }
    }

    pub(super) fn segment_mut(&mut self, number: u64) -> Option<&mut Segment> {
        self.segments.iter_mut().find(|segment| segment.number == number)
    }

    pub(super) fn out_of_range(&self) -> ReadError {
        ReadError::OutOfRange { start: self.start, end: self.end }
    }

    pub(super) fn check(&self) {
        assert!(self.start <= self.end, "the log's start {} lies behind its end {}", self.start, self.end);
        if let Some(last) = self.segments.back() {
            assert!(last.base <= self.end, "segment {} lies behind the log's end {}", last.base, self.end);
        }
    }
}

impl Shared {
    pub(super) fn new(
        storage: Arc<Storage>,
        folder: PathBuf,
        start: Offset,
        end: Offset,
        segments: VecDeque<Segment>,
        index_interval_bytes: u32,
    ) -> Shared {
        let state = State {
            start,
            end,
            generation: 0,
            segments,
            pending: Vec::new(),
            pending_times: Vec::new(),
            index_interval_bytes,
            tail: Tail::default(),
        };
        state.check();
        Shared { storage, folder, state: Mutex::new(state) }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    pub(super) fn path(&self, base: Offset, kind: FileKind) -> PathBuf {
        self.folder.join(file_name(base, kind))
    }

    pub(super) fn file(&self, segment: &Segment, kind: FileKind) -> Result<Arc<dyn DiskFile>, StorageError> {
        let (key, path) = ((segment.number, kind), self.path(segment.base, kind));
        match segment.swap_end {
            None => self.storage.files.get(key, &path),
            Some(end) => {
                let waiting = self.folder.join(swap_file_name(segment.base, end, kind));
                self.storage.files.get_first_of(key, &waiting, &path)
            }
        }
    }

    /// Notes that an index of this segment said something false.
    pub(super) fn suspect(&self, number: u64) {
        if let Some(segment) = self.state().segment_mut(number) {
            segment.suspect = true;
        }
    }

    /// Whether what was read under this view may be used: neither truncation nor compaction came in between.
    pub(super) fn is_current(&self, view: &SegmentView) -> bool {
        self.state().generation == view.generation
    }

    /// Whether the segment is still part of the log.
    pub(super) fn has(&self, view: &SegmentView) -> bool {
        self.state().segments.iter().any(|segment| segment.number == view.segment.number)
    }

    /// Closes all files, and frees what is kept in memory.
    pub(super) fn let_go(&self) {
        let (numbers, cost): (Vec<u64>, usize) = {
            let mut state = self.state();
            let cost = state.tail.cost();
            state.tail.shrink_to(0);
            (state.segments.iter().map(|segment| segment.number).collect(), cost)
        };
        numbers.into_iter().for_each(|number| self.storage.files.forget(number));
        self.storage.tails.changed(cost, 0);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.let_go();
    }
}
