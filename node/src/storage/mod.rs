//! The door to files: partitions' logs, their indexes, their recovery, and what a node remembers over a restart.
//!
//! Storage knows batch headers, offsets and files. It knows nothing of leaders, replicas, the network or the runtime,
//! and it decides nothing: which offset a batch gets, when to flush, what to cut and what is committed is decided
//! elsewhere. It keeps what it was given, says what is on disk for sure, and after a crash says what is left.
//!
//! | module | what it holds |
//! |---|---|
//! | `disk`, `real_disk`, `sim_disk` | the seam to the machine, and what stands on both sides of it |
//! | `data_folder` | lock, format, checkpoints, the list of partitions |
//! | `journal` | frames in one file, for what is not records |
//! | `log` | the one writer of a partition's log: append, flush, roll, cut, retention |
//! | `compaction` | leaving out records that have a newer one of their key |
//! | `reader`, `tail`, `lookup` | the many readers: from memory, or by index and positional reads |
//! | `index`, `walk` | entries of the sparse indexes; going through a segment batch by batch |
//! | `recovery` | opening a log after a stop |
//! | `private_folder` | files that nobody else may read |
//! | `side_files` | identity, snapshots, epochs |
//! | `workers` | threads for what waits for the disk |
//! | `inspect` | looking at segment files from outside |
//!
//! What waits for the disk is a job: a value that is prepared by the log, run anywhere, and whose outcome is given
//! back to the log ([`FlushJob`], [`RemovalJob`], [`RepairJob`], [`CompactionJob`], [`ColdRead`]). Appends go to the page
//! cache in the caller's thread.

mod compaction;
mod data_folder;
mod disk;
mod error;
mod index;
mod inspect;
mod journal;
mod log;
mod lookup;
mod names;
mod open_files;
mod private_folder;
mod reader;
mod real_disk;
mod recovery;
mod scan;
mod shared;
mod side_files;
#[cfg(any(test, feature = "sim"))]
mod sim_disk;
mod tail;
mod values;
mod walk;
mod workers;

#[cfg(test)]
mod data_folder_tests;
#[cfg(test)]
mod disk_conformance;
#[cfg(test)]
mod inspect_tests;
#[cfg(test)]
mod power_loss;
#[cfg(test)]
mod recovery_tests;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod threads_tests;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub use compaction::{Compacted, Compaction, CompactionError, CompactionJob, CompactionLimits};
pub use data_folder::{
    CleanShutdown, DataFolder, FORMAT_VERSION, FolderError, Found, PartitionFolder, StorageConfig,
    is_data_folder,
};
pub use disk::{Disk, DiskFile, DiskLock, Entry, EntryKind, OpenMode};
pub use error::{ReadError, StorageError};
pub use inspect::{
    Inspected, Problem, SegmentFile, Verification, inspect_segment, is_partition_folder, segment_files,
    verify_partition,
};
pub use journal::{Journal, JournalError};
pub use log::{
    APPEND_BYTES_MAX, Appended, CompactionProgress, FlushJob, Flushed, Log, LogConfig, RecoveryPoint,
    RemovalJob, Removed, RepairJob, Repaired, Retention, RetentionLimits, StampedBatch, TruncateError,
};
pub use names::{FileKind, file_name, parse_file_name, parse_partition_folder_name, partition_folder_name};
pub use private_folder::PrivateFolder;
pub use reader::{ColdRead, Headers, LogReader, ReadPlan, TimestampHit};
pub use real_disk::RealDisk;
pub use recovery::{Cut, Damage, OnDamage, OpenError, Recovery};
pub use side_files::{PartitionKey, SIDE_FILE_BYTES_MAX, SideFiles};
#[cfg(any(test, feature = "sim"))]
pub use sim_disk::{SimDisk, SimRandom};
pub use tail::Slice;
pub use values::{ValueError, load_value, make_folder, save_value};
pub use walk::{BATCH_BYTES_MAX, BatchFault, STORED_LIMITS};
pub use workers::{InlineWorkers, Job, ThreadWorkers, Workers};

/// Locks, also after a panic elsewhere: what our locks protect is changed in single steps, or checked by assertions.
fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
