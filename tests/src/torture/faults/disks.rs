//! One node's disk that is full, has flipped bits, or is gone. The others have all that is committed, or it is left out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::index_below;
use crate::sim::dice::Dice;
use crate::torture::judge;
use crate::torture::plan::Kind;
use crate::torture::round::Field;

/// What lies on a full disk beside the node's data.
const BALLAST: &str = "ballast";
/// How much more room than wanted is left at most, while others write to the disk.
const SPARED_MAX: u64 = 4 << 20;
/// How long is waited until the others have everything.
const WHOLE_PATIENCE: Duration = Duration::from_secs(10);
/// How many bits flip at most.
const FLIPS_MAX: u64 = 8;
/// Files in which they flip, besides segments and indexes.
const CHECKPOINTS: [&str; 3] =
    ["leader-epoch-checkpoint", "recovery-point-offset-checkpoint", "replication-offset-checkpoint"];

/// Waits until a node can be spared; false, with a note, where that does not come.
async fn can_be_spared(field: &Field, kind: Kind) -> bool {
    match judge::wait_until_whole(field, WHOLE_PATIENCE).await {
        Ok(_) => true,
        Err(why) => {
            field.journal.skipped(kind, format_args!("{why}"));
            false
        }
    }
}

/// Leaves no room on the victim's disk, or less than a node keeps free.
pub(super) async fn fill(field: &Field, dice: &mut Dice, lasts: Duration) {
    let node = field.plan.victim;
    if !can_be_spared(field, Kind::FullDisk).await {
        return;
    }
    let rest = *dice.pick(&[0, 16 << 20]);
    let filled = field.cluster.with_disk(node, move |disk| fill_to(disk, rest)).await;
    match filled {
        Some(Ok(())) => {}
        Some(Err(error)) => return field.journal.skipped(Kind::FullDisk, format_args!("{error}")),
        None => return field.journal.skipped(Kind::FullDisk, format_args!("this user may not mount a disk")),
    }
    field.journal.fault(Kind::FullDisk, format_args!("node {} has {rest} bytes", node + 1));
    tokio::time::sleep(lasts).await;
    make_room(field).await;
}

/// Leaves so many bytes, or as few more as others leave who write meanwhile.
fn fill_to(disk: &Path, rest: u64) -> io::Result<()> {
    let file = fs::File::create(disk.join(BALLAST))?;
    let mut spared = rest;
    loop {
        let space = rustix::fs::statvfs(disk)?;
        let bytes = (space.f_bavail * space.f_frsize).saturating_sub(spared).max(1);
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            Err(rustix::io::Errno::NOSPC) if spared < rest + SPARED_MAX => spared += SPARED_MAX / 16,
            filled => return Ok(filled?),
        }
    }
}

/// Gives the victim's disk its room back.
pub(in crate::torture) async fn make_room(field: &Field) {
    let removed =
        field.cluster.with_disk(field.plan.victim, |disk| fs::remove_file(disk.join(BALLAST))).await;
    if let Some(Ok(())) = removed {
        field.journal.note(format_args!("node {} has room again", field.plan.victim + 1));
    }
}

/// Kills the victim, flips bits of its files, and starts it again.
pub(super) async fn flip(field: &Field, dice: &mut Dice, kind: Kind, lasts: Duration) {
    let node = field.plan.victim;
    if !can_be_spared(field, kind).await {
        return;
    }
    field.cluster.kill(node).await;
    let mut own = dice.fork();
    let flipped = field.cluster.with_data(node, move |data| flip_in(data, kind, &mut own)).await;
    match flipped {
        Ok(flipped) if flipped.is_empty() => {
            field.journal.skipped(kind, format_args!("there are no such files"))
        }
        Ok(flipped) => field.journal.fault(kind, format_args!("node {}: {}", node + 1, flipped.join(", "))),
        Err(error) => field.journal.skipped(kind, format_args!("{error}")),
    }
    tokio::time::sleep(lasts).await;
    field.cluster.start(node).await;
}

fn flip_in(data: &Path, kind: Kind, dice: &mut Dice) -> io::Result<Vec<String>> {
    let mut files = Vec::new();
    collect(data, kind, &mut files)?;
    files.sort_unstable();
    files.retain(|file| fs::metadata(file).is_ok_and(|file| file.len() > 0));
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let mut flipped = Vec::new();
    for _ in 0..dice.within(1..=FLIPS_MAX) {
        let file = &files[index_below(dice, files.len())];
        let mut bytes = fs::read(file)?;
        let (at, bit) = (index_below(dice, bytes.len()), dice.within(0..=7));
        bytes[at] ^= 1 << bit;
        fs::write(file, bytes)?;
        flipped
            .push(format!("bit {bit} of byte {at} of {}", file.strip_prefix(data).unwrap_or(file).display()));
    }
    Ok(flipped)
}

fn collect(folder: &Path, kind: Kind, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut here = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), kind, found)?;
        } else if is_of(&entry.file_name().to_string_lossy(), kind) {
            here.push(entry.path());
        }
    }
    here.sort_unstable();
    if kind == Kind::FlipSegments {
        // The last one is appended to.
        here.pop();
    }
    found.extend(here);
    Ok(())
}

fn is_of(name: &str, kind: Kind) -> bool {
    let ends = |end: &str| name.strip_suffix(end).is_some_and(|start| !start.is_empty());
    match kind {
        Kind::FlipSegments => ends(".log"),
        Kind::FlipIndexes => ends(".index") || ends(".timeindex"),
        _ => CHECKPOINTS.contains(&name) || ends(".snapshot") || name == "snapshot",
    }
}

/// The victim ends, and starts again with nothing.
pub(super) async fn wipe(field: &Field, lasts: Duration) {
    if can_be_spared(field, Kind::Wipe).await {
        field.journal.fault(Kind::Wipe, format_args!("node {}", field.plan.victim + 1));
        field.cluster.kill(field.plan.victim).await;
        tokio::time::sleep(lasts).await;
        start_anew(field, field.plan.victim).await;
    }
}

/// Takes a node's data folder away and starts it.
pub(in crate::torture) async fn start_anew(field: &Field, node: usize) {
    let removed = field.cluster.with_data(node, |data| fs::remove_dir_all(data)).await;
    if let Err(error) = removed {
        field.journal.note(format_args!("the folder of node {} is not removed: {error}", node + 1));
    }
    field.cluster.start(node).await;
}
