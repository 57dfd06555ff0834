//! The seam between storage and the machine: every file operation of a node goes through these two traits.
//!
//! [`RealDisk`](super::RealDisk) is the operating system; the simulated disk of the tests loses, tears and damages
//! on request. One conformance suite runs on both, so what storage may rely on is written down once, there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// Must exist; reads only.
    Read,
    /// Must exist; reads and writes.
    ReadWrite,
    /// Reads and writes; made empty first if it is not there. What it holds stays.
    Create,
    /// Must not exist yet; reads and writes.
    CreateNew,
}

/// What a name in a folder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// A file of this many bytes.
    File {
        /// Its length in bytes at the time of listing.
        bytes: u64,
    },
    /// A folder.
    Folder,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name within its folder. Names that are not UTF-8 are not ours and are not listed.
    pub name: String,
    /// File or folder.
    pub kind: EntryKind,
}

/// A folder tree that keeps bytes.
///
/// Durability is the one of POSIX, read strictly: bytes of a file survive a loss of power once
/// [`DiskFile::sync_data`] returned; a name (created, renamed, removed) once [`Disk::sync_dir`] of its folder did.
/// Everything written survives the death of the process alone.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound` when it must exist and does not, `AlreadyExists` when it must not; what the system says otherwise.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Makes a folder and those above it; fine if it is there. Not durable until the folder *above* each is synced.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Takes every right on a folder, and so on what is in it, from everybody but its owner (mode 0700).
    ///
    /// # Errors
    /// `NotFound` when the folder is not there; what the system says otherwise, as when it belongs to somebody else.
    fn make_private(&self, path: &Path) -> io::Result<()>;

    /// Moves a file or folder to another name in one step; a file at the new name is replaced.
    ///
    /// # Errors
    /// `NotFound` when `from` is not there; what the system says otherwise.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file a second name in one step.
    ///
    /// # Errors
    /// `AlreadyExists` when the new name is taken, so that of several who try exactly one succeeds.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name. Who has it open goes on reading it.
    ///
    /// # Errors
    /// `NotFound` when it is not there.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with all that is in it.
    ///
    /// # Errors
    /// `NotFound` when it is not there.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder, in order.
    ///
    /// # Errors
    /// `NotFound` when the folder is not there.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// Makes the names of a folder durable.
    ///
    /// # Errors
    /// What the system says; as with [`DiskFile::sync_data`], a failure is final.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// What stands at a path, `None` if nothing does.
    ///
    /// # Errors
    /// What the system says, when it cannot tell.
    fn stat(&self, path: &Path) -> io::Result<Option<EntryKind>>;

    /// Takes the exclusive lock of a file, which is made if it is not there. `None` when another holder has it.
    /// The lock ends when the value is dropped or the process dies, however it dies.
    ///
    /// # Errors
    /// What the system says.
    fn try_lock(&self, path: &Path) -> io::Result<Option<DiskLock>>;

    /// The bytes that an ordinary user may still write where `path` lies.
    ///
    /// # Errors
    /// What the system says.
    fn available_bytes(&self, path: &Path) -> io::Result<u64>;

    /// Reads a whole file.
    ///
    /// # Errors
    /// `FileTooLarge` above `bytes_max`: a length is checked before memory is taken for it.
    fn read_file(&self, path: &Path, bytes_max: usize) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let bytes = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        if bytes > bytes_max {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{bytes} bytes, at most {bytes_max}"),
            ));
        }
        read_range(&*file, bytes, 0)
    }
}

/// An open file. Reads and writes name their position, so that readers and the one writer need no common cursor.
pub trait DiskFile: Send + Sync {
    /// Reads into `buffer` from `position`; returns how many bytes, fewer only at the file's end, 0 beyond it.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// As [`read_at`](DiskFile::read_at), onto the end of `buffer`, whose memory need not be made zeros before.
    ///
    /// # Errors
    /// What the system says; `buffer` is then as it was.
    fn read_onto(&self, buffer: &mut Vec<u8>, bytes: usize, position: u64) -> io::Result<usize> {
        let before = buffer.len();
        buffer.resize(before + bytes, 0);
        let read = self.read_at(&mut buffer[before..], position);
        buffer.truncate(before + *read.as_ref().unwrap_or(&0));
        read
    }

    /// Writes the parts one after the other from `position`, all of them. On an error any part may have been written.
    ///
    /// # Errors
    /// `StorageFull` when the disk is full; what the system says otherwise.
    fn write_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()>;

    /// As [`write_at`](DiskFile::write_at), of what nobody will read soon: the system need not keep it in memory, and may
    /// begin to put it on the disk at once.
    ///
    /// # Errors
    /// As [`write_at`](DiskFile::write_at).
    fn write_passing(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        self.write_at(parts, position)
    }

    /// Makes bytes and length durable.
    ///
    /// # Errors
    /// What the system says. After a failure the unsynced bytes may be gone although a later call succeeds: whoever
    /// relies on them must stop, not try again.
    fn sync_data(&self) -> io::Result<()>;

    /// Lets the system forget what it keeps of the file in memory and the disk has: nobody will read that soon. A hint.
    fn forget_cached(&self) {}

    /// Cuts the file or extends it with zeros.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, bytes: u64) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// What the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Holds an exclusive lock for as long as it lives.
pub struct DiskLock {
    /// What gives the lock back when it is dropped.
    _holder: Box<dyn Send + Sync>,
}

impl DiskLock {
    /// Wraps the value whose drop gives the lock back.
    pub(super) fn new(holder: impl Send + Sync + 'static) -> DiskLock {
        DiskLock { _holder: Box::new(holder) }
    }
}

impl std::fmt::Debug for DiskLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DiskLock")
    }
}

/// Fills `buffer` from `position` as far as the file goes; returns how many bytes that was.
pub(super) fn read_full(file: &dyn DiskFile, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        let read = file.read_at(&mut buffer[filled..], position + filled as u64)?;
        if read == 0 {
            break;
        }
        filled += read;
    }
    Ok(filled)
}

/// Reads `bytes` bytes from `position`, as far as the file goes.
pub(super) fn read_range(file: &dyn DiskFile, bytes: usize, position: u64) -> io::Result<Vec<u8>> {
    let mut buffer = Vec::with_capacity(bytes);
    while buffer.len() < bytes {
        let (missing, at) = (bytes - buffer.len(), position + buffer.len() as u64);
        if file.read_onto(&mut buffer, missing, at)? == 0 {
            break;
        }
    }
    Ok(buffer)
}

/// Replaces a small file in one step that also a loss of power cannot split: temporary name, sync, rename, folder synced.
pub(super) fn replace_file(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = temporary_name(path);
    let file = disk.open(&temporary, OpenMode::Create)?;
    file.set_len(0)?;
    file.write_at(&[content], 0)?;
    file.sync_data()?;
    drop(file);
    disk.rename(&temporary, path)?;
    disk.sync_dir(parent(path))
}

/// Ends the names of files that are being written; what a crash leaves of them means nothing.
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";

fn temporary_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(TEMPORARY_SUFFIX);
    PathBuf::from(name)
}

/// The folder that a path lies in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Removes a file that may be gone already; says whether it was there.
pub(super) fn remove_if_there(disk: &dyn Disk, path: &Path) -> io::Result<bool> {
    match disk.remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
