//! Writing a segment that is to take the place of others: under temporary names, with its indexes.

use std::sync::Arc;

use bytes::Bytes;
use weir_wire::batch::{BatchHeader, GAP_OFFSETS_MAX, gap};
use weir_wire::ids::{LeaderEpoch, Offset};

use super::super::disk::{DiskFile, OpenMode, TEMPORARY_SUFFIX, remove_if_there};
use super::super::error::{Doing, StorageError};
use super::super::index::{IndexBuilder, IndexEntry, OffsetEntry, TimeEntry, encode_all};
use super::super::names::{FileKind, swap_file_name};
use super::super::shared::{Segment, Shared};
use super::swap::KINDS;

/// How much is collected before it is written.
const WRITE_BYTES: usize = 1 << 20;
/// How much is written before it is synced: a flush of somebody else then never waits behind a gigabyte.
const SYNC_BYTES: u64 = 16 << 20;

/// A segment that is being written.
pub(super) struct Output<'a> {
    shared: &'a Shared,
    base: Offset,
    end: Offset,
    file: Arc<dyn DiskFile>,
    /// What is to be written next.
    buffer: Vec<u8>,
    /// The bytes before the buffer.
    written: u64,
    synced: u64,
    indexes: IndexBuilder,
    entries: Vec<OffsetEntry>,
    time_entries: Vec<TimeEntry>,
    /// What has gone since the last batch.
    gone: Option<Gap>,
    /// Whether anything differs from what it replaces, if that is one segment.
    is_changed: bool,
}

/// Neighbouring batches that are gone, of one reign.
#[derive(Clone, Copy)]
struct Gap {
    base: Offset,
    next: Offset,
    epoch: LeaderEpoch,
    max_timestamp_ms: i64,
}

/// A segment that was written.
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) max_timestamp_ms: i64,
    pub(super) is_changed: bool,
}

impl<'a> Output<'a> {
    pub(super) fn begin(
        shared: &'a Shared,
        base: Offset,
        end: Offset,
        interval_bytes: u32,
    ) -> Result<Output<'a>, StorageError> {
        let path = temporary(shared, base, end, FileKind::Log);
        let file = shared.storage.files.open(&path, OpenMode::Create)?;
        file.set_len(0).doing("emptying", &path)?;
        Ok(Output {
            shared,
            base,
            end,
            file,
            buffer: Vec::new(),
            written: 0,
            synced: 0,
            indexes: IndexBuilder::new(interval_bytes),
            entries: Vec::new(),
            time_entries: Vec::new(),
            gone: None,
            is_changed: false,
        })
    }

    /// A batch that stays as it is.
    pub(super) fn keep(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<(), StorageError> {
        self.close_gap()?;
        self.push(header, batch)
    }

    /// A batch in the place of another.
    pub(super) fn replace(&mut self, batch: &Bytes) -> Result<(), StorageError> {
        self.close_gap()?;
        self.is_changed = true;
        let header = BatchHeader::parse(batch).expect("it was made just now");
        self.push(&header, batch)
    }

    /// A batch of which nothing stays.
    pub(super) fn leave_out(&mut self, header: &BatchHeader) -> Result<(), StorageError> {
        let here = Gap {
            base: header.base_offset,
            next: header.next_offset(),
            epoch: header.leader_epoch,
            max_timestamp_ms: header.max_timestamp_ms,
        };
        self.is_changed |= !header.is_gap();
        match &mut self.gone {
            Some(gap) if gap.epoch == here.epoch && here.next.since(gap.base) <= GAP_OFFSETS_MAX => {
                self.is_changed = true;
                gap.next = here.next;
                gap.max_timestamp_ms = gap.max_timestamp_ms.max(here.max_timestamp_ms);
                Ok(())
            }
            _ => {
                self.close_gap()?;
                self.gone = Some(here);
                Ok(())
            }
        }
    }

    /// Makes the segment durable, under its temporary name; `None` if positions in it would not fit an index.
    pub(super) fn finish(mut self) -> Result<Option<Written>, StorageError> {
        self.close_gap()?;
        let bytes = self.written + self.buffer.len() as u64;
        if u32::try_from(bytes).is_err() {
            return Ok(None);
        }
        self.write()?;
        let path = temporary(self.shared, self.base, self.end, FileKind::Log);
        self.file.sync_data().doing("syncing", &path)?;
        let relative =
            u32::try_from(self.end.since(self.base)).expect("planned so that an index can tell it");
        let max_timestamp_ms = self.indexes.max_timestamp_ms();
        self.time_entries.extend(self.indexes.closing_entry(relative));
        self.write_index(FileKind::Index, &self.entries)?;
        self.write_index(FileKind::TimeIndex, &self.time_entries)?;
        Ok(Some(Written { bytes, max_timestamp_ms, is_changed: self.is_changed }))
    }

    fn close_gap(&mut self) -> Result<(), StorageError> {
        let Some(Gap { base, next, epoch, max_timestamp_ms }) = self.gone.take() else { return Ok(()) };
        let batch = gap(base, next, epoch, max_timestamp_ms);
        let header = BatchHeader::parse(&batch).expect("it was made just now");
        self.push(&header, &batch)
    }

    fn push(&mut self, header: &BatchHeader, batch: &[u8]) -> Result<(), StorageError> {
        let position = self.written + self.buffer.len() as u64;
        // A segment that grows beyond what an index can tell is given up in the end.
        if let (Ok(position), Ok(relative)) =
            (u32::try_from(position), u32::try_from(header.base_offset.since(self.base)))
            && let Some((entry, time)) = self.indexes.take(relative, position, header.max_timestamp_ms)
        {
            self.entries.push(entry);
            self.time_entries.extend(time);
        }
        self.buffer.extend_from_slice(batch);
        if self.buffer.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StorageError> {
        let path = temporary(self.shared, self.base, self.end, FileKind::Log);
        self.file.write_at(&[&self.buffer], self.written).doing("writing to", &path)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync_data().doing("syncing", &path)?;
            self.synced = self.written;
        }
        Ok(())
    }

    fn write_index<E: IndexEntry>(&self, kind: FileKind, entries: &[E]) -> Result<(), StorageError> {
        let path = temporary(self.shared, self.base, self.end, kind);
        let file = self.shared.storage.files.open(&path, OpenMode::Create)?;
        file.set_len(0).doing("emptying", &path)?;
        file.write_at(&[&encode_all(entries)], 0).doing("writing to", &path)?;
        file.sync_data().doing("syncing", &path)
    }
}

/// Gives the written files the names under which a crash cannot take them back any more.
pub(super) fn commit(shared: &Shared, base: Offset, end: Offset) -> Result<(), StorageError> {
    let disk = &*shared.storage.disk;
    for kind in KINDS {
        let (from, to) =
            (temporary(shared, base, end, kind), shared.folder.join(swap_file_name(base, end, kind)));
        disk.rename(&from, &to).doing("renaming", &from)?;
    }
    disk.sync_dir(&shared.folder).doing("syncing", &shared.folder)
}

/// Removes what was written and is not wanted.
pub(super) fn discard(shared: &Shared, base: Offset, end: Offset) -> Result<(), StorageError> {
    KINDS.into_iter().try_for_each(|kind| {
        let path = temporary(shared, base, end, kind);
        remove_if_there(&*shared.storage.disk, &path).doing("removing", &path).map(|_| ())
    })
}

fn temporary(shared: &Shared, base: Offset, end: Offset, kind: FileKind) -> std::path::PathBuf {
    shared.folder.join(format!("{}{TEMPORARY_SUFFIX}", swap_file_name(base, end, kind)))
}

/// The segment that was written, as part of the log.
pub(super) fn segment(shared: &Shared, base: Offset, end: Offset, written: &Written) -> Segment {
    let mut segment = Segment::new(base, written.bytes, &shared.storage);
    segment.swap_end = Some(end);
    segment.max_timestamp_ms = Some(written.max_timestamp_ms);
    segment
}
