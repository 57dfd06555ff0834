//! `weir check`: what clients did and were told, checked against what Weir promises.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use serde::Serialize;

use super::files;
use super::output::{Done, Exit, Failure, Output, grouped};
use crate::check::{Report, check, read_history};

/// How much of a history is read at a time.
const READ_BYTES: usize = 256 * 1024;

/// Check what clients did and were told against what Weir promises
///
/// A history has one operation a line, in the order in which each process did them:
///
///   {"type":"send","process":1,"number":7,"key":"uw","outcome":"ok","partition":0,"offset":12}
///   {"type":"poll","process":2,"records":[[0,12,7]]}
///
/// The number of a record is its own; outcomes are ok, fail and info (not known); a polled record is its partition,
/// offset and number, or null for a record that nobody sent. There are also assign, subscribe, seek, crash, made and
/// snapshot: node/docs/history.md describes them, and the rules.
///
/// Ends with 0 if all promises were kept, with 1 if one was broken or the file is no history.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// A file of operations, or - for standard input
    #[arg(value_name = "HISTORY.jsonl")]
    history: PathBuf,
}

pub(super) fn run(args: &Args, output: Output) -> Done {
    let (source, name): (Box<dyn BufRead>, String) = if args.history.as_os_str() == "-" {
        (Box::new(std::io::stdin().lock()), "standard input".to_owned())
    } else {
        let (file, _) = files::open_input(&args.history)?;
        (Box::new(BufReader::with_capacity(READ_BYTES, file)), args.history.display().to_string())
    };
    let refuse = |why: String| Failure::new(format!("{name} is no history that can be judged: {why}"));
    let (history, operations) = read_history(source).map_err(|error| refuse(error.to_string()))?;
    if history.sends.is_empty() && history.reads.is_empty() && history.snapshots.is_empty() {
        return Err(refuse("it holds no send, no poll and no snapshot, and so proves nothing".to_owned()));
    }
    let report = check(&history).map_err(|error| refuse(error.to_string()))?;
    let verdict = Verdict::of(&report, operations);
    for line in verdict.lines(&report) {
        output.line(&line)?;
    }
    output.result(&verdict)?;
    Ok(if verdict.ok { Exit::Success } else { Exit::Failed })
}

/// What is said of a history.
#[derive(Debug, Serialize)]
struct Verdict {
    ok: bool,
    operations: u64,
    sent: u64,
    acknowledged: u64,
    failed: u64,
    unknown: u64,
    read: u64,
    lost: u64,
    duplicated: u64,
    out_of_order: u64,
    contradicted: u64,
    redelivered: u64,
    lag_ms_max: Option<i64>,
    findings: Vec<Broken>,
}

/// A rule that was broken.
#[derive(Debug, Serialize)]
struct Broken {
    rule: &'static str,
    count: u64,
    examples: Vec<String>,
}

impl Verdict {
    fn of(report: &Report, operations: u64) -> Verdict {
        let broken = report.findings.iter().map(|(rule, finding)| Broken {
            rule: rule.name(),
            count: finding.count,
            examples: finding.examples.clone(),
        });
        Verdict {
            ok: report.is_clean(),
            operations,
            sent: report.sent,
            acknowledged: report.acknowledged,
            failed: report.failed,
            unknown: report.unknown,
            read: report.read,
            lost: report.lost(),
            duplicated: report.duplicated(),
            out_of_order: report.out_of_order(),
            contradicted: report.contradicted(),
            redelivered: report.redelivered,
            lag_ms_max: report.lag_ms_max,
            findings: broken.collect(),
        }
    }

    fn lines(&self, report: &Report) -> Vec<String> {
        let mut lines: Vec<String> = report.to_string().lines().map(str::to_owned).collect();
        let mut count = |count: u64, what: &str| lines.push(format!("{:>14}  {what}", grouped(count)));
        count(self.sent, "sent");
        count(self.acknowledged, "acknowledged");
        count(self.failed, "failed");
        count(self.unknown, "unknown");
        count(self.read, "read");
        count(self.redelivered, "redelivered to subscribed readers");
        if let Some(lag) = self.lag_ms_max.and_then(|lag| u64::try_from(lag).ok()) {
            count(lag, "ms that a poll was behind at most");
        }
        lines.push(match self.ok {
            true => "all promises kept".to_owned(),
            false => format!(
                "PROMISES BROKEN: {} lost, {} duplicated, {} out of order, {} contradicted",
                self.lost, self.duplicated, self.out_of_order, self.contradicted
            ),
        });
        lines
    }
}
