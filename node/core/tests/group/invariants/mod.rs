//! What must hold after every step, one file each, with its source. They look and change nothing.

mod failover_moves_nothing;
mod fenced_commits;
mod log_is_state;
mod offsets_kept;
mod one_owner;
mod owned_when_stable;

pub(crate) use failover_moves_nothing::failover_moves_nothing;
pub(crate) use fenced_commits::Tenures;
pub(crate) use log_is_state::{Compacted, log_is_state};
pub(crate) use offsets_kept::{OffsetsKept, Order};
pub(crate) use one_owner::{one_owner_for_the_coordinator, one_owner_for_the_world};
pub(crate) use owned_when_stable::owned_when_stable;
