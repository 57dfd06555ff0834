//! Whole nodes in simulation. See `tests/README.md`.

mod node;
mod promises;
mod repeats;
mod transport;
