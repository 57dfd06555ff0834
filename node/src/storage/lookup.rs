//! Finding a batch in a segment: floor entry of the index, then forward by headers. What an index says is checked
//! against the log, and where it is wrong the answer comes from the log alone.

use weir_wire::batch::BatchHeader;
use weir_wire::ids::Offset;

use super::error::{Doing, ReadError, StorageError};
use super::index::{IndexEntry, IndexFault, OffsetEntry, TimeEntry, entry_count, last_entry, last_where};
use super::names::FileKind;
use super::shared::{SegmentView, Shared};
use super::walk::{BatchFault, Expected, NEAR_WINDOW_BYTES, Step, Walk};

/// A batch and where it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Located {
    pub(super) position: u64,
    pub(super) header: BatchHeader,
}

/// The batch of this segment that holds `target`, or the first one behind it.
pub(super) fn locate(shared: &Shared, view: &SegmentView, target: Offset) -> Result<Located, ReadError> {
    let found = find(shared, view, target, |header| header.next_offset() > target)?;
    found.ok_or_else(|| {
        let fault = BatchFault::Missing { expected: view.end };
        corrupt(shared, view, view.segment.bytes, view.end, &fault)
    })
}

/// The first batch of this segment with an offset of at least `from` and a timestamp of at least `timestamp_ms`;
/// `None` if the segment has none.
pub(super) fn locate_timestamp(
    shared: &Shared,
    view: &SegmentView,
    from: Offset,
    timestamp_ms: i64,
) -> Result<Option<Located>, ReadError> {
    let pending = {
        let state = shared.state();
        let below = |entry: &&TimeEntry| entry.timestamp_ms < timestamp_ms;
        state.pending_of(&view.segment).1.iter().rfind(below).copied()
    };
    let floor = match pending {
        Some(entry) => Some(entry),
        None => {
            floor_entry(shared, view, FileKind::TimeIndex, |e: &TimeEntry| e.timestamp_ms < timestamp_ms)?
        }
    };
    let base = view.segment.base;
    let skipped = floor.map_or(base, |entry| base + u64::from(entry.relative));
    let first = skipped.max(from);
    if first >= view.end {
        return Ok(None);
    }
    find(shared, view, first, |header| {
        header.record_count > 0 && header.next_offset() > first && header.max_timestamp_ms >= timestamp_ms
    })
}

/// The highest timestamp of a segment that does not grow any more; `None` when its time index cannot tell.
pub(super) fn max_timestamp(shared: &Shared, view: &SegmentView) -> Result<Option<i64>, StorageError> {
    if view.segment.max_timestamp_ms.is_some() {
        return Ok(view.segment.max_timestamp_ms);
    }
    let file = shared.file(&view.segment, FileKind::TimeIndex)?;
    let closing = match last_entry::<TimeEntry>(&*file) {
        Ok(closing) => closing,
        Err(IndexFault::Damaged) => None,
        Err(IndexFault::Io(error)) => {
            return Err(StorageError::of(
                "reading",
                &shared.path(view.segment.base, FileKind::TimeIndex),
                &error,
            ));
        }
    };
    let known = closing
        .filter(|entry| view.segment.base + u64::from(entry.relative) == view.end)
        .map(|entry| entry.timestamp_ms);
    let mut state = shared.state();
    match (known, state.segment_mut(view.segment.number)) {
        (Some(_), Some(segment)) => segment.max_timestamp_ms = known,
        (None, Some(segment)) => segment.suspect = true,
        (_, None) => {}
    }
    Ok(known)
}

/// The timestamp of a segment's first batch; `None` if it has no batch that can be read.
pub(super) fn first_timestamp(shared: &Shared, view: &SegmentView) -> Result<Option<i64>, StorageError> {
    if view.segment.first_timestamp_ms.is_some() {
        return Ok(view.segment.first_timestamp_ms);
    }
    let file = shared.file(&view.segment, FileKind::Log)?;
    let mut walk = Walk::new(file, 0, view.segment.bytes, NEAR_WINDOW_BYTES);
    let path = shared.path(view.segment.base, FileKind::Log);
    let Step::Found(header) = walk.next_header().doing("reading", &path)? else { return Ok(None) };
    let known = Some(header.max_timestamp_ms);
    if let Some(segment) = shared.state().segment_mut(view.segment.number) {
        segment.first_timestamp_ms = known;
    }
    Ok(known)
}

/// Walks from the floor entry of `target` to the first batch of which `wanted` is true; `None` if there is none up to
/// the segment's end.
fn find(
    shared: &Shared,
    view: &SegmentView,
    target: Offset,
    wanted: impl Fn(&BatchHeader) -> bool,
) -> Result<Option<Located>, ReadError> {
    let base = view.segment.base;
    let relative = u32::try_from(target.since(base)).unwrap_or(u32::MAX);
    let (pending, interval) = {
        let state = shared.state();
        let below = |entry: &&OffsetEntry| entry.relative <= relative;
        let floor = state.pending_of(&view.segment).0.iter().rfind(below).copied();
        (floor, u64::from(state.index_interval_bytes))
    };
    let mut floor = match pending {
        Some(entry) => Some(entry),
        None => floor_entry(shared, view, FileKind::Index, |e: &OffsetEntry| e.relative <= relative)?,
    };
    let file = shared.file(&view.segment, FileKind::Log)?;
    let path = shared.path(base, FileKind::Log);
    loop {
        let from = floor.map_or(0, |entry| u64::from(entry.position));
        let mut expected = Expected::at(floor.map_or(base, |entry| base + u64::from(entry.relative)));
        let mut walk = Walk::new(file.clone(), from, view.segment.bytes, NEAR_WINDOW_BYTES);
        let fault = loop {
            let position = walk.position();
            if expected.offset == view.end {
                // Whatever may lie behind the last batch of a segment is no part of the log.
                return Ok(None);
            }
            let fault = match walk.next_header().doing("reading", &path)? {
                Step::Found(header) => match expected.take(&header) {
                    Ok(()) if wanted(&header) => return Ok(Some(Located { position, header })),
                    Ok(()) => {
                        // A batch so far behind the last entry should have an entry of its own.
                        if position - from > interval && header.next_offset() <= target {
                            shared.suspect(view.segment.number);
                        }
                        continue;
                    }
                    Err(fault) => fault,
                },
                Step::End => BatchFault::Missing { expected: expected.offset },
                Step::Fault(error) => BatchFault::Bytes(error),
            };
            break (fault, position);
        };
        let (fault, position) = fault;
        // The first step from an index entry proves or disproves the entry.
        if floor.take().is_some() && position == from {
            shared.suspect(view.segment.number);
            continue;
        }
        return Err(corrupt(shared, view, position, expected.offset, &fault));
    }
}

pub(super) fn corrupt(
    shared: &Shared,
    view: &SegmentView,
    position: u64,
    offset: Offset,
    fault: &BatchFault,
) -> ReadError {
    let path = shared.path(view.segment.base, FileKind::Log);
    ReadError::Corrupt { path, position, offset, reason: fault.to_string() }
}

/// The last entry of an index file of which `holds` is true. A damaged index has none, and is noted.
fn floor_entry<E: IndexEntry>(
    shared: &Shared,
    view: &SegmentView,
    kind: FileKind,
    holds: impl Fn(&E) -> bool,
) -> Result<Option<E>, ReadError> {
    let file = shared.file(&view.segment, kind)?;
    match entry_count::<E>(&*file).and_then(|count| last_where(&*file, count, holds)) {
        Ok(found) => Ok(found.map(|(_, entry)| entry)),
        Err(IndexFault::Damaged) => {
            shared.suspect(view.segment.number);
            Ok(None)
        }
        Err(IndexFault::Io(error)) => {
            Err(StorageError::of("reading", &shared.path(view.segment.base, kind), &error).into())
        }
    }
}
