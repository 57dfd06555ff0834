//! What a staged pipeline makes of a batch, compared with what the one in force made of it. The answers of the staged
//! one are used for nothing else.

use bytes::Bytes;
use weir_wire::batch::{self, BatchError, Limits, RecordRef, Records};
use weir_wire::error::ErrorCode;
use weir_wire::ids::{Offset, PartitionIndex};
use weir_wire::lane::{LaneAnswer, Outcome, Run};

use super::placing::Placement;

/// How many examples of each kind of difference are kept: the first ones.
pub const SAMPLES_PER_KIND_MAX: usize = 3;
/// How much of a key or value an example shows, in bytes.
const SHOWN_BYTES: usize = 80;
/// How much of what is equal stands before the first difference of two long values.
const SHOWN_BEFORE: usize = 16;

/// What a pipeline made of a batch.
#[derive(Clone, Debug)]
pub enum Made {
    /// Each record went on or was settled.
    Placed {
        /// Which record is where.
        placement: Placement,
        /// The records of the parts, without dead letters.
        parts: Vec<Records>,
    },
    /// The batch as a whole came to this.
    Whole(Outcome),
}

impl Made {
    /// What a run led to, with the batches of its parts.
    ///
    /// # Errors
    /// When a batch cannot be read, which would be our own mistake.
    pub fn placed(placement: Placement, batches: &[Bytes], limits: &Limits) -> Result<Made, BatchError> {
        let of_topic = batches.iter().take(placement.parts.len());
        let parts = of_topic.map(|batch| batch::records(batch, limits)).collect::<Result<_, _>>()?;
        Ok(Made::Placed { placement, parts })
    }

    /// What became of each of `records` records, in the order of the batch.
    fn fates(&self, records: u32) -> Vec<Fate<'_>> {
        match self {
            Made::Whole(outcome) => vec![Fate::settled(outcome); records as usize],
            Made::Placed { placement, parts } => {
                let mut parts: Vec<_> = parts.iter().map(Records::iter).collect();
                let mut fates = Vec::with_capacity(records as usize);
                for run in &placement.runs {
                    let at = run.outcome as usize;
                    for _ in 0..run.records {
                        fates.push(match placement.parts.get(at) {
                            Some(partition) => match parts[at].next() {
                                Some(record) => Fate::GoesOn { partition: *partition, record },
                                None => Fate::Failed("it is missing in its part"),
                            },
                            None => Fate::settled(&placement.settled[at - placement.parts.len()]),
                        });
                    }
                }
                fates
            }
        }
    }
}

/// What became of a record.
#[derive(Clone, Copy, Debug)]
enum Fate<'a> {
    GoesOn { partition: PartitionIndex, record: RecordRef<'a> },
    Dropped,
    Rejected(&'a str),
    Failed(&'a str),
}

impl Fate<'_> {
    fn settled(outcome: &Outcome) -> Fate<'_> {
        match outcome {
            Outcome::Dropped => Fate::Dropped,
            Outcome::Rejected(error) if error.code == ErrorCode::InvalidRecord => {
                Fate::Rejected(&error.message)
            }
            Outcome::Rejected(error)
            | Outcome::Failed(error)
            | Outcome::Retry(error)
            | Outcome::Unknown(error) => Fate::Failed(&error.message),
            Outcome::Stored { .. } => Fate::Failed("nothing is stored before it is placed"),
        }
    }
}

/// In what two answers about a record differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// One goes on and the other does not, or they end for another cause.
    Decision,
    /// Key, value or headers are others; or the reason of a rejection.
    Content,
    /// It goes to another partition.
    Partition,
    /// The staged pipeline fails on it, the one in force does not.
    Failure,
}

impl Kind {
    /// Every kind, in the order of the figures.
    pub const ALL: [Kind; 4] = [Kind::Decision, Kind::Content, Kind::Partition, Kind::Failure];

    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Decision => "decision",
            Kind::Content => "content",
            Kind::Partition => "partition",
            Kind::Failure => "failure",
        }
    }
}

/// In what the answers differ: in nothing, in one thing, or in content and partition at once.
fn kinds(in_force: &Fate<'_>, staged: &Fate<'_>) -> Vec<Kind> {
    match (in_force, staged) {
        (Fate::GoesOn { partition, record }, Fate::GoesOn { partition: other, record: staged }) => {
            let mut kinds = Vec::new();
            if !is_same_content(record, staged) {
                kinds.push(Kind::Content);
            }
            if partition != other {
                kinds.push(Kind::Partition);
            }
            kinds
        }
        (Fate::Dropped, Fate::Dropped) | (Fate::Failed(_), Fate::Failed(_)) => Vec::new(),
        (Fate::Rejected(reason), Fate::Rejected(other)) if reason == other => Vec::new(),
        (Fate::Rejected(_), Fate::Rejected(_)) => vec![Kind::Content],
        (_, Fate::Failed(_)) => vec![Kind::Failure],
        _ => vec![Kind::Decision],
    }
}

fn is_same_content(one: &RecordRef<'_>, other: &RecordRef<'_>) -> bool {
    one.key == other.key && one.value == other.value && one.headers.eq(other.headers)
}

/// The batch whose answers are compared.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'a> {
    /// Its records as they came, for the keys.
    pub records: &'a Records,
    /// Its number in its lane.
    pub ordinal: u64,
    /// What its producer was answered: where records lie.
    pub answer: &'a LaneAnswer,
}

/// A record that the two pipelines treat differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// In what.
    pub kind: Kind,
    /// Where the record lies, if it was stored and that is known.
    pub stored: Option<(PartitionIndex, Offset)>,
    /// The number of its batch in its lane, and its place in that.
    pub position: (u64, u32),
    /// The key that it came with, in short.
    pub key: String,
    /// What became of it.
    pub in_force: String,
    /// What would have become of it.
    pub staged: String,
}

/// What comparing came to so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Batches compared.
    pub batches: u64,
    /// Records compared.
    pub records: u64,
    /// Those for which both pipelines answer the same.
    pub same: u64,
    /// Those for which they do not, by kind as in [`Kind::ALL`]. A record may differ in content and partition.
    pub different: [u64; Kind::ALL.len()],
    /// The first examples of each kind.
    pub samples: Vec<Sample>,
}

impl Report {
    /// Compares what two pipelines made of a batch.
    pub fn compare(&mut self, batch: &Compared<'_>, in_force: &Made, staged: &Made) {
        let count = batch.records.header().record_count;
        let (in_force, staged) = (in_force.fates(count), staged.fates(count));
        let places = places(batch.answer);
        self.batches += 1;
        for (index, ((record, in_force), staged)) in
            (0_u32..).zip(batch.records.iter().zip(&in_force).zip(&staged))
        {
            self.records += 1;
            let kinds = kinds(in_force, staged);
            if kinds.is_empty() {
                self.same += 1;
            }
            for kind in kinds {
                self.different[kind as usize] += 1;
                if self.samples.iter().filter(|sample| sample.kind == kind).count() < SAMPLES_PER_KIND_MAX {
                    let (in_force, staged) = told(in_force, staged);
                    self.samples.push(Sample {
                        kind,
                        stored: places.get(index as usize).copied().flatten(),
                        position: (batch.ordinal, index),
                        key: short(record.key, 0),
                        in_force,
                        staged,
                    });
                }
            }
        }
    }
}

/// Where each record of an answered batch lies.
fn places(answer: &LaneAnswer) -> Vec<Option<(PartitionIndex, Offset)>> {
    let mut passed = vec![0_u64; answer.outcomes.len()];
    let mut places = Vec::new();
    for Run { records, outcome } in &answer.runs {
        let at = *outcome as usize;
        for _ in 0..*records {
            places.push(match answer.outcomes.get(at) {
                Some(Outcome::Stored { partition, base_offset: Some(base), .. }) => {
                    let place = (*partition, *base + passed[at]);
                    passed[at] += 1;
                    Some(place)
                }
                _ => None,
            });
        }
    }
    places
}

/// Two answers in short. Of long values what is told begins where they differ.
fn told(in_force: &Fate<'_>, staged: &Fate<'_>) -> (String, String) {
    let from = match (in_force, staged) {
        (Fate::GoesOn { record, .. }, Fate::GoesOn { record: staged, .. }) => {
            let pairs = record.value.unwrap_or_default().iter().zip(staged.value.unwrap_or_default());
            pairs.take_while(|(one, other)| one == other).count().saturating_sub(SHOWN_BEFORE)
        }
        _ => 0,
    };
    (of_fate(in_force, from), of_fate(staged, from))
}

fn of_fate(fate: &Fate<'_>, from: usize) -> String {
    match fate {
        Fate::Dropped => "dropped".to_owned(),
        Fate::Rejected(reason) => format!("rejected: {reason}"),
        Fate::Failed(reason) => format!("failed: {reason}"),
        Fate::GoesOn { partition, record } => {
            let headers: Vec<_> =
                record.headers.map(|(name, value)| format!("{name}={}", short(value, 0))).collect();
            let headers = headers.join(", ");
            let headers = if headers.is_empty() { headers } else { format!(", headers {}", cut(&headers)) };
            let (key, value) = (short(record.key, 0), short(record.value, from));
            format!("to partition {partition}, key {key}, value {value}{headers}")
        }
    }
}

/// Some of a key or value, as text.
fn short(bytes: Option<&[u8]>, from: usize) -> String {
    let Some(bytes) = bytes else { return "null".to_owned() };
    let from = if bytes.len() <= SHOWN_BYTES { 0 } else { from.min(bytes.len()) };
    let shown = &bytes[from..bytes.len().min(from + SHOWN_BYTES)];
    let text = String::from_utf8_lossy(shown);
    let before = if from > 0 { "..." } else { "" };
    if from + shown.len() < bytes.len() {
        format!("'{before}{text}...' ({} bytes)", bytes.len())
    } else {
        format!("'{before}{text}'")
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(SHOWN_BYTES * 2)]
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use expect_test::{Expect, expect};
    use weir_wire::batch::{BatchBuilder, Compression};
    use weir_wire::error::WireError;
    use weir_wire::ids::Revision;
    use weir_wire::lane::Promise;

    use super::*;

    fn batch_of(records: &[(&str, &str)]) -> Bytes {
        let mut builder = BatchBuilder::new(Compression::None);
        for (key, value) in records {
            builder.push(0, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
        }
        builder.finish(None)
    }

    /// What a pipeline made, in words between commas, one for each record: `drop`, `no REASON`, `trap`, `retry` for all, or
    /// `PARTITION KEY VALUE`.
    fn made(words: &str) -> Made {
        if words == "retry" {
            return Made::Whole(Outcome::Retry(WireError::new(ErrorCode::Busy, "busy")));
        }
        let mut placement = Placement::nowhere();
        let mut parts: Vec<Vec<(&str, &str)>> = Vec::new();
        let mut runs = Vec::new();
        for word in words.split(", ") {
            let of = match word.split(' ').collect::<Vec<_>>()[..] {
                ["drop"] => Err(Outcome::Dropped),
                ["no", why] => Err(Outcome::Rejected(WireError::new(ErrorCode::InvalidRecord, why))),
                ["trap"] => Err(Outcome::Rejected(WireError::new(ErrorCode::PluginFailed, "it trapped"))),
                [partition, key, value] => Ok((PartitionIndex(partition.parse().unwrap()), (key, value))),
                _ => panic!("what is {word}?"),
            };
            runs.push(match of {
                Err(outcome) => {
                    placement.settled.push(outcome);
                    Err(placement.settled.len() - 1)
                }
                Ok((partition, record)) => {
                    let known = placement.parts.iter().position(|part| *part == partition);
                    let at = known.unwrap_or_else(|| {
                        placement.parts.push(partition);
                        parts.push(Vec::new());
                        parts.len() - 1
                    });
                    parts[at].push(record);
                    Ok(at)
                }
            });
        }
        let number = |run| match run {
            Ok(part) => part,
            Err(settled) => placement.parts.len() + settled,
        };
        placement.runs = runs
            .into_iter()
            .map(|run| Run { records: 1, outcome: u32::try_from(number(run)).unwrap() })
            .collect();
        let batches: Vec<_> = parts.iter().map(|part| batch_of(part)).collect();
        Made::placed(placement, &batches, &Limits::default()).unwrap()
    }

    fn check(in_force: &str, staged: &str, expected: &Expect) {
        let count = in_force.split(", ").count();
        let sent: Vec<_> = (0..count).map(|_| ("k", "sent")).collect();
        let sent = batch_of(&sent);
        let records = batch::records(&sent, &Limits::default()).unwrap();
        let answer = LaneAnswer {
            ordinal: 4,
            promise: Promise { replicas: 1, flushed: true, revision: Revision(1) },
            outcomes: vec![Outcome::Stored {
                partition: PartitionIndex(0),
                base_offset: Some(Offset(70)),
                duplicate: false,
            }],
            runs: vec![Run { records: u32::try_from(count).unwrap(), outcome: 0 }],
        };
        let mut report = Report::default();
        let compared = Compared { records: &records, ordinal: 4, answer: &answer };
        report.compare(&compared, &made(in_force), &made(staged));
        let mut text = format!("{} of {} the same", report.same, report.records);
        for (kind, count) in Kind::ALL.iter().zip(report.different).filter(|(_, count)| *count > 0) {
            write!(text, ", {count} {}", kind.name()).unwrap();
        }
        for sample in &report.samples {
            let (partition, offset) = sample.stored.unwrap();
            write!(text, "\n{}: {partition}@{offset} {:?}", sample.kind.name(), sample.position).unwrap();
            write!(text, "\n  in force {}\n  staged   {}", sample.in_force, sample.staged).unwrap();
        }
        expected.assert_eq(&text);
    }

    #[test]
    fn what_is_the_same_is_counted_only() {
        check("0 k v, drop, no reason, trap", "0 k v, drop, no reason, trap", &expect!["4 of 4 the same"]);
    }

    #[test]
    fn each_kind_of_difference_is_told_apart() {
        check(
            "0 k v, 0 k v, drop, no a, 0 k v, 0 k v",
            "0 k w, 1 k v, 0 k v, no b, trap, 1 k w",
            &expect![[r#"
                0 of 6 the same, 1 decision, 3 content, 2 partition, 1 failure
                content: 0@70 (4, 0)
                  in force to partition 0, key 'k', value 'v'
                  staged   to partition 0, key 'k', value 'w'
                partition: 0@71 (4, 1)
                  in force to partition 0, key 'k', value 'v'
                  staged   to partition 1, key 'k', value 'v'
                decision: 0@72 (4, 2)
                  in force dropped
                  staged   to partition 0, key 'k', value 'v'
                content: 0@73 (4, 3)
                  in force rejected: a
                  staged   rejected: b
                failure: 0@74 (4, 4)
                  in force to partition 0, key 'k', value 'v'
                  staged   failed: it trapped
                content: 0@75 (4, 5)
                  in force to partition 0, key 'k', value 'v'
                  staged   to partition 1, key 'k', value 'w'
                partition: 0@75 (4, 5)
                  in force to partition 0, key 'k', value 'v'
                  staged   to partition 1, key 'k', value 'w'"#]],
        );
    }

    #[test]
    fn a_batch_that_the_staged_pipeline_cannot_take_counts_for_all_its_records() {
        check(
            "0 k v, 0 k v, 0 k v, 0 k v",
            "retry",
            &expect![[r#"
                0 of 4 the same, 4 failure
                failure: 0@70 (4, 0)
                  in force to partition 0, key 'k', value 'v'
                  staged   failed: busy
                failure: 0@71 (4, 1)
                  in force to partition 0, key 'k', value 'v'
                  staged   failed: busy
                failure: 0@72 (4, 2)
                  in force to partition 0, key 'k', value 'v'
                  staged   failed: busy"#]],
        );
    }

    #[test]
    fn long_values_are_shown_where_they_differ() {
        let long = |end: &str| format!("0 k {}{end}", "x".repeat(200));
        check(
            &long("a"),
            &long("b"),
            &expect![[r#"
                0 of 1 the same, 1 content
                content: 0@70 (4, 0)
                  in force to partition 0, key 'k', value '...xxxxxxxxxxxxxxxxa'
                  staged   to partition 0, key 'k', value '...xxxxxxxxxxxxxxxxb'"#]],
        );
    }
}
