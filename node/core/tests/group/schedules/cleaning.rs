//! What a cleaner leaves of a log that it comes to now and then: the rules of compaction (`storage/compaction` in the
//! node), which never has everything cleaned, takes tombstones later than what they end, and whole batches at a time.

use std::collections::BTreeMap;

use weir_wire::group_log::{GroupKey, GroupRecord};

use crate::random::Random;

/// The most rounds.
const ROUNDS_MAX: usize = 4;

/// A batch, and whether a round has met it: its tombstones may go with a later one.
struct Batch {
    /// Each with its place in the log.
    records: Vec<(usize, GroupRecord)>,
    is_met: bool,
}

/// The records that are left after some rounds over some of the log.
pub(crate) fn cleaned(log: &[Vec<GroupRecord>], random: &mut Random) -> Vec<GroupRecord> {
    let mut place = 0;
    let mut batches: Vec<Batch> = Vec::new();
    for records in log {
        let placed = records.iter().map(|record| {
            place += 1;
            (place, record.clone())
        });
        batches.push(Batch { records: placed.collect(), is_met: false });
    }
    let mut dirty_from = 0;
    for _ in 0..random.below(ROUNDS_MAX + 1) {
        let to = dirty_from + random.below(batches.len() - dirty_from + 1);
        round(&mut batches, dirty_from, to, random);
        dirty_from = to;
    }
    batches.into_iter().flat_map(|batch| batch.records).map(|(_, record)| record).collect()
}

fn round(batches: &mut [Batch], dirty_from: usize, to: usize, random: &mut Random) {
    let dirty = batches[dirty_from..to].iter().flat_map(|batch| &batch.records);
    let newest: BTreeMap<GroupKey, usize> = dirty.map(|(place, record)| (record.key(), *place)).collect();
    for batch in &mut batches[..to] {
        // Whether the time of its tombstones has come.
        let is_due = batch.is_met && random.percent(50);
        batch.records.retain(|(place, record)| {
            let is_superseded = newest.get(&record.key()).is_some_and(|newest| newest > place);
            let is_tombstone = record.encode().1.is_none();
            !(is_superseded || is_tombstone && is_due)
        });
        batch.is_met = true;
    }
}
