//! Appending, and where a new segment begins.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use weir_wire::batch::{BatchHeader, UNSTAMPED_EPOCH};
use weir_wire::ids::Offset;

use super::super::disk::{DiskFile, OpenMode, remove_if_there};
use super::super::error::{Doing, StorageError};
use super::super::index::{IndexBuilder, IndexEntry, OffsetEntry, TimeEntry, encode_all};
use super::super::lookup::first_timestamp;
use super::super::names::FileKind;
use super::super::shared::Segment;
use super::super::walk::BATCH_BYTES_MAX;
use super::flush::DirtySegment;
use super::{Active, Log, SegmentIndexes, rebuild};

/// Most bytes in one append: a segment may become longer than `segment.bytes` by as much.
pub const APPEND_BYTES_MAX: usize = 1 << 30;
/// How many index entries are collected before they are written together.
const PENDING_ENTRIES_MAX: usize = 64;

/// A batch that has its place in the log: stamped, checked, with its parsed header.
#[derive(Clone, Debug)]
pub struct StampedBatch {
    /// The header, as it stands in the bytes.
    pub header: BatchHeader,
    /// The batch. Memory keeps it for readers, so it should be no small piece of a large allocation.
    pub bytes: Bytes,
}

/// How an append writes.
type WriteParts = fn(&dyn DiskFile, &[&[u8]], u64) -> io::Result<()>;

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The log's end now.
    pub end: Offset,
    /// Where a new segment was begun, if one was: the time to take a snapshot of the producers *before* this append,
    /// if whoever appends still has it, or of now.
    pub rolled_at: Option<Offset>,
}

/// The segment that is being appended to.
pub(super) struct ActiveSegment {
    /// Held from the first unsynced byte to the sync, so that no error of the disk goes unheard in between.
    pub(super) file: Option<Arc<dyn DiskFile>>,
    pub(super) indexes: SegmentIndexes,
}

impl Log {
    /// Appends batches that follow the log's end, all or none. They are in the page cache when this returns, and
    /// durable once a flush that was prepared later is done. Waits for the page cache only.
    ///
    /// # Errors
    /// Retryable ones (full disk, too many open files) leave the log as it was. After any other the log is retired.
    ///
    /// # Panics
    /// If a batch does not follow the one before, is not stamped, or is longer than a log takes: whoever decides
    /// about offsets and limits made a mistake, and the log must not be damaged by it. The first batch of a log without
    /// segments may begin before the log does, and hold its start.
    pub fn append(&mut self, batches: &[StampedBatch]) -> Result<Appended, StorageError> {
        self.append_by(batches, |file, parts, position| file.write_at(parts, position))
    }

    /// As [`append`](Log::append), of what nobody is expected to read soon: the system need not keep it in memory.
    ///
    /// # Errors
    /// As [`append`](Log::append).
    ///
    /// # Panics
    /// As [`append`](Log::append).
    pub fn append_passing(&mut self, batches: &[StampedBatch]) -> Result<Appended, StorageError> {
        self.append_by(batches, |file, parts, position| file.write_passing(parts, position))
    }

    fn append_by(&mut self, batches: &[StampedBatch], write: WriteParts) -> Result<Appended, StorageError> {
        self.check_in_service()?;
        let Some((first, last)) = batches.first().zip(batches.last()) else {
            return Ok(Appended { end: self.end(), rolled_at: None });
        };
        let bytes = self.check_batches(batches);
        let rolled_at = if self.roll_is_due(first, last, bytes)? { self.roll()? } else { None };
        self.open_active(first.header.base_offset)?;
        self.write(batches, bytes, write)?;
        let end = self.publish(batches);
        self.last_epoch = Some(last.header.leader_epoch);
        Ok(Appended { end, rolled_at })
    }

    /// Ends the last segment: the next append begins a new one. Returns where, `None` if there is nothing to end.
    ///
    /// # Errors
    /// When the segment cannot be looked at.
    pub fn roll(&mut self) -> Result<Option<Offset>, StorageError> {
        self.check_in_service()?;
        let Some(segment) = self.last_segment().filter(|segment| segment.bytes > 0) else { return Ok(None) };
        if matches!(self.active, Active::None) {
            return Ok(None);
        }
        let end = self.end();
        self.load_active()?;
        let Active::Open(active) = &mut self.active else { unreachable!("loaded just now") };
        let max_timestamp_ms = active.indexes.builder.max_timestamp_ms();
        let closing = active.indexes.builder.closing_entry(relative(end, segment.base));
        if let Some(file) = active.file.take() {
            self.dirty.push(DirtySegment { segment, file, indexes: true });
        }
        {
            let mut state = self.shared.state();
            state.pending_times.extend(closing);
            let last = state.segments.back_mut().expect("it was there");
            last.max_timestamp_ms = Some(max_timestamp_ms);
        }
        self.write_pending();
        self.active = Active::None;
        Ok(Some(end))
    }

    /// Ends the last segment and begins an empty one behind it, if the first batch lies longer than `segment.ms` behind
    /// `now_ms`, the wall clock's: what no append ends is ended all the same, so that compaction may take it. Happens at
    /// most once in `segment.ms`, so that batches of long ago do not get a segment each. Returns where, if it did; what
    /// is durable does not reach into the new segment before the next flush.
    ///
    /// # Errors
    /// When the segment cannot be looked at, or the next one not be made.
    pub fn roll_if_overdue(&mut self, now_ms: i64) -> Result<Option<Offset>, StorageError> {
        let last = {
            let state = self.shared.state();
            state.segments.len().checked_sub(1).and_then(|index| state.view(index))
        };
        let Some(last) = last.filter(|last| last.segment.bytes > 0 && self.retired.is_none()) else {
            return Ok(None);
        };
        // Timestamps before 1970 mean that there was none.
        let began = first_timestamp(&self.shared, &last)?.filter(|first| *first >= 0);
        let began = began.map(|first| self.rolled_by_clock_ms.map_or(first, |rolled| rolled.max(first)));
        if !began.is_some_and(|began| self.is_overdue(began, now_ms)) {
            return Ok(None);
        }
        self.roll()?;
        self.begin_segment(last.end)?;
        self.rolled_by_clock_ms = Some(now_ms);
        Ok(Some(last.end))
    }

    /// Compares what was decided with what is about to be written. Returns the bytes of all batches.
    fn check_batches(&self, batches: &[StampedBatch]) -> usize {
        let mut expected = self.end();
        if let Some(StampedBatch { header, .. }) = batches.first()
            && self.last_segment().is_none()
            && header.next_offset() > expected
        {
            expected = expected.min(header.base_offset);
        }
        let mut epoch = self.last_epoch;
        let mut bytes = 0;
        for StampedBatch { header, bytes: batch } in batches {
            assert!(header.base_offset == expected, "offset {expected} is due, not {}", header.base_offset);
            assert!(
                header.leader_epoch != UNSTAMPED_EPOCH,
                "a batch without a leader epoch has no place in a log"
            );
            assert!(
                epoch.is_none_or(|before| before <= header.leader_epoch),
                "epochs never fall along a log"
            );
            assert!(BatchHeader::parse(batch).as_ref() == Ok(header), "the header is that of the bytes");
            assert!(batch.len() as u64 == u64::from(header.total_bytes), "one whole batch at a time");
            assert!(header.total_bytes <= BATCH_BYTES_MAX, "max.message.bytes is at most {BATCH_BYTES_MAX}");
            expected = header.next_offset();
            epoch = Some(header.leader_epoch);
            bytes += batch.len();
        }
        assert!(bytes <= APPEND_BYTES_MAX, "one append is at most {APPEND_BYTES_MAX} bytes");
        bytes
    }

    fn roll_is_due(
        &mut self,
        first: &StampedBatch,
        last: &StampedBatch,
        bytes: usize,
    ) -> Result<bool, StorageError> {
        let Some(segment) = self.last_segment().filter(|segment| segment.bytes > 0) else { return Ok(false) };
        if matches!(self.active, Active::None) {
            return Ok(false);
        }
        let too_long = segment.bytes + bytes as u64 > u64::from(self.config.segment_bytes);
        let too_many = last.header.next_offset().since(segment.base) > u64::from(u32::MAX);
        if too_long || too_many {
            return Ok(true);
        }
        self.load_active()?;
        let Active::Open(active) = &self.active else { unreachable!("loaded just now") };
        let began = active.indexes.first_timestamp_ms.unwrap_or(first.header.max_timestamp_ms);
        Ok(self.is_overdue(began, first.header.max_timestamp_ms))
    }

    /// Whether a segment that began then is written to no more.
    fn is_overdue(&self, began_ms: i64, at_ms: i64) -> bool {
        at_ms.saturating_sub(began_ms) > i64::try_from(self.config.segment_ms).unwrap_or(i64::MAX)
    }

    /// Makes sure that there is a segment to append to, with its file open.
    fn open_active(&mut self, base: Offset) -> Result<(), StorageError> {
        if matches!(self.active, Active::None) {
            return self.begin_segment(base);
        }
        self.load_active()?;
        let segment = self.last_segment().expect("an active segment is the last one");
        let Active::Open(active) = &mut self.active else { unreachable!("loaded just now") };
        if active.file.is_none() {
            active.file = Some(self.shared.file(&segment, FileKind::Log)?);
        }
        Ok(())
    }

    fn begin_segment(&mut self, base: Offset) -> Result<(), StorageError> {
        let path = self.shared.path(base, FileKind::Log);
        let storage = &self.shared.storage;
        let file = storage.files.open(&path, OpenMode::Create)?;
        if !file.is_empty().doing("looking at", &path)? {
            let strange =
                io::Error::new(io::ErrorKind::AlreadyExists, "a file that is not part of the log is there");
            return Err(StorageError::of("beginning a segment at", &path, &strange));
        }
        for kind in [FileKind::Index, FileKind::TimeIndex] {
            let path = self.shared.path(base, kind);
            remove_if_there(&*storage.disk, &path).doing("removing", &path)?;
        }
        let segment = Segment::new(base, 0, storage);
        storage.files.keep((segment.number, FileKind::Log), file.clone());
        let indexes = SegmentIndexes::new(self.config.index_interval_bytes);
        self.shared.state().segments.push_back(segment);
        self.folder_dirty = true;
        self.active = Active::Open(Box::new(ActiveSegment { file: Some(file), indexes }));
        Ok(())
    }

    /// Learns what an append needs to know of a segment that has lain there since the log was opened.
    pub(super) fn load_active(&mut self) -> Result<(), StorageError> {
        if !matches!(self.active, Active::Resting) {
            return Ok(());
        }
        let segment = self.last_segment().expect("a resting segment is the last one");
        let indexes = rebuild::resume(&self.shared, &segment, self.end(), self.config.index_interval_bytes)?;
        self.active = Active::Open(Box::new(ActiveSegment { file: None, indexes }));
        Ok(())
    }

    /// Writes the batches behind the last segment's bytes; on an error what was written of them is taken back.
    fn write(
        &mut self,
        batches: &[StampedBatch],
        bytes: usize,
        write: WriteParts,
    ) -> Result<(), StorageError> {
        let segment = self.last_segment().expect("opened just now");
        let Active::Open(active) = &self.active else { unreachable!("opened just now") };
        let file = active.file.clone().expect("opened just now");
        let end = segment.bytes + bytes as u64;
        assert!(u32::try_from(end).is_ok(), "positions in a segment fit its index");
        let parts: Vec<&[u8]> = batches.iter().map(|batch| &batch.bytes[..]).collect();
        let path = self.shared.path(segment.base, FileKind::Log);
        let Err(error) = write(&*file, &parts, segment.bytes).doing("writing to", &path) else {
            return Ok(());
        };
        let undone = file.set_len(segment.bytes).doing("taking back a write to", &path);
        if let Err(worse) = undone {
            self.retire(&worse);
        } else if !error.is_retryable() {
            self.retire(&error);
        }
        Err(error)
    }

    /// Lets readers see what was written. Returns the new end.
    fn publish(&mut self, batches: &[StampedBatch]) -> Offset {
        let Active::Open(active) = &mut self.active else { unreachable!("written to just now") };
        let storage = &self.shared.storage;
        let mut state = self.shared.state();
        let cost_before = state.tail.cost();
        for StampedBatch { header, bytes } in batches {
            let last = state.segments.back_mut().expect("written to just now");
            let position = u32::try_from(last.bytes).expect("checked before the write");
            last.bytes += bytes.len() as u64;
            let relative = relative(header.base_offset, last.base);
            if let Some((entry, time)) = active.indexes.take(relative, position, header.max_timestamp_ms) {
                state.pending.push(entry);
                state.pending_times.extend(time);
            }
            if self.config.tail_bytes_max > 0 {
                state.tail.push(header.base_offset, header.next_offset(), bytes.clone());
            }
            state.end = header.next_offset();
        }
        state.tail.shrink_to(self.config.tail_bytes_max);
        storage.tails.changed(cost_before, state.tail.cost());
        let becomes_known = state.tail.becomes_known();
        let write_entries = state.pending.len() >= PENDING_ENTRIES_MAX;
        state.check();
        let end = state.end;
        drop(state);
        if becomes_known {
            storage.tails.watch(Arc::downgrade(&self.shared));
        }
        storage.tails.make_room();
        if write_entries {
            self.write_pending();
        }
        end
    }

    /// Writes the collected index entries. An index can be made again, so a failure only marks it.
    pub(super) fn write_pending(&mut self) {
        let Active::Open(active) = &mut self.active else { return };
        let (segment, pending, pending_times) = {
            let state = self.shared.state();
            let Some(last) = state.segments.back().copied() else { return };
            if state.pending.is_empty() && state.pending_times.is_empty() {
                return;
            }
            (last, state.pending.clone(), state.pending_times.clone())
        };
        let indexes = &mut active.indexes;
        let written = self.shared.file(&segment, FileKind::Index).and_then(|file| {
            let path = self.shared.path(segment.base, FileKind::Index);
            write_entries::<OffsetEntry>(&*file, indexes.entries, &pending).doing("writing to", &path)?;
            let file = self.shared.file(&segment, FileKind::TimeIndex)?;
            let path = self.shared.path(segment.base, FileKind::TimeIndex);
            write_entries::<TimeEntry>(&*file, indexes.time_entries, &pending_times)
                .doing("writing to", &path)
        });
        if written.is_ok() {
            indexes.entries += pending.len() as u64;
            indexes.time_entries += pending_times.len() as u64;
        } else {
            self.shared.suspect(segment.number);
        }
        let mut state = self.shared.state();
        state.pending = Vec::new();
        state.pending_times = Vec::new();
    }
}

/// Writes entries behind the first `count` ones of an index file.
fn write_entries<E: IndexEntry>(file: &dyn DiskFile, count: u64, entries: &[E]) -> io::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    file.write_at(&[&encode_all(entries)], count * E::BYTES as u64)
}

/// An offset as the indexes write it.
pub(super) fn relative(offset: Offset, base: Offset) -> u32 {
    assert!(offset >= base, "offset {offset} lies before its segment {base}");
    u32::try_from(offset.since(base)).expect("segments are rolled before offsets outgrow their index")
}

impl SegmentIndexes {
    pub(super) fn take(
        &mut self,
        relative: u32,
        position: u32,
        timestamp_ms: i64,
    ) -> Option<(OffsetEntry, Option<TimeEntry>)> {
        self.first_timestamp_ms.get_or_insert(timestamp_ms);
        self.builder.take(relative, position, timestamp_ms)
    }

    pub(super) fn new(interval_bytes: u32) -> SegmentIndexes {
        SegmentIndexes {
            entries: 0,
            time_entries: 0,
            first_timestamp_ms: None,
            builder: IndexBuilder::new(interval_bytes),
        }
    }
}
