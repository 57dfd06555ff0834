//! Looking through a log that is being opened, batch by batch, and where it cannot go on.

use std::io;
use std::sync::Arc;

use weir_wire::ids::{LeaderEpoch, Offset};

use super::disk::{DiskFile, OpenMode};
use super::error::{Doing, StorageError};
use super::log::LogPoint;
use super::names::FileKind;
use super::recovery::{Cut, Opening, SegmentFile};
use super::walk::{BatchFault, Expected, FAR_WINDOW_BYTES, Step, Walk};

/// What looking at the log found.
pub(super) struct Scan {
    /// The number of the first segment that was looked at.
    pub(super) first: usize,
    /// From where on.
    pub(super) from: LogPoint,
    /// The offset after the last batch that is whole and in its place.
    pub(super) end: Offset,
    /// Where that ends: number of the segment, position in it.
    pub(super) last: usize,
    pub(super) position: u64,
    pub(super) bytes: u64,
    pub(super) cut: Option<Cut>,
}

/// Writes batches over themselves, in the order of the file: only then does a sync concern them, whatever became of an
/// earlier one. What is written are the bytes that were checked, and not read a second time, for memory may let go of
/// pages that it calls clean.
struct Again {
    file: Arc<dyn DiskFile>,
    /// Where the next write begins.
    position: u64,
    bytes: Vec<u8>,
    has_written: bool,
}

impl Again {
    fn new(file: Arc<dyn DiskFile>, position: u64) -> Again {
        Again { file, position, bytes: Vec::new(), has_written: false }
    }

    fn take(&mut self, batch: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(batch);
        if self.bytes.len() < FAR_WINDOW_BYTES { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> io::Result<()> {
        self.file.write_at(&[&self.bytes], self.position)?;
        self.position += self.bytes.len() as u64;
        self.bytes.clear();
        self.has_written = true;
        Ok(())
    }

    /// Makes it all durable, through the handle that wrote it, so that no error of the disk goes unheard.
    fn finish(mut self) -> io::Result<()> {
        if !self.bytes.is_empty() {
            self.write()?;
        }
        if self.has_written { self.file.sync_data() } else { Ok(()) }
    }
}

/// The last batch, as long as it is the only one of its epoch.
#[derive(Clone, Copy)]
struct Lone {
    /// The epoch before its own, if that was seen.
    before: Option<LeaderEpoch>,
    /// Where it begins: its offset, the number of its segment, the position in that.
    offset: Offset,
    number: usize,
    position: u64,
}

impl Lone {
    /// Whether epochs fall behind it because its own is damaged, which no checksum covers: those on both sides of it would
    /// follow each other.
    fn stands_out(&self, fault: &BatchFault) -> bool {
        match fault {
            BatchFault::Epoch { found, .. } => self.before.is_none_or(|before| before <= *found),
            _ => false,
        }
    }
}

impl Opening<'_> {
    /// Checks every batch from the recovery point on, and writes it again as it was read.
    pub(super) fn scan(&self) -> Result<Scan, StorageError> {
        if let Some(found) = self.missing_start()
            && self.durable_offset() <= self.meta.start
        {
            return self.cut_everything(found);
        }
        let (first, from) = self.scan_from();
        let mut expected = Expected::at(from.offset);
        let (mut last, mut position) = (first, from.position);
        let mut bytes = 0;
        let mut cut = None;
        let mut lone: Option<Lone> = None;
        for (number, segment) in self.files.segments.iter().enumerate().skip(first) {
            let from_position = if number == first { from.position } else { 0 };
            if number > first && segment.base != expected.offset {
                let reason = BatchFault::Offset { expected: expected.offset, found: segment.base };
                cut = Some((reason, self.first_good_batch(number, expected.offset)?));
                break;
            }
            let path = self.path(segment.base, FileKind::Log);
            let file = self.disk.open(&path, OpenMode::ReadWrite).doing("opening", &path)?;
            let mut again = Again::new(file.clone(), from_position);
            let mut walk = Walk::new(file, from_position, segment.bytes, FAR_WINDOW_BYTES);
            let fault = loop {
                last = number;
                position = walk.position();
                let before = expected.epoch;
                match walk.next_batch().doing("reading", &path)? {
                    Step::Found((header, batch)) => match expected.take(&header) {
                        Ok(()) => {
                            let is_alone = before != Some(header.leader_epoch);
                            let offset = header.base_offset;
                            lone = is_alone.then_some(Lone { before, offset, number, position });
                            bytes += u64::from(header.total_bytes);
                            again.take(batch).doing("writing again to", &path)?;
                        }
                        Err(fault) => break Some(fault),
                    },
                    Step::End => break None,
                    Step::Fault(error) => break Some(BatchFault::Bytes(error)),
                }
            };
            again.finish().doing("writing again to", &path)?;
            if let Some(fault) = fault {
                let damaged = lone.filter(|lone| lone.stands_out(&fault));
                let behind = match damaged {
                    Some(_) => Some(expected.offset),
                    None => match walk.find_batch_behind(expected.offset).doing("reading", &path)? {
                        Some((_, header)) => Some(header.base_offset),
                        None => self.first_good_batch(number + 1, expected.offset)?,
                    },
                };
                if let Some(lone) = damaged {
                    (expected.offset, last, position) = (lone.offset, lone.number, lone.position);
                }
                cut = Some((fault, behind));
                break;
            }
        }
        let mut scan = Scan { first, from, end: expected.offset, last, position, bytes, cut: None };
        scan.cut = cut.map(|(reason, good_batch_behind)| self.cut_of(&scan, reason, good_batch_behind));
        Ok(scan)
    }

    /// The first segment's offset, if the log does not begin where it should.
    pub(super) fn missing_start(&self) -> Option<Offset> {
        self.files.segments.first().map(|first| first.base).filter(|base| *base > self.meta.start)
    }

    /// Everything below this offset must be there.
    pub(super) fn durable_offset(&self) -> Offset {
        self.durable.map_or(Offset::ZERO, |(offset, _)| offset)
    }

    /// A log of which nothing was durable, whose first segment is gone: the name of a later one was faster.
    fn cut_everything(&self, found: Offset) -> Result<Scan, StorageError> {
        let start = self.meta.start;
        let from = LogPoint { offset: start, segment: start, position: 0 };
        let mut scan = Scan { first: 0, from, end: start, last: 0, position: 0, bytes: 0, cut: None };
        let reason = BatchFault::Offset { expected: start, found };
        scan.cut = Some(self.cut_of(&scan, reason, self.first_good_batch(0, start)?));
        Ok(scan)
    }

    fn cut_of(&self, scan: &Scan, reason: BatchFault, good_batch_behind: Option<Offset>) -> Cut {
        let later = &self.files.segments[scan.last + 1..];
        let segment = self.files.segments[scan.last];
        Cut {
            offset: scan.end,
            segment: segment.base,
            position: scan.position,
            bytes: segment.bytes - scan.position + later.iter().map(|file| file.bytes).sum::<u64>(),
            segments: later.len(),
            reason,
            good_batch_behind,
        }
    }

    /// The segment and the place from which batches have to be checked.
    fn scan_from(&self) -> (usize, LogPoint) {
        let Some(first) = self.files.segments.first() else {
            let start = self.meta.start;
            return (0, LogPoint { offset: start, segment: start, position: 0 });
        };
        let beginning =
            |segment: &SegmentFile| LogPoint { offset: segment.base, segment: segment.base, position: 0 };
        let Some((offset, exact)) = self.durable else { return (0, beginning(first)) };
        let number = self.files.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1);
        let segment = &self.files.segments[number];
        match exact {
            Some(point) if point.segment == segment.base && point.position <= segment.bytes => {
                (number, point)
            }
            _ => (number, beginning(segment)),
        }
    }

    /// The first whole batch of later segments.
    pub(super) fn first_good_batch(
        &self,
        from: usize,
        offset: Offset,
    ) -> Result<Option<Offset>, StorageError> {
        for segment in self.files.segments.iter().skip(from) {
            let path = self.path(segment.base, FileKind::Log);
            let file = self.disk.open(&path, OpenMode::Read).doing("opening", &path)?;
            let mut walk = Walk::new(file, 0, segment.bytes, FAR_WINDOW_BYTES);
            if let Step::Found((header, _)) = walk.next_batch().doing("reading", &path)?
                && header.base_offset >= offset
            {
                return Ok(Some(header.base_offset));
            }
            if let Some((_, header)) = walk.find_batch_behind(offset).doing("reading", &path)? {
                return Ok(Some(header.base_offset));
            }
        }
        Ok(None)
    }
}
