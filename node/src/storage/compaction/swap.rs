//! Putting a segment in the place of others, in one step that no crash can halve.
//!
//! ```text
//!  1  BASE-END.log.swap.tmp   written and synced              a crash here: it means nothing, and goes
//!  2  BASE-END.log.swap       renamed, the folder synced      from here on this is the log from BASE to END
//!  3  old files from BASE to END removed, the folder synced
//!  4  BASE.log                renamed, the folder synced
//! ```
//!
//! A start after a crash goes on at 3. (Kafka's `.cleaned` and `.swap` do the same; the end in the name saves it from
//! reading the file.)

use std::path::Path;

use weir_wire::ids::Offset;

use super::super::disk::{Disk, Entry, remove_if_there};
use super::super::error::{Doing, StorageError};
use super::super::names::{FileKind, file_name, parse_file_name, parse_swap_file_name, swap_file_name};

/// The files of a segment; the one that counts comes last.
pub(in super::super) const KINDS: [FileKind; 3] = [FileKind::Index, FileKind::TimeIndex, FileKind::Log];

/// Steps 3 and 4. May be done again after a crash anywhere in them.
pub(in super::super) fn finish(
    disk: &dyn Disk,
    folder: &Path,
    base: Offset,
    end: Offset,
) -> Result<(), StorageError> {
    let replaced = |entry: &Entry| {
        let (offset, kind) = parse_file_name(&entry.name)?;
        (KINDS.contains(&kind) && offset > base && offset < end).then_some((offset, kind))
    };
    let old: Vec<_> = disk.list(folder).doing("listing", folder)?.iter().filter_map(replaced).collect();
    for (offset, kind) in old {
        let path = folder.join(file_name(offset, kind));
        remove_if_there(disk, &path).doing("removing", &path)?;
    }
    // No old file may come back once the name that says what it was replaced by is gone.
    disk.sync_dir(folder).doing("syncing", folder)?;
    for kind in KINDS {
        let (from, to) = (folder.join(swap_file_name(base, end, kind)), folder.join(file_name(base, kind)));
        if kind == FileKind::Log || disk.stat(&from).doing("looking at", &from)?.is_some() {
            disk.rename(&from, &to).doing("renaming", &from)?;
        } else {
            // An index that did not make it is made anew; the old one tells of another file.
            remove_if_there(disk, &to).doing("removing", &to)?;
        }
    }
    disk.sync_dir(folder).doing("syncing", folder)
}

/// Finishes what a crash interrupted. The names of the folder are durable already. Says how many segments it put in
/// place.
pub(in super::super) fn finish_all(disk: &dyn Disk, folder: &Path) -> Result<usize, StorageError> {
    let entries = disk.list(folder).doing("listing", folder)?;
    let swaps: Vec<_> = entries.iter().filter_map(|entry| parse_swap_file_name(&entry.name)).collect();
    let whole: Vec<_> = swaps.iter().filter(|(_, _, kind)| *kind == FileKind::Log).collect();
    for (base, end, _) in &whole {
        finish(disk, folder, *base, *end)?;
    }
    for (base, end, kind) in &swaps {
        // An index whose segment was not there.
        let path = folder.join(swap_file_name(*base, *end, *kind));
        remove_if_there(disk, &path).doing("removing", &path)?;
    }
    Ok(whole.len())
}
