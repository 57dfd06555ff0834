//! Whole nodes in one process, on a simulated network, disk and clock, all from one seed.
//!
//! ```text
//!  seed ─▶ plan ─▶ run ─┬─ nemesis: faults, then none ─▶ world ─┬─ machine: real node on sim disk, clock, workers
//!                       │                                       ├─ network: real quinn on simulated sockets
//!                       ├─ workload: real clients ─▶ journal    └─ turmoil: virtual time, delivery, partitions
//!                       └─ judge: the checker, and a few rules that need the whole picture ◀─ journal
//!
//!  everything ─▶ trace (the same seed gives the same one)
//! ```
//!
//! What runs in it is the code that runs everywhere: `weir_node::server::Node` and `weir_client`, through the seams
//! that they have for clocks, randomness, disks, workers and sockets. What does not exist here: real time, threads,
//! sockets, files, and randomness that does not come from the seed, except the keys of TLS, which cannot; so nothing
//! looks at ciphertext.

pub mod churn;
pub mod clock;
pub mod damage;
pub mod dice;
pub mod disk;
pub mod group_book;
pub mod group_log;
pub mod hunt;
pub mod invariants;
pub mod journal;
pub mod logs;
pub mod machine;
pub mod members;
pub mod moves;
pub mod nemesis;
pub mod network;
pub mod outside;
pub mod plan;
pub mod run;
pub mod snapshot;
pub mod swaps;
pub mod trace;
pub mod workers;
pub mod workload;
pub mod world;
