//! Single values in files of their own, replaced as a whole.

use std::io;
use std::path::{Path, PathBuf};

use weir_wire::stored::{self, Stored, StoredError};

use super::disk::{Disk, replace_file};
use super::error::{Doing, StorageError};

/// The largest value that is read back, in bytes.
const VALUE_BYTES_MAX: usize = 256 << 20;

/// Why a value could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ValueError {
    /// Final until an operator restores the file.
    #[error("{}: {error}; restore the file from a copy", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: StoredError,
    },
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] StorageError),
}

/// Makes a folder that will hold values, durably.
///
/// # Errors
/// What the disk says.
pub fn make_folder(disk: &dyn Disk, folder: &Path) -> Result<(), StorageError> {
    disk.create_dir_all(folder).doing("creating", folder)?;
    let above = super::disk::parent(folder);
    disk.sync_dir(above).doing("syncing", above)
}

/// Reads a value; `None` if there is none.
///
/// # Errors
/// See [`ValueError`]. A damaged value is never taken for a missing one.
pub fn load_value<T: Stored>(disk: &dyn Disk, path: &Path) -> Result<Option<T>, ValueError> {
    match disk.read_file(path, VALUE_BYTES_MAX) {
        Ok(bytes) => match stored::decode(&bytes) {
            Ok(value) => {
                // A process that died may have replaced it without syncing the name: nobody acts on a value that a
                // loss of power could take back.
                let folder = super::disk::parent(path);
                disk.sync_dir(folder).doing("syncing", folder)?;
                Ok(Some(value))
            }
            Err(error) => Err(ValueError::Unreadable { path: path.to_owned(), error }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::of("reading", path, &error).into()),
    }
}

/// Replaces a value, in one step that a crash cannot halve. Durable when it returns.
///
/// # Errors
/// What the disk says; the old value is then still in place.
pub fn save_value<T: Stored>(disk: &dyn Disk, path: &Path, value: &T) -> Result<(), StorageError> {
    replace_file(disk, path, &stored::encode(value)).doing("writing", path)
}
