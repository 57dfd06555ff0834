//! A disk in memory that does everything a real one may do, from a seed.
//!
//! It keeps two pictures of every file and folder: what a running process sees, and what the platter holds. The
//! second one follows the first only where a sync returned. [`SimDisk::power_loss`] gives the disk as the next boot
//! sees it: of everything unsynced an arbitrary part, in arbitrary order, torn at bytes and blocks.
//! [`SimDisk::process_crash`] gives the same files to the next process: everything written is there, and what was not
//! synced is still not durable.

mod power;
mod world;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile, DiskLock, Entry, EntryKind, OpenMode};
pub use power::SimRandom;
use world::{Node, World};

/// The simulated disk. Clones are handles to the same disk.
#[derive(Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

impl SimDisk {
    /// An empty disk whose faults follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> SimDisk {
        SimDisk { world: Arc::new(Mutex::new(World::new(SimRandom::new(seed)))) }
    }

    /// Cuts the power: this disk and every file opened through it fail from now on, and the disk that the next boot
    /// sees is returned. Faults and limits set here do not carry over.
    #[must_use]
    pub fn power_loss(&self) -> SimDisk {
        SimDisk { world: Arc::new(Mutex::new(power::power_loss(&mut self.world()))) }
    }

    /// Kills the process: this disk and every file opened through it fail from now on; the disk that the next
    /// process opens holds everything written, of which the unsynced part can still be lost.
    #[must_use]
    pub fn process_crash(&self) -> SimDisk {
        SimDisk { world: Arc::new(Mutex::new(power::process_crash(&mut self.world()))) }
    }

    /// Stops the disk in the middle of the operation that comes after `operations` more changing ones (writes, syncs,
    /// renames, removals, cuts, new names). From then on everything fails, until a crash is called.
    pub fn stop_after(&self, operations: u64) {
        self.world().stop_after = Some(operations);
    }

    /// Whether [`stop_after`](SimDisk::stop_after) has come to pass.
    #[must_use]
    pub fn has_stopped(&self) -> bool {
        self.world().stopped
    }

    /// How many changing operations were carried out so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.world().operations
    }

    /// How many file syncs and folder syncs were carried out so far.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.world().syncs
    }

    /// Lets the next `count` syncs of files or folders fail, as they do on Linux.
    ///
    /// What a file's sync should have made durable is lost for good, although this and the next process may go on
    /// seeing it: its pages count as clean, until memory is short. Where the names of a folder cannot be made durable,
    /// the file system cannot write its journal, and takes no changes any more before it is mounted anew (ext4, XFS and
    /// btrfs alike).
    pub fn fail_syncs(&self, count: u32) {
        self.fail_syncs_after(0, count);
    }

    /// As [`fail_syncs`](SimDisk::fail_syncs), once `passed` more syncs went well.
    pub fn fail_syncs_after(&self, passed: u64, count: u32) {
        let mut world = self.world();
        (world.sound_syncs, world.fail_syncs) = (passed, count);
    }

    /// How many syncs have failed since the process began.
    #[must_use]
    pub fn failed_syncs(&self) -> u64 {
        self.world().failed_syncs
    }

    /// Whether the file system takes no changes before the next boot.
    #[must_use]
    pub fn has_shut_down(&self) -> bool {
        self.world().shut_down
    }

    /// Lets the next `count` writes fail half way.
    pub fn fail_writes(&self, count: u32) {
        self.world().fail_writes = count;
    }

    /// The most bytes that all files may have together; `None` lifts the limit.
    pub fn set_space(&self, bytes: Option<u64>) {
        self.world().space = bytes;
    }

    /// The most files that may be open at once; `None` lifts the limit.
    pub fn set_open_files_max(&self, count: Option<usize>) {
        self.world().open_files_max = count;
    }

    /// How many files are open.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.world().open_files()
    }

    /// Makes the folder syncs of this disk do nothing while they claim success. For tests of the tests.
    pub fn ignore_folder_syncs(&self) {
        self.world().ignore_folder_syncs = true;
    }

    /// Makes every write fail with `PermissionDenied`, as a folder mounted read-only does.
    pub fn set_read_only(&self, read_only: bool) {
        self.world().read_only = read_only;
    }

    /// Flips one bit of a file, in what is seen and on the platter.
    ///
    /// # Panics
    /// If there is no such file or byte.
    pub fn flip_bit(&self, path: impl AsRef<Path>, byte: usize, bit: u8) {
        self.vandalise(path.as_ref(), |content| content[byte] ^= 1 << (bit % 8));
    }

    /// Changes a file behind everyone's back, in what is seen and on the platter.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn vandalise(&self, path: impl AsRef<Path>, change: impl FnOnce(&mut Vec<u8>)) {
        let mut world = self.world();
        let id = world.find(path.as_ref()).expect("a file to vandalise");
        let Some(Node::File(file)) = world.nodes.get_mut(&id) else {
            panic!("{:?} is a folder", path.as_ref())
        };
        change(&mut file.view);
        file.durable = file.view.clone();
        file.pending.clear();
    }

    /// What a running process sees in a file.
    ///
    /// # Panics
    /// If there is no such file.
    #[must_use]
    pub fn content(&self, path: impl AsRef<Path>) -> Vec<u8> {
        let world = self.world();
        let id = world.find(path.as_ref()).expect("a file to look at");
        let Some(Node::File(file)) = world.nodes.get(&id) else { panic!("{:?} is a folder", path.as_ref()) };
        file.view.clone()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SimDisk")
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let id = self.world().open(path, mode)?;
        Ok(Arc::new(SimFile { disk: self.clone(), id, writable: mode != OpenMode::Read }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.world().create_dir_all(path)
    }

    fn make_private(&self, path: &Path) -> io::Result<()> {
        // Nobody else is here.
        match self.stat(path)? {
            Some(EntryKind::Folder) => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.world().rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.world().hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.world().remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.world().remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.world().list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.world().sync_dir(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.world().stat(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        let file = self.open(path, OpenMode::Create)?;
        let mut world = self.world();
        let id = world.find(path)?;
        if !world.locks.insert(id) {
            return Ok(None);
        }
        Ok(Some(DiskLock::new(SimLock { disk: self.clone(), id, _file: file })))
    }

    fn available_bytes(&self, _path: &Path) -> io::Result<u64> {
        let world = self.world();
        world.check_alive()?;
        Ok(world.space.map_or(u64::MAX, |space| space.saturating_sub(world.used_bytes())))
    }
}

struct SimFile {
    disk: SimDisk,
    id: u64,
    writable: bool,
}

impl SimFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }
}

impl DiskFile for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.disk.world().read_at(self.id, buffer, position)
    }

    fn write_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.world().write_at(self.id, &parts.concat(), position)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.world().sync_data(self.id)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.check_writable()?;
        self.disk.world().set_len(self.id, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        let world = self.disk.world();
        world.check_alive()?;
        Ok(world.file(self.id).view.len() as u64)
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        self.disk.world().close(self.id);
    }
}

struct SimLock {
    disk: SimDisk,
    id: u64,
    _file: Arc<dyn DiskFile>,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.world().locks.remove(&self.id);
    }
}
