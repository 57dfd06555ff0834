//! Tests of the group coordinator from outside: scripts (text in, text out), random schedules, and what must hold after
//! every step.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod assignors;
#[path = "../partition/book.rs"]
mod book;
mod invariants;
#[path = "../partition/random.rs"]
mod random;
mod schedules;
mod scripts;
