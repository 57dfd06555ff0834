//! Tests of the metadata from outside: scripts (text in, text out), and random schedules with everything that must hold
//! checked after each command.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod invariants;
#[path = "../partition/random.rs"]
mod random;
mod schedules;
mod scripts;
