//! Opening the log of a partition after a stop, clean or not.
//!
//! What lies before the recovery point was on disk for sure and is not read again. What lies behind is looked at
//! batch by batch, cut at the first one that cannot stand there, written again and made durable before it is used:
//! bytes that survived the death of a process still sit in the page cache, and after a failed sync the page cache calls
//! bytes clean that no disk has, so that syncing alone would do nothing (see the decision page on the page cache).
//! Kafka's `LogLoader` and `LogSegment.recover` do the same, and trust the page cache.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_wire::ids::Offset;
use weir_wire::names::NameError;

use super::compaction::swap;
use super::disk::{Disk, EntryKind, OpenMode, TEMPORARY_SUFFIX, remove_if_there};
use super::error::{Doing, ReadError, StorageError};
use super::log::{Log, LogConfig, LogPoint, RecoveryPoint, rebuild};
use super::names::{FileKind, file_name, parse_file_name};
use super::scan::Scan;
use super::shared::{Segment, Shared, Storage};
use super::side_files::{META_FILE, MetaError, PartitionKey, PartitionMeta, SideFiles};
use super::walk::BatchFault;

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
pub(super) struct Files {
    pub(super) segments: Vec<SegmentFile>,
    /// The offsets of the snapshots, rising.
    snapshots: Vec<Offset>,
    /// Files that mean nothing: temporary ones, indexes without a log, segments below the log's start as a whole.
    garbage: Vec<String>,
}

#[derive(Clone, Copy)]
pub(super) struct SegmentFile {
    pub(super) base: Offset,
    pub(super) bytes: u64,
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

/// A log that is being opened.
pub(super) struct Opening<'a> {
    pub(super) disk: &'a dyn Disk,
    folder: &'a Path,
    pub(super) meta: PartitionMeta,
    pub(super) durable: Option<(Offset, Option<LogPoint>)>,
    pub(super) files: Files,
    clean: bool,
    on_damage: OnDamage,
    damage: Option<Damage>,
}

impl Opening<'_> {
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

    pub(super) fn path(&self, base: Offset, kind: FileKind) -> PathBuf {
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
