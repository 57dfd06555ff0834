//! The disk as a node sees it: the simulated one, written down, and able to lie.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_node::storage::{Disk, DiskFile, DiskLock, Entry, EntryKind, OpenMode, SimDisk};

use super::network::Power;
use super::trace::{Kind, Trace};

/// A way in which a disk breaks its word. No node can keep its promises on such a disk, so a simulation that finds
/// nothing wrong with one is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Syncs of files return at once and do nothing: as if the node acknowledged before it flushed.
    FileSyncs,
    /// Syncs of folders return at once and do nothing: as if the node forgot them.
    FolderSyncs,
}

/// The disk of one life of a host. When it stops in the middle of an operation, the power of the host is gone.
pub struct HostDisk {
    inner: SimDisk,
    common: Common,
}

#[derive(Clone)]
struct Common {
    disk: SimDisk,
    host: Arc<str>,
    power: Power,
    trace: Trace,
    lie: Option<Lie>,
}

impl Common {
    /// Notes an operation that changes something, and the end of the host if it was its last.
    fn changed<T>(&self, result: io::Result<T>, what: fmt::Arguments<'_>) -> io::Result<T> {
        match &result {
            Ok(_) => self.trace.note(&self.host, Kind::Disk, what),
            Err(error) => self.trace.note(&self.host, Kind::Disk, format_args!("{what}: {error}")),
        }
        if self.disk.has_stopped() {
            self.power.cut();
        }
        result
    }
}

impl HostDisk {
    /// What a node on `host` sees of `disk` until `power` is cut.
    #[must_use]
    pub fn new(disk: SimDisk, host: Arc<str>, power: Power, trace: Trace, lie: Option<Lie>) -> HostDisk {
        HostDisk { inner: disk.clone(), common: Common { disk, host, power, trace, lie } }
    }
}

impl Disk for HostDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let opened = self.inner.open(path, mode);
        let inner = match mode {
            OpenMode::Read | OpenMode::ReadWrite => opened?,
            OpenMode::Create | OpenMode::CreateNew => {
                self.common.changed(opened, format_args!("open {} ({mode:?})", path.display()))?
            }
        };
        Ok(Arc::new(HostFile { inner, path: path.to_owned(), common: self.common.clone() }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.common.changed(self.inner.create_dir_all(path), format_args!("mkdir {}", path.display()))
    }

    fn make_private(&self, path: &Path) -> io::Result<()> {
        self.common.changed(self.inner.make_private(path), format_args!("chmod {}", path.display()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let what = format_args!("rename {} to {}", from.display(), to.display());
        self.common.changed(self.inner.rename(from, to), what)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let what = format_args!("link {} as {}", from.display(), to.display());
        self.common.changed(self.inner.hard_link(from, to), what)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.common.changed(self.inner.remove_file(path), format_args!("remove {}", path.display()))
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.common.changed(self.inner.remove_dir_all(path), format_args!("remove all of {}", path.display()))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.inner.list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        if self.common.lie == Some(Lie::FolderSyncs) {
            return Ok(());
        }
        self.common.changed(self.inner.sync_dir(path), format_args!("sync folder {}", path.display()))
    }

    fn stat(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.inner.stat(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        self.inner.try_lock(path)
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        self.inner.available_bytes(path)
    }
}

struct HostFile {
    inner: Arc<dyn DiskFile>,
    path: PathBuf,
    common: Common,
}

impl DiskFile for HostFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, position)
    }

    fn write_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let what = format_args!("write {bytes} bytes at {position} of {}", self.path.display());
        self.common.changed(self.inner.write_at(parts, position), what)
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.common.lie == Some(Lie::FileSyncs) {
            return Ok(());
        }
        self.common.changed(self.inner.sync_data(), format_args!("sync {}", self.path.display()))
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let what = format_args!("cut {} to {bytes} bytes", self.path.display());
        self.common.changed(self.inner.set_len(bytes), what)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}
