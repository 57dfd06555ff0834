//! The few file operations that certificates need. They are not partition data, and no simulation has them.
#![expect(clippy::disallowed_methods, reason = "certificates are read and written as plain files, here only")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes; a certificate or key of ours is below 1 KiB.
pub(crate) const FILE_BYTES_MAX: u64 = 64 * 1024;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readers {
    /// The owner alone: keys.
    Owner,
    /// Whoever the process's umask lets: certificates.
    Everybody,
}

pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let length = File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(length).is_ok_and(|length| length <= FILE_BYTES_MAX) {
        Ok(bytes)
    } else {
        Err(io::Error::other("the file is too large to be a certificate or a key"))
    }
}

pub(crate) fn exists(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The files directly in a folder whose names end so, by name.
pub(crate) fn with_extension(folder: &Path, extension: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|ends| ends == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

pub(crate) fn create_folders(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Puts a new file in place, whole and on disk. `false` when there was one already, which is left alone.
pub(crate) fn create(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<bool> {
    let draft = Draft::file(path, bytes, readers)?;
    // A link never replaces what is there, so the first of several processes wins.
    let placed = match fs::hard_link(&draft.path, path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(error),
    };
    drop(draft);
    sync_parent(path)?;
    Ok(placed)
}

/// Puts a file in place, whole and on disk, instead of the one that may be there.
pub(crate) fn replace(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let draft = Draft::file(path, bytes, readers)?;
    fs::rename(&draft.path, path)?;
    sync_parent(path)
}

/// Puts a new private folder with these files in place, all at once. `false` when there was one already with
/// anything in it, which is left alone.
pub(crate) fn create_private_folder(path: &Path, files: &[(&str, &[u8])]) -> io::Result<bool> {
    let draft = Draft { path: draft_path(path)? };
    create_private(&draft.path)?;
    for (name, bytes) in files {
        write_new(&draft.path.join(name), bytes, Readers::Owner)?;
    }
    sync_folder(&draft.path)?;
    // Renaming onto a folder that holds something is refused, so the first of several processes wins.
    let placed = match fs::rename(&draft.path, path) {
        Ok(()) => true,
        Err(error) if is_occupied(&error) => false,
        Err(error) => return Err(error),
    };
    sync_parent(path)?;
    Ok(placed)
}

fn is_occupied(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists)
}

/// A file or folder under a temporary name, removed unless it was renamed away.
struct Draft {
    path: PathBuf,
}

impl Draft {
    fn file(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<Draft> {
        let draft = Draft { path: draft_path(path)? };
        write_new(&draft.path, bytes, readers)?;
        Ok(draft)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Left over after a failure it is litter, nothing worse; the failure itself was reported.
        let _ = match fs::symlink_metadata(&self.path) {
            Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(&self.path),
            Ok(_) => fs::remove_file(&self.path),
            Err(_) => Ok(()),
        };
    }
}

/// A name beside `path` that no other process and no other thread uses.
fn draft_path(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("the path has no last part"))?;
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(|_| io::Error::other("no randomness to be had"))?;
    let draft = format!(".{}.{:016x}", name.to_string_lossy(), u64::from_le_bytes(random));
    Ok(path.with_file_name(draft))
}

fn write_new(path: &Path, bytes: &[u8], readers: Readers) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if readers == Readers::Owner {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn create_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_folder(parent),
        _ => sync_folder(Path::new(".")),
    }
}

/// Makes the names in a folder durable, where the platform can open folders.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
}
