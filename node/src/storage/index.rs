//! The two sparse indexes of a segment. Both are derived from the log and are never evidence: whatever they say is
//! checked against the log before it is believed, and a doubtful index is rebuilt.
//!
//! `.index`: `| relative offset: u32 | position: u32 |`, big-endian, both rising. A batch with this base offset
//! begins at this position. The batch at position 0 has no entry, so that zeros are no entry.
//!
//! `.timeindex`: `| timestamp: i64 | relative offset: u32 | checksum: u32 |`, offsets rising. No batch before this
//! offset has a higher maximum timestamp than this. The checksum (the low half of xxh3-64) is there because the log
//! cannot contradict a timestamp cheaply, and retention deletes by it.

use std::io;

use xxhash_rust::xxh3::xxh3_64;

use super::disk::{DiskFile, read_full};

/// How many entries a search reads at once when it has come close.
const SEARCH_BLOCK_ENTRIES: u64 = 64;

/// Where a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OffsetEntry {
    /// The batch's base offset less the segment's.
    pub(super) relative: u32,
    pub(super) position: u32,
}

/// A bound on the timestamps before an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeEntry {
    /// The highest timestamp of all batches before the offset, in milliseconds.
    pub(super) timestamp_ms: i64,
    /// The offset less the segment's base offset.
    pub(super) relative: u32,
}

/// An entry of either index.
pub(super) trait IndexEntry: Copy {
    const BYTES: usize;

    fn encode(&self, out: &mut Vec<u8>);

    /// `None` if no entry looks like that.
    fn decode(bytes: &[u8]) -> Option<Self>;

    /// Whether this entry may stand directly before `next`.
    fn may_precede(&self, next: &Self) -> bool;
}

impl IndexEntry for OffsetEntry {
    const BYTES: usize = 8;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<OffsetEntry> {
        let (relative, rest) = bytes.split_first_chunk()?;
        let entry = OffsetEntry {
            relative: u32::from_be_bytes(*relative),
            position: u32::from_be_bytes(*rest.first_chunk()?),
        };
        (entry.relative > 0 && entry.position > 0).then_some(entry)
    }

    fn may_precede(&self, next: &OffsetEntry) -> bool {
        self.relative < next.relative && self.position < next.position
    }
}

impl IndexEntry for TimeEntry {
    const BYTES: usize = 16;

    fn encode(&self, out: &mut Vec<u8>) {
        let from = out.len();
        out.extend_from_slice(&self.timestamp_ms.to_be_bytes());
        out.extend_from_slice(&self.relative.to_be_bytes());
        let sum = low_half(xxh3_64(&out[from..]));
        out.extend_from_slice(&sum.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<TimeEntry> {
        let (content, sum) = bytes.get(..Self::BYTES)?.split_last_chunk()?;
        if low_half(xxh3_64(content)) != u32::from_be_bytes(*sum) {
            return None;
        }
        let (timestamp, rest) = content.split_first_chunk()?;
        let relative = u32::from_be_bytes(*rest.first_chunk()?);
        (relative > 0).then_some(TimeEntry { timestamp_ms: i64::from_be_bytes(*timestamp), relative })
    }

    fn may_precede(&self, next: &TimeEntry) -> bool {
        self.relative < next.relative && self.timestamp_ms <= next.timestamp_ms
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
fn low_half(hash: u64) -> u32 {
    hash as u32
}

/// Why an index gave no answer.
#[derive(Debug)]
pub(super) enum IndexFault {
    /// It holds what it cannot hold.
    Damaged,
    Io(io::Error),
}

impl From<io::Error> for IndexFault {
    fn from(error: io::Error) -> IndexFault {
        IndexFault::Io(error)
    }
}

pub(super) fn encode_all<E: IndexEntry>(entries: &[E]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * E::BYTES);
    entries.iter().for_each(|entry| entry.encode(&mut bytes));
    bytes
}

/// How many entries an index file holds.
pub(super) fn entry_count<E: IndexEntry>(file: &dyn DiskFile) -> Result<u64, IndexFault> {
    let bytes = file.len()?;
    let size = E::BYTES as u64;
    if bytes.is_multiple_of(size) { Ok(bytes / size) } else { Err(IndexFault::Damaged) }
}

/// The last of the first `count` entries of which `holds` is true, with its number; `holds` is true for some first
/// entries and false for the rest.
pub(super) fn last_where<E: IndexEntry>(
    file: &dyn DiskFile,
    count: u64,
    holds: impl Fn(&E) -> bool,
) -> Result<Option<(u64, E)>, IndexFault> {
    // All before `low` hold, none from `high` on.
    let (mut low, mut high) = (0, count);
    while high - low > SEARCH_BLOCK_ENTRIES {
        let middle = low + (high - low) / 2;
        let entry = read_entries::<E>(file, middle, 1)?[0];
        if holds(&entry) { low = middle + 1 } else { high = middle }
    }
    let from = low.saturating_sub(1);
    let block = read_entries::<E>(file, from, high - from)?;
    let found = block.iter().rposition(holds);
    Ok(found.map(|index| (from + index as u64, block[index])))
}

/// The last entry, if there is one.
pub(super) fn last_entry<E: IndexEntry>(file: &dyn DiskFile) -> Result<Option<E>, IndexFault> {
    match entry_count::<E>(file)? {
        0 => Ok(None),
        count => Ok(read_entries(file, count - 1, 1)?.pop()),
    }
}

/// Reads `count` entries from the one with number `from` on.
pub(super) fn read_entries<E: IndexEntry>(
    file: &dyn DiskFile,
    from: u64,
    count: u64,
) -> Result<Vec<E>, IndexFault> {
    let count = usize::try_from(count).map_err(|_| IndexFault::Damaged)?;
    let mut bytes = vec![0; count * E::BYTES];
    if read_full(file, &mut bytes, from * E::BYTES as u64)? < bytes.len() {
        return Err(IndexFault::Damaged);
    }
    let entries: Option<Vec<E>> = bytes.chunks_exact(E::BYTES).map(E::decode).collect();
    let entries = entries.ok_or(IndexFault::Damaged)?;
    if entries.windows(2).all(|pair| pair[0].may_precede(&pair[1])) {
        Ok(entries)
    } else {
        Err(IndexFault::Damaged)
    }
}

/// Decides which batches of a segment get entries, in the same way whenever an index is made or made again.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexBuilder {
    interval_bytes: u64,
    /// Where the last entry's batch begins; 0 before the first entry.
    last_position: u64,
    /// The highest timestamp of the batches so far.
    max_timestamp_ms: i64,
    /// The relative offset of the last time entry; 0 before the first.
    last_time_relative: u32,
}

impl IndexBuilder {
    pub(super) fn new(interval_bytes: u32) -> IndexBuilder {
        IndexBuilder {
            interval_bytes: u64::from(interval_bytes),
            last_position: 0,
            max_timestamp_ms: i64::MIN,
            last_time_relative: 0,
        }
    }

    /// Goes on behind entries that exist already.
    pub(super) fn resume(
        interval_bytes: u32,
        last: Option<OffsetEntry>,
        last_time: Option<TimeEntry>,
    ) -> IndexBuilder {
        IndexBuilder {
            interval_bytes: u64::from(interval_bytes),
            last_position: last.map_or(0, |entry| u64::from(entry.position)),
            max_timestamp_ms: last_time.map_or(i64::MIN, |entry| entry.timestamp_ms),
            last_time_relative: last_time.map_or(0, |entry| entry.relative),
        }
    }

    /// The highest timestamp so far, `i64::MIN` before the first batch.
    pub(super) fn max_timestamp_ms(&self) -> i64 {
        self.max_timestamp_ms
    }

    /// Takes notice of timestamps without making an entry.
    pub(super) fn note_timestamp(&mut self, timestamp_ms: i64) {
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
    }

    /// Takes the next batch; gives the entries that belong in front of it, if it gets any.
    pub(super) fn take(
        &mut self,
        relative: u32,
        position: u32,
        timestamp_ms: i64,
    ) -> Option<(OffsetEntry, Option<TimeEntry>)> {
        let due = u64::from(position) - self.last_position > self.interval_bytes;
        let entries = (due && relative > 0).then(|| {
            let before = self.closing_entry(relative);
            self.last_position = u64::from(position);
            self.last_time_relative = relative;
            (OffsetEntry { relative, position }, before)
        });
        self.note_timestamp(timestamp_ms);
        entries
    }

    /// The entry for all batches so far, which end at this relative offset, unless there is one already. It closes a
    /// segment: its last entry bounds all of its timestamps.
    pub(super) fn closing_entry(&self, end_relative: u32) -> Option<TimeEntry> {
        let entry = TimeEntry { timestamp_ms: self.max_timestamp_ms, relative: end_relative };
        (end_relative > self.last_time_relative).then_some(entry)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::SimDisk;
    use super::super::disk::{Disk, OpenMode};
    use super::*;

    fn file(bytes: &[u8]) -> Arc<dyn DiskFile> {
        let file = SimDisk::new(0).open(Path::new("/i"), OpenMode::Create).expect("open");
        file.write_at(&[bytes], 0).expect("write");
        file
    }

    #[test]
    fn searches_agree_with_a_naive_scan() {
        for count in [0_u32, 1, 2, 63, 64, 65, 300, 1000] {
            let entries: Vec<OffsetEntry> =
                (1..=count).map(|i| OffsetEntry { relative: i * 3, position: i * 7 }).collect();
            let file = file(&encode_all(&entries));
            let counted = entry_count::<OffsetEntry>(&*file).expect("whole");
            assert_eq!(counted, u64::from(count));
            for target in (0..count * 3 + 5).step_by(1 + count as usize / 40) {
                let found =
                    last_where::<OffsetEntry>(&*file, counted, |e| e.relative <= target).expect("sound");
                let naive = entries.iter().rposition(|entry| entry.relative <= target);
                assert_eq!(
                    found,
                    naive.map(|index| (index as u64, entries[index])),
                    "{count} entries, {target}"
                );
            }
        }
    }

    #[test]
    fn zeros_and_disorder_are_no_entries() {
        for zeros in [8_usize, 16, 160] {
            let file = file(&vec![0; zeros]);
            assert!(matches!(read_entries::<OffsetEntry>(&*file, 0, 1), Err(IndexFault::Damaged)));
        }
        let file16 = file(&[0; 16]);
        assert!(matches!(last_entry::<TimeEntry>(&*file16), Err(IndexFault::Damaged)));
        let ragged = file(&[1; 9]);
        assert!(matches!(entry_count::<OffsetEntry>(&*ragged), Err(IndexFault::Damaged)));
        let falling = [OffsetEntry { relative: 5, position: 9 }, OffsetEntry { relative: 4, position: 10 }];
        let falling = file(&encode_all(&falling));
        assert!(matches!(read_entries::<OffsetEntry>(&*falling, 0, 2), Err(IndexFault::Damaged)));
    }

    #[test]
    fn every_flipped_bit_of_a_time_entry_is_noticed() {
        let entry = TimeEntry { timestamp_ms: 1_700_000_000_000, relative: 77 };
        let bytes = encode_all(&[entry]);
        assert_eq!(TimeEntry::decode(&bytes), Some(entry));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(TimeEntry::decode(&damaged), None, "bit {bit}");
        }
    }

    #[test]
    fn entries_come_once_per_interval_and_bound_the_timestamps_before() {
        let mut builder = IndexBuilder::new(100);
        assert_eq!(builder.take(0, 0, 50), None);
        assert_eq!(builder.take(1, 60, 90), None);
        let expected = OffsetEntry { relative: 2, position: 120 };
        let before = TimeEntry { timestamp_ms: 90, relative: 2 };
        assert_eq!(builder.take(2, 120, 70), Some((expected, Some(before))));
        assert_eq!(builder.take(3, 220, 80), None);
        assert_eq!(builder.closing_entry(4), Some(TimeEntry { timestamp_ms: 90, relative: 4 }));
        assert_eq!(builder.closing_entry(2), None);
    }
}
