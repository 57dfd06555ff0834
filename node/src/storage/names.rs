//! The names of files and folders: which is which, and which are ours.

use weir_wire::ids::{Offset, PartitionIndex};
use weir_wire::names::{NameError, check_topic_name};

/// Longest file name of common file systems, in bytes.
const FILE_NAME_BYTES_MAX: usize = 255;
/// Digits in the names of a partition's files: any offset, and sorting by name is sorting by offset.
const OFFSET_DIGITS: usize = 20;
/// Ends the names of files that are whole, and that the files which they replace may still lie beside.
const SWAP_SUFFIX: &str = ".swap";

/// The kinds of a partition's files that are named by an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileKind {
    /// Batches, from the offset in the name.
    Log,
    /// Where batches begin, sparse.
    Index,
    /// Which timestamps lie before which offset, sparse.
    TimeIndex,
    /// What the producers had done just before the offset in the name.
    Snapshot,
}

impl FileKind {
    const ALL: [FileKind; 4] = [FileKind::Log, FileKind::Index, FileKind::TimeIndex, FileKind::Snapshot];

    fn suffix(self) -> &'static str {
        match self {
            FileKind::Log => ".log",
            FileKind::Index => ".index",
            FileKind::TimeIndex => ".timeindex",
            FileKind::Snapshot => ".snapshot",
        }
    }
}

/// The name of the file of this kind at this offset.
#[must_use]
pub fn file_name(offset: Offset, kind: FileKind) -> String {
    format!("{:0OFFSET_DIGITS$}{}", offset.0, kind.suffix())
}

/// What a file name says, `None` if it is not one of ours.
#[must_use]
pub fn parse_file_name(name: &str) -> Option<(Offset, FileKind)> {
    let digits = name.get(..OFFSET_DIGITS)?;
    let kind = FileKind::ALL.into_iter().find(|kind| name[OFFSET_DIGITS..] == *kind.suffix())?;
    let offset = Offset(decimal(digits)?);
    (offset <= Offset::MAX).then_some((offset, kind))
}

/// The name of a file that is about to take the place of all files of its kind from `base` up to `end`.
#[must_use]
pub(super) fn swap_file_name(base: Offset, end: Offset, kind: FileKind) -> String {
    format!("{:0OFFSET_DIGITS$}-{:0OFFSET_DIGITS$}{}{SWAP_SUFFIX}", base.0, end.0, kind.suffix())
}

/// What such a name says, `None` if it is none.
#[must_use]
pub(super) fn parse_swap_file_name(name: &str) -> Option<(Offset, Offset, FileKind)> {
    let (base, rest) = name.strip_suffix(SWAP_SUFFIX)?.split_once('-')?;
    let (end, kind) = parse_file_name(rest)?;
    let base = Offset(decimal(base)?);
    (swap_file_name(base, end, kind) == name && base < end).then_some((base, end, kind))
}

/// The folder of a partition.
///
/// # Errors
/// The rule of topic names that `topic` breaks; so nothing that came over the network becomes a path unchecked.
pub fn partition_folder_name(topic: &str, partition: PartitionIndex) -> Result<String, NameError> {
    check_topic_name(topic)?;
    let name = format!("{topic}-{partition}");
    if name.len() > FILE_NAME_BYTES_MAX {
        let limit = FILE_NAME_BYTES_MAX - (name.len() - topic.len());
        return Err(NameError::TooLong { kind: "topic", length: topic.len(), limit });
    }
    Ok(name)
}

/// Topic and partition of a folder's name, `None` if it is not one of ours.
#[must_use]
pub fn parse_partition_folder_name(name: &str) -> Option<(&str, PartitionIndex)> {
    let (topic, digits) = name.rsplit_once('-')?;
    let partition = PartitionIndex(u32::try_from(decimal(digits)?).ok()?);
    let canonical = partition_folder_name(topic, partition).ok()?;
    (canonical == name).then_some((topic, partition))
}

fn decimal(digits: &str) -> Option<u64> {
    // `parse` alone would take a sign.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_round_trip_and_strangers_are_refused() {
        assert_eq!(file_name(Offset(42), FileKind::Log), "00000000000000000042.log");
        for kind in FileKind::ALL {
            for offset in [Offset::ZERO, Offset(7), Offset::MAX] {
                assert_eq!(parse_file_name(&file_name(offset, kind)), Some((offset, kind)));
            }
        }
        for stranger in [
            "42.log",
            "0000000000000000042.log",
            "00000000000000000042.log.tmp",
            "+0000000000000000042.log",
            "99999999999999999999.log",
            "0000000000000000004é.log",
            "partition.meta",
            "",
        ] {
            assert_eq!(parse_file_name(stranger), None, "{stranger}");
        }
    }

    #[test]
    fn names_of_swaps_round_trip_and_mean_no_other_file() {
        for kind in FileKind::ALL {
            let name = swap_file_name(Offset(7), Offset(4200), kind);
            assert_eq!(parse_swap_file_name(&name), Some((Offset(7), Offset(4200), kind)));
            assert_eq!(parse_file_name(&name), None);
        }
        let name = swap_file_name(Offset(7), Offset(42), FileKind::Log);
        assert_eq!(name, "00000000000000000007-00000000000000000042.log.swap");
        for stranger in ["00000000000000000007.log.swap", "7-42.log.swap", "00000000000000000042.log"] {
            assert_eq!(parse_swap_file_name(stranger), None, "{stranger}");
        }
        assert_eq!(parse_swap_file_name(&swap_file_name(Offset(7), Offset(7), FileKind::Log)), None);
    }

    #[test]
    fn folder_names_round_trip_and_strangers_are_refused() {
        for topic in ["orders", "a-b-3", "..x", "__offsets"] {
            let name = partition_folder_name(topic, PartitionIndex(12)).expect("legal");
            assert_eq!(parse_partition_folder_name(&name), Some((topic, PartitionIndex(12))));
        }
        for stranger in ["orders", "orders-", "orders-01", "orders--", "-1", "a b-1", "orders-4294967296"] {
            assert_eq!(parse_partition_folder_name(stranger), None, "{stranger}");
        }
        for evil in ["", ".", "..", "a/b", "../x", "a\0"] {
            assert!(partition_folder_name(evil, PartitionIndex(0)).is_err(), "{evil}");
        }
        let long = "x".repeat(249);
        assert!(partition_folder_name(&long, PartitionIndex(9999)).is_ok());
        assert!(partition_folder_name(&long, PartitionIndex(99999)).is_ok());
        assert!(partition_folder_name(&long, PartitionIndex(100_000)).is_err());
    }
}
