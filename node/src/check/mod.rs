//! The consistency checker: given what producers were told and what consumers read, says which promises were broken.
//!
//! It knows nothing of nodes, clients or files: a [`History`] goes in, a [`Report`] comes out. The rules are those of
//! the Kafka workload of Jepsen (jepsen-io/jepsen, `tests/kafka.clj`), as far as they apply to sends and reads of
//! single records with an assigned consumer.
//!
//! ```text
//!   what was acknowledged ──┐
//!                           ├─▶ one view of the log: (partition, offset) → numbers ──▶ rules ──▶ report
//!   what was read ──────────┘
//! ```
//!
//! Every record carries a number of its own, by which it is recognised; nothing else about it is believed.

mod history;
mod report;
mod rules;
#[cfg(test)]
mod tests;

pub use history::{History, KeyId, Outcome, Read, Sent};
pub use report::{Finding, Place, Report, Rule};
pub use rules::{HistoryError, check};
