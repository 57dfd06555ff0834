//! What the checker says.

use std::collections::BTreeMap;
use std::fmt;

use weir_wire::ids::{Offset, PartitionIndex};

/// A promise that can be broken. The names are Jepsen's where Jepsen has the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// An acknowledged record is missing although records behind it were read.
    LostWrite,
    /// An acknowledged record was not read by the end, and neither was anything behind it.
    Unseen,
    /// One record stands at two places.
    Duplicate,
    /// A reader got the same place twice.
    Reread,
    /// One place held two records.
    InconsistentOffsets,
    /// A record was read although its producer was told that it is not stored.
    FailedButRead,
    /// A record was read that nobody sent, or not so.
    Foreign,
    /// A reader was led backwards in a partition, from one poll to the next.
    NonmonotonicPoll,
    /// A reader was led backwards within one poll.
    IntNonmonotonicPoll,
    /// A reader was led past a record that others read, from one poll to the next.
    PollSkip,
    /// A reader was led past a record within one poll.
    IntPollSkip,
    /// A record stands before one of the same key that was sent earlier.
    NonmonotonicSend,
    /// The records of one key stand in more than one partition.
    KeySplit,
    /// A record went through the plugins more than once.
    TransformedTwice,
    /// Two looks at one place named different plugins.
    MadeDifferently,
    /// A replica's log start, high watermark and log end did not stand in this order.
    OffsetBounds,
    /// A leader's high watermark fell within one reign.
    HighWatermarkBackwards,
    /// A node went back to an earlier reign.
    EpochBackwards,
    /// Two nodes said that they lead one partition in one reign.
    TwoLeaders,
}

impl Rule {
    /// The rule's name in reports and history files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Rule::LostWrite => "lost-write",
            Rule::Unseen => "unseen",
            Rule::Duplicate => "duplicate",
            Rule::Reread => "reread",
            Rule::InconsistentOffsets => "inconsistent-offsets",
            Rule::FailedButRead => "G1a",
            Rule::Foreign => "foreign",
            Rule::NonmonotonicPoll => "nonmonotonic-poll",
            Rule::NonmonotonicSend => "nonmonotonic-send",
            Rule::IntNonmonotonicPoll => "int-nonmonotonic-poll",
            Rule::PollSkip => "poll-skip",
            Rule::IntPollSkip => "int-poll-skip",
            Rule::KeySplit => "key-split",
            Rule::TransformedTwice => "transformed-twice",
            Rule::MadeDifferently => "made-differently",
            Rule::OffsetBounds => "offset-bounds",
            Rule::HighWatermarkBackwards => "high-watermark-backwards",
            Rule::EpochBackwards => "epoch-backwards",
            Rule::TwoLeaders => "two-leaders",
        }
    }
}

/// How often a rule was broken, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// How often.
    pub count: u64,
    /// The first cases as sentences, at most [`Finding::EXAMPLES_MAX`].
    pub examples: Vec<String>,
}

impl Finding {
    /// More examples than these help nobody.
    pub const EXAMPLES_MAX: usize = 5;
}

/// What was counted and what was broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records sent.
    pub sent: u64,
    /// Of these, acknowledged.
    pub acknowledged: u64,
    /// Of these, said not to be stored.
    pub failed: u64,
    /// Of these, with an outcome that is not known.
    pub unknown: u64,
    /// Records read, each reading counted.
    pub read: u64,
    /// Records that a subscribed reader got more than once: what at-least-once means, and no fault.
    pub redelivered: u64,
    /// How far a poll was behind at most: the milliseconds since the oldest acknowledgement of what it had not
    /// reached yet. `None` where no times were noted.
    pub lag_ms_max: Option<i64>,
    /// The rules that were broken; empty when all promises were kept.
    pub findings: BTreeMap<Rule, Finding>,
}

impl Report {
    /// Whether every promise was kept.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// How often a rule was broken.
    #[must_use]
    pub fn count(&self, rule: Rule) -> u64 {
        self.findings.get(&rule).map_or(0, |finding| finding.count)
    }

    /// Acknowledged records that nobody could read.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.count(Rule::LostWrite) + self.count(Rule::Unseen)
    }

    /// Records stored or read more than once.
    #[must_use]
    pub fn duplicated(&self) -> u64 {
        self.count(Rule::Duplicate) + self.count(Rule::Reread)
    }

    /// Records that stood or came in another order than they were sent.
    #[must_use]
    pub fn out_of_order(&self) -> u64 {
        let rules = [
            Rule::NonmonotonicPoll,
            Rule::IntNonmonotonicPoll,
            Rule::PollSkip,
            Rule::IntPollSkip,
            Rule::NonmonotonicSend,
            Rule::KeySplit,
        ];
        rules.into_iter().map(|rule| self.count(rule)).sum()
    }

    /// Whatever else is wrong: places with two contents, records from nowhere, records that were denied, and what
    /// nodes cannot truthfully have said.
    #[must_use]
    pub fn contradicted(&self) -> u64 {
        let all: u64 = self.findings.values().map(|finding| finding.count).sum();
        all - self.lost() - self.duplicated() - self.out_of_order()
    }

    pub(super) fn find(&mut self, rule: Rule, describe: impl FnOnce() -> String) {
        let finding = self.findings.entry(rule).or_default();
        finding.count += 1;
        if finding.examples.len() < Finding::EXAMPLES_MAX {
            finding.examples.push(describe());
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, finding) in &self.findings {
            writeln!(f, "{}: {} times", rule.name(), finding.count)?;
            for example in &finding.examples {
                writeln!(f, "  {example}")?;
            }
        }
        Ok(())
    }
}

/// A place in a topic, shown as `partition/offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset in it.
    pub offset: Offset,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.offset)
    }
}
