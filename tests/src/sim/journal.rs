//! What the clients did and were told, and whether it holds together.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_client::{Acks, ConsumedBatch, DeliveryResult};
use weir_node::check::{self, History, Outcome, Read, Sent};
use weir_wire::ids::{Offset, PartitionIndex, Revision};
use weir_wire::lane::Promise;

/// How many broken promises are told of one run; the first ones say most.
pub(super) const VIOLATIONS_MAX: usize = 20;

/// The book of a run. Clones write into the same one, whatever host they are on: it belongs to nobody's process.
#[derive(Clone, Default)]
pub struct Journal(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    history: History,
    /// Records whose result is not known yet, by number, with their producers.
    open: BTreeMap<u64, u32>,
    /// How many records each producer has sent, over all its lives.
    sent_by: BTreeMap<u32, u32>,
    finished_producers: BTreeSet<u32>,
    readers: u32,
    /// How far each reader of the moment has come; readers that ended are not among them.
    positions: BTreeMap<(u32, PartitionIndex), Offset>,
    faults_are_over: bool,
    /// How many partitions the topic has, if some were added.
    grown_to: Option<u32>,
    /// The last reading of everything, after which nothing changes any more.
    audit: Option<Audit>,
    /// What lies before these offsets was let go by retention, and may be anything.
    starts: BTreeMap<PartitionIndex, Offset>,
    /// Answers that promise less than was asked for, by who got them and when, and what is said of them.
    weak: Vec<(Answer, String)>,
    /// Answers about something that an earlier try had stored.
    told_again: BTreeSet<Answer>,
    violations: Vec<String>,
}

/// An answer to a batch: the producer, the time, and what it promises: replicas, and whether they flushed.
type Answer = (u32, Duration, u32, bool);

/// Everything that is stored in the end.
#[derive(Clone, Debug, Default)]
pub struct Audit {
    /// What stands where.
    pub records: BTreeMap<(PartitionIndex, Offset), u64>,
    /// Where each partition ends.
    pub ends: BTreeMap<PartitionIndex, Offset>,
}

impl Journal {
    /// Notes what was promised of a record, before its result. One promise is made for all parts of a batch, the weakest;
    /// and what an earlier try stored is promised of as many replicas as are in sync by now, which may be fewer than
    /// were asked for.
    pub fn promised(&self, number: u64, now: Duration, promise: Promise, is_duplicate: bool, is_kept: bool) {
        let book = &mut *self.book();
        let Some(producer) = book.open.get(&number) else { return };
        let answer = (*producer, now, promise.replicas, promise.flushed);
        if is_duplicate {
            book.told_again.insert(answer);
        }
        if !is_kept {
            let said = format!("number {number} was acknowledged with {promise:?}");
            book.weak.push((answer, said));
        }
    }

    /// Notes that a producer is about to send a record, and numbers it.
    pub fn sending(&self, producer: u32, key: &str) -> u64 {
        let book = &mut *self.book();
        let number = u64::try_from(book.history.sends.len()).expect("a run sends few records");
        let key = Some(book.history.key(key.as_bytes()));
        book.history.sends.push(Sent { process: producer, number, key, outcome: Outcome::Unknown });
        book.open.insert(number, producer);
        *book.sent_by.entry(producer).or_default() += 1;
        number
    }

    /// How many records a producer has sent.
    #[must_use]
    pub fn sent_by(&self, producer: u32) -> u32 {
        self.book().sent_by.get(&producer).copied().unwrap_or_default()
    }

    /// Notes that a record was not taken by the client library.
    pub fn refused(&self, number: u64) {
        self.settle(number, Outcome::Failed);
    }

    /// Notes what became of a record. Only what all replicas in sync have is promised to stay.
    pub fn delivered(&self, number: u64, acks: Acks, result: &DeliveryResult) {
        match result {
            DeliveryResult::Stored { .. } if acks != Acks::All => self.settle(number, Outcome::Unknown),
            DeliveryResult::Stored { partition, offset, .. } => {
                self.settle(number, Outcome::Acknowledged { partition: *partition, offset: *offset });
            }
            DeliveryResult::Failed(_) => self.settle(number, Outcome::Failed),
            DeliveryResult::Unknown(_) => self.settle(number, Outcome::Unknown),
            DeliveryResult::Dropped | DeliveryResult::Rejected(_) => {
                self.violated(format_args!(
                    "number {number} met an interceptor, of which there is none: {result:?}"
                ));
            }
        }
    }

    fn settle(&self, number: u64, outcome: Outcome) {
        let book = &mut *self.book();
        assert!(book.open.remove(&number).is_some(), "a record has one result");
        let at = usize::try_from(number).expect("a run sends few records");
        book.history.sends[at].outcome = outcome;
    }

    /// Notes that the process of a producer is gone: what it had not heard of, nobody will hear of.
    pub fn forget_open(&self, producer: u32) {
        self.book().open.retain(|_, of| *of != producer);
    }

    /// Notes that a producer has sent everything, and knows what became of it.
    pub fn finished(&self, producer: u32) {
        self.book().finished_producers.insert(producer);
    }

    /// Notes that nothing goes wrong any more.
    pub fn end_of_faults(&self) {
        self.book().faults_are_over = true;
    }

    /// Whether nothing goes wrong any more.
    #[must_use]
    pub fn faults_are_over(&self) -> bool {
        self.book().faults_are_over
    }

    /// Notes that the topic has so many partitions from now on: keys may have moved.
    pub fn grew(&self, partitions: u32) {
        let book = &mut *self.book();
        book.grown_to = Some(partitions);
        book.history.moves += 1;
    }

    /// How many partitions the topic has, if some were added.
    #[must_use]
    pub fn grown_to(&self) -> Option<u32> {
        self.book().grown_to
    }

    /// How many producers have finished.
    #[must_use]
    pub fn producers_finished(&self) -> usize {
        self.book().finished_producers.len()
    }

    /// How many records have no result yet.
    #[must_use]
    pub fn open_records(&self) -> usize {
        self.book().open.len()
    }

    /// How many records of one producer have no result yet.
    #[must_use]
    pub fn open_of(&self, producer: u32) -> usize {
        self.book().open.values().filter(|of| **of == producer).count()
    }

    /// A new reader's number.
    pub fn begin_reader(&self) -> u32 {
        let mut book = self.book();
        book.readers += 1;
        book.readers
    }

    /// Notes that a reader reads no more.
    pub fn end_reader(&self, reader: u32) {
        self.book().positions.retain(|(of, _), _| *of != reader);
    }

    /// Notes what a reader got.
    pub fn read(&self, reader: u32, batch: &ConsumedBatch) {
        let book = &mut *self.book();
        let partition = batch.partition();
        for record in batch.iter() {
            let number = record.value.and_then(number_of);
            book.history.reads.push(Read { reader, partition, offset: record.offset, number });
        }
        book.positions.insert((reader, partition), batch.next_offset());
        let (end, next) = (batch.high_watermark(), batch.next_offset());
        if next > end {
            book.violate(format_args!("reader {reader} got {partition} up to {next}, beyond its end {end}"));
        }
    }

    /// Notes the last reading of everything, as reader `reader`.
    pub fn audited(&self, reader: u32, ends: BTreeMap<PartitionIndex, Offset>) {
        let book = &mut *self.book();
        let read = book.history.reads.iter().filter(|read| read.reader == reader);
        let records =
            read.map(|read| ((read.partition, read.offset), read.number.unwrap_or(u64::MAX))).collect();
        book.audit = Some(Audit { records, ends });
    }

    /// The last reading, once it was done.
    #[must_use]
    pub fn audit(&self) -> Option<Audit> {
        self.book().audit.clone()
    }

    /// Notes where the partitions begin in the end. Nothing is promised of what was before.
    pub fn begins_at(&self, partition: PartitionIndex, start: Offset) {
        let book = &mut *self.book();
        let known = book.starts.entry(partition).or_insert(start);
        *known = start.max(*known);
    }

    /// Whether everybody who still reads has come to these ends; if not, who has not.
    ///
    /// # Errors
    /// Who has not.
    pub fn readers_are_at(
        &self,
        readers: usize,
        ends: &BTreeMap<PartitionIndex, Offset>,
    ) -> Result<(), String> {
        let book = self.book();
        for (partition, end) in ends.iter().filter(|(_, end)| **end > Offset(0)) {
            let arrived = book.positions.iter().filter(|((_, of), at)| of == partition && *at >= end).count();
            if arrived < readers {
                return Err(format!("{arrived} of {readers} readers read {partition} to its end {end}"));
            }
        }
        Ok(())
    }

    /// Notes how often the rule that places records may have changed: at most once with each revision.
    pub fn moved(&self, newest: Revision) {
        self.book().history.moves = usize::try_from(newest.0.saturating_sub(1)).expect("few revisions");
    }

    /// Notes a broken promise.
    pub fn violated(&self, what: fmt::Arguments<'_>) {
        self.book().violate(what);
    }

    /// What was counted, and every promise that was broken.
    #[must_use]
    pub fn judge(&self) -> (check::Report, Vec<String>) {
        let book = &mut *self.book();
        book.forget_what_was_let_go();
        let report = match check::check(&book.history) {
            Ok(report) => report,
            Err(error) => {
                book.violate(format_args!("{error}"));
                check::Report::default()
            }
        };
        let mut violations = book.violations.clone();
        let weak = book.weak.iter().filter(|(answer, _)| !book.told_again.contains(answer));
        violations.extend(weak.map(|(_, said)| said.clone()));
        if !report.is_clean() {
            violations.extend(report.to_string().lines().map(str::to_owned));
        }
        if let Some(audit) = &book.audit {
            violations.extend(taken_back(&book.history, audit));
            violations.extend(skipped(&book.history, audit));
        }
        violations.truncate(VIOLATIONS_MAX);
        (report, violations)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Whether a record was read before retention let it go nobody can know, nor what stood there.
    fn forget_what_was_let_go(&mut self) {
        let Book { history, starts, .. } = self;
        let is_kept = |partition: &PartitionIndex, offset: &Offset| {
            starts.get(partition).is_none_or(|start| offset >= start)
        };
        history.reads.retain(|read| is_kept(&read.partition, &read.offset));
        for sent in &mut history.sends {
            if let Outcome::Acknowledged { partition, offset } = &sent.outcome
                && !offset.is_some_and(|offset| is_kept(partition, &offset))
                && starts.get(partition).is_some_and(|start| *start > Offset(0))
            {
                sent.outcome = Outcome::Unknown;
            }
        }
    }

    fn violate(&mut self, what: fmt::Arguments<'_>) {
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(what.to_string());
        }
    }
}

/// Whatever anybody was shown stays as it was shown: a committed prefix never changes.
fn taken_back(history: &History, audit: &Audit) -> Vec<String> {
    let gone = |read: &&Read| audit.records.get(&(read.partition, read.offset)).copied() != read.number;
    let tell = |read: &Read| {
        let Read { reader, partition, offset, number } = read;
        let now = audit.records.get(&(*partition, *offset));
        format!(
            "taken back: reader {reader} got {number:?} at {partition}/{offset}, where in the end {now:?} is"
        )
    };
    history.reads.iter().filter(gone).map(tell).collect()
}

/// Between two records that a reader got one after the other from a partition, there is none (Jepsen's poll-skip).
fn skipped(history: &History, audit: &Audit) -> Vec<String> {
    let mut last: BTreeMap<(u32, PartitionIndex), Offset> = BTreeMap::new();
    let mut found = Vec::new();
    for read in &history.reads {
        let before = last.insert((read.reader, read.partition), read.offset);
        let from = before.map_or(Offset(0), |before| before + 1);
        // Backwards is the checker's to tell.
        if from >= read.offset {
            continue;
        }
        let between = audit.records.range((read.partition, from)..(read.partition, read.offset));
        if let Some(((_, missed), number)) = between.into_iter().next() {
            let Read { reader, partition, offset, .. } = read;
            found.push(format!(
                "skipped: reader {reader} came to {partition}/{offset} past {missed}, number {number}"
            ));
        }
    }
    found
}

/// The value of a record: its number, and bytes that follow from it.
#[must_use]
pub fn value_of(number: u64, bytes: usize) -> Vec<u8> {
    let mut value = format!("{number} ").into_bytes();
    let filler = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    value.extend(filler.iter().cycle().take(bytes.saturating_sub(value.len())));
    value
}

/// The number of a value, if every byte of it is as it was sent.
#[must_use]
pub fn number_of(value: &[u8]) -> Option<u64> {
    let digits = value.iter().position(|byte| *byte == b' ')?;
    let number = std::str::from_utf8(&value[..digits]).ok()?.parse().ok()?;
    (value_of(number, value.len()) == value).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reader: u32, offset: u64, number: u64) -> Read {
        Read { reader, partition: PartitionIndex(0), offset: Offset(offset), number: Some(number) }
    }

    fn audit(numbers: &[u64]) -> Audit {
        let at = |(offset, number): (u64, &u64)| ((PartitionIndex(0), Offset(offset)), *number);
        Audit { records: (0..).zip(numbers).map(at).collect(), ends: BTreeMap::new() }
    }

    fn history(reads: Vec<Read>) -> History {
        let mut history = History::default();
        history.reads = reads;
        history
    }

    #[test]
    fn what_was_read_must_be_there_in_the_end() {
        let shown = history(vec![read(1, 0, 7), read(1, 1, 8)]);
        assert_eq!(taken_back(&shown, &audit(&[7, 8, 9])), [""; 0]);
        assert_eq!(taken_back(&shown, &audit(&[7, 9])).len(), 1);
        assert_eq!(taken_back(&shown, &audit(&[7])).len(), 1);
    }

    #[test]
    fn a_reader_passes_nothing_by() {
        assert_eq!(
            skipped(&history(vec![read(1, 0, 7), read(2, 0, 7), read(1, 1, 8)]), &audit(&[7, 8])),
            [""; 0]
        );
        assert_eq!(skipped(&history(vec![read(1, 0, 7), read(1, 2, 9)]), &audit(&[7, 8, 9])).len(), 1);
        assert_eq!(skipped(&history(vec![read(1, 1, 8)]), &audit(&[7, 8])).len(), 1);
    }

    #[test]
    fn a_value_is_recognised_whole_or_not_at_all() {
        for bytes in [0, 5, 100] {
            let mut value = value_of(1234, bytes);
            assert_eq!(number_of(&value), Some(1234));
            let last = value.len() - 1;
            value[last] ^= 1;
            assert_eq!(number_of(&value), None);
        }
        assert_eq!(number_of(b""), None);
    }
}
