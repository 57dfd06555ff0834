//! Torture of real processes: whole clusters under random faults from a seed, judged by the checker of `weir check`.
//!
//! ```text
//!   seed ── plan ──▶ round:  cluster of `weir node` processes, each on a host of its own
//!                              │  hosts ── switch ── hosts            faults: processes, links, disks, moves, swaps
//!                              ▼
//!                            clients produce and consume ──▶ book ──▶ checker
//!                              │
//!                            nothing fails any more ──▶ all whole? ──▶ replicas compared byte for byte
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `plan` | what a seed stands for |
//! | `host`, `switch` | namespaces, and the network between them in this process |
//! | `cluster` | the nodes' processes and folders |
//! | `faults` | each kind of fault |
//! | `workload` | producers and consumers, and what they were told |
//! | `judge` | what must hold in the end |
//! | `round`, `journal` | one round, and what happened in it |
//!
//! Faults may damage one node's disk in a round, and only while all others have everything: what Weir promises holds then.
#![expect(clippy::disallowed_methods, reason = "real processes, real time, real files")]

mod cluster;
mod faults;
mod host;
mod journal;
mod judge;
pub mod plan;
mod round;
mod switch;
mod workload;

pub use round::{Counts, Outcome, can_have_networks, run, write_down};
