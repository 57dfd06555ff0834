//! Whole nodes in simulation. See `tests/README.md`.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod mutations;
mod node;
mod promises;
mod quorum;
mod reaches;
mod repeats;
mod scenarios;
mod transport;
