//! What readers got one after the other.
//!
//! A *stretch* is what one reader got of one partition without a reason to begin anew: an assignment, a seek, a crash,
//! or, for a subscribed reader, the next poll. Within a stretch nothing is passed by, and nothing comes twice.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::ids::{Offset, PartitionIndex};

use super::history::{History, Read, Turn, TurnKind};
use super::report::{Place, Report, Rule};

/// Within a stretch a reader gets the places of a partition in rising order, each once, and none of those that others
/// read in between is missing. What nobody read is lost, and told as that.
pub(super) fn check(history: &History, read_places: &[Place], report: &mut Report) {
    let mut backwards = Vec::new();
    let mut ends: BTreeMap<u64, (Offset, u64)> = BTreeMap::new();
    for at in Stretches::of(history) {
        let read = &history.reads[at.read];
        let (reader, here) = (read.reader, place(read));
        let Some((last, poll)) = ends.get_mut(&at.stretch) else {
            ends.insert(at.stretch, (read.offset, at.poll));
            continue;
        };
        let within = is_within(at.poll, *poll);
        *poll = at.poll;
        if read.offset <= *last {
            backwards.push((at.read, *last, within));
            continue;
        }
        let from = Place { partition: here.partition, offset: std::mem::replace(last, read.offset) };
        // Neighbouring offsets, the usual case, cost no search.
        if from.offset + 1 == here.offset {
            continue;
        }
        let next = read_places.partition_point(|place| *place <= from);
        if let Some(missed) = read_places.get(next).filter(|missed| **missed < here) {
            let rule = if within { Rule::IntPollSkip } else { Rule::PollSkip };
            report.find(rule, || format!("reader {reader} came from {from} to {here}, past {missed}"));
        }
    }
    if !backwards.is_empty() {
        tell_backwards(history, &backwards, report);
    }
}

/// Tells what came again from what came late: only now is it worth knowing who got which place when.
fn tell_backwards(history: &History, backwards: &[(usize, Offset, bool)], report: &mut Report) {
    let mut first: BTreeMap<(u64, Place), usize> = BTreeMap::new();
    let mut stretches = vec![0; history.reads.len()];
    for at in Stretches::of(history) {
        stretches[at.read] = at.stretch;
        first.entry((at.stretch, place(&history.reads[at.read]))).or_insert(at.read);
    }
    for (at, highest, within) in backwards {
        let read = &history.reads[*at];
        let (reader, here) = (read.reader, place(read));
        if first[&(stretches[*at], here)] < *at {
            report.find(Rule::Reread, || format!("reader {reader} got {here} again"));
        } else {
            let rule = if *within { Rule::IntNonmonotonicPoll } else { Rule::NonmonotonicPoll };
            report.find(rule, || format!("reader {reader} got {here} after offset {highest}"));
        }
    }
}

/// Records that a subscribed reader got more than once, each further time counted.
pub(super) fn redelivered(history: &History) -> u64 {
    let mut got = BTreeSet::new();
    let subscribed = Stretches::of(history).filter(|at| at.is_subscribed);
    let again = subscribed.filter(|at| {
        let read = &history.reads[at.read];
        !got.insert((read.reader, place(read)))
    });
    u64::try_from(again.count()).expect("lengths fit 64 bits")
}

/// How far a poll was behind at most.
pub(super) fn lag_ms_max(history: &History) -> Option<i64> {
    let mut acknowledged = history.acknowledged_at.clone();
    acknowledged.sort_unstable();
    // From each place on to the end of its partition: when was the first of them acknowledged?
    let mut oldest: Option<(PartitionIndex, i64)> = None;
    for (place, at) in acknowledged.iter_mut().rev() {
        let of_partition = oldest.filter(|(partition, _)| *partition == place.partition);
        *at = of_partition.map_or(*at, |(_, oldest)| oldest.min(*at));
        oldest = Some((place.partition, *at));
    }
    let lag = |(next, polled): &(Place, i64)| {
        let at = acknowledged.partition_point(|(place, _)| place < next);
        let (_, oldest) = acknowledged.get(at).filter(|(place, _)| place.partition == next.partition)?;
        Some((polled - oldest).max(0))
    };
    let lags = history.polled_at.iter().map(|poll| lag(poll).unwrap_or(0));
    lags.max()
}

/// Whether two reads came with one poll. Polls count from 1; a reader that never said when it polls has 0.
fn is_within(poll: u64, last: u64) -> bool {
    poll == last && poll > 0
}

fn place(read: &Read) -> Place {
    Place { partition: read.partition, offset: read.offset }
}

/// Where a read belongs.
struct At {
    /// Its index in the history.
    read: usize,
    /// The stretch's number.
    stretch: u64,
    /// The poll's number, 0 without one.
    poll: u64,
    is_subscribed: bool,
}

/// Goes through the reads and what readers did in between.
struct Stretches<'a> {
    history: &'a History,
    read: usize,
    turn: usize,
    readers: BTreeMap<u32, Reader>,
    stretches: u64,
    polls: u64,
}

#[derive(Default)]
struct Reader {
    stretches: BTreeMap<PartitionIndex, u64>,
    poll: u64,
    is_subscribed: bool,
}

impl Stretches<'_> {
    fn of(history: &History) -> Stretches<'_> {
        Stretches { history, read: 0, turn: 0, readers: BTreeMap::new(), stretches: 0, polls: 0 }
    }

    fn take(&mut self, turn: &Turn) {
        let reader = self.readers.entry(turn.reader).or_default();
        match &turn.kind {
            TurnKind::Assigned(partitions) => {
                reader.stretches.retain(|partition, _| partitions.contains(partition));
                reader.is_subscribed = false;
            }
            TurnKind::Subscribed => {
                reader.stretches.clear();
                reader.is_subscribed = true;
            }
            TurnKind::Sought(partition) => {
                reader.stretches.remove(partition);
            }
            TurnKind::Polled => {
                self.polls += 1;
                reader.poll = self.polls;
                // Between two polls a group may take a partition away and give it back at what was committed.
                if reader.is_subscribed {
                    reader.stretches.clear();
                }
            }
            TurnKind::Crashed => *reader = Reader::default(),
        }
    }
}

impl Iterator for Stretches<'_> {
    type Item = At;

    fn next(&mut self) -> Option<At> {
        let history = self.history;
        while let Some(turn) = history.turns.get(self.turn).filter(|turn| turn.before <= self.read) {
            self.take(turn);
            self.turn += 1;
        }
        let read = history.reads.get(self.read)?;
        let reader = self.readers.entry(read.reader).or_default();
        let stretch = *reader.stretches.entry(read.partition).or_insert_with(|| {
            self.stretches += 1;
            self.stretches
        });
        let at = At { read: self.read, stretch, poll: reader.poll, is_subscribed: reader.is_subscribed };
        self.read += 1;
        Some(at)
    }
}
