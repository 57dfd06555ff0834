//! The data folder of a node: locked by one process, of one cluster, with what has to be remembered over a restart.
//!
//! ```text
//!  weir-data/
//!    lock                                held by the running process
//!    format                              version of this layout, and whose cluster's data it is
//!    clean-shutdown                      only while stopped, and only after a clean stop
//!    recovery-point-offset-checkpoint    per partition: up to where it is on disk for sure
//!    replication-offset-checkpoint       per partition: the high watermark, a hint
//!    topics/<topic>-<partition>/         the logs
//!    removed/                            what is on its way out
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use weir_wire::ids::{ClusterId, Incarnation, Offset, PartitionIndex, TopicId};
use weir_wire::names::NameError;
use weir_wire::stored::{self, Stored, StoredError};

use super::disk::{Disk, DiskLock, EntryKind, replace_file};
use super::error::{Doing, StorageError};
use super::locked;
use super::log::{Log, LogConfig, RecoveryPoint};
use super::names::{parse_partition_folder_name, partition_folder_name};
use super::recovery::{self, OnDamage, OpenError, OpenRequest, Recovery};
use super::shared::Storage;
use super::side_files::{MetaError, PartitionKey, PartitionMeta};

const LOCK_FILE: &str = "lock";
const FORMAT_FILE: &str = "format";
const CLEAN_FILE: &str = "clean-shutdown";
const RECOVERY_POINTS_FILE: &str = "recovery-point-offset-checkpoint";
const HIGH_WATERMARKS_FILE: &str = "replication-offset-checkpoint";
const TOPICS_FOLDER: &str = "topics";
const REMOVED_FOLDER: &str = "removed";

/// Largest checkpoint that is read back: a million partitions.
const CHECKPOINT_BYTES_MAX: usize = 64 << 20;
/// The layout of data folders that this program writes.
pub const FORMAT_VERSION: u32 = 1;

/// What all logs of a node may use together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StorageConfig {
    /// Files that are kept open for reading, at most. Each log with unflushed bytes holds one more.
    pub open_files_max: usize,
    /// Memory for the ends of all logs, in bytes.
    pub tail_bytes_max: usize,
}

impl Default for StorageConfig {
    fn default() -> StorageConfig {
        StorageConfig { open_files_max: 512, tail_bytes_max: 256 << 20 }
    }
}

/// Why a data folder was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FolderError {
    /// The caller's fault.
    #[error("{} is in use by another process: stop that node, or choose another folder with --data", .path.display())]
    Locked {
        /// The data folder.
        path: PathBuf,
    },
    /// A newer program has written there.
    #[error("{} has layout version {found}, this program knows up to {known}: start the newer program that wrote it", .path.display())]
    NewerFormat {
        /// The data folder.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The caller's fault.
    #[error("{} holds data of cluster {found}, not of {expected}: choose another folder with --data", .path.display())]
    OtherCluster {
        /// The data folder.
        path: PathBuf,
        /// Whose it is.
        found: ClusterId,
        /// Whose it should be.
        expected: ClusterId,
    },
    /// Final until an operator restores the file.
    #[error("{} cannot be read ({reason}): restore it from a copy, or choose another folder with --data", .path.display())]
    BadFormat {
        /// The format file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The caller's fault.
    #[error("{} is not a data folder of Weir ({reason}): choose another one with --data", .path.display())]
    NotADataFolder {
        /// The path.
        path: PathBuf,
        /// Why not.
        reason: &'static str,
    },
    /// The disk failed, or may not be used.
    #[error(transparent)]
    Io(#[from] StorageError),
}

/// Proves that the last process ended in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CleanShutdown {
    /// The life of the node that ended so, if it had been given a number.
    pub incarnation: Option<Incarnation>,
}

impl Stored for CleanShutdown {
    const NAME: &'static str = "clean-shutdown marker";
    const VERSION: u8 = 1;
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Format {
    version: u32,
    cluster: Option<ClusterId>,
}

impl Stored for Format {
    const NAME: &'static str = "data folder format";
    const VERSION: u8 = 1;
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct RecoveryPoints(BTreeMap<PartitionKey, RecoveryPoint>);

impl Stored for RecoveryPoints {
    const NAME: &'static str = "recovery-point checkpoint";
    const VERSION: u8 = 1;
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct HighWatermarks(BTreeMap<PartitionKey, Offset>);

impl Stored for HighWatermarks {
    const NAME: &'static str = "high-watermark checkpoint";
    const VERSION: u8 = 1;
}

/// How the data folder was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The marker of a clean stop, if it was there. It is gone now.
    pub clean: Option<CleanShutdown>,
    /// The cluster that the data belongs to, once it belongs to one.
    pub cluster: Option<ClusterId>,
    /// A recovery-point checkpoint was there and is damaged: every log is checked from its start.
    pub recovery_points_lost: bool,
    /// A high-watermark checkpoint was there and is damaged. It was only a hint.
    pub high_watermarks_lost: bool,
}

/// A folder of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionFolder {
    /// The folder's name.
    pub name: String,
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// The topic's id; why not, if the folder does not say.
    pub topic_id: Result<TopicId, String>,
}

/// An open data folder. It can be shared between threads; the lock ends with it.
pub struct DataFolder {
    root: PathBuf,
    storage: Arc<Storage>,
    /// Whether the last process ended in order.
    was_clean: bool,
    format: Mutex<Format>,
    recovery_points: Mutex<RecoveryPoints>,
    /// The checkpoint could not be read when the folder was opened.
    recovery_points_lost: bool,
    high_watermarks: Mutex<HighWatermarks>,
    /// `None` once the folder was given up.
    lock: Mutex<Option<DiskLock>>,
}

impl DataFolder {
    /// Opens a data folder, making it if it is not there, and removes the marker of a clean stop.
    ///
    /// # Errors
    /// See [`FolderError`].
    pub fn open(
        disk: Arc<dyn Disk>,
        root: &Path,
        config: &StorageConfig,
    ) -> Result<(DataFolder, Found), FolderError> {
        let lock = lock(&*disk, root)?;
        let format = open_format(&*disk, root)?;
        for folder in [TOPICS_FOLDER, REMOVED_FOLDER] {
            let path = root.join(folder);
            disk.create_dir_all(&path).doing("creating", &path)?;
        }
        // Whatever a process that died left unsynced here becomes durable before it is relied on.
        for folder in [root.join(TOPICS_FOLDER), root.join(REMOVED_FOLDER), root.to_owned()] {
            disk.sync_dir(&folder).doing("syncing", &folder)?;
        }
        let clean = take_clean_marker(&*disk, root)?;
        let (recovery_points, recovery_points_lost) = load(&*disk, root, RECOVERY_POINTS_FILE)?;
        let (high_watermarks, high_watermarks_lost) = load(&*disk, root, HIGH_WATERMARKS_FILE)?;
        let found = Found { clean, cluster: format.cluster, recovery_points_lost, high_watermarks_lost };
        let folder = DataFolder {
            root: root.to_owned(),
            storage: Arc::new(Storage::new(disk, config.open_files_max, config.tail_bytes_max)),
            was_clean: clean.is_some(),
            format: Mutex::new(format),
            recovery_points: Mutex::new(recovery_points),
            recovery_points_lost,
            high_watermarks: Mutex::new(high_watermarks),
            lock: Mutex::new(Some(lock)),
        };
        Ok((folder, found))
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The disk it lies on.
    #[must_use]
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.storage.disk
    }

    /// How much memory the ends of all logs take now, in bytes.
    #[must_use]
    pub fn tail_bytes(&self) -> usize {
        self.storage.tails.used()
    }

    /// Says whose cluster's data this is, for good.
    ///
    /// # Errors
    /// [`FolderError::OtherCluster`] if it is another's.
    pub fn bind_cluster(&self, cluster: ClusterId) -> Result<(), FolderError> {
        let mut format = locked(&self.format);
        match format.cluster {
            Some(found) if found == cluster => Ok(()),
            Some(found) => {
                Err(FolderError::OtherCluster { path: self.root.clone(), found, expected: cluster })
            }
            None => {
                let bound = Format { cluster: Some(cluster), ..*format };
                self.save(FORMAT_FILE, &bound)?;
                *format = bound;
                Ok(())
            }
        }
    }

    /// The partitions that have a folder here, in order, but for those that `is_known` to the caller: nothing of theirs is
    /// read.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn partitions_but(
        &self,
        is_known: impl Fn(&str, PartitionIndex) -> bool,
    ) -> Result<Vec<PartitionFolder>, StorageError> {
        let topics = self.root.join(TOPICS_FOLDER);
        let disk = &*self.storage.disk;
        let entries = disk.list(&topics).doing("listing", &topics)?;
        let named = entries.into_iter().filter(|entry| entry.kind == EntryKind::Folder).filter_map(|entry| {
            let (topic, partition) = parse_partition_folder_name(&entry.name)?;
            (!is_known(topic, partition)).then(|| (topic.to_owned(), partition, entry.name.clone()))
        });
        named
            .map(|(topic, partition, name)| {
                let topic_id = match PartitionMeta::read(disk, &topics.join(&name)) {
                    Ok(Some(meta)) => Ok(meta.key.topic_id),
                    Ok(None) => Err("it has no partition.metadata".to_owned()),
                    Err(MetaError::Stored(error)) => Err(error.to_string()),
                    Err(MetaError::Io(error)) => return Err(error),
                };
                Ok(PartitionFolder { name, topic, partition, topic_id })
            })
            .collect()
    }

    /// Opens the log of a partition, after looking at what has to be looked at. Can take as long as it takes to read
    /// what was not known to be on disk.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_log(
        &self,
        topic: &str,
        key: PartitionKey,
        config: LogConfig,
        create: bool,
        on_damage: OnDamage,
    ) -> Result<(Log, Recovery), OpenError> {
        let folder = self.partition_path(topic, key.partition)?;
        let recovery_point = locked(&self.recovery_points).0.get(&key).copied();
        let high_watermark = self.high_watermark(key);
        let clean = self.was_clean;
        let request =
            OpenRequest { folder, key, config, recovery_point, high_watermark, clean, create, on_damage };
        recovery::open(self.storage.clone(), &request)
    }

    /// Whether this folder has had a log of the partition: then the log must be there. Without the checkpoint that
    /// says so, every log is taken to have been here, so that none comes back empty unnoticed.
    #[must_use]
    pub fn has_had(&self, key: PartitionKey) -> bool {
        self.recovery_points_lost || locked(&self.recovery_points).0.contains_key(&key)
    }

    /// The high watermark of a partition as it was last written down: a hint, and never a reason to cut.
    #[must_use]
    pub fn high_watermark(&self, key: PartitionKey) -> Option<Offset> {
        locked(&self.high_watermarks).0.get(&key).copied()
    }

    /// Moves the folder of a partition out of the way, durably, whatever it holds; forgets its checkpoints. The log
    /// must be closed, or never have been opened. What was moved is freed by
    /// [`purge_removed`](DataFolder::purge_removed). Returns whether there was such a folder.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn move_aside(&self, topic: &str, partition: PartitionIndex) -> Result<bool, OpenError> {
        let path = self.partition_path(topic, partition)?;
        let disk = &*self.storage.disk;
        if disk.stat(&path).doing("looking at", &path)?.is_none() {
            return Ok(false);
        }
        let known = PartitionMeta::read(disk, &path).ok().flatten();
        let name = known.map_or_else(|| "unknown".to_owned(), |meta| meta.key.topic_id.to_string());
        let target = self.free_name(&format!("{name}-{partition}"))?;
        disk.rename(&path, &target).doing("moving away", &path)?;
        for folder in [TOPICS_FOLDER, REMOVED_FOLDER] {
            let folder = self.root.join(folder);
            disk.sync_dir(&folder).doing("syncing", &folder)?;
        }
        if let Some(meta) = known {
            locked(&self.recovery_points).0.remove(&meta.key);
            locked(&self.high_watermarks).0.remove(&meta.key);
        }
        Ok(true)
    }

    /// Frees what [`move_aside`](DataFolder::move_aside) moved. Takes as long as the file system needs.
    ///
    /// # Errors
    /// When something cannot be removed; it is tried again at the next call.
    pub fn purge_removed(&self) -> Result<usize, StorageError> {
        let removed = self.root.join(REMOVED_FOLDER);
        let disk = &*self.storage.disk;
        let entries = disk.list(&removed).doing("listing", &removed)?;
        for entry in &entries {
            let path = removed.join(&entry.name);
            let done = if entry.kind == EntryKind::Folder {
                disk.remove_dir_all(&path)
            } else {
                disk.remove_file(&path)
            };
            done.doing("removing", &path)?;
        }
        Ok(entries.len())
    }

    /// Writes down recovery points; those of partitions that are not named stay as they are.
    ///
    /// # Errors
    /// What was written down before stays, for retryable ones.
    pub fn save_recovery_points(
        &self,
        points: impl IntoIterator<Item = (PartitionKey, RecoveryPoint)>,
    ) -> Result<(), StorageError> {
        let mut known = locked(&self.recovery_points);
        let mut all = known.clone();
        all.0.extend(points);
        self.save(RECOVERY_POINTS_FILE, &all)?;
        *known = all;
        Ok(())
    }

    /// Writes down high watermarks; those of partitions that are not named stay as they are.
    ///
    /// # Errors
    /// What was written down before stays, for retryable ones.
    pub fn save_high_watermarks(
        &self,
        watermarks: impl IntoIterator<Item = (PartitionKey, Offset)>,
    ) -> Result<(), StorageError> {
        let mut known = locked(&self.high_watermarks);
        let mut all = known.clone();
        all.0.extend(watermarks);
        self.save(HIGH_WATERMARKS_FILE, &all)?;
        *known = all;
        Ok(())
    }

    /// Writes the marker of a clean stop. The last thing to do: all logs are closed, and snapshots and checkpoints
    /// written.
    ///
    /// # Errors
    /// Without the marker the next start checks more than it would have to.
    pub fn mark_clean(&self, marker: CleanShutdown) -> Result<(), StorageError> {
        self.save(CLEAN_FILE, &marker)
    }

    /// Lets another process have the folder, although handles to this one may still be around. Nothing may be
    /// written through them any more.
    pub fn release(&self) {
        *locked(&self.lock) = None;
    }

    fn partition_path(&self, topic: &str, partition: PartitionIndex) -> Result<PathBuf, NameError> {
        Ok(self.root.join(TOPICS_FOLDER).join(partition_folder_name(topic, partition)?))
    }

    /// A name in the folder of removed things that nothing has yet.
    fn free_name(&self, name: &str) -> Result<PathBuf, StorageError> {
        let removed = self.root.join(REMOVED_FOLDER);
        let mut path = removed.join(name);
        for number in 1_u64.. {
            if self.storage.disk.stat(&path).doing("looking at", &path)?.is_none() {
                break;
            }
            path = removed.join(format!("{name}.{number}"));
        }
        Ok(path)
    }

    fn save<T: Stored>(&self, name: &str, value: &T) -> Result<(), StorageError> {
        let path = self.root.join(name);
        replace_file(&*self.storage.disk, &path, &stored::encode(value)).doing("writing", &path)
    }
}

#[cfg(test)]
impl DataFolder {
    /// Makes a recovery point one of before a cut, which is known by its offset only.
    pub(super) fn forget_where_the_recovery_point_is(&self, key: PartitionKey) {
        let mut points = locked(&self.recovery_points);
        points.0.get_mut(&key).expect("there is one").truncations = u64::MAX;
    }
}

impl std::fmt::Debug for DataFolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("DataFolder").field(&self.root).finish()
    }
}

/// Whether a folder is a node's data folder, by what lies in it.
///
/// # Errors
/// When it cannot be looked at.
pub fn is_data_folder(disk: &dyn Disk, root: &Path) -> Result<bool, StorageError> {
    let format = root.join(FORMAT_FILE);
    let found = disk.stat(&format).doing("looking at", &format)?;
    Ok(matches!(found, Some(EntryKind::File { .. })))
}

fn lock(disk: &dyn Disk, root: &Path) -> Result<DiskLock, FolderError> {
    if matches!(disk.stat(root).doing("looking at", root)?, Some(EntryKind::File { .. })) {
        return Err(FolderError::NotADataFolder { path: root.to_owned(), reason: "it is a file" });
    }
    disk.create_dir_all(root).doing("creating", root)?;
    // The folder above may not be ours to look into; then its owner keeps it.
    let _ = disk.sync_dir(super::disk::parent(root));
    let path = root.join(LOCK_FILE);
    let lock = disk.try_lock(&path).doing("locking", &path)?;
    lock.ok_or_else(|| FolderError::Locked { path: root.to_owned() })
}

fn open_format(disk: &dyn Disk, root: &Path) -> Result<Format, FolderError> {
    let path = root.join(FORMAT_FILE);
    let bad = |reason: String| FolderError::BadFormat { path: path.clone(), reason };
    match disk.read_file(&path, CHECKPOINT_BYTES_MAX) {
        Ok(bytes) => {
            let format: Format = stored::decode(&bytes).map_err(|error| match error {
                StoredError::Newer { found, .. } => {
                    let path = root.to_owned();
                    FolderError::NewerFormat { path, found: u32::from(found), known: FORMAT_VERSION }
                }
                error => bad(error.to_string()),
            })?;
            if format.version > FORMAT_VERSION {
                let (path, found) = (root.to_owned(), format.version);
                return Err(FolderError::NewerFormat { path, found, known: FORMAT_VERSION });
            }
            Ok(format)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let topics = root.join(TOPICS_FOLDER);
            let has_logs = match disk.list(&topics) {
                Ok(entries) => !entries.is_empty(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => false,
                Err(error) => return Err(StorageError::of("listing", &topics, &error).into()),
            };
            if has_logs {
                return Err(bad("it is missing, and there are logs beside it".to_owned()));
            }
            let format = Format { version: FORMAT_VERSION, cluster: None };
            replace_file(disk, &path, &stored::encode(&format)).doing("writing", &path)?;
            Ok(format)
        }
        Err(error) => Err(StorageError::of("reading", &path, &error).into()),
    }
}

/// Reads the marker of a clean stop and removes it, durably, before anything else is written.
fn take_clean_marker(disk: &dyn Disk, root: &Path) -> Result<Option<CleanShutdown>, StorageError> {
    let path = root.join(CLEAN_FILE);
    let marker = match disk.read_file(&path, CHECKPOINT_BYTES_MAX) {
        Ok(bytes) => stored::decode(&bytes).ok(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::of("reading", &path, &error)),
    };
    disk.remove_file(&path).doing("removing", &path)?;
    disk.sync_dir(root).doing("syncing", root)?;
    Ok(marker)
}

/// Reads a checkpoint, and says whether one was there that cannot be read: what it held is lost then.
fn load<T: Stored + Default>(disk: &dyn Disk, root: &Path, name: &str) -> Result<(T, bool), StorageError> {
    let path = root.join(name);
    match disk.read_file(&path, CHECKPOINT_BYTES_MAX) {
        Ok(bytes) => Ok(stored::decode(&bytes).map_or_else(|_| (T::default(), true), |value| (value, false))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((T::default(), false)),
        Err(error) => Err(StorageError::of("reading", &path, &error)),
    }
}
