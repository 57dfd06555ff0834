//! The command line's door to the machine's files: what a person names on it. A node's own files stand behind the
//! storage's disk instead.
#![expect(clippy::disallowed_methods, reason = "a person's input is read as plain files, here only")]

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::output::Failure;

/// A file to read a command's input from, with its length where it has one.
pub(super) fn open_input(path: &Path) -> Result<(File, Option<u64>), Failure> {
    let refuse = |reason: String| Failure::new(format!("cannot read {}: {reason}", path.display()));
    let file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    let metadata = file.metadata().map_err(|error| refuse(error.to_string()))?;
    if metadata.is_dir() {
        return Err(refuse("it is a folder; name a file of lines".to_owned()));
    }
    Ok((file, metadata.is_file().then_some(metadata.len())))
}

/// A small text file, such as a configuration.
pub(super) fn read_text(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    String::from_utf8(read_bytes(path, bytes_max)?)
        .map_err(|error| Failure::new(format!("cannot read {}: {}", path.display(), error.utf8_error())))
}

/// A file that is needed whole, such as a component.
pub(super) fn read_bytes(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let refuse = |reason: String| Failure::new(format!("cannot read {}: {reason}", path.display()));
    let mut bytes = Vec::new();
    let (file, _) = open_input(path)?;
    let read = file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(|error| refuse(error.to_string()))?;
    if u64::try_from(read).is_ok_and(|read| read <= bytes_max) {
        Ok(bytes)
    } else {
        Err(refuse(format!("it has more than {bytes_max} bytes")))
    }
}

/// The files of a folder whose names end in `.extension`, in the order of their names.
pub(super) fn list(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    let refuse =
        |error: std::io::Error| Failure::new(format!("cannot read the folder {}: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(refuse)? {
        let path = entry.map_err(refuse)?.path();
        if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Whether a person's path leads to a folder.
pub(super) fn is_folder(path: &Path) -> bool {
    path.is_dir()
}

/// Writes a text file, in place of the one that is there.
pub(super) fn write_text(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))
}

/// A folder of text files, by their paths in it. It must not be there yet.
pub(super) fn write_folder<'a>(
    folder: &Path,
    files: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<(), Failure> {
    let refuse = |path: &Path, reason: &std::io::Error| match reason.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Failure::new(format!("{} is there already: choose another name, or remove it", path.display()))
        }
        _ => Failure::new(format!("cannot write {}: {reason}", path.display())),
    };
    std::fs::create_dir(folder).map_err(|error| refuse(folder, &error))?;
    for (path, text) in files {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(folder);
        std::fs::create_dir_all(parent).map_err(|error| refuse(parent, &error))?;
        std::fs::write(&path, text).map_err(|error| refuse(&path, &error))?;
    }
    Ok(())
}

/// A file that is written at its end, made if it is not there.
pub(super) fn append_to(path: &Path) -> Result<File, Failure> {
    let opened = File::options().create(true).append(true).open(path);
    opened.map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))
}
