//! Several replicas of one partition, each of them the real code, around a small controller and a network that loses,
//! repeats and reorders: an exhaustive search of small spaces, and random schedules through large ones.

#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod controller;
mod invariants;
mod node;
mod random;
mod schedules;
mod search;
