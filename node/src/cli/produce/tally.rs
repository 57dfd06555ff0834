//! What became of the records.

use std::collections::VecDeque;
use std::time::Duration;

use serde::Serialize;
use weir_client::{Delivery, DeliveryResult, ErrorCode, WireError};

use super::super::output::{Failure, Output, grouped, per_second};
use super::super::progress::Progress;

/// Records whose result is not known yet; above this, sending waits for the oldest. The producer's buffer holds fewer
/// records of any ordinary size.
const PENDING_MAX: usize = 1_000_000;
/// More complaints than these help nobody: the counts say the rest.
const COMPLAINTS_MAX: u64 = 10;

/// Counts results, and says what went wrong with which line.
pub(super) struct Tally {
    output: Output,
    progress: Progress,
    /// By line number, in the order of sending.
    pending: VecDeque<(u64, Delivery)>,
    counts: Counts,
    without_key: u64,
    complaints: u64,
    cluster_is_gone: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    records: u64,
    acknowledged: u64,
    rejected: u64,
    dropped: u64,
    failed: u64,
    unknown: u64,
    bytes: u64,
}

impl Tally {
    pub(super) fn new(output: Output, progress: Progress) -> Tally {
        Tally {
            output,
            progress,
            pending: VecDeque::new(),
            counts: Counts::default(),
            without_key: 0,
            complaints: 0,
            cluster_is_gone: false,
        }
    }

    /// A record was taken by the producer.
    pub(super) fn sent(&mut self, line: u64, bytes: usize, lacks_key: bool, delivery: Delivery) {
        self.counts.records += 1;
        self.counts.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        self.without_key += u64::from(lacks_key);
        self.pending.push_back((line, delivery));
    }

    /// A record was not taken.
    pub(super) fn refused(&mut self, line: u64, why: &str) {
        self.counts.records += 1;
        self.counts.failed += 1;
        self.complain(&format!("line {line} {why}"));
    }

    /// Waits while too many results are awaited.
    pub(super) async fn make_room(&mut self) {
        while self.pending.len() >= PENDING_MAX {
            self.take_oldest().await;
        }
    }

    /// Takes the results that are there, without waiting.
    pub(super) fn take_results(&mut self) {
        while let Some((line, delivery)) = self.pending.front() {
            let Some(result) = delivery.result() else { break };
            let line = *line;
            self.pending.pop_front();
            self.count(line, result);
        }
    }

    /// Takes all results. Dropping the future keeps what was not counted yet.
    pub(super) async fn settle(&mut self) {
        while !self.pending.is_empty() {
            self.take_oldest().await;
        }
    }

    /// Whether results say that nobody answers any more, so that sending more is in vain.
    pub(super) fn cluster_is_gone(&self) -> bool {
        self.cluster_is_gone
    }

    /// Says what went wrong, unless that was said often enough.
    pub(super) fn complain(&mut self, sentence: &str) {
        self.complaints += 1;
        let output = self.output;
        if self.complaints <= COMPLAINTS_MAX {
            self.progress.around(|| output.note(&format!("weir: {sentence}")));
        }
    }

    /// The counts. What has no result by now is unknown.
    pub(super) fn summarise(&mut self, elapsed: Duration) -> Summary {
        self.progress.end();
        self.take_results();
        let unsettled = u64::try_from(self.pending.len()).unwrap_or(u64::MAX);
        if self.complaints > COMPLAINTS_MAX {
            let more = grouped(self.complaints - COMPLAINTS_MAX);
            self.output.note(&format!("weir: {more} more complaints like these"));
        }
        if self.without_key > 0 {
            let count = grouped(self.without_key);
            self.output.note(&format!("weir: {count} lines have no key and were sent without one"));
        }
        let Counts { records, acknowledged, rejected, dropped, failed, unknown, bytes } = self.counts;
        let unknown = unknown + unsettled;
        Summary {
            records,
            acknowledged,
            rejected,
            dropped,
            failed,
            unknown,
            bytes,
            seconds: elapsed.as_secs_f64(),
        }
    }

    /// Whether results are still awaited.
    pub(super) fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Waits for the result of the oldest record without one. Dropping the future keeps what was not counted yet.
    pub(super) async fn take_oldest(&mut self) {
        let Some((line, delivery)) = self.pending.front_mut() else { return };
        let (line, result) = (*line, delivery.await);
        self.pending.pop_front();
        self.count(line, result);
    }

    fn count(&mut self, line: u64, result: DeliveryResult) {
        let counts = &mut self.counts;
        let (what, error) = match result {
            DeliveryResult::Stored { .. } => {
                counts.acknowledged += 1;
                return;
            }
            DeliveryResult::Dropped => {
                counts.dropped += 1;
                return;
            }
            DeliveryResult::Rejected(error) => {
                counts.rejected += 1;
                ("was rejected", error)
            }
            DeliveryResult::Failed(error) => {
                counts.failed += 1;
                ("was not stored", error)
            }
            DeliveryResult::Unknown(error) => {
                counts.unknown += 1;
                ("may or may not be stored", error)
            }
        };
        self.cluster_is_gone |= says_nobody_is_there(&error);
        self.complain(&format!("line {line} {what}: {error}"));
    }
}

/// Whether an error means that all of `delivery.timeout.ms` went by without anybody to store the record, or that the
/// topic is gone.
fn says_nobody_is_there(error: &WireError) -> bool {
    matches!(
        error.code,
        ErrorCode::TimedOut
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::UnknownTopic
            | ErrorCode::TopicRecreated
    )
}

/// What became of the records, all told.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Summary {
    records: u64,
    acknowledged: u64,
    rejected: u64,
    dropped: u64,
    failed: u64,
    unknown: u64,
    bytes: u64,
    seconds: f64,
}

impl Summary {
    /// Whether every record is where it should be.
    pub(super) fn is_good(&self) -> bool {
        self.rejected == 0 && self.failed == 0 && self.unknown == 0
    }

    pub(super) fn show(&self, output: Output) -> Result<(), Failure> {
        output.line(&self.sentence())?;
        output.result(self)
    }

    fn sentence(&self) -> String {
        let mut parts = vec![format!("{} acknowledged", grouped(self.acknowledged))];
        let others = [
            (self.rejected, "rejected"),
            (self.dropped, "dropped"),
            (self.failed, "failed"),
            (self.unknown, "unknown"),
        ];
        parts.extend(
            others
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, what)| format!("{} {what}", grouped(*count))),
        );
        let rate = grouped(per_second(self.acknowledged, self.seconds));
        let (records, seconds) = (grouped(self.records), self.seconds);
        format!("{records} records: {} in {seconds:.2} s ({rate} records/s)", parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(acknowledged: u64, failed: u64, unknown: u64) -> Summary {
        let records = acknowledged + failed + unknown;
        Summary { records, acknowledged, rejected: 0, dropped: 0, failed, unknown, bytes: 0, seconds: 2.0 }
    }

    #[test]
    fn the_sentence_names_what_is_not_nothing() {
        assert_eq!(
            summary(2000, 0, 0).sentence(),
            "2,000 records: 2,000 acknowledged in 2.00 s (1,000 records/s)"
        );
        assert_eq!(
            summary(2, 1, 3).sentence(),
            "6 records: 2 acknowledged, 1 failed, 3 unknown in 2.00 s (1 records/s)"
        );
    }

    #[test]
    fn anything_not_acknowledged_is_not_good() {
        assert!(summary(0, 0, 0).is_good());
        assert!(summary(5, 0, 0).is_good());
        assert!(!summary(5, 1, 0).is_good());
        assert!(!summary(5, 0, 1).is_good());
        assert!(!Summary { rejected: 1, ..summary(5, 0, 0) }.is_good());
        assert!(Summary { dropped: 1, ..summary(5, 0, 0) }.is_good());
    }
}
