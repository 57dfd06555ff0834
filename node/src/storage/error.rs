//! What storage says when it cannot do what it was asked, and what a person can do about it.

use std::io;
use std::path::{Path, PathBuf};

use weir_wire::ids::Offset;

/// Linux' numbers for "too many open files", in this process and on this machine.
const TOO_MANY_OPEN_FILES: [i32; 2] = [24, 23];

/// A file operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// Retryable once there is room: nothing was changed.
    #[error("the disk under {} is full ({doing}): free some space or shorten the retention of topics", .path.display())]
    DiskFull {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
    },
    /// Retryable once files were closed: nothing was changed.
    #[error("too many open files ({doing} {}): raise the limit of this process (ulimit -n)", .path.display())]
    TooManyOpenFiles {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
    },
    /// The operator must act.
    #[error("this user may not use {} ({doing}): change its owner or mode, or choose another folder", .path.display())]
    NotAllowed {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
    },
    /// The operator must act. After an error of the disk a file system takes no changes any more.
    #[error("the file system of {} takes no writes ({doing}): choose another folder, or, if it shut itself down after an error as the system's log then says, reboot once the disk is sound", .path.display())]
    ReadOnly {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
    },
    /// Final: the disk or the file system is failing.
    #[error("{doing} {} failed: {reason}; check the disk and the system's log", .path.display())]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        reason: String,
        /// What kind of error the system called it.
        kind: io::ErrorKind,
    },
    /// Final for this replica: an earlier failure left open what is on the disk.
    #[error("the log in {} takes nothing more since an earlier failure ({reason}): restart the node once the disk is sound", .path.display())]
    Retired {
        /// The partition's folder.
        path: PathBuf,
        /// The failure.
        reason: String,
    },
}

impl StorageError {
    /// Names what the system said.
    pub(super) fn of(doing: &'static str, path: &Path, error: &io::Error) -> StorageError {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                StorageError::DiskFull { doing, path }
            }
            io::ErrorKind::PermissionDenied => StorageError::NotAllowed { doing, path },
            io::ErrorKind::ReadOnlyFilesystem => StorageError::ReadOnly { doing, path },
            _ if error.raw_os_error().is_some_and(|number| TOO_MANY_OPEN_FILES.contains(&number)) => {
                StorageError::TooManyOpenFiles { doing, path }
            }
            kind => StorageError::Failed { doing, path, reason: error.to_string(), kind },
        }
    }

    /// Whether the same call may succeed later without anybody repairing the disk.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, StorageError::DiskFull { .. } | StorageError::TooManyOpenFiles { .. })
    }
}

/// Adds to the result of a file operation what was being done, and to which file.
pub(super) trait Doing<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, StorageError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, StorageError> {
        self.map_err(|error| StorageError::of(doing, path, &error))
    }
}

/// A read could not be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The caller's fault, or retention was faster than the reader.
    #[error("the offset is outside the log, which holds {start} up to and not including {end}")]
    OutOfRange {
        /// The first offset that can be read.
        start: Offset,
        /// The offset after the last record.
        end: Offset,
    },
    /// Final for these bytes: what lies on the disk is not what was written.
    #[error("{} is damaged at byte {position} (offset {offset}): {reason}; run `weir log verify` on its folder", .path.display())]
    Corrupt {
        /// The segment file.
        path: PathBuf,
        /// Where in the file.
        position: u64,
        /// The first offset that cannot be read.
        offset: Offset,
        /// What is wrong.
        reason: String,
    },
    /// The file could not be read at all.
    #[error(transparent)]
    Io(#[from] StorageError),
}
