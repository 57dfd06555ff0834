//! What must hold after every change of the group that is committed, whoever coordinates it: each file one rule, checked
//! against the log of the coordinators. They only look.

mod commits_of_owners;
mod offsets_advance;
mod one_owner;

use weir_wire::group_log::GroupRecord;

use crate::sim::group_log::GroupState;

/// A rule.
pub trait GroupInvariant {
    /// Takes in the group as it is after these changes, which were committed as one.
    ///
    /// # Errors
    /// What is not as it must be.
    fn check(&mut self, group: &GroupState, changes: &[GroupRecord]) -> Result<(), String>;
}

/// All rules.
#[must_use]
pub fn all() -> Vec<Box<dyn GroupInvariant>> {
    vec![
        Box::<one_owner::OneOwner>::default(),
        Box::<commits_of_owners::CommitsOfOwners>::default(),
        Box::<offsets_advance::OffsetsAdvance>::default(),
    ]
}
