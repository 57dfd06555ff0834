//! The small files of a partition: who it is, where it starts, and what core wants kept beside the log.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use serde::{Deserialize, Serialize};
use weir_wire::frame;
use weir_wire::ids::{Offset, PartitionIndex, TopicId};
use weir_wire::stored::{self, Stored, StoredError};

use super::compaction::Cleaned;
use super::disk::{Disk, EntryKind, remove_if_there, replace_file};
use super::error::{Doing, StorageError};
use super::locked;
use super::names::{FileKind, file_name, parse_file_name};
use super::shared::Storage;

/// Holds [`PartitionMeta`]; Kafka's name.
pub(super) const META_FILE: &str = "partition.metadata";
/// Holds what core knows of leader epochs; Kafka's name.
const EPOCHS_FILE: &str = "leader-epoch-checkpoint";
/// Holds what compaction has done; Kafka's name, per partition here.
const CLEANED_FILE: &str = "cleaner-offset-checkpoint";
const META_BYTES_MAX: usize = 4 << 10;
/// Largest side file that is read back.
pub const SIDE_FILE_BYTES_MAX: usize = 256 << 20;

/// Who a partition is, for good: names can be used again, topic ids cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionKey {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition of it.
    pub partition: PartitionIndex,
}

impl std::fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "partition {} of topic id {}", self.partition, self.topic_id)
    }
}

/// What a partition's folder says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartitionMeta {
    pub(super) key: PartitionKey,
    /// No offset below this is part of the log, whatever segments still hold; written before they are removed, so
    /// that nothing removed comes back after a loss of power.
    pub(super) start: Offset,
    /// How often the log was cut below what had been flushed. A recovery point of an earlier count may lie behind the
    /// log's end.
    pub(super) truncations: u64,
    /// The lowest offset that such a cut left.
    pub(super) truncated_to: Offset,
    /// Opening this log cut something off it, and nobody has been told yet who may count on it. Written before the cut:
    /// afterwards the log looks whole.
    pub(super) is_loss_untold: bool,
}

/// Layout 1.
#[derive(Serialize, Deserialize)]
struct MetaOne {
    key: PartitionKey,
    start: Offset,
    truncations: u64,
    truncated_to: Offset,
}

impl Stored for PartitionMeta {
    const NAME: &'static str = "partition metadata";
    const VERSION: u8 = 2;

    fn decode_older(version: u8, body: &[u8]) -> Option<PartitionMeta> {
        let old = if version == 1 { frame::decode_exactly(body)? } else { return None };
        let MetaOne { key, start, truncations, truncated_to } = old;
        Some(PartitionMeta { key, start, truncations, truncated_to, is_loss_untold: false })
    }
}

impl PartitionMeta {
    pub(super) fn new(key: PartitionKey) -> PartitionMeta {
        PartitionMeta {
            key,
            start: Offset::ZERO,
            truncations: 0,
            truncated_to: Offset::MAX,
            is_loss_untold: false,
        }
    }

    /// Reads the file; `Ok(None)` if there is none.
    pub(super) fn read(disk: &dyn Disk, folder: &Path) -> Result<Option<PartitionMeta>, MetaError> {
        let path = folder.join(META_FILE);
        match disk.read_file(&path, META_BYTES_MAX) {
            Ok(bytes) => Ok(Some(stored::decode(&bytes)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::of("reading", &path, &error).into()),
        }
    }

    pub(super) fn write(&self, disk: &dyn Disk, folder: &Path) -> Result<(), StorageError> {
        let path = folder.join(META_FILE);
        replace_file(disk, &path, &stored::encode(self)).doing("writing", &path)
    }
}

pub(super) enum MetaError {
    Stored(StoredError),
    Io(StorageError),
}

impl From<StoredError> for MetaError {
    fn from(error: StoredError) -> MetaError {
        MetaError::Stored(error)
    }
}

impl From<StorageError> for MetaError {
    fn from(error: StorageError) -> MetaError {
        MetaError::Io(error)
    }
}

/// The small files of one partition. Its methods wait for the disk; clones may be taken to where that harms nobody.
///
/// What core keeps here describes a prefix of the log. So that a value which was on its way to the disk while the log
/// was cut does not outlive the cut, a handle taken before the cut saves nothing any more: take one per save
/// ([`Log::side_files`](super::Log::side_files)).
#[derive(Clone)]
pub struct SideFiles {
    inner: Arc<Inner>,
    /// How many cuts there had been when this handle was taken.
    cuts: u64,
}

struct Inner {
    storage: Arc<Storage>,
    folder: PathBuf,
    /// Held while the files are changed.
    state: Mutex<SideState>,
}

pub(super) struct SideState {
    pub(super) meta: PartitionMeta,
    cuts: u64,
}

impl SideFiles {
    pub(super) fn new(storage: Arc<Storage>, folder: PathBuf, meta: PartitionMeta) -> SideFiles {
        let state = Mutex::new(SideState { meta, cuts: 0 });
        SideFiles { inner: Arc::new(Inner { storage, folder, state }), cuts: 0 }
    }

    /// A handle of now.
    pub(super) fn renewed(&self) -> SideFiles {
        SideFiles { inner: self.inner.clone(), cuts: self.lock().cuts }
    }

    pub(super) fn meta(&self) -> PartitionMeta {
        self.lock().meta
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, SideState> {
        locked(&self.inner.state)
    }

    /// Saves the state of producers as it is just before `offset`, durably. `Ok(false)` if the log was cut since this
    /// handle was taken, so that the value may describe what is no more.
    ///
    /// # Errors
    /// Retryable ones leave what was there before.
    pub fn save_snapshot<T: Stored>(&self, offset: Offset, value: &T) -> Result<bool, StorageError> {
        self.save(&file_name(offset, FileKind::Snapshot), value)
    }

    /// The newest snapshot whose offset is not above `offset`, with that offset. Damaged ones are deleted in favour of
    /// older ones; one that a newer program wrote is passed over.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub fn latest_snapshot<T: Stored>(&self, offset: Offset) -> Result<Option<(Offset, T)>, StorageError> {
        let _state = self.lock();
        for found in self.snapshots()?.into_iter().rev().filter(|found| *found <= offset) {
            let path = self.inner.folder.join(file_name(found, FileKind::Snapshot));
            let bytes = self.disk().read_file(&path, SIDE_FILE_BYTES_MAX).doing("reading", &path)?;
            match stored::decode(&bytes) {
                Ok(value) => return Ok(Some((found, value))),
                Err(StoredError::Newer { .. }) => {}
                Err(StoredError::Damaged { .. } | StoredError::Undecodable { .. }) => {
                    remove_if_there(self.disk(), &path).doing("removing", &path)?;
                }
            }
        }
        Ok(None)
    }

    /// Saves what is known of leader epochs, durably. `Ok(false)` as for [`save_snapshot`](SideFiles::save_snapshot).
    ///
    /// # Errors
    /// Retryable ones leave what was there before.
    pub fn save_epochs<T: Stored>(&self, value: &T) -> Result<bool, StorageError> {
        self.save(EPOCHS_FILE, value)
    }

    /// What was saved of leader epochs; `None` if nothing was or it is damaged: it can be rebuilt from the log.
    ///
    /// # Errors
    /// When the disk does not answer.
    pub fn load_epochs<T: Stored>(&self) -> Result<Option<T>, StorageError> {
        let _state = self.lock();
        let path = self.inner.folder.join(EPOCHS_FILE);
        match self.disk().read_file(&path, SIDE_FILE_BYTES_MAX) {
            Ok(bytes) => Ok(stored::decode(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::of("reading", &path, &error)),
        }
    }

    /// Saves what compaction has done, durably.
    pub(super) fn save_cleaned(&self, cleaned: &Cleaned) -> Result<(), StorageError> {
        let _state = self.lock();
        let path = self.inner.folder.join(CLEANED_FILE);
        replace_file(self.disk(), &path, &stored::encode(cleaned)).doing("writing", &path)
    }

    /// What compaction has done; `None` if nobody knows, so that it looks again.
    pub(super) fn load_cleaned(&self) -> Result<Option<Cleaned>, StorageError> {
        let _state = self.lock();
        let path = self.inner.folder.join(CLEANED_FILE);
        match self.disk().read_file(&path, META_BYTES_MAX) {
            Ok(bytes) => Ok(stored::decode(&bytes).ok()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::of("reading", &path, &error)),
        }
    }

    /// Forgets what compaction has done.
    pub(super) fn remove_cleaned(&self) -> Result<(), StorageError> {
        let _state = self.lock();
        let path = self.inner.folder.join(CLEANED_FILE);
        remove_if_there(self.disk(), &path).doing("removing", &path).map(|_| ())
    }

    fn save<T: Stored>(&self, name: &str, value: &T) -> Result<bool, StorageError> {
        let path = self.inner.folder.join(name);
        let bytes = stored::encode(value);
        let state = self.lock();
        if state.cuts != self.cuts {
            return Ok(false);
        }
        replace_file(self.disk(), &path, &bytes).doing("writing", &path)?;
        Ok(true)
    }

    /// Notes that whoever may count on this log knows what opening it lost.
    ///
    /// # Errors
    /// Retryable; until then the loss is told again at each start.
    pub fn loss_is_told(&self) -> Result<(), StorageError> {
        self.change_meta(|meta| meta.is_loss_untold = false)
    }

    /// Changes what the folder says of itself, durably.
    pub(super) fn change_meta(&self, change: impl FnOnce(&mut PartitionMeta)) -> Result<(), StorageError> {
        let mut state = self.lock();
        let mut meta = state.meta;
        change(&mut meta);
        if meta != state.meta {
            meta.write(self.disk(), &self.inner.folder)?;
            state.meta = meta;
        }
        Ok(())
    }

    /// The log is cut to `end`, or to nothing: snapshots of what is cut go, and handles of before save nothing any
    /// more.
    pub(super) fn cut(&self, end: Option<Offset>) -> Result<usize, StorageError> {
        let mut state = self.lock();
        state.cuts += 1;
        let removed = self.remove_snapshots(|_, offset| end.is_none_or(|end| offset > end))?;
        if removed > 0 {
            // One that came back after a loss of power would describe a log that has been written anew since.
            self.disk().sync_dir(&self.inner.folder).doing("syncing", &self.inner.folder)?;
        }
        Ok(removed)
    }

    /// The log starts at `start`: older snapshots go, except the newest of them, from which all else can be rebuilt.
    pub(super) fn start_moved(&self, start: Offset) -> Result<usize, StorageError> {
        let _state = self.lock();
        self.remove_snapshots(|all, offset| all.iter().any(|other| *other > offset && *other <= start))
    }

    fn remove_snapshots(&self, goes: impl Fn(&[Offset], Offset) -> bool) -> Result<usize, StorageError> {
        let all = self.snapshots()?;
        let mut removed = 0;
        for offset in all.iter().copied().filter(|offset| goes(&all, *offset)) {
            let path = self.inner.folder.join(file_name(offset, FileKind::Snapshot));
            removed += usize::from(remove_if_there(self.disk(), &path).doing("removing", &path)?);
        }
        Ok(removed)
    }

    /// The offsets of the snapshots, rising.
    fn snapshots(&self) -> Result<Vec<Offset>, StorageError> {
        let entries = self.disk().list(&self.inner.folder).doing("listing", &self.inner.folder)?;
        let files = entries.into_iter().filter(|entry| matches!(entry.kind, EntryKind::File { .. }));
        Ok(files
            .filter_map(|entry| parse_file_name(&entry.name))
            .filter_map(|(offset, kind)| (kind == FileKind::Snapshot).then_some(offset))
            .collect())
    }

    fn disk(&self) -> &dyn Disk {
        &*self.inner.storage.disk
    }
}

impl std::fmt::Debug for SideFiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SideFiles").field(&self.inner.folder).finish()
    }
}
