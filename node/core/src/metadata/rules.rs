//! Rules that a test can take away, for the reason that `partition/rules.rs` gives.

/// One rule of the metadata, named by what holds.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Who is elected holds everything that is committed: a member of the ISR, else of the ELR.
    LeadersComeFromIsrAndElr,
    /// Another leader reigns in a higher leader epoch.
    NewLeaderNewEpoch,
    /// A replica enters the ISR as the incarnation that caught up, not as a later one.
    IncarnationsMatch,
    /// A registration ends every reign of the node's earlier incarnation.
    RegistrationEndsReigns,
    /// Other replicas take over when those that were added are in sync.
    TargetIsInSyncFirst,
    /// A replica that leaves the assignment ends the reign.
    RemovalEndsReigns,
    /// What was acknowledged with `write.caching` counts as lost by an unclean stop until it is told flushed.
    CachedUntilFlushed,
    /// A pipeline is put in force by who knows the one that it supersedes.
    ActivationComparesRevisions,
    /// A pipeline is put in force once every active node is ready as the incarnation that runs.
    ActivationWaitsForReadiness,
    /// Traps roll back what was activated, and nothing else.
    OneRollbackPerActivation,
    /// A superseded revision stays open for its grace.
    RevisionsKeepTheirGrace,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Rule; 11] = [
        Rule::LeadersComeFromIsrAndElr,
        Rule::NewLeaderNewEpoch,
        Rule::IncarnationsMatch,
        Rule::RegistrationEndsReigns,
        Rule::TargetIsInSyncFirst,
        Rule::RemovalEndsReigns,
        Rule::CachedUntilFlushed,
        Rule::ActivationComparesRevisions,
        Rule::ActivationWaitsForReadiness,
        Rule::OneRollbackPerActivation,
        Rule::RevisionsKeepTheirGrace,
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
