//! What the clients of a test were told, written down for the one checker: the rules are those of `weir check` and of the
//! demo, and no test has its own.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_client::{ConsumedBatch, ConsumedRecord, DeliveryResult};
use weir_node::check::{History, Made, Outcome, Place, Read, Report, Sent, Turn, TurnKind, check};
use weir_wire::ids::{Offset, PartitionIndex};

/// The history of one topic, as it grows.
#[derive(Debug, Default)]
pub struct Book {
    history: History,
    /// Where the send of a number stands in the history.
    sends: BTreeMap<u64, usize>,
    readers: u32,
}

/// One who reads, as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    number: u32,
    is_member: bool,
}

impl Book {
    /// A producer was given a record. What becomes of it is not known until it is told.
    pub fn sent(&mut self, process: u32, number: u64, key: Option<&str>) {
        let key = key.map(|key| self.history.key(key.as_bytes()));
        self.sends.insert(number, self.history.sends.len());
        self.history.sends.push(Sent { process, number, key, outcome: Outcome::Unknown });
    }

    /// The producer was told what became of a record.
    ///
    /// # Panics
    /// If it was not given the record.
    pub fn told(&mut self, number: u64, result: &DeliveryResult) {
        self.history.sends[self.sends[&number]].outcome = match result {
            DeliveryResult::Stored { partition, offset, .. } => {
                Outcome::Acknowledged { partition: *partition, offset: *offset }
            }
            DeliveryResult::Dropped | DeliveryResult::Rejected(_) | DeliveryResult::Failed(_) => {
                Outcome::Failed
            }
            DeliveryResult::Unknown(_) => Outcome::Unknown,
        };
    }

    /// The producer did not take the record that it was given.
    ///
    /// # Panics
    /// If it was not given the record.
    pub fn not_taken(&mut self, number: u64) {
        self.history.sends[self.sends[&number]].outcome = Outcome::Failed;
    }

    /// A `weir produce` ended with this summary, which must say that all it was given is stored.
    ///
    /// # Panics
    /// If it says anything else.
    pub fn all_acknowledged(&mut self, process: u32, summary: &Value) {
        let mut count = 0_u64;
        for sent in self.history.sends.iter_mut().filter(|sent| sent.process == process) {
            sent.outcome = Outcome::Counted;
            count += 1;
        }
        assert_eq!(summary["acknowledged"], count, "of {count} records: {summary}");
        for other in ["rejected", "dropped", "failed", "unknown"] {
            assert_eq!(summary[other], 0, "of {count} records: {summary}");
        }
    }

    /// So often the rule that places records was changed meanwhile.
    pub fn may_move(&mut self, times: usize) {
        self.history.moves = times;
    }

    /// One who chose what it reads, and reads on and on.
    pub fn reader(&mut self) -> Reader {
        self.readers += 1;
        Reader { number: self.readers, is_member: false }
    }

    /// One who reads what its group gives it: that may come again, and go elsewhere in between.
    pub fn member(&mut self) -> Reader {
        let member = Reader { is_member: true, ..self.reader() };
        self.turn(member, TurnKind::Subscribed);
        member
    }

    /// The reader got a record; `number` is the one that it carries, if it is one of ours.
    pub fn read(&mut self, reader: Reader, partition: PartitionIndex, offset: Offset, number: Option<u64>) {
        self.history.reads.push(Read { reader: reader.number, partition, offset, number });
    }

    /// The reader got a batch.
    pub fn read_batch(
        &mut self,
        reader: Reader,
        batch: &ConsumedBatch,
        mut number: impl FnMut(&ConsumedRecord<'_>) -> Option<u64>,
    ) {
        self.turn(reader, TurnKind::Polled);
        for record in batch {
            self.read(reader, batch.partition(), record.offset, number(&record));
        }
    }

    /// The reader printed these whole lines of `weir consume --format json`; `number` finds a record's number.
    ///
    /// # Panics
    /// If a line is none of that.
    pub fn printed(&mut self, reader: Reader, lines: &[u8], number: impl Fn(&Value) -> Option<u64>) {
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let record: Value = serde_json::from_slice(line).expect("each line is a JSON object");
            let place = place_of(&record);
            if reader.is_member {
                // What it prints does not say where its share changed, so that it may have done so anywhere.
                self.turn(reader, TurnKind::Polled);
            }
            self.read(reader, place.partition, place.offset, number(&record));
        }
    }

    /// Somebody looked which plugins made a record that `weir consume --format json` printed, and how many of them.
    pub fn made(&mut self, record: &Value, digest: String, transforms: usize) {
        let transforms = u32::try_from(transforms).expect("plugins are few");
        self.history.made.push(Made { place: place_of(record), digest, transforms });
    }

    /// What the checker says of it all.
    ///
    /// # Panics
    /// If two records have one number.
    #[must_use]
    pub fn report(&self) -> Report {
        check(&self.history).expect("every record has a number of its own")
    }

    /// Requires that every promise was kept.
    ///
    /// # Panics
    /// If one was broken, with what was found.
    pub fn assert_kept(&self) -> Report {
        let report = self.report();
        assert!(report.is_clean(), "broken promises:\n{report}");
        report
    }

    fn turn(&mut self, reader: Reader, kind: TurnKind) {
        self.history.turns.push(Turn { before: self.history.reads.len(), reader: reader.number, kind });
    }
}

/// Where a record stands that `weir consume --format json` printed.
///
/// # Panics
/// If it does not say that.
#[must_use]
pub fn place_of(record: &Value) -> Place {
    let field = |name: &str| record[name].as_u64().unwrap_or_else(|| panic!("no {name} in {record}"));
    let partition = u32::try_from(field("partition")).expect("partitions are few");
    Place { partition: PartitionIndex(partition), offset: Offset(field("offset")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two records of one key, and one who printed them.
    fn book(printed: &str) -> Report {
        let mut book = Book::default();
        (0..2).for_each(|number| book.sent(0, number, Some("k")));
        let summary = r#"{"acknowledged":2,"rejected":0,"dropped":0,"failed":0,"unknown":0}"#;
        book.all_acknowledged(0, &serde_json::from_str(summary).expect("it is JSON"));
        let reader = book.reader();
        book.printed(reader, printed.as_bytes(), |record| record["value"].as_str()?.parse().ok());
        book.report()
    }

    fn line(offset: u64, value: &str) -> String {
        format!("{{\"partition\":0,\"offset\":{offset},\"value\":\"{value}\"}}\n")
    }

    #[test]
    fn what_was_printed_is_judged() {
        assert!(book(&(line(0, "0") + &line(1, "1"))).is_clean());
        assert_eq!(book(&line(0, "0")).lost(), 1);
        assert_eq!(book(&(line(0, "0") + &line(1, "1") + &line(2, "1"))).duplicated(), 1);
        assert_eq!(book(&(line(0, "1") + &line(1, "0"))).out_of_order(), 1);
        assert_eq!(book(&(line(0, "0") + &line(1, "1") + &line(2, "x"))).contradicted(), 1);
    }

    #[test]
    fn a_member_may_get_records_again_and_miss_none() {
        let mut book = Book::default();
        (0..3).for_each(|number| book.sent(0, number, None));
        let summary = r#"{"acknowledged":3,"rejected":0,"dropped":0,"failed":0,"unknown":0}"#;
        book.all_acknowledged(0, &serde_json::from_str(summary).expect("it is JSON"));
        let members = [book.member(), book.member()];
        let number = |record: &Value| record["value"].as_str()?.parse().ok();
        book.printed(members[0], (line(0, "0") + &line(0, "0")).as_bytes(), number);
        book.printed(members[1], line(1, "1").as_bytes(), number);
        assert_eq!((book.report().lost(), book.report().redelivered), (1, 1));
        book.printed(members[0], line(2, "2").as_bytes(), number);
        assert!(book.report().is_clean(), "{}", book.report());
    }
}
