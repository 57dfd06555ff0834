//! The operating system's files: the only place of the node that calls `std::fs`.
#![allow(clippy::disallowed_methods, reason = "this file is the door to files")]

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use super::disk::{Disk, DiskFile, DiskLock, Entry, EntryKind, OpenMode};

/// Largest single write. Larger buffered writes are slower by an order of magnitude while the machine is busy: the
/// kernel then backs them with large folios.
const WRITE_BYTES_MAX: usize = 64 << 10;
/// Largest single write of what passes. It goes to the disk as it is written, and long pieces take less: 5 GB behind, a
/// follower caught up at 440 and 570 MB/s with pieces of 64 KiB, at 740 and 940 with these.
#[cfg(target_os = "linux")]
const PASSING_BYTES_MAX: usize = 1 << 20;
/// Most parts in one vectored write (`IOV_MAX` is 1024 on Linux).
const WRITE_PARTS_MAX: usize = 512;

/// `RWF_DONTCACHE` (Linux 6.14): what is written leaves the page cache as soon as the disk has it, so that the next write
/// finds its pages, still warm, instead of such as the machine has not used for long.
#[cfg(target_os = "linux")]
const DONT_CACHE: rustix::io::ReadWriteFlags = rustix::io::ReadWriteFlags::from_bits_retain(0x80);

/// The disk of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match mode {
            OpenMode::Read => &mut options,
            OpenMode::ReadWrite => options.write(true),
            OpenMode::Create => options.write(true).create(true).truncate(false),
            OpenMode::CreateNew => options.write(true).create_new(true),
        };
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn make_private(&self, path: &Path) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => EntryKind::Folder,
                Ok(metadata) if metadata.is_file() => EntryKind::File { bytes: metadata.len() },
                Ok(_) => continue,
                // Removed between the listing and the question: as if it had never been listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            entries.push(Entry { name, kind });
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn stat(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(Some(EntryKind::Folder)),
            Ok(metadata) => Ok(Some(EntryKind::File { bytes: metadata.len() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(DiskLock::new(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        let space = rustix::fs::statvfs(path)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        loop {
            match self.0.read_at(buffer, position) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    fn read_onto(&self, buffer: &mut Vec<u8>, bytes: usize, position: u64) -> io::Result<usize> {
        let before = buffer.len();
        buffer.reserve_exact(bytes);
        loop {
            match rustix::io::pread(&self.0, rustix::buffer::spare_capacity(buffer), position) {
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(read) => {
                    // There may be more room than was asked for.
                    buffer.truncate(before + bytes);
                    return Ok(read.min(bytes));
                }
            }
        }
    }

    fn write_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        write_all(parts, position, WRITE_BYTES_MAX, |slices, position| {
            rustix::io::pwritev(&self.0, slices, position)
        })
    }

    #[cfg(target_os = "linux")]
    fn write_passing(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        let written = write_all(parts, position, PASSING_BYTES_MAX, |slices, position| {
            rustix::io::pwritev2(&self.0, slices, position, DONT_CACHE)
        });
        match written {
            // Before Linux 6.14, and on file systems that cannot.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => self.write_at(parts, position),
            written => written,
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn forget_cached(&self) {
        #[cfg(target_os = "linux")]
        // A hint that is not taken costs nothing but memory.
        let _ = rustix::fs::fadvise(&self.0, 0, None, rustix::fs::Advice::DontNeed);
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// Writes all parts, by a call that writes some of them, at most `bytes_max` bytes.
fn write_all(
    parts: &[&[u8]],
    mut position: u64,
    bytes_max: usize,
    mut write: impl FnMut(&[IoSlice<'_>], u64) -> rustix::io::Result<usize>,
) -> io::Result<()> {
    let mut rest = Rest { parts, within: 0, bytes_max };
    let mut slices = Vec::with_capacity(parts.len().min(WRITE_PARTS_MAX));
    loop {
        rest.fill(&mut slices);
        if slices.is_empty() {
            return Ok(());
        }
        match write(&slices, position) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                position += written as u64;
                rest.advance(written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// What is left to write.
struct Rest<'a> {
    parts: &'a [&'a [u8]],
    /// Bytes of the first part that are written already.
    within: usize,
    /// Most bytes of one write.
    bytes_max: usize,
}

impl<'a> Rest<'a> {
    /// The next write: as many parts as fit its limits.
    fn fill(&self, slices: &mut Vec<IoSlice<'a>>) {
        slices.clear();
        let mut room = self.bytes_max;
        for (index, part) in self.parts.iter().enumerate() {
            let part = if index == 0 { &part[self.within..] } else { part };
            let part = &part[..part.len().min(room)];
            if !part.is_empty() {
                slices.push(IoSlice::new(part));
                room -= part.len();
            }
            if room == 0 || slices.len() == WRITE_PARTS_MAX {
                return;
            }
        }
    }

    fn advance(&mut self, mut written: usize) {
        while let Some((first, others)) = self.parts.split_first() {
            let left = first.len() - self.within;
            if written < left {
                self.within += written;
                return;
            }
            written -= left;
            self.parts = others;
            self.within = 0;
        }
        assert!(written == 0, "the system cannot have written more than it was given");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_larger_than_one_call_arrive_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = RealDisk.open(&folder.path().join("f"), OpenMode::CreateNew).expect("open");
        let large: Vec<u8> = (0..3 * WRITE_BYTES_MAX + 17).map(|i| u8::try_from(i % 251).unwrap()).collect();
        let small: Vec<Vec<u8>> =
            (0..2000_u32).map(|i| i.to_le_bytes()[..(i % 5).min(4) as usize].to_vec()).collect();
        let mut parts: Vec<&[u8]> = small.iter().map(Vec::as_slice).collect();
        parts.insert(700, &large);
        file.write_at(&parts, 5).expect("write");

        let mut read = vec![0; 5];
        read.extend(parts.concat());
        let mut found = vec![0; read.len() + 10];
        let filled = super::super::disk::read_full(&*file, &mut found, 0).expect("read");
        assert_eq!(filled, read.len());
        assert!(found[..filled] == read[..], "the bytes differ");
    }
}
