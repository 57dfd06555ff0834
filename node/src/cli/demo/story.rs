//! What a person sees: lines as it happens, and a page at the end.

use std::cell::Cell;
use std::time::Duration;

use serde::Serialize;
use weir_wire::ids::{NodeId, PartitionIndex};

use super::chaos::KILLS;
use super::groups::GroupSummary;
use crate::check::Report;
use crate::cli::output::{Failure, Output, grouped, per_second};
use crate::cli::progress::Progress;

/// Tells the story.
pub(super) struct Story {
    output: Output,
    progress: Progress,
    consumed: Cell<u64>,
}

impl Story {
    pub(super) fn new(output: Output, records: u64) -> Story {
        Story { output, progress: Progress::towards(records, "acknowledged"), consumed: Cell::new(0) }
    }

    /// One line: what happened, and the details.
    pub(super) fn tell(&self, what: &str, details: &str) -> Result<(), Failure> {
        self.progress.around(|| self.output.line(&format!("{what:<10}{details}")))
    }

    pub(super) fn killed(&self, killed: &Killed) -> Result<(), Failure> {
        let Killed { count, node, partition, .. } = killed;
        let (at, consumed) = (grouped(killed.at), grouped(self.consumed.get()));
        let away = killed.away.as_secs_f64();
        self.tell(
            "kill -9",
            &format!(
                "{count} of {KILLS}, node {node}, the leader of partition {partition}, at {at} acknowledged and \
                 {consumed} consumed; back after {away:.2} s"
            ),
        )
    }

    pub(super) fn settled(&self, count: u64) {
        self.progress.at(count);
    }

    pub(super) fn consumed(&self, count: u64) {
        self.consumed.set(count);
        self.progress.say(format!("{} consumed", grouped(count)));
    }

    pub(super) fn end(&self) {
        self.progress.end();
    }
}

/// A leader that was killed and started again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Killed {
    /// Which kill, from 1.
    pub(super) count: usize,
    pub(super) node: NodeId,
    /// The partition that it led.
    pub(super) partition: PartitionIndex,
    /// How many records had their result then.
    pub(super) at: u64,
    /// How long until it served again.
    pub(super) away: Duration,
}

/// What came out of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) seed: u64,
    pub(super) produced: u64,
    pub(super) acknowledged: u64,
    pub(super) consumed: u64,
    pub(super) lost: u64,
    pub(super) duplicated: u64,
    pub(super) out_of_order: u64,
    pub(super) unknown: u64,
    pub(super) failed: u64,
    /// Records that contradict what was sent or said: other bytes, another place, or denied and there all the same.
    pub(super) contradicted: u64,
    pub(super) kills: usize,
    /// From which offset on the swapped plugins made the records, by partition.
    pub(super) switched_at: Vec<Option<u64>>,
    /// What the groups that read along processed.
    pub(super) groups: Vec<GroupSummary>,
    pub(super) seconds: f64,
    pub(super) seconds_down: f64,
    pub(super) produce_seconds: f64,
    pub(super) consume_seconds: f64,
    pub(super) produce_records_per_second: u64,
    pub(super) consume_records_per_second: u64,
    pub(super) bytes: u64,
    /// Batches that were sent again because their answer was lost.
    pub(super) batches_resent: u64,
    /// Records in them that the node recognised as stored before.
    pub(super) recognised: u64,
    /// Whether all promises were kept.
    pub(super) ok: bool,
}

/// What was measured, beside what the checker found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) seed: u64,
    pub(super) bytes: u64,
    pub(super) batches_resent: u64,
    pub(super) recognised: u64,
    /// From the first record sent to the last result.
    pub(super) producing: Duration,
    /// From the first record sent to the last one read.
    pub(super) consuming: Duration,
    pub(super) down: Duration,
    /// From the start of the demo to the end of the check.
    pub(super) whole: Duration,
}

impl Summary {
    pub(super) fn new(
        report: &Report,
        measured: Measured,
        switched_at: Vec<Option<u64>>,
        groups: Vec<GroupSummary>,
    ) -> Summary {
        let (producing, consuming) = (measured.producing.as_secs_f64(), measured.consuming.as_secs_f64());
        // Nothing lost is no feat where nothing was acknowledged.
        let complete = report.failed == 0 && report.acknowledged > 0;
        let processed = groups.iter().all(|group| group.missing == 0);
        Summary {
            seed: measured.seed,
            produced: report.sent,
            acknowledged: report.acknowledged,
            consumed: report.read,
            lost: report.lost(),
            duplicated: report.duplicated(),
            out_of_order: report.out_of_order(),
            unknown: report.unknown,
            failed: report.failed,
            contradicted: report.contradicted(),
            kills: KILLS,
            switched_at,
            groups,
            seconds: measured.whole.as_secs_f64(),
            seconds_down: measured.down.as_secs_f64(),
            produce_seconds: producing,
            consume_seconds: consuming,
            produce_records_per_second: per_second(report.acknowledged, producing),
            consume_records_per_second: per_second(report.read, consuming),
            bytes: measured.bytes,
            batches_resent: measured.batches_resent,
            recognised: measured.recognised,
            ok: report.is_clean() && complete && processed,
        }
    }

    /// The page at the end; its last line is the verdict.
    pub(super) fn page(&self) -> Vec<String> {
        let rate = |count: u64, seconds: f64| format!("{}/s", grouped(per_second(count, seconds)));
        let row = |name: &str, count: u64, rate: &str| {
            format!("  {name:<14}{:>12}  {rate}", grouped(count)).trim_end().to_owned()
        };
        let megabytes = per_second(self.bytes / 1_000_000, self.produce_seconds);
        let mut page = vec![
            String::new(),
            row("produced", self.produced, &format!("{megabytes} MB/s")),
            row("acknowledged", self.acknowledged, &rate(self.acknowledged, self.produce_seconds)),
            row("consumed", self.consumed, &rate(self.consumed, self.consume_seconds)),
            row("lost", self.lost, ""),
            row("duplicated", self.duplicated, ""),
            row("out of order", self.out_of_order, ""),
            row("unknown", self.unknown, ""),
        ];
        if self.failed > 0 {
            page.push(row("failed", self.failed, ""));
        }
        if self.contradicted > 0 {
            page.push(row("contradicted", self.contradicted, ""));
        }
        let (resent, recognised) = (grouped(self.batches_resent), grouped(self.recognised));
        page.push(String::new());
        page.push(format!(
            "  A leader was away for {:.2} s of the {:.2} s; the producer sent {resent} batches again, and the nodes",
            self.seconds_down, self.produce_seconds
        ));
        page.push(format!("  recognised {recognised} records in them that they had stored already."));
        if !self.groups.is_empty() {
            page.push(String::new());
            page.extend(self.groups.iter().map(GroupSummary::line));
        }
        page.push(String::new());
        page.push(self.verdict());
        page
    }

    fn verdict(&self) -> String {
        let counts = [
            (self.acknowledged, "acknowledged"),
            (self.consumed, "consumed"),
            (self.lost, "lost"),
            (self.duplicated, "duplicated"),
            (self.out_of_order, "out of order"),
            (self.unknown, "unknown"),
        ];
        let counts = counts.map(|(count, what)| format!("{} {what}", grouped(count))).join(", ");
        let verdict = if self.ok { "all promises kept" } else { "PROMISES BROKEN" };
        format!(
            "{verdict}: {counts}; {} kills, 1 swap, {:.1} s, seed {}",
            self.kills, self.seconds, self.seed
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Rule;

    fn measured() -> Measured {
        let second = Duration::from_secs(1);
        Measured {
            seed: 7,
            bytes: 210_000_000,
            batches_resent: 12,
            recognised: 345,
            producing: second * 10,
            consuming: second * 10,
            down: second,
            whole: second * 12,
        }
    }

    fn report() -> Report {
        Report { sent: 1_000_000, acknowledged: 1_000_000, read: 1_000_000, ..Report::default() }
    }

    #[test]
    fn the_page_says_it_all() {
        let group = |group, assignors| GroupSummary {
            group,
            assignors,
            processed: 1_000_000,
            missing: 0,
            repeated: 12,
        };
        let groups = vec![group("a", ["range", "roundrobin"]), group("b", ["roundrobin", "range"])];
        let page = Summary::new(&report(), measured(), Vec::new(), groups).page().join("\n");
        expect_test::expect![[r#"

              produced         1,000,000  21 MB/s
              acknowledged     1,000,000  100,000/s
              consumed         1,000,000  100,000/s
              lost                     0
              duplicated               0
              out of order             0
              unknown                  0

              A leader was away for 1.00 s of the 10.00 s; the producer sent 12 batches again, and the nodes
              recognised 345 records in them that they had stored already.

              group a, range and then roundrobin: 1,000,000 processed, 0 missing, 12 of them repeated
              group b, roundrobin and then range: 1,000,000 processed, 0 missing, 12 of them repeated

            all promises kept: 1,000,000 acknowledged, 1,000,000 consumed, 0 lost, 0 duplicated, 0 out of order, 0 unknown; 3 kills, 1 swap, 12.0 s, seed 7"#]]
        .assert_eq(&page);
    }

    #[test]
    fn whatever_is_broken_is_not_ok() {
        assert!(Summary::new(&report(), measured(), Vec::new(), Vec::new()).ok);
        for rule in [Rule::LostWrite, Rule::Duplicate, Rule::NonmonotonicSend, Rule::Foreign] {
            let mut broken = report();
            broken.findings.entry(rule).or_default().count = 1;
            assert!(!Summary::new(&broken, measured(), Vec::new(), Vec::new()).ok, "{}", rule.name());
        }
        assert!(!Summary::new(&Report { failed: 1, ..report() }, measured(), Vec::new(), Vec::new()).ok);
        assert!(
            !Summary::new(
                &Report { acknowledged: 0, unknown: 1_000_000, ..report() },
                measured(),
                Vec::new(),
                Vec::new()
            )
            .ok
        );
        let behind =
            GroupSummary { group: "a", assignors: ["range"; 2], processed: 9, missing: 1, repeated: 0 };
        assert!(!Summary::new(&report(), measured(), Vec::new(), vec![behind]).ok, "a group missed one");
        assert!(
            Summary::new(&Report { unknown: 3, ..report() }, measured(), Vec::new(), Vec::new()).ok,
            "unknown is told, not broken"
        );
    }
}
