//! A folder whose files nobody but the node's user may read or write.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, remove_if_there, replace_file};
use super::error::{Doing, StorageError};
use super::values::make_folder;

/// The largest file that is read back.
const FILE_BYTES_MAX: usize = 1 << 30;

/// Files under plain names in a private folder, each replaced as a whole.
#[derive(Clone)]
pub struct PrivateFolder {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl PrivateFolder {
    /// The folder at a path, made if it is not there, and closed to others in any case.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<PrivateFolder, StorageError> {
        make_folder(&*disk, path)?;
        disk.make_private(path).doing("closing to others", path)?;
        Ok(PrivateFolder { disk, path: path.to_owned() })
    }

    /// Reads a file; `None` if it is not there.
    ///
    /// # Errors
    /// What the disk says.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self.disk.read_file(&self.path.join(name), FILE_BYTES_MAX) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a file, all of it or nothing.
    ///
    /// # Errors
    /// What the disk says.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        replace_file(&*self.disk, &self.path.join(name), bytes)
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// What the disk says.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        remove_if_there(&*self.disk, &self.path.join(name)).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::super::RealDisk;
    use super::*;

    #[test]
    fn files_come_back_as_written_and_others_see_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("code");
        let private = PrivateFolder::open(Arc::new(RealDisk), &path).unwrap();
        assert_eq!(private.read("a").unwrap(), None);
        private.write("a", b"first").unwrap();
        private.write("a", b"second").unwrap();
        let again = PrivateFolder::open(Arc::new(RealDisk), &path).unwrap();
        assert_eq!(again.read("a").unwrap().as_deref(), Some(&b"second"[..]));
        again.remove("a").unwrap();
        again.remove("a").unwrap();
        assert_eq!(private.read("a").unwrap(), None);

        let mode = rustix::fs::stat(&path).unwrap().st_mode & 0o777;
        assert_eq!(mode, 0o700);
    }
}
