//! Tests of the partition from outside: scripts (text in, text out), random schedules, and what must hold over a whole
//! log.

mod history;
mod invariants;
mod lane_schedules;
mod random;
mod scripts;
