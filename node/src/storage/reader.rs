//! Reading a log, from any thread.

use std::sync::Arc;

use bytes::Bytes;
use weir_wire::batch::{BatchHeader, HEADER_BYTES, check};
use weir_wire::ids::Offset;

use super::disk::read_range;
use super::error::{Doing, ReadError};
use super::lookup::{corrupt, locate, locate_timestamp, max_timestamp};
use super::names::FileKind;
use super::shared::{SegmentView, Shared};
use super::tail::Slice;
use super::walk::{BatchFault, Expected, FAR_WINDOW_BYTES, STORED_LIMITS, Step, Walk};

/// Reads one log. Cheap to clone, and to keep for as long as anybody wants; it outlives neither data nor lock.
#[derive(Clone)]
pub struct LogReader {
    shared: Arc<Shared>,
}

/// How a read is going to be served.
#[derive(Debug)]
pub enum ReadPlan {
    /// From memory; this is the answer.
    Ready(Slice),
    /// From the disk: run it where waiting harms nobody.
    Cold(ColdRead),
}

/// A read that needs the disk.
#[derive(Clone)]
pub struct ColdRead {
    shared: Arc<Shared>,
    from: Offset,
    below: Offset,
    bytes_max: usize,
    min_one_batch: bool,
}

/// A batch found by its timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampHit {
    /// The batch's first offset, at least the log's start. Which of its records is the first with the timestamp is
    /// for the caller to see: storage does not look into batches.
    pub offset: Offset,
    /// The batch's highest timestamp.
    pub max_timestamp_ms: i64,
}

impl LogReader {
    pub(super) fn new(shared: Arc<Shared>) -> LogReader {
        LogReader { shared }
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn start(&self) -> Offset {
        self.shared.state().start
    }

    /// The offset after the last batch.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.shared.state().end
    }

    /// Reads whole batches from the one that holds `from` (which may begin before it) up to `below`: a batch that
    /// reaches to `below` or beyond is not served. One that only says that records are gone begins at `from`, so that it
    /// fits behind the log of a replica whose compaction left out less. At most `bytes_max` bytes, unless the first
    /// batch alone is longer
    /// and `min_one_batch` says that it comes anyway. Nothing to read yet is an empty slice.
    ///
    /// What comes from the disk was checked against its checksum, so that damage is noticed here, where it can be
    /// healed, and not by a consumer. (CRC-32C costs a few percent of what sending the bytes costs.)
    ///
    /// # Errors
    /// See [`ReadError`]. Segments that are removed or cut under the reader give whole batches or `OutOfRange`.
    pub fn read(
        &self,
        from: Offset,
        below: Offset,
        bytes_max: usize,
        min_one_batch: bool,
    ) -> Result<Slice, ReadError> {
        match self.plan(from, below, bytes_max, min_one_batch)? {
            ReadPlan::Ready(slice) => Ok(slice),
            ReadPlan::Cold(read) => read.run(),
        }
    }

    /// As [`read`](LogReader::read), but does not wait for the disk: it says whether the disk is needed.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn plan(
        &self,
        from: Offset,
        below: Offset,
        bytes_max: usize,
        min_one_batch: bool,
    ) -> Result<ReadPlan, ReadError> {
        let mut state = self.shared.state();
        if from < state.start || from > state.end {
            return Err(state.out_of_range());
        }
        let below = below.min(state.end);
        if from >= below {
            return Ok(ReadPlan::Ready(Slice::empty(from)));
        }
        if let Some(slice) = state.tail.read(from, below, bytes_max, min_one_batch) {
            return Ok(ReadPlan::Ready(slice.with_gap_from(from)));
        }
        drop(state);
        Ok(ReadPlan::Cold(ColdRead { shared: self.shared.clone(), from, below, bytes_max, min_one_batch }))
    }

    /// The first batch below `below` with a maximum timestamp of at least `timestamp_ms`. Needs the disk.
    ///
    /// # Errors
    /// `Corrupt` and `Io`.
    pub fn find_timestamp(
        &self,
        timestamp_ms: i64,
        below: Offset,
    ) -> Result<Option<TimestampHit>, ReadError> {
        let mut from = self.start();
        loop {
            let (view, start) = {
                let state = self.shared.state();
                from = from.max(state.start);
                let Some(view) = state.view(state.segment_of(from)) else { return Ok(None) };
                (view, state.start)
            };
            if from >= below.min(view.end) {
                return Ok(None);
            }
            match self.find_timestamp_in(&view, from, timestamp_ms) {
                _ if !self.shared.is_current(&view) => {}
                Ok(Some((base, max_timestamp_ms))) => {
                    let hit = TimestampHit { offset: base.max(start), max_timestamp_ms };
                    return Ok(Some(hit).filter(|hit| hit.offset < below));
                }
                Ok(None) if view.is_last => return Ok(None),
                Ok(None) => from = view.end,
                Err(_) if !self.shared.has(&view) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn find_timestamp_in(
        &self,
        view: &SegmentView,
        from: Offset,
        timestamp_ms: i64,
    ) -> Result<Option<(Offset, i64)>, ReadError> {
        if !view.is_last && max_timestamp(&self.shared, view)?.is_some_and(|max| max < timestamp_ms) {
            return Ok(None);
        }
        let located = locate_timestamp(&self.shared, view, from, timestamp_ms)?;
        Ok(located.map(|found| (found.header.base_offset, found.header.max_timestamp_ms)))
    }

    /// The headers of all batches from the one that holds `from`, for building up what follows from the log: the
    /// state of producers, the epochs. Needs the disk.
    #[must_use]
    pub fn headers(&self, from: Offset) -> Headers {
        Headers { shared: self.shared.clone(), next: from, open: None }
    }
}

impl std::fmt::Debug for LogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LogReader").field(&self.shared.folder).finish()
    }
}

impl std::fmt::Debug for ColdRead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ColdRead")
            .field("from", &self.from)
            .field("below", &self.below)
            .finish_non_exhaustive()
    }
}

impl ColdRead {
    /// The offset that is read from.
    #[must_use]
    pub fn from(&self) -> Offset {
        self.from
    }

    /// Reads from the disk.
    ///
    /// # Errors
    /// As [`LogReader::read`].
    pub fn run(self) -> Result<Slice, ReadError> {
        loop {
            let Some(view) = view_at(&self.shared, self.from)? else { return Ok(Slice::empty(self.from)) };
            match self.read_segment(&view) {
                _ if !self.shared.is_current(&view) => {}
                Err(_) if !self.shared.has(&view) => {}
                result => return result.map(|slice| slice.with_gap_from(self.from)),
            }
        }
    }

    fn read_segment(&self, view: &SegmentView) -> Result<Slice, ReadError> {
        let first = locate(&self.shared, view, self.from)?;
        let first_bytes = u64::from(first.header.total_bytes);
        if first.header.next_offset() > self.below.min(view.end) {
            return Ok(Slice::empty(self.from));
        }
        let mut wanted = (self.bytes_max as u64).min(view.segment.bytes - first.position);
        if wanted < first_bytes {
            if !self.min_one_batch {
                return Ok(Slice::empty(self.from));
            }
            wanted = first_bytes;
        }
        let bytes = self.read_bytes(view, first.position, wanted)?;
        self.whole_batches(view, first.position, first.header.base_offset, &bytes)
    }

    fn read_bytes(&self, view: &SegmentView, position: u64, wanted: u64) -> Result<Bytes, ReadError> {
        let file = self.shared.file(&view.segment, FileKind::Log)?;
        let path = self.shared.path(view.segment.base, FileKind::Log);
        let wanted = usize::try_from(wanted).expect("bounded by the caller's limit or one batch");
        let bytes = read_range(&*file, wanted, position).doing("reading", &path)?;
        Ok(Bytes::from(bytes))
    }

    /// Cuts what was read to the whole batches below the limit, and checks each.
    fn whole_batches(
        &self,
        view: &SegmentView,
        position: u64,
        base: Offset,
        bytes: &Bytes,
    ) -> Result<Slice, ReadError> {
        let mut expected = Expected::at(base);
        let mut at = 0;
        while bytes.len() - at >= HEADER_BYTES && expected.offset < view.end {
            let rest = &bytes[at..];
            let here = position + at as u64;
            let fault = |fault| corrupt(&self.shared, view, here, expected.offset, &fault);
            let header = BatchHeader::parse(rest).map_err(|error| fault(error.into()))?;
            let total = usize::try_from(header.total_bytes).unwrap_or(usize::MAX);
            if total > rest.len() {
                break;
            }
            check(&rest[..total], &STORED_LIMITS).map_err(|error| fault(error.into()))?;
            if header.next_offset() > self.below {
                break;
            }
            let mut after = expected;
            after.take(&header).map_err(fault)?;
            expected = after;
            at += total;
        }
        if at == 0 {
            let fault = BatchFault::Missing { expected: base };
            return Err(corrupt(&self.shared, view, position, base, &fault));
        }
        Ok(Slice { chunks: vec![bytes.slice(..at)], next_offset: expected.offset })
    }
}

/// The segment that holds the batch of `offset`; `None` at the log's end.
fn view_at(shared: &Shared, offset: Offset) -> Result<Option<SegmentView>, ReadError> {
    let state = shared.state();
    if offset < state.start || offset > state.end {
        return Err(state.out_of_range());
    }
    Ok(state.view(state.segment_of(offset)).filter(|view| offset < view.end))
}

/// Goes over the headers of a log; see [`LogReader::headers`].
pub struct Headers {
    shared: Arc<Shared>,
    /// The offset to go on at.
    next: Offset,
    open: Option<(SegmentView, Walk)>,
}

impl Headers {
    fn step(&mut self) -> Result<Option<BatchHeader>, ReadError> {
        loop {
            let (view, mut walk) = match self.open.take() {
                Some(open) => open,
                None => match self.open_segment()? {
                    Some(open) => open,
                    None => return Ok(None),
                },
            };
            if self.next >= view.end {
                // Whatever may lie behind the last batch of a segment is no part of the log.
                if view.is_last && self.shared.state().end <= self.next {
                    return Ok(None);
                }
                continue;
            }
            let position = walk.position();
            let path = self.shared.path(view.segment.base, FileKind::Log);
            let step = walk.next_header().doing("reading", &path);
            if !self.shared.is_current(&view) {
                continue;
            }
            let fault = match step? {
                Step::End => BatchFault::Missing { expected: self.next },
                Step::Fault(error) => BatchFault::Bytes(error),
                Step::Found(header) if header.base_offset > self.next => {
                    BatchFault::Offset { expected: self.next, found: header.base_offset }
                }
                Step::Found(header) => {
                    self.next = header.next_offset();
                    self.open = Some((view, walk));
                    return Ok(Some(header));
                }
            };
            return Err(corrupt(&self.shared, &view, position, self.next, &fault));
        }
    }

    fn open_segment(&mut self) -> Result<Option<(SegmentView, Walk)>, ReadError> {
        loop {
            let Some(view) = view_at(&self.shared, self.next)? else { return Ok(None) };
            match locate(&self.shared, &view, self.next) {
                _ if !self.shared.is_current(&view) => {}
                Err(_) if !self.shared.has(&view) => {}
                Err(error) => return Err(error),
                Ok(first) => {
                    let file = self.shared.file(&view.segment, FileKind::Log)?;
                    let walk = Walk::new(file, first.position, view.segment.bytes, FAR_WINDOW_BYTES);
                    return Ok(Some((view, walk)));
                }
            }
        }
    }
}

impl Iterator for Headers {
    type Item = Result<BatchHeader, ReadError>;

    /// The next header; after an error the iterator stays where it is.
    fn next(&mut self) -> Option<Self::Item> {
        self.step().transpose()
    }
}
