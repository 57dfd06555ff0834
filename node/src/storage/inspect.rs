//! Looking at the files of a partition from outside: without the lock, without changing a byte, also while a node
//! writes there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use weir_wire::batch::BatchHeader;
use weir_wire::ids::{Offset, TopicId};

use super::disk::{Disk, DiskFile, EntryKind, OpenMode};
use super::error::{Doing, StorageError};
use super::index::{IndexEntry, IndexFault, OffsetEntry, TimeEntry, entry_count, read_entries};
use super::names::{FileKind, file_name, parse_file_name};
use super::side_files::{META_FILE, MetaError, PartitionMeta};
use super::walk::{BatchFault, Expected, FAR_WINDOW_BYTES, Step, Walk};

/// A segment file that is being looked at: an iterator over what lies in it.
pub struct SegmentFile {
    path: PathBuf,
    walk: Walk,
    expected: Option<Expected>,
    bytes: u64,
    failed: bool,
}

/// What lies at a place in a segment file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inspected {
    /// A batch whose checksum holds.
    Batch {
        /// Where it begins.
        position: u64,
        /// Its header.
        header: BatchHeader,
        /// All of it.
        bytes: Bytes,
        /// Why it does not belong where it is, if that is so.
        fault: Option<BatchFault>,
    },
    /// Bytes that are no whole batch.
    Damaged {
        /// Where they begin.
        position: u64,
        /// How many there are up to the next whole batch or the end.
        bytes: u64,
        /// Why they are no batch.
        reason: BatchFault,
    },
}

/// Opens a segment file for looking at it. If its name is that of a segment, batches are expected to follow each other
/// from the offset in the name.
///
/// # Errors
/// When the file cannot be opened.
pub fn inspect_segment(disk: &dyn Disk, path: &Path) -> Result<SegmentFile, StorageError> {
    let file = disk.open(path, OpenMode::Read).doing("opening", path)?;
    let bytes = file.len().doing("looking at", path)?;
    let name = path.file_name().and_then(|name| name.to_str()).and_then(parse_file_name);
    let base = name.filter(|(_, kind)| *kind == FileKind::Log).map(|(base, _)| base);
    Ok(SegmentFile {
        path: path.to_owned(),
        walk: Walk::new(file, 0, bytes, FAR_WINDOW_BYTES),
        expected: base.map(Expected::at),
        bytes,
        failed: false,
    })
}

impl SegmentFile {
    /// The length of the file when it was opened.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    fn step(&mut self) -> Result<Option<Inspected>, StorageError> {
        let position = self.walk.position();
        let reason = match self.walk.next_batch().doing("reading", &self.path)? {
            Step::End => return Ok(None),
            Step::Found((header, bytes)) => {
                let bytes = Bytes::copy_from_slice(bytes);
                let fault = self.expected.get_or_insert(Expected::at(header.base_offset)).take(&header).err();
                if fault.is_some() {
                    // What follows is compared with this batch, so that one gap is told once.
                    self.expected = Some(Expected { offset: header.next_offset(), epoch: None });
                }
                return Ok(Some(Inspected::Batch { position, header, bytes, fault }));
            }
            Step::Fault(error) => BatchFault::Bytes(error),
        };
        let next = self.walk.find_batch_behind(Offset::ZERO).doing("reading", &self.path)?;
        let next = next.map_or(self.bytes, |(next, _)| next);
        self.walk.go_to(next);
        Ok(Some(Inspected::Damaged { position, bytes: next - position, reason }))
    }
}

impl Iterator for SegmentFile {
    type Item = Result<Inspected, StorageError>;

    /// What lies at the next place; an error of the disk ends it.
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let item = self.step().transpose();
        self.failed = matches!(item, Some(Err(_)));
        item
    }
}

/// What [`verify_partition`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// The topic whose log it is; `None` where that cannot be read.
    pub topic: Option<TopicId>,
    /// The offset of the first batch.
    pub start: Offset,
    /// The first offset that is read: what lies below, in the first batches, is deleted.
    pub log_start: Offset,
    /// The offset after the last batch.
    pub end: Offset,
    /// The number of segments.
    pub segments: u64,
    /// The number of whole batches.
    pub batches: u64,
    /// The number of records in them.
    pub records: u64,
    /// The bytes of the segment files.
    pub bytes: u64,
    /// What is not as it should be.
    pub problems: Vec<Problem>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// Where in it.
    pub position: u64,
    /// What is wrong.
    pub reason: String,
    /// Whether records are affected; if not, the node puts it right by itself.
    pub is_damage: bool,
}

impl Verification {
    /// Whether all records are whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.problems.iter().all(|problem| !problem.is_damage)
    }

    fn problem(&mut self, path: &Path, position: u64, reason: impl ToString, is_damage: bool) {
        self.problems.push(Problem {
            path: path.to_owned(),
            position,
            reason: reason.to_string(),
            is_damage,
        });
    }
}

/// Whether a folder is one of a partition, by what lies in it: its description, or a file of a log.
///
/// # Errors
/// When the folder cannot be listed.
pub fn is_partition_folder(disk: &dyn Disk, folder: &Path) -> Result<bool, StorageError> {
    let entries = disk.list(folder).doing("listing", folder)?;
    Ok(entries.iter().any(|entry| {
        matches!(entry.kind, EntryKind::File { .. })
            && (entry.name == META_FILE || parse_file_name(&entry.name).is_some())
    }))
}

/// The segment files of a partition's folder, each with the offset in its name, in order.
///
/// # Errors
/// When the disk does not answer.
pub fn segment_files(disk: &dyn Disk, folder: &Path) -> Result<Vec<(Offset, PathBuf)>, StorageError> {
    let mut files = Vec::new();
    for entry in disk.list(folder).doing("listing", folder)? {
        if let (Some((base, FileKind::Log)), EntryKind::File { .. }) =
            (parse_file_name(&entry.name), entry.kind)
        {
            files.push((base, folder.join(&entry.name)));
        }
    }
    files.sort_unstable();
    Ok(files)
}

/// Checks all that can be checked of a partition's folder: every batch, that they follow each other also over segments,
/// the indexes against the batches, and the folder's own description.
///
/// # Errors
/// When the disk does not answer.
pub fn verify_partition(disk: &dyn Disk, folder: &Path) -> Result<Verification, StorageError> {
    let mut found = Verification::default();
    let meta_path = folder.join(META_FILE);
    match PartitionMeta::read(disk, folder) {
        Ok(Some(meta)) => (found.topic, found.log_start) = (Some(meta.key.topic_id), meta.start),
        Ok(None) => found.problem(&meta_path, 0, "it is missing", true),
        Err(MetaError::Stored(error)) => found.problem(&meta_path, 0, error, true),
        Err(MetaError::Io(error)) => return Err(error),
    }
    let mut expected: Option<Offset> = None;
    for (base, path) in segment_files(disk, folder)? {
        if let Some(expected) = expected.filter(|expected| *expected != base) {
            found.problem(&path, 0, BatchFault::Offset { expected, found: base }, true);
        }
        if found.segments == 0 {
            (found.start, found.log_start) = (base, found.log_start.max(base));
        }
        let batches = verify_segment(disk, &path, base, &mut found)?;
        verify_indexes(disk, folder, base, &batches, &mut found)?;
        expected = Some(batches.end);
        found.end = batches.end;
    }
    Ok(found)
}

/// What the batches of a segment say, for comparing its indexes with.
struct Batches {
    end: Offset,
    /// The base offset of the batch at a position.
    offsets: BTreeMap<u64, Offset>,
    /// The highest timestamp before an offset, where it changes.
    max_timestamps: BTreeMap<Offset, i64>,
}

fn verify_segment(
    disk: &dyn Disk,
    path: &Path,
    base: Offset,
    found: &mut Verification,
) -> Result<Batches, StorageError> {
    let mut batches = Batches { end: base, offsets: BTreeMap::new(), max_timestamps: BTreeMap::new() };
    let mut max_timestamp_ms = i64::MIN;
    let file = inspect_segment(disk, path)?;
    found.segments += 1;
    found.bytes += file.bytes();
    for item in file {
        match item? {
            Inspected::Batch { position, header, fault, .. } => {
                found.batches += 1;
                found.records += u64::from(header.record_count);
                batches.offsets.insert(position, header.base_offset);
                batches.end = header.next_offset();
                if header.max_timestamp_ms > max_timestamp_ms {
                    max_timestamp_ms = header.max_timestamp_ms;
                    batches.max_timestamps.insert(header.next_offset(), max_timestamp_ms);
                }
                if let Some(fault) = fault {
                    found.problem(path, position, fault, true);
                }
            }
            Inspected::Damaged { position, bytes, reason } => {
                found.problem(path, position, format!("{bytes} bytes are no batch: {reason}"), true);
            }
        }
    }
    Ok(batches)
}

fn verify_indexes(
    disk: &dyn Disk,
    folder: &Path,
    base: Offset,
    batches: &Batches,
    found: &mut Verification,
) -> Result<(), StorageError> {
    let path = folder.join(file_name(base, FileKind::Index));
    for (number, entry) in read_index::<OffsetEntry>(disk, &path, found)?.into_iter().enumerate() {
        let offset = base + u64::from(entry.relative);
        if batches.offsets.get(&u64::from(entry.position)) != Some(&offset) {
            let reason = format!("no batch of offset {offset} begins at byte {} of the log", entry.position);
            found.problem(&path, (number * OffsetEntry::BYTES) as u64, reason, false);
        }
    }
    let path = folder.join(file_name(base, FileKind::TimeIndex));
    for (number, entry) in read_index::<TimeEntry>(disk, &path, found)?.into_iter().enumerate() {
        let offset = base + u64::from(entry.relative);
        let highest = batches.max_timestamps.range(..=offset).next_back();
        if offset > batches.end || highest.is_some_and(|(_, highest)| *highest > entry.timestamp_ms) {
            let reason =
                format!("timestamps before offset {offset} are not bounded by {}", entry.timestamp_ms);
            found.problem(&path, (number * TimeEntry::BYTES) as u64, reason, false);
        }
    }
    Ok(())
}

fn read_index<E: IndexEntry>(
    disk: &dyn Disk,
    path: &Path,
    found: &mut Verification,
) -> Result<Vec<E>, StorageError> {
    if disk.stat(path).doing("looking at", path)?.is_none() {
        // One that would be empty is made when it is first needed.
        return Ok(Vec::new());
    }
    let file: Arc<dyn DiskFile> = disk.open(path, OpenMode::Read).doing("opening", path)?;
    match entry_count::<E>(&*file).and_then(|count| read_entries(&*file, 0, count)) {
        Ok(entries) => Ok(entries),
        Err(IndexFault::Damaged) => {
            found.problem(path, 0, "it holds entries that cannot be", false);
            Ok(Vec::new())
        }
        Err(IndexFault::Io(error)) => Err(StorageError::of("reading", path, &error)),
    }
}
