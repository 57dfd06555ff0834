//! Rules that a test can take away, as in [`crate::partition`]: each must then be missed by the random schedules.

/// One rule of the coordinator, named by what holds.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A partition goes to its new owner only when nobody holds it.
    OneOwner,
    /// Only a heartbeat that names the epoch of a revocation confirms it.
    ConfirmationNamesItsEpoch,
    /// Only who holds a partition commits for it.
    OnlyTheOwnerCommits,
    /// Who holds a partition again does not commit by the epoch at which it held it before.
    CommitsAreOfThisTenure,
    /// An answer is sent when everything that it was made from is committed.
    AnswersAreCommitted,
    /// A new coordinator gives every member a whole session.
    SessionsRestart,
    /// What an assignor says is checked.
    AnswersAreChecked,
    /// Metadata older than what a target was made from changes no target.
    OldMetadataIsIgnored,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Rule; 8] = [
        Rule::OneOwner,
        Rule::ConfirmationNamesItsEpoch,
        Rule::OnlyTheOwnerCommits,
        Rule::CommitsAreOfThisTenure,
        Rule::AnswersAreCommitted,
        Rule::SessionsRestart,
        Rule::AnswersAreChecked,
        Rule::OldMetadataIsIgnored,
    ];
}

/// The rules in force: all, or all but one.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    removed: Option<Rule>,
}

impl Rules {
    pub(crate) const fn all_but(removed: Rule) -> Rules {
        Rules { removed: Some(removed) }
    }

    pub(crate) fn hold(self, rule: Rule) -> bool {
        self.removed != Some(rule)
    }
}
