//! Tests of the partition from outside: scripts (text in, text out), random schedules, and what must hold over a whole
//! log.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod book;
mod contiguous_schedules;
mod history;
mod invariants;
mod lane_schedules;
mod random;
mod rebuild;
mod replica;
mod scripts;
