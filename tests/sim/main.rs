//! Whole nodes in simulation.

mod transport;
