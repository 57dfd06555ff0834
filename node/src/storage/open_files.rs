//! The open files of all logs of a node: bounded, so that ten thousand partitions do not need thirty thousand handles.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::disk::{Disk, DiskFile, OpenMode};
use super::error::{Doing, StorageError};
use super::locked;
use super::names::FileKind;

/// Which file: the number of the segment, never used twice, and the file's kind. Paths would not do, as a path can
/// come to mean another file after a truncation.
pub(super) type FileKey = (u64, FileKind);

/// Keeps recently used files open. Files with unsynced bytes are also held by their writer, so closing one here never
/// closes what still has to be synced.
pub(super) struct OpenFiles {
    disk: Arc<dyn Disk>,
    files_max: usize,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    by_key: BTreeMap<FileKey, (Arc<dyn DiskFile>, u64)>,
    /// The keys by when they were last used.
    by_use: BTreeMap<u64, FileKey>,
    uses: u64,
}

impl OpenFiles {
    pub(super) fn new(disk: Arc<dyn Disk>, files_max: usize) -> OpenFiles {
        assert!(files_max > 0, "at least one file must be allowed to be open");
        OpenFiles { disk, files_max, files: Mutex::default() }
    }

    /// The file at `path`, which must be the one that `key` names. The segment file must be there; an index that is
    /// gone is made anew, empty, as it can be rebuilt.
    pub(super) fn get(&self, key: FileKey, path: &Path) -> Result<Arc<dyn DiskFile>, StorageError> {
        if let Some(file) = locked(&self.files).touch(key) {
            return Ok(file);
        }
        let mode = if key.1 == FileKind::Log { OpenMode::ReadWrite } else { OpenMode::Create };
        let file = self.open(path, mode)?;
        Ok(locked(&self.files).insert(key, file, self.files_max))
    }

    /// As [`get`](OpenFiles::get) for a file that is being renamed from `waiting` to `path`: as long as it has not its
    /// new name, another file has.
    pub(super) fn get_first_of(
        &self,
        key: FileKey,
        waiting: &Path,
        path: &Path,
    ) -> Result<Arc<dyn DiskFile>, StorageError> {
        if let Some(file) = locked(&self.files).touch(key) {
            return Ok(file);
        }
        match self.open(waiting, OpenMode::ReadWrite) {
            Ok(file) => Ok(locked(&self.files).insert(key, file, self.files_max)),
            Err(StorageError::Failed { kind: std::io::ErrorKind::NotFound, .. }) => self.get(key, path),
            Err(error) => Err(error),
        }
    }

    /// Opens a file beside the kept ones, making room among them if the system has none left.
    pub(super) fn open(&self, path: &Path, mode: OpenMode) -> Result<Arc<dyn DiskFile>, StorageError> {
        match self.disk.open(path, mode).doing("opening", path) {
            Err(StorageError::TooManyOpenFiles { .. }) => {
                locked(&self.files).clear();
                self.disk.open(path, mode).doing("opening", path)
            }
            result => result,
        }
    }

    /// Keeps a file that was opened just now.
    pub(super) fn keep(&self, key: FileKey, file: Arc<dyn DiskFile>) {
        locked(&self.files).insert(key, file, self.files_max);
    }

    /// Closes all files of a segment.
    pub(super) fn forget(&self, segment: u64) {
        let mut files = locked(&self.files);
        for kind in [FileKind::Log, FileKind::Index, FileKind::TimeIndex] {
            files.remove((segment, kind));
        }
    }
}

impl Files {
    fn touch(&mut self, key: FileKey) -> Option<Arc<dyn DiskFile>> {
        let (file, last_use) = self.by_key.get_mut(&key)?;
        self.by_use.remove(last_use);
        self.uses += 1;
        *last_use = self.uses;
        self.by_use.insert(self.uses, key);
        Some(file.clone())
    }

    /// Returns the file to use: the given one, or the one that somebody else was faster to open.
    fn insert(&mut self, key: FileKey, file: Arc<dyn DiskFile>, files_max: usize) -> Arc<dyn DiskFile> {
        if let Some(known) = self.touch(key) {
            return known;
        }
        self.uses += 1;
        self.by_key.insert(key, (file.clone(), self.uses));
        self.by_use.insert(self.uses, key);
        while self.by_key.len() > files_max
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.by_key.remove(&oldest);
        }
        file
    }

    fn remove(&mut self, key: FileKey) {
        if let Some((_, last_use)) = self.by_key.remove(&key) {
            self.by_use.remove(&last_use);
        }
    }

    fn clear(&mut self) {
        self.by_key.clear();
        self.by_use.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::SimDisk;
    use super::*;

    fn with_files(count: u64, files_max: usize) -> (SimDisk, OpenFiles) {
        let disk = SimDisk::new(0);
        for i in 0..count {
            disk.open(&path(i), OpenMode::Create).expect("open");
        }
        (disk.clone(), OpenFiles::new(Arc::new(disk), files_max))
    }

    fn path(i: u64) -> PathBuf {
        PathBuf::from(format!("/{i}"))
    }

    #[test]
    fn the_least_recently_used_file_is_closed() {
        let (disk, files) = with_files(4, 2);
        for i in [0, 1, 0, 2] {
            files.get((i, FileKind::Log), &path(i)).expect("open");
        }
        assert_eq!(disk.open_files(), 2);
        assert!(locked(&files.files).by_key.contains_key(&(0, FileKind::Log)), "0 was used after 1");
        files.forget(0);
        files.forget(2);
        assert_eq!(disk.open_files(), 0);
    }

    #[test]
    fn when_the_system_has_no_handle_left_the_kept_ones_are_given_up() {
        let (disk, files) = with_files(4, 10);
        let held = files.get((0, FileKind::Log), &path(0)).expect("open");
        files.get((1, FileKind::Log), &path(1)).expect("open");
        disk.set_open_files_max(Some(2));
        files.get((2, FileKind::Log), &path(2)).expect("room is made");
        let full = files.get((3, FileKind::Log), &path(3));
        assert!(full.is_ok(), "2 was closed for 3");
        disk.set_open_files_max(Some(1));
        let error = files.get((1, FileKind::Log), &path(1)).err().expect("the held one fills the limit");
        assert!(error.is_retryable() && error.to_string().contains("ulimit -n"), "{error}");
        drop(held);
    }
}
