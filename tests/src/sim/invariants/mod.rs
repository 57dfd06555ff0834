//! What must hold at every moment, whatever fails: each file one rule of the replication protocol, checked against
//! what all nodes show. They only look.

mod activations;
mod committed_prefix;
mod epochs_rise;
mod high_watermark;
mod in_sync_holds_all;
mod made_by_revision;
mod one_leader;

pub mod groups;

use super::snapshot::Snapshot;

/// A rule.
pub trait Invariant {
    /// Takes in what is to be seen at this moment.
    ///
    /// # Errors
    /// What is not as it must be.
    fn check(&mut self, seen: &Snapshot) -> Result<(), String>;
}

/// All rules.
#[must_use]
pub fn all() -> Vec<Box<dyn Invariant>> {
    vec![
        Box::<one_leader::OneLeader>::default(),
        Box::<high_watermark::HighWatermark>::default(),
        Box::<committed_prefix::CommittedPrefix>::default(),
        Box::<epochs_rise::EpochsRise>::default(),
        Box::<in_sync_holds_all::InSyncHoldsAll>::default(),
        Box::<activations::Activations>::default(),
        Box::<made_by_revision::MadeByRevision>::default(),
    ]
}
