//! Whole nodes in one process, on a simulated network, disk and clock, all from one seed.

pub mod clock;
pub mod dice;
pub mod network;
pub mod trace;
