//! Making the indexes of a segment anew from its batches.

use std::sync::Arc;

use weir_wire::ids::Offset;

use super::super::disk::DiskFile;
use super::super::error::{Doing, ReadError, StorageError};
use super::super::index::{
    IndexBuilder, IndexEntry, IndexFault, OffsetEntry, TimeEntry, encode_all, entry_count, read_entries,
};
use super::super::lookup::corrupt;
use super::super::names::FileKind;
use super::super::shared::{Segment, SegmentView, Shared};
use super::super::walk::{BatchFault, Expected, FAR_WINDOW_BYTES, NEAR_WINDOW_BYTES, Step, Walk};
use super::append::relative;
use super::{Active, Log, LogPoint};

/// What the writer knows of the indexes of the last segment.
#[derive(Debug)]
pub(in super::super) struct SegmentIndexes {
    /// Entries in the index file.
    pub(super) entries: u64,
    /// Entries in the time index file.
    pub(super) time_entries: u64,
    /// The maximum timestamp of the segment's first batch.
    pub(super) first_timestamp_ms: Option<i64>,
    pub(super) builder: IndexBuilder,
}

/// Rebuilds the indexes of one segment, away from the log's thread.
pub struct RepairJob {
    shared: Arc<Shared>,
    view: SegmentView,
    interval_bytes: u32,
}

/// What became of a [`RepairJob`].
#[derive(Debug)]
pub struct Repaired {
    number: u64,
    generation: u64,
    result: Result<(), ReadError>,
}

impl RepairJob {
    /// Reads the headers of the whole segment and writes both indexes.
    #[must_use]
    pub fn run(self) -> Repaired {
        let rebuilt = rebuild(&self.shared, &self.view, self.interval_bytes, true);
        Repaired {
            number: self.view.segment.number,
            generation: self.view.generation,
            result: rebuilt.map(|_| ()),
        }
    }
}

impl Log {
    /// A job that rebuilds an index which said something false, if there is one and no other repair is under way.
    /// Until it is done lookups in that segment are slow, and right.
    ///
    /// # Errors
    /// When it is the last segment's, and that cannot be ended.
    pub fn prepare_repair(&mut self) -> Result<Option<RepairJob>, StorageError> {
        if self.repairing || self.is_compacting() {
            return Ok(None);
        }
        let suspect = self.shared.state().segments.iter().rposition(|segment| segment.suspect);
        let Some(index) = suspect else { return Ok(None) };
        if self.shared.state().segments.len() == index + 1 && !matches!(self.active, Active::None) {
            self.roll()?;
        }
        let view = self.shared.state().view(index).expect("it was there just now");
        self.repairing = true;
        let interval_bytes = self.config.index_interval_bytes;
        Ok(Some(RepairJob { shared: self.shared.clone(), view, interval_bytes }))
    }

    /// Whether a repair was prepared whose outcome has not been reported yet.
    #[must_use]
    pub fn is_repairing(&self) -> bool {
        self.repairing
    }

    /// Takes the outcome of a repair.
    ///
    /// # Errors
    /// What kept the index from being rebuilt: for [`ReadError::Corrupt`] the segment itself is damaged.
    pub fn repair_done(&mut self, repaired: Repaired) -> Result<(), ReadError> {
        assert!(self.repairing, "a repair is done that was never begun");
        self.repairing = false;
        let mut state = self.shared.state();
        let is_current = state.generation == repaired.generation;
        if let Some(segment) = state.segment_mut(repaired.number) {
            // A damaged log does not get better by trying again; what could not be written for now does.
            let is_final = matches!(repaired.result, Ok(()) | Err(ReadError::Corrupt { .. }));
            segment.suspect = !(is_current && is_final);
        }
        if is_current { repaired.result } else { Ok(()) }
    }
}

/// Learns what an append needs to know of the last segment: from its indexes if they can be believed, else from its
/// batches, writing the indexes anew.
pub(in super::super) fn resume(
    shared: &Shared,
    segment: &Segment,
    end: Offset,
    interval_bytes: u32,
) -> Result<SegmentIndexes, StorageError> {
    let view = SegmentView { segment: *segment, end, is_last: true, generation: shared.state().generation };
    match resume_from_files(shared, &view, interval_bytes)? {
        Some(indexes) => Ok(indexes),
        None => rebuild(shared, &view, interval_bytes, false).map_err(|error| match error {
            ReadError::Io(error) => error,
            error => {
                let damaged = std::io::Error::new(std::io::ErrorKind::InvalidData, error.to_string());
                StorageError::of("continuing", &shared.path(segment.base, FileKind::Log), &damaged)
            }
        }),
    }
}

/// Brings the indexes of a segment up to its end after they were complete up to `from`, a place in it; makes them anew
/// if they were not.
pub(in super::super) fn extend(
    shared: &Shared,
    view: &SegmentView,
    from: LogPoint,
    interval_bytes: u32,
    closed: bool,
) -> Result<(), ReadError> {
    assert!(from.segment == view.segment.base, "a place in another segment");
    let mut known = *view;
    known.segment.bytes = from.position;
    known.end = from.offset;
    let Some(indexes) = resume_from_files(shared, &known, interval_bytes)? else {
        return rebuild(shared, view, interval_bytes, closed).map(|_| ());
    };
    let mut new = NewEntries::behind(indexes, view, closed);
    new.walk(shared, view, from.position, from.offset)?;
    let segment = &view.segment;
    append_entries(shared, segment, FileKind::Index, new.indexes.entries, &new.entries)?;
    append_entries(shared, segment, FileKind::TimeIndex, new.indexes.time_entries, &new.time_entries)?;
    Ok(())
}

/// `None` if the indexes cannot be believed. Entries behind the view's end do not matter.
fn resume_from_files(
    shared: &Shared,
    view: &SegmentView,
    interval_bytes: u32,
) -> Result<Option<SegmentIndexes>, StorageError> {
    let base = view.segment.base;
    let end = relative(view.end, base);
    let offsets = entries_up_to::<OffsetEntry>(shared, &view.segment, FileKind::Index, |e| e.relative < end)?;
    let times =
        entries_up_to::<TimeEntry>(shared, &view.segment, FileKind::TimeIndex, |e| e.relative <= end)?;
    let (Some((entries, last)), Some((time_entries, last_time))) = (offsets, times) else { return Ok(None) };
    if last_time.map_or(0, |entry| entry.relative) < last.map_or(0, |entry| entry.relative) {
        return Ok(None);
    }
    let mut indexes = SegmentIndexes {
        entries,
        time_entries,
        first_timestamp_ms: None,
        builder: IndexBuilder::resume(interval_bytes, last, last_time),
    };
    let path = shared.path(view.segment.base, FileKind::Log);
    let file = shared.file(&view.segment, FileKind::Log)?;
    let mut first = Walk::new(file.clone(), 0, view.segment.bytes, NEAR_WINDOW_BYTES);
    if let Step::Found(header) = first.next_header().doing("reading", &path)? {
        indexes.first_timestamp_ms = Some(header.max_timestamp_ms);
    }
    let from = last.map_or(0, |entry| u64::from(entry.position));
    let mut expected = Expected::at(base + last.map_or(0, |entry| u64::from(entry.relative)));
    let mut walk = Walk::new(file, from, view.segment.bytes, FAR_WINDOW_BYTES);
    loop {
        let position = walk.position();
        match walk.next_header().doing("reading", &path)? {
            Step::Found(header) => {
                let overdue = position - from > u64::from(interval_bytes);
                if expected.take(&header).is_err() || overdue {
                    return Ok(None);
                }
                indexes.builder.note_timestamp(header.max_timestamp_ms);
            }
            Step::End => return Ok((expected.offset == view.end).then_some(indexes)),
            Step::Fault(_) => return Ok(None),
        }
    }
}

/// How many first entries of an index hold, and the last of those; `None` if the index is damaged anywhere.
fn entries_up_to<E: IndexEntry>(
    shared: &Shared,
    segment: &Segment,
    kind: FileKind,
    holds: impl Fn(&E) -> bool,
) -> Result<Option<(u64, Option<E>)>, StorageError> {
    let file = shared.file(segment, kind)?;
    match entry_count::<E>(&*file).and_then(|count| read_entries::<E>(&*file, 0, count)) {
        Ok(entries) => {
            let count = entries.partition_point(holds);
            Ok(Some((count as u64, count.checked_sub(1).map(|last| entries[last]))))
        }
        Err(IndexFault::Damaged) => Ok(None),
        Err(IndexFault::Io(error)) => {
            Err(StorageError::of("reading", &shared.path(segment.base, kind), &error))
        }
    }
}

/// Writes both indexes of a segment anew from the headers of its batches. A `closed` segment also gets the time entry
/// that bounds all of it.
pub(in super::super) fn rebuild(
    shared: &Shared,
    view: &SegmentView,
    interval_bytes: u32,
    closed: bool,
) -> Result<SegmentIndexes, ReadError> {
    let mut new = NewEntries::behind(SegmentIndexes::new(interval_bytes), view, closed);
    new.walk(shared, view, 0, view.segment.base)?;
    append_entries(shared, &view.segment, FileKind::Index, 0, &new.entries)?;
    append_entries(shared, &view.segment, FileKind::TimeIndex, 0, &new.time_entries)?;
    new.indexes.entries = new.entries.len() as u64;
    new.indexes.time_entries = new.time_entries.len() as u64;
    Ok(new.indexes)
}

/// Entries that are being made from batches.
struct NewEntries {
    indexes: SegmentIndexes,
    entries: Vec<OffsetEntry>,
    time_entries: Vec<TimeEntry>,
    /// Where the segment ends, if it is closed.
    closed_at: Option<u32>,
}

impl NewEntries {
    fn behind(indexes: SegmentIndexes, view: &SegmentView, closed: bool) -> NewEntries {
        let closed_at = closed.then(|| relative(view.end, view.segment.base));
        NewEntries { indexes, entries: Vec::new(), time_entries: Vec::new(), closed_at }
    }

    /// Goes over the headers from `position`, where the batch of `offset` begins, to the segment's end.
    fn walk(
        &mut self,
        shared: &Shared,
        view: &SegmentView,
        position: u64,
        offset: Offset,
    ) -> Result<(), ReadError> {
        let path = shared.path(view.segment.base, FileKind::Log);
        let file = shared.file(&view.segment, FileKind::Log)?;
        let mut walk = Walk::new(file, position, view.segment.bytes, FAR_WINDOW_BYTES);
        let mut expected = Expected::at(offset);
        loop {
            let position = walk.position();
            let fault = match walk.next_header().doing("reading", &path)? {
                Step::Found(header) => match expected.take(&header) {
                    Ok(()) => {
                        let position = u32::try_from(position).expect("segments are shorter than 4 GiB");
                        let relative = relative(header.base_offset, view.segment.base);
                        let made = self.indexes.take(relative, position, header.max_timestamp_ms);
                        if let Some((entry, time)) = made {
                            self.entries.push(entry);
                            self.time_entries.extend(time);
                        }
                        continue;
                    }
                    Err(fault) => fault,
                },
                Step::End if expected.offset == view.end => break,
                Step::End => BatchFault::Missing { expected: expected.offset },
                Step::Fault(error) => BatchFault::Bytes(error),
            };
            return Err(corrupt(shared, view, position, expected.offset, &fault));
        }
        self.time_entries.extend(self.closed_at.and_then(|end| self.indexes.builder.closing_entry(end)));
        Ok(())
    }
}

/// Cuts an index behind its first `count` entries and writes others there.
fn append_entries<E: IndexEntry>(
    shared: &Shared,
    segment: &Segment,
    kind: FileKind,
    count: u64,
    entries: &[E],
) -> Result<(), StorageError> {
    let path = shared.path(segment.base, kind);
    let file: Arc<dyn DiskFile> = shared.file(segment, kind)?;
    let kept = count * E::BYTES as u64;
    file.set_len(kept).doing("cutting", &path)?;
    if !entries.is_empty() {
        file.write_at(&[&encode_all(entries)], kept).doing("writing to", &path)?;
    }
    Ok(())
}
