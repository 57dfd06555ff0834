//! The pictures of the three ways to read in `node/docs/delivery.md`: what a crash repeats and what it loses.

use std::fmt::Write as _;

use super::interpreter;
use crate::book;

const RECORDS: usize = 6;
/// A batch is so many records.
const BATCH: usize = 2;
/// The first life crashes before it is done with this record, in the middle of a batch.
const CRASH_AT: usize = 3;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    ProcessThenCommit,
    CommitThenProcess,
    /// What is processed and how far that goes are one transaction of another system.
    StoreTogether,
}

/// A reader over its lives, and the coordinator that keeps its offsets.
struct Reader {
    way: Way,
    /// What the coordinator was told so far.
    script: String,
    /// What the other system keeps, where that is the way.
    stored: usize,
    processed: [usize; RECORDS],
}

impl Reader {
    /// How far the group has come, from the coordinator's own mouth.
    fn committed(&self) -> usize {
        if self.way == Way::StoreTogether {
            return self.stored;
        }
        let said = interpreter::run(&format!("{}\nfetch\n", self.script));
        let (_, fetched) = said.rsplit_once("fetch <-").unwrap();
        fetched.trim().strip_prefix("a/0 ").map_or(0, |offset| offset.parse().unwrap())
    }

    fn commit(&mut self, member: &str, offset: usize) {
        writeln!(self.script, "commit {member} a/0={offset}").unwrap();
        let said = interpreter::run(&self.script);
        assert!(said.ends_with("commit <- ok\n"), "{said}");
    }

    /// Reads from where the group has come to, up to the crash or the end; returns what it did with each record.
    fn live(&mut self, member: &str, crash_at: Option<usize>) -> String {
        writeln!(self.script, "join {member} topics=a\nbeat {member}").unwrap();
        let mut row = ["   "; RECORDS];
        for first in (self.committed()..RECORDS).step_by(BATCH) {
            let behind = RECORDS.min(first + BATCH);
            if self.way == Way::CommitThenProcess {
                self.commit(member, behind);
            }
            for record in first..behind {
                if crash_at == Some(record) {
                    if self.way == Way::StoreTogether {
                        // The transaction ends with the process.
                        row[first..record].fill("(P)");
                        self.processed[first..record].iter_mut().for_each(|times| *times -= 1);
                    }
                    row[record] = " X ";
                    return row.concat();
                }
                row[record] = " P ";
                self.processed[record] += 1;
            }
            match self.way {
                Way::ProcessThenCommit => self.commit(member, behind),
                Way::StoreTogether => self.stored = behind,
                Way::CommitThenProcess => {}
            }
        }
        row.concat()
    }
}

fn draw(way: Way) -> String {
    let script = "topic a 1\n".to_owned();
    let mut reader = Reader { way, script, stored: 0, processed: [0; RECORDS] };
    let mut picture = String::new();
    let mut row = |who: &str, cells: &str, what: &str| {
        writeln!(picture, "{}", format!("{who:<13}{cells:<20}{what}").trim_end()).unwrap();
    };
    let kept = if way == Way::StoreTogether { "stored" } else { "committed" };
    row("record", &(0..RECORDS).map(|record| format!(" {record} ")).collect::<String>(), "");
    let first = reader.live("m1", Some(CRASH_AT));
    row("first life", &first, &format!("{kept} up to {}", reader.committed()));
    // Others go on when the session of the one that crashed is over.
    reader.script.push_str("wait 15000\n");
    let second = reader.live("m2", None);
    row("second life", &second, &format!("{kept} up to {}", reader.committed()));
    let times: String = reader.processed.iter().map(|times| format!(" {times} ")).collect();
    let repeated = reader.processed.iter().filter(|times| **times > 1).count();
    let missing = reader.processed.iter().filter(|times| **times == 0).count();
    row("processed", &times, &format!("{repeated} repeated, {missing} missing"));
    picture
}

#[test]
fn the_page_shows_what_crashes_do() {
    book::shows("at-least-once", &draw(Way::ProcessThenCommit));
    book::shows("at-most-once", &draw(Way::CommitThenProcess));
    book::shows("exactly-once", &draw(Way::StoreTogether));
}
