//! Who gets which line.
//!
//! Results go to stdout, everything else to stderr. With `--output json` stdout ends with one JSON object, and what
//! a person would have read goes to stderr instead.

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For scripts.
    Json,
}

/// How a command ended that could say so itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// All was done.
    Success,
    /// Something failed, and was said.
    Failed,
    /// A person or a supervisor ended it early.
    Interrupted,
}

/// Why a command could not go on.
#[derive(Debug)]
pub(super) enum Failure {
    /// One sentence that says what happened and what to do.
    Said(String),
    /// Whoever read our output has read enough.
    ReaderGone,
}

/// How a command ends.
pub(super) type Done = Result<Exit, Failure>;

impl Failure {
    pub(super) fn new(sentence: impl Into<String>) -> Failure {
        Failure::Said(sentence.into())
    }
}

impl<E: std::error::Error + 'static> From<E> for Failure {
    fn from(error: E) -> Failure {
        let as_io = (&error as &(dyn std::error::Error + 'static)).downcast_ref::<io::Error>();
        match as_io {
            Some(io) if io.kind() == io::ErrorKind::BrokenPipe => Failure::ReaderGone,
            _ => Failure::Said(error.to_string()),
        }
    }
}

/// Prints.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    format: Format,
}

impl Output {
    pub(super) fn new(format: Format) -> Output {
        Output { format }
    }

    /// A line that a person asked for.
    pub(super) fn line(self, line: &str) -> Result<(), Failure> {
        match self.format {
            Format::Text => Ok(writeln!(io::stdout(), "{line}")?),
            Format::Json => {
                self.note(line);
                Ok(())
            }
        }
    }

    /// The result for a script. The last thing that a command prints.
    pub(super) fn result(self, result: &impl Serialize) -> Result<(), Failure> {
        match self.format {
            Format::Text => Ok(()),
            Format::Json => {
                let line = serde_json::to_string(result)?;
                Ok(writeln!(io::stdout(), "{line}")?)
            }
        }
    }

    /// A line about how it goes, for whoever watches.
    pub(super) fn note(self, line: &str) {
        // Where nobody listens on stderr, there is nobody to tell that either.
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// Ends the process's work: says what went wrong, if that was not said yet.
    pub(super) fn exit_code(self, outcome: Done) -> ExitCode {
        match outcome {
            Ok(Exit::Success) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
            Ok(Exit::Failed) => ExitCode::FAILURE,
            Ok(Exit::Interrupted) => ExitCode::from(super::signals::INTERRUPTED),
            Err(Failure::Said(sentence)) => {
                self.note(&format!("weir: {sentence}"));
                // The promise that stdout ends with an object holds for failures too.
                let _ = self.result(&serde_json::json!({ "error": sentence }));
                ExitCode::FAILURE
            }
        }
    }
}

/// A count with its thousands apart: 1,234,567.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Rows as lines whose columns stand under each other.
pub(super) fn columns<const N: usize>(rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let line = |row: &[String; N]| {
        let cells =
            row.iter().enumerate().map(|(column, cell)| format!("{cell:<width$}", width = width(column)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// How many per second, as a whole number; 0 where no time passed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate for people; casts of floats saturate"
)]
pub(super) fn per_second(count: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (count as f64 / seconds).round() as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        let shown = [0, 12, 999, 1000, 12_345, 999_999, 1_000_000, u64::MAX].map(grouped);
        let expected =
            ["0", "12", "999", "1,000", "12,345", "999,999", "1,000,000", "18,446,744,073,709,551,615"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn columns_stand_under_each_other() {
        let rows = [["a", "long one", "x"], ["abc", "b", ""]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(&rows), ["a    long one  x", "abc  b"]);
    }

    #[test]
    fn rates_survive_a_clock_that_stood_still() {
        assert_eq!(per_second(10, 0.0), 0);
        assert_eq!(per_second(10, 2.0), 5);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(closed, Failure::ReaderGone));
        let other = Failure::from(io::Error::other("the disk is on fire"));
        assert!(matches!(other, Failure::Said(sentence) if sentence == "the disk is on fire"));
    }
}
