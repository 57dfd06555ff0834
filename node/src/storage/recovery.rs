//! Opening the log of a partition after a stop, clean or not.
//!
//! What lies before the recovery point was on disk for sure and is not read again. What lies behind is looked at
//! batch by batch, cut at the first one that cannot stand there, written again and made durable before it is used:
//! bytes that survived the death of a process still sit in the page cache, and after a failed sync the page cache calls
//! bytes clean that no disk has, so that syncing alone would do nothing (see the decision page on the page cache).
//! Kafka's `LogLoader` and `LogSegment.recover` do the same, and trust the page cache.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_wire::ids::Offset;
use weir_wire::names::NameError;

use super::compaction::swap;
use super::disk::{Disk, DiskFile, EntryKind, OpenMode, TEMPORARY_SUFFIX, remove_if_there};
use super::error::{Doing, ReadError, StorageError};
use super::log::{Log, LogConfig, LogPoint, RecoveryPoint, rebuild};
use super::names::{FileKind, file_name, parse_file_name};
use super::shared::{Segment, Shared, Storage};
use super::side_files::{META_FILE, MetaError, PartitionKey, PartitionMeta, SideFiles};
use super::walk::{BatchFault, Expected, FAR_WINDOW_BYTES, Step, Walk};

/// What to do where the log is damaged below its recovery point, so that records are missing which were durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDamage {
    /// Leave everything as it is and say so.
    #[default]
    Refuse,
    /// Go on with what is whole: the rest is to come from another replica, or an operator said so.
    Cut,
}

/// Why the log of a partition was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The caller's fault.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Not created yet.
    #[error("there is no log in {}", .path.display())]
    Missing {
        /// The partition's folder.
        path: PathBuf,
    },
    /// Left over from a topic that had the same name. It is never used; move it aside.
    #[error("{} belongs to {found}, not to {expected}: a topic of that name was deleted and created again", .path.display())]
    Stale {
        /// The partition's folder.
        path: PathBuf,
        /// Whose it is.
        found: PartitionKey,
        /// Whose it should be.
        expected: PartitionKey,
    },
    /// Final until an operator decides: nobody can say whose data this is.
    #[error("{} does not say whose log this is ({reason}): restore the file, or move the folder away", .path.display())]
    Unidentified {
        /// The file that should say it.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Final until the replica is healed from another, or an operator lets it be cut.
    #[error("{0}")]
    Damaged(Damage),
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] StorageError),
}

/// Records that were durable are gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment file, or the partition's folder where a whole file is missing.
    pub path: PathBuf,
    /// Where in the file the damage begins.
    pub position: u64,
    /// The first offset that is gone.
    pub offset: Offset,
    /// Everything below this offset had been on disk.
    pub recovery_point: Offset,
    /// What is wrong.
    pub reason: BatchFault,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Damage { path, position, offset, recovery_point, reason } = self;
        write!(
            f,
            "{} is damaged at byte {position}: {reason}; records from offset {offset} on are gone, although all up \
             to {recovery_point} had been on disk: restore the file, or let another replica replace this one",
            path.display()
        )
    }
}

/// What opening a log found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// The first offset of the log.
    pub start: Offset,
    /// The offset after its last batch.
    pub end: Offset,
    /// From where batches were checked; `None` if everything was known to be on disk.
    pub scanned_from: Option<Offset>,
    /// How many bytes were checked.
    pub scanned_bytes: u64,
    /// What was cut off.
    pub cut: Option<Cut>,
    /// What was missing below the recovery point, for a log opened with [`OnDamage::Cut`].
    pub damage: Option<Damage>,
    /// Whether the log ends below where readers had been served: records are gone that were committed.
    pub ended_below_high_watermark: bool,
    /// Whether opening this log, now or in a process that died before it told anybody, lost something. It stays so
    /// until [`SideFiles::loss_is_told`].
    pub is_loss_untold: bool,
}

/// The end of a log that was cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The offset at which the log ends now.
    pub offset: Offset,
    /// The segment that was cut.
    pub segment: Offset,
    /// Where it was cut.
    pub position: u64,
    /// How many bytes went, later segments included.
    pub bytes: u64,
    /// How many later segments went.
    pub segments: usize,
    /// Why the log could not go on there.
    pub reason: BatchFault,
    /// The offset of a whole batch behind the cut, if there is any: then this was no torn tail, but damage in what may
    /// have been durable, or a disk that kept later writes and lost earlier ones.
    pub good_batch_behind: Option<Offset>,
}

impl Recovery {
    /// Whether the replica may keep its place among the in-sync ones: nothing that it may have promised is gone.
    #[must_use]
    pub fn keeps_its_place(&self) -> bool {
        !self.is_loss_untold
    }

    /// Whether all that was cut, if anything, is a last write that was never acknowledged.
    #[must_use]
    pub fn is_at_most_a_torn_tail(&self) -> bool {
        self.damage.is_none()
            && !self.ended_below_high_watermark
            && self.cut.as_ref().is_none_or(|cut| cut.good_batch_behind.is_none())
    }
}

/// What opening needs to know.
pub(super) struct OpenRequest {
    pub(super) folder: PathBuf,
    pub(super) key: PartitionKey,
    pub(super) config: LogConfig,
    pub(super) recovery_point: Option<RecoveryPoint>,
    pub(super) high_watermark: Option<Offset>,
    /// The last process ended in order, and so left no name unsynced.
    pub(super) clean: bool,
    pub(super) create: bool,
    pub(super) on_damage: OnDamage,
}

pub(super) fn open(storage: Arc<Storage>, request: &OpenRequest) -> Result<(Log, Recovery), OpenError> {
    let disk = &*storage.disk;
    let folder = request.folder.as_path();
    let meta = identify(disk, request)?;
    let side = SideFiles::new(storage.clone(), folder.to_owned(), meta);
    swap::finish_all(disk, folder)?;
    let files = Files::list(disk, folder, meta.start)?;
    let mut opening = Opening {
        disk,
        folder,
        meta,
        durable: request.recovery_point.map(|point| known_durable(point, &meta)),
        files,
        clean: request.clean,
        on_damage: request.on_damage,
        damage: None,
    };
    let scan = opening.scan()?;
    opening.check_against_recovery_point(&scan)?;
    let end = scan.end.max(meta.start);
    let ended_below_high_watermark = request.high_watermark.is_some_and(|watermark| end < watermark);
    if scan.cut.is_some() || opening.damage.is_some() || ended_below_high_watermark {
        side.change_meta(|meta| meta.is_loss_untold = true)?;
    }
    opening.keep_only(&scan)?;
    let Opening { files, damage, durable, .. } = opening;
    let start = files.segments.first().map_or(meta.start, |first| first.base.max(meta.start));
    side.change_meta(|meta| {
        meta.start = start;
        if durable.is_some_and(|(durable, _)| end < durable) {
            // The checkpoint still holds the old recovery point.
            meta.truncations += 1;
            meta.truncated_to = meta.truncated_to.min(end);
        }
    })?;
    if files.snapshots.last().is_some_and(|newest| *newest > end) {
        side.cut(Some(end))?;
    }
    let segments: VecDeque<Segment> =
        files.segments.iter().map(|file| Segment::new(file.base, file.bytes, &storage)).collect();
    let interval = request.config.index_interval_bytes;
    let shared = Arc::new(Shared::new(storage.clone(), folder.to_owned(), start, end, segments, interval));
    complete_indexes(&shared, &scan, interval)?;
    let flushed = match files.segments.last() {
        Some(last) => LogPoint { offset: end, segment: last.base, position: last.bytes },
        None => LogPoint { offset: end, segment: end, position: 0 },
    };
    let recovery = Recovery {
        start,
        end,
        scanned_from: (scan.bytes > 0).then_some(scan.from.offset),
        scanned_bytes: scan.bytes,
        cut: scan.cut,
        damage,
        ended_below_high_watermark,
        is_loss_untold: side.meta().is_loss_untold,
    };
    Ok((Log::new(shared, side, request.key, request.config, flushed), recovery))
}

/// Finds out whose folder this is, and makes it if it is not there yet.
fn identify(disk: &dyn Disk, request: &OpenRequest) -> Result<PartitionMeta, OpenError> {
    let folder = request.folder.as_path();
    let path = folder.join(META_FILE);
    match PartitionMeta::read(disk, folder) {
        Ok(Some(meta)) if meta.key == request.key => {
            if !request.clean {
                // A process that died may have made or changed names which only this boot will see.
                disk.sync_dir(folder).doing("syncing", folder)?;
            }
            return Ok(meta);
        }
        Ok(Some(meta)) => {
            let (path, found, expected) = (folder.to_owned(), meta.key, request.key);
            return Err(OpenError::Stale { path, found, expected });
        }
        Ok(None) => {}
        Err(MetaError::Stored(error)) => {
            return Err(OpenError::Unidentified { path, reason: error.to_string() });
        }
        Err(MetaError::Io(error)) => return Err(error.into()),
    }
    if disk.stat(folder).doing("looking at", folder)?.is_some() {
        // The identity is durable before the first batch is, so data without it means that it was lost.
        let entries = disk.list(folder).doing("listing", folder)?;
        let has_data = entries.iter().any(|entry| {
            let is_log = parse_file_name(&entry.name).is_some_and(|(_, kind)| kind == FileKind::Log);
            is_log && entry.kind != EntryKind::File { bytes: 0 }
        });
        if has_data {
            return Err(OpenError::Unidentified { path, reason: "it is missing".to_owned() });
        }
    }
    if !request.create {
        return Err(OpenError::Missing { path: folder.to_owned() });
    }
    create(disk, folder, request.key).map_err(OpenError::from)
}

/// Makes the folder of a partition, durably.
fn create(disk: &dyn Disk, folder: &Path, key: PartitionKey) -> Result<PartitionMeta, StorageError> {
    disk.create_dir_all(folder).doing("creating", folder)?;
    let meta = PartitionMeta::new(key);
    meta.write(disk, folder)?;
    let above = super::disk::parent(folder);
    disk.sync_dir(above).doing("syncing", above)?;
    Ok(meta)
}

/// Up to which offset the log must be there, and where that is if it is known to the byte.
fn known_durable(recovery_point: RecoveryPoint, meta: &PartitionMeta) -> (Offset, Option<LogPoint>) {
    let point = recovery_point.point;
    if recovery_point.truncations == meta.truncations {
        (point.offset, Some(point))
    } else {
        // The log was cut after this was written down.
        (point.offset.min(meta.truncated_to), None)
    }
}

/// The files of a partition's folder.
struct Files {
    segments: Vec<SegmentFile>,
    /// The offsets of the snapshots, rising.
    snapshots: Vec<Offset>,
    /// Files that mean nothing: temporary ones, indexes without a log, segments below the log's start as a whole.
    garbage: Vec<String>,
}

#[derive(Clone, Copy)]
struct SegmentFile {
    base: Offset,
    bytes: u64,
}

impl Files {
    /// Lists the files of a log that starts at `start`.
    fn list(disk: &dyn Disk, folder: &Path, start: Offset) -> Result<Files, StorageError> {
        let mut files = Files { segments: Vec::new(), snapshots: Vec::new(), garbage: Vec::new() };
        let mut indexes = Vec::new();
        for entry in disk.list(folder).doing("listing", folder)? {
            let EntryKind::File { bytes } = entry.kind else { continue };
            match parse_file_name(&entry.name) {
                Some((base, FileKind::Log)) => files.segments.push(SegmentFile { base, bytes }),
                Some((offset, FileKind::Snapshot)) => files.snapshots.push(offset),
                Some((base, kind)) => indexes.push((base, kind)),
                None if entry.name.ends_with(TEMPORARY_SUFFIX) => files.garbage.push(entry.name),
                None => {}
            }
        }
        let below = files.segments.windows(2).take_while(|pair| pair[1].base <= start).count();
        let below = files.segments.drain(..below).map(|segment| file_name(segment.base, FileKind::Log));
        files.garbage.extend(below);
        let has_log = |base| files.segments.iter().any(|segment| segment.base == base);
        let orphans = indexes.into_iter().filter(|(base, _)| !has_log(*base));
        files.garbage.extend(orphans.map(|(base, kind)| file_name(base, kind)));
        Ok(files)
    }
}

/// What looking at the log found.
struct Scan {
    /// The number of the first segment that was looked at.
    first: usize,
    /// From where on.
    from: LogPoint,
    /// The offset after the last batch that is whole and in its place.
    end: Offset,
    /// Where that ends: number of the segment, position in it.
    last: usize,
    position: u64,
    bytes: u64,
    cut: Option<Cut>,
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

/// A log that is being opened.
struct Opening<'a> {
    disk: &'a dyn Disk,
    folder: &'a Path,
    meta: PartitionMeta,
    durable: Option<(Offset, Option<LogPoint>)>,
    files: Files,
    clean: bool,
    on_damage: OnDamage,
    damage: Option<Damage>,
}

impl Opening<'_> {
    /// Checks every batch from the recovery point on, and writes it again as it was read.
    fn scan(&self) -> Result<Scan, StorageError> {
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
        // Where the only batch of its epoch begins, if the last one is that.
        let mut lone = None;
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
                            let is_first = before != Some(header.leader_epoch);
                            lone = is_first.then_some((header.base_offset, number, position));
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
                let here = walk.find_batch_behind(expected.offset).doing("reading", &path)?;
                let behind = match here {
                    Some((_, header)) => Some(header.base_offset),
                    None => self.first_good_batch(number + 1, expected.offset)?,
                };
                // No checksum covers the epoch. One batch that is above both its neighbours is the one that is damaged.
                if let (BatchFault::Epoch { .. }, Some((offset, number, at))) = (&fault, lone) {
                    cut = Some((fault, Some(expected.offset)));
                    (expected.offset, last, position) = (offset, number, at);
                } else {
                    cut = Some((fault, behind));
                }
                break;
            }
        }
        let mut scan = Scan { first, from, end: expected.offset, last, position, bytes, cut: None };
        scan.cut = cut.map(|(reason, good_batch_behind)| self.cut_of(&scan, reason, good_batch_behind));
        Ok(scan)
    }

    /// The first segment's offset, if the log does not begin where it should.
    fn missing_start(&self) -> Option<Offset> {
        self.files.segments.first().map(|first| first.base).filter(|base| *base > self.meta.start)
    }

    /// Everything below this offset must be there.
    fn durable_offset(&self) -> Offset {
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
    fn first_good_batch(&self, from: usize, offset: Offset) -> Result<Option<Offset>, StorageError> {
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

    /// Whether anything is missing that had been on disk.
    fn check_against_recovery_point(&mut self, scan: &Scan) -> Result<(), OpenError> {
        let durable = self.durable_offset();
        let missing_end = scan.end < durable && durable > self.meta.start;
        let damage = if let Some(found) = self.missing_start().filter(|_| durable > self.meta.start) {
            let reason = BatchFault::Offset { expected: self.meta.start, found };
            let (path, offset) = (self.folder.to_owned(), self.meta.start);
            Damage { path, position: 0, offset, recovery_point: durable, reason }
        } else if missing_end {
            let path = match self.files.segments.get(scan.last) {
                Some(segment) => self.path(segment.base, FileKind::Log),
                None => self.folder.to_owned(),
            };
            let reason = match &scan.cut {
                Some(cut) => cut.reason.clone(),
                None => BatchFault::Missing { expected: scan.end },
            };
            Damage { path, position: scan.position, offset: scan.end, recovery_point: durable, reason }
        } else {
            return Ok(());
        };
        match self.on_damage {
            OnDamage::Refuse => Err(OpenError::Damaged(damage)),
            OnDamage::Cut => {
                self.damage = Some(damage);
                Ok(())
            }
        }
    }

    /// Removes what was cut, and makes the rest durable.
    fn keep_only(&mut self, scan: &Scan) -> Result<(), StorageError> {
        // A log that ends before it starts was given up in favour of a later start, which a crash interrupted.
        let kept = if scan.end < self.meta.start {
            0
        } else if scan.cut.is_some() {
            // A segment that keeps no batch goes as a whole.
            scan.last + usize::from(scan.position > 0)
        } else {
            self.files.segments.len()
        };
        for name in &self.files.garbage {
            let path = self.folder.join(name);
            remove_if_there(self.disk, &path).doing("removing", &path)?;
        }
        let gone = self.files.segments.split_off(kept.min(self.files.segments.len()));
        for segment in gone.iter().rev() {
            for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
                let path = self.path(segment.base, kind);
                remove_if_there(self.disk, &path).doing("removing", &path)?;
            }
        }
        if self.clean && scan.bytes == 0 && scan.cut.is_none() && gone.is_empty() {
            return Ok(());
        }
        // Also where nothing is left to check: the process that died may have cut the file without syncing it, or in
        // vain.
        let folder = self.folder;
        for number in scan.first..self.files.segments.len() {
            let segment = self.files.segments[number];
            let path = self.path(segment.base, FileKind::Log);
            let file = self.disk.open(&path, OpenMode::ReadWrite).doing("opening", &path)?;
            let bytes = if scan.cut.is_some() && number == scan.last { scan.position } else { segment.bytes };
            file.set_len(bytes).doing("cutting", &path)?;
            self.files.segments[number].bytes = bytes;
            file.sync_data().doing("syncing", &path)?;
        }
        self.disk.sync_dir(folder).doing("syncing", folder)
    }

    fn path(&self, base: Offset, kind: FileKind) -> PathBuf {
        self.folder.join(file_name(base, kind))
    }
}

/// Brings the indexes of the segments that were looked at in line with their batches.
fn complete_indexes(shared: &Shared, scan: &Scan, interval_bytes: u32) -> Result<(), OpenError> {
    if scan.bytes == 0 && scan.cut.is_none() {
        return Ok(());
    }
    let count = shared.state().segments.len();
    for number in scan.first..count {
        let view = shared.state().view(number).expect("counted just now");
        let done = if number == scan.first && scan.from.position > 0 {
            rebuild::extend(shared, &view, scan.from, interval_bytes, !view.is_last)
        } else {
            rebuild::rebuild(shared, &view, interval_bytes, !view.is_last).map(|_| ())
        };
        match done {
            Ok(()) => {}
            Err(ReadError::Io(error)) => return Err(error.into()),
            // Damage below the recovery point, found on the way: readers will be told when they come there.
            Err(_) => shared.suspect(view.segment.number),
        }
    }
    Ok(())
}
