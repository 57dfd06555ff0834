//! Bits that flip on a disk while nobody looks, as they do on real ones.

use std::path::{Path, PathBuf};

use weir_node::storage::{Disk, EntryKind, SimDisk};

use super::dice::Dice;

/// Which files are damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Batches in segments that nothing is appended to any more.
    ClosedSegments,
    /// What finds offsets and times in the segments.
    Indexes,
    /// Where leader epochs begin.
    LeaderEpochs,
    /// What producers had done.
    ProducerSnapshots,
    /// The snapshot of the cluster's metadata.
    MetadataSnapshot,
}

impl Damage {
    /// Flips so many bits, and says where. Nothing is damaged where there is no such file.
    pub fn strike(self, disk: &SimDisk, folder: &Path, flips: u32, dice: &mut Dice) -> Vec<String> {
        let mut files = Vec::new();
        self.collect(disk, folder, &mut files);
        files.retain(|file| !disk.content(file).is_empty());
        if files.is_empty() {
            return Vec::new();
        }
        let flip = |_| {
            let file = dice.pick(&files);
            let byte = any_index(dice, disk.content(file).len());
            let bit = *dice.pick(&[0, 1, 2, 3, 4, 5, 6, 7]);
            disk.flip_bit(file, byte, bit);
            format!("bit {bit} of byte {byte} of {}", file.display())
        };
        (0..flips).map(flip).collect()
    }

    fn collect(self, disk: &SimDisk, folder: &Path, found: &mut Vec<PathBuf>) {
        let entries = disk.list(folder).unwrap_or_default();
        let mut names: Vec<&str> = Vec::new();
        for entry in &entries {
            match entry.kind {
                EntryKind::Folder => self.collect(disk, &folder.join(&entry.name), found),
                EntryKind::File { .. } if self.is_of(folder, &entry.name) => names.push(&entry.name),
                EntryKind::File { .. } => {}
            }
        }
        names.sort_unstable();
        if self == Damage::ClosedSegments {
            // The last one is appended to.
            names.pop();
        }
        found.extend(names.into_iter().map(|name| folder.join(name)));
    }

    fn is_of(self, folder: &Path, name: &str) -> bool {
        let ends = |end: &str| name.strip_suffix(end).is_some_and(|start| !start.is_empty());
        match self {
            Damage::ClosedSegments => ends(".log"),
            Damage::Indexes => ends(".index") || ends(".timeindex"),
            Damage::LeaderEpochs => name == "leader-epoch-checkpoint",
            Damage::ProducerSnapshots => ends(".snapshot"),
            Damage::MetadataSnapshot => name == "snapshot" && folder.ends_with("metadata"),
        }
    }
}

fn any_index(dice: &mut Dice, len: usize) -> usize {
    let last = u64::try_from(len).expect("files are small") - 1;
    usize::try_from(dice.within(0..=last)).expect("files are small")
}
