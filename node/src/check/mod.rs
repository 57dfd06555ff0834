//! The consistency checker: given what producers were told and what consumers read, says which promises were broken.
//!
//! It knows nothing of nodes, clients or files: a [`History`] goes in, a [`Report`] comes out. The rules are those of
//! the Kafka workload of Jepsen (jepsen-io/jepsen, `tests/kafka.clj`), for assigned and subscribed readers, and some
//! about what nodes say of their replicas.
//!
//! ```text
//!   a file of operations ── lines ──▶ history
//!
//!   what was acknowledged ──┐
//!                           ├─▶ one view of the log: (partition, offset) → numbers ──▶ rules, polls ──▶ report
//!   what was read ──────────┘
//!   what nodes said ─────────────────────────────────────────────────────────────▶ snapshots ─────────┘
//! ```
//!
//! Every record carries a number of its own, by which it is recognised; nothing else about it is believed.
//!
//! Of Jepsen's rules these are not here. `precommitted-read` needs transactions, which Weir does not have. So do the
//! cycles: without them an operation only sends or only polls, no edge leaves a poll, and sends of single records stand
//! at one place each, so that log order (ww) and reading (wr) cannot close a circle. `int-nonmonotonic-send` is part of
//! `nonmonotonic-send`, which asks for the order of all that a process sends.

mod history;
#[cfg(test)]
mod line_tests;
mod lines;
mod polls;
mod report;
mod rules;
mod snapshots;
#[cfg(test)]
mod tests;

pub use history::{History, KeyId, Made, Outcome, Read, Sent, Snapshot, Turn, TurnKind};
pub use lines::{LINE_BYTES_MAX, LineError, read_history};
pub use report::{Finding, Place, Report, Rule};
pub use rules::{HistoryError, check};
