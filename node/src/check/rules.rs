//! The rules, each a function over the history and one view of the log.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::ids::{Offset, PartitionIndex};

use super::history::{History, KeyId, Outcome, Sent};
use super::report::{Place, Report, Rule};
use super::{polls, snapshots};

/// A history that cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// Records are told apart by their numbers alone.
    #[error("number {0} was sent twice: a history needs a number of its own for every record")]
    NumberSentTwice(u64),
}

/// Checks a history against every rule.
///
/// # Errors
/// When the history cannot be judged at all.
pub fn check(history: &History) -> Result<Report, HistoryError> {
    let sends = SendIndex::of(history)?;
    let log = LogView::of(history);
    let mut report = count(history);
    lost(history, &log, &mut report);
    let twice = duplicates(&log, &mut report);
    inconsistent_offsets(&log, &mut report);
    order_of_keys(history, &sends, &log, &twice, &mut report);
    polls::check(history, &log.read_places, &mut report);
    strangers(history, &sends, &mut report);
    snapshots::check(history, &mut report);
    report.redelivered = polls::redelivered(history);
    report.lag_ms_max = polls::lag_ms_max(history);
    Ok(report)
}

/// Finds a send by its number.
struct SendIndex(Vec<(u64, usize)>);

impl SendIndex {
    fn of(history: &History) -> Result<SendIndex, HistoryError> {
        let mut index: Vec<_> =
            history.sends.iter().enumerate().map(|(at, sent)| (sent.number, at)).collect();
        index.sort_unstable();
        match index.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(HistoryError::NumberSentTwice(pair[0].0)),
            None => Ok(SendIndex(index)),
        }
    }

    /// The place of the number in the order of sending.
    fn find(&self, number: u64) -> Option<usize> {
        self.0.binary_search_by_key(&number, |(number, _)| *number).ok().map(|found| self.0[found].1)
    }
}

/// Which numbers stand where, as far as acknowledgements and reads say; in log order, each pair once.
struct LogView {
    entries: Vec<(Place, u64)>,
    /// The numbers that somebody read, in order.
    read: Vec<u64>,
    /// The places that somebody read, in order.
    read_places: Vec<Place>,
    /// The highest offset of each partition that anybody read.
    read_to: BTreeMap<PartitionIndex, Offset>,
}

impl LogView {
    fn of(history: &History) -> LogView {
        let acknowledged = history.sends.iter().filter_map(|sent| match sent.outcome {
            Outcome::Acknowledged { partition, offset } => {
                Some((Place { partition, offset: offset? }, sent.number))
            }
            Outcome::Counted | Outcome::Failed | Outcome::Unknown => None,
        });
        let read = history.reads.iter().filter_map(|read| {
            Some((Place { partition: read.partition, offset: read.offset }, read.number?))
        });
        let mut entries: Vec<_> = acknowledged.chain(read).collect();
        entries.sort_unstable();
        entries.dedup();
        let mut read: Vec<u64> = history.reads.iter().filter_map(|read| read.number).collect();
        read.sort_unstable();
        read.dedup();
        let places = history.reads.iter();
        let places = places.map(|read| Place { partition: read.partition, offset: read.offset });
        let mut read_places: Vec<Place> = places.collect();
        read_places.sort_unstable();
        read_places.dedup();
        let mut read_to = BTreeMap::new();
        for read in &history.reads {
            let highest = read_to.entry(read.partition).or_insert(read.offset);
            *highest = read.offset.max(*highest);
        }
        LogView { entries, read, read_places, read_to }
    }

    fn was_read(&self, number: u64) -> bool {
        self.read.binary_search(&number).is_ok()
    }
}

fn count(history: &History) -> Report {
    let mut report = Report {
        sent: as_count(history.sends.len()),
        read: as_count(history.reads.len()),
        ..Report::default()
    };
    for sent in &history.sends {
        match sent.outcome {
            Outcome::Acknowledged { .. } | Outcome::Counted => report.acknowledged += 1,
            Outcome::Failed => report.failed += 1,
            Outcome::Unknown => report.unknown += 1,
        }
    }
    report
}

/// Every acknowledged record is read by somebody.
fn lost(history: &History, log: &LogView, report: &mut Report) {
    for sent in &history.sends {
        let number = sent.number;
        let (partition, offset) = match sent.outcome {
            Outcome::Failed | Outcome::Unknown => continue,
            _ if log.was_read(number) => continue,
            Outcome::Counted => {
                report.find(Rule::Unseen, || format!("number {number}, somewhere"));
                continue;
            }
            Outcome::Acknowledged { partition, offset } => (partition, offset),
        };
        match (offset, log.read_to.get(&partition)) {
            (Some(offset), None) => {
                report.find(Rule::Unseen, || {
                    format!("number {number} at {partition}/{offset}: nothing was read there")
                });
            }
            (Some(offset), Some(read_to)) if offset > *read_to => report.find(Rule::Unseen, || {
                format!("number {number} at {partition}/{offset}: reading ended at {partition}/{read_to}")
            }),
            (Some(offset), Some(read_to)) => report.find(Rule::LostWrite, || {
                format!(
                    "number {number} at {partition}/{offset}: missing, though {partition}/{read_to} was read"
                )
            }),
            // Where it must stand is not known, so that nothing read could stand behind it.
            (None, _) => {
                report.find(Rule::Unseen, || format!("number {number}, somewhere in partition {partition}"));
            }
        }
    }
}

/// Every number stands at one place. Returns those that do not.
fn duplicates(log: &LogView, report: &mut Report) -> BTreeSet<u64> {
    let mut by_number: Vec<(u64, Place)> =
        log.entries.iter().map(|(place, number)| (*number, *place)).collect();
    by_number.sort_unstable();
    let mut twice = BTreeSet::new();
    for pair in by_number.windows(2) {
        let [(number, first), (next, second)] = pair else { continue };
        if number == next {
            report.find(Rule::Duplicate, || format!("number {number} stands at {first} and at {second}"));
            twice.insert(*number);
        }
    }
    twice
}

/// Every place holds one number.
fn inconsistent_offsets(log: &LogView, report: &mut Report) {
    for pair in log.entries.windows(2) {
        let [(place, first), (next, second)] = pair else { continue };
        if place == next {
            report.find(Rule::InconsistentOffsets, || {
                format!("{place} held number {first} and number {second}")
            });
        }
    }
}

/// The records of a key stand in one partition, those of one process in the order in which it sent them. Records that
/// stand twice are reported as such and not judged again here.
fn order_of_keys(
    history: &History,
    sends: &SendIndex,
    log: &LogView,
    twice: &BTreeSet<u64>,
    report: &mut Report,
) {
    let mut newest: BTreeMap<(KeyId, PartitionIndex, u32), (usize, Place)> = BTreeMap::new();
    for (place, number) in &log.entries {
        let Some(sent_at) = sends.find(*number) else { continue };
        if twice.contains(number) {
            continue;
        }
        let Sent { process, key, .. } = history.sends[sent_at];
        let Some(key) = key else { continue };
        let line = (key, place.partition, process);
        let (newest_sent, newest_place) = newest.entry(line).or_insert((sent_at, *place));
        if sent_at < *newest_sent {
            let later = history.sends[*newest_sent].number;
            report.find(Rule::NonmonotonicSend, || {
                let key = history.show_key(key);
                format!("key {key}: number {number} at {place} stands behind {later} at {newest_place}, sent later")
            });
        } else {
            (*newest_sent, *newest_place) = (sent_at, *place);
        }
    }
    keys_in_several(history, sends, log, twice, report);
}

/// A key has one partition, and may go to another as often as the rule that places records was changed. Whatever moved it
/// moved all of it: what a process has in the next partition it sent after what it has in the one before.
fn keys_in_several(
    history: &History,
    sends: &SendIndex,
    log: &LogView,
    twice: &BTreeSet<u64>,
    report: &mut Report,
) {
    let mut partitions: BTreeMap<KeyId, BTreeSet<PartitionIndex>> = BTreeMap::new();
    let mut of_process: Vec<(KeyId, u32, usize, PartitionIndex)> = Vec::new();
    for (place, number) in log.entries.iter().filter(|(_, number)| !twice.contains(number)) {
        let Some(at) = sends.find(*number) else { continue };
        let Sent { process, key, .. } = history.sends[at];
        let Some(key) = key else { continue };
        partitions.entry(key).or_default().insert(place.partition);
        of_process.push((key, process, at, place.partition));
    }
    // In the order in which each process sent what it sent of a key.
    of_process.sort_unstable();
    let mut moves: BTreeMap<(KeyId, u32), usize> = BTreeMap::new();
    for pair in of_process.windows(2) {
        if (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1) && pair[0].3 != pair[1].3 {
            *moves.entry((pair[0].0, pair[0].1)).or_default() += 1;
        }
    }
    let restless: BTreeSet<KeyId> =
        moves.iter().filter(|(_, moves)| **moves > history.moves).map(|((key, _), _)| *key).collect();
    for (key, partitions) in partitions {
        if partitions.len() > history.moves + 1 || restless.contains(&key) {
            report.find(Rule::KeySplit, || {
                let partitions: Vec<_> = partitions.iter().map(ToString::to_string).collect();
                let key = history.show_key(key);
                format!("key {key} has records in partition {}", partitions.join(" and in "))
            });
        }
    }
}

/// What is read was sent, and was not said to be absent.
fn strangers(history: &History, sends: &SendIndex, report: &mut Report) {
    for read in &history.reads {
        let place = Place { partition: read.partition, offset: read.offset };
        match read.number.map(|number| (number, sends.find(number))) {
            None => report.find(Rule::Foreign, || format!("{place} holds something that nobody sent")),
            Some((number, None)) => {
                report.find(Rule::Foreign, || format!("{place} holds number {number}, which nobody sent"));
            }
            Some((number, Some(sent))) if history.sends[sent].outcome == Outcome::Failed => {
                report.find(Rule::FailedButRead, || {
                    format!("{place} holds number {number}, which was said to have failed")
                });
            }
            Some(_) => {}
        }
    }
}

fn as_count(length: usize) -> u64 {
    u64::try_from(length).expect("lengths fit 64 bits")
}
