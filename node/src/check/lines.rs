//! Histories as files: one JSON object a line, one operation an object. `node/docs/history.md` says which.

use std::io::{self, BufRead};

use serde::Deserialize;
use weir_wire::ids::{Offset, PartitionIndex};

use super::history::{History, Made, Outcome, Read, Sent, Snapshot, Turn, TurnKind};
use super::report::Place;

/// A longer line is no operation: no poll hands out that much.
pub const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Why a file is no history.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The file cannot be read on.
    #[error("line {line} cannot be read: {source}")]
    Unreadable {
        /// The line, from 1.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The line is too long.
    #[error("line {line} has more than {LINE_BYTES_MAX} bytes: write one operation a line")]
    TooLong {
        /// The line, from 1.
        line: u64,
    },
    /// The line is not an operation.
    #[error("line {line} is no operation: {source}")]
    NotAnOperation {
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// An acknowledgement that names no partition.
    #[error("line {line}: a send with the outcome ok names its partition (\"partition\":0)")]
    NoPartition {
        /// The line, from 1.
        line: u64,
    },
}

/// One line.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Operation {
    Send {
        process: u32,
        number: u64,
        key: Option<String>,
        outcome: SendOutcome,
        partition: Option<u32>,
        offset: Option<u64>,
        at_ms: Option<i64>,
    },
    Poll {
        process: u32,
        records: Vec<(u32, u64, Option<u64>)>,
        at_ms: Option<i64>,
    },
    Assign {
        process: u32,
        partitions: Vec<u32>,
    },
    Subscribe {
        process: u32,
    },
    Seek {
        process: u32,
        partition: u32,
    },
    Crash {
        process: u32,
    },
    Made {
        partition: u32,
        offset: u64,
        digest: String,
        transforms: u32,
    },
    Snapshot {
        node: u64,
        partition: u32,
        leads: bool,
        leader_epoch: u32,
        log_start: u64,
        high_watermark: u64,
        log_end: u64,
    },
}

/// Jepsen's words for what a producer was told.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum SendOutcome {
    Ok,
    Fail,
    Info,
}

/// Reads a history line by line; gives it and how many operations it holds.
///
/// # Errors
/// [`LineError`]: the first line that cannot be read or understood.
pub fn read_history(mut source: impl BufRead) -> Result<(History, u64), LineError> {
    let mut building = Building::default();
    let (mut text, mut operations) = (Vec::new(), 0);
    for line in 1.. {
        text.clear();
        let mut limited = io::Read::take(&mut source, LINE_BYTES_MAX + 1);
        let read = limited.read_until(b'\n', &mut text);
        let read = read.map_err(|source| LineError::Unreadable { line, source })?;
        if read == 0 {
            break;
        }
        if u64::try_from(read).is_ok_and(|read| read > LINE_BYTES_MAX) {
            return Err(LineError::TooLong { line });
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let operation = serde_json::from_slice(&text);
        let operation = operation.map_err(|source| LineError::NotAnOperation { line, source })?;
        building.take(line, operation)?;
        operations += 1;
    }
    Ok((building.history, operations))
}

#[derive(Default)]
struct Building {
    history: History,
}

impl Building {
    fn take(&mut self, line: u64, operation: Operation) -> Result<(), LineError> {
        match operation {
            Operation::Send { process, number, key, outcome, partition, offset, at_ms } => {
                let outcome = match (outcome, partition) {
                    (SendOutcome::Ok, Some(partition)) => Outcome::Acknowledged {
                        partition: PartitionIndex(partition),
                        offset: offset.map(Offset),
                    },
                    (SendOutcome::Ok, None) => return Err(LineError::NoPartition { line }),
                    (SendOutcome::Fail, _) => Outcome::Failed,
                    (SendOutcome::Info, _) => Outcome::Unknown,
                };
                if let (Outcome::Acknowledged { partition, offset: Some(offset) }, Some(at)) =
                    (outcome, at_ms)
                {
                    self.history.acknowledged_at.push((Place { partition, offset }, at));
                }
                let key = key.map(|key| self.history.key(key.as_bytes()));
                self.history.sends.push(Sent { process, number, key, outcome });
            }
            Operation::Poll { process, records, at_ms } => self.polled(process, &records, at_ms),
            Operation::Assign { process, partitions } => {
                let partitions = partitions.into_iter().map(PartitionIndex).collect();
                self.turn(process, TurnKind::Assigned(partitions));
            }
            Operation::Subscribe { process } => self.turn(process, TurnKind::Subscribed),
            Operation::Seek { process, partition } => {
                self.turn(process, TurnKind::Sought(PartitionIndex(partition)));
            }
            Operation::Crash { process } => self.turn(process, TurnKind::Crashed),
            Operation::Made { partition, offset, digest, transforms } => {
                let place = Place { partition: PartitionIndex(partition), offset: Offset(offset) };
                self.history.made.push(Made { place, digest, transforms });
            }
            Operation::Snapshot {
                node,
                partition,
                leads,
                leader_epoch,
                log_start,
                high_watermark,
                log_end,
            } => self.history.snapshots.push(Snapshot {
                node,
                partition: PartitionIndex(partition),
                leads,
                leader_epoch,
                log_start: Offset(log_start),
                high_watermark: Offset(high_watermark),
                log_end: Offset(log_end),
            }),
        }
        Ok(())
    }

    fn polled(&mut self, reader: u32, records: &[(u32, u64, Option<u64>)], at_ms: Option<i64>) {
        self.turn(reader, TurnKind::Polled);
        let mut reached: Option<Place> = None;
        for (partition, offset, number) in records {
            let (partition, offset) = (PartitionIndex(*partition), Offset(*offset));
            self.history.reads.push(Read { reader, partition, offset, number: *number });
            let next = Place { partition, offset: offset + 1 };
            if let (Some(passed), Some(at)) = (reached.filter(|at| at.partition != partition), at_ms) {
                self.history.polled_at.push((passed, at));
            }
            reached = Some(next);
        }
        if let (Some(passed), Some(at)) = (reached, at_ms) {
            self.history.polled_at.push((passed, at));
        }
    }

    fn turn(&mut self, reader: u32, kind: TurnKind) {
        self.history.turns.push(Turn { before: self.history.reads.len(), reader, kind });
    }
}
