//! Rules that a test can take away.
//!
//! A harness that finds nothing proves something only if it would have found a fault. So each rule below can be
//! removed, and a test then demands that the random schedules notice. Nothing outside of tests can remove one: a
//! partition is made with all rules, and the constructor that takes one away is hidden and used by tests only.

/// One rule of the partition, named by what holds.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A part whose sequence is not above the highest stored one is not stored again.
    StoredOnce,
    /// A part whose `after` is above the highest stored sequence is refused.
    AfterIsStored,
    /// A part with `after` of a producer that is not remembered is refused.
    UnknownProducerStartsOver,
    /// An older life of a producer is refused.
    OlderProducerEpochIsFenced,
    /// A newer life of a producer starts with an empty memory.
    NewerProducerEpochResets,
    /// "Already stored" is answered when what it refers to is committed.
    DuplicateWaits,
    /// `acks=all` is answered when the high watermark covers the batch.
    AcknowledgedIsCommitted,
    /// Without `write.caching` only flushed bytes move the high watermark.
    OnlyFlushedCounts,
    /// A producer is forgotten only when it was quiet by this replica's clock too.
    ExpiryNeedsRealTime,
    /// A follower cuts its log where its reigns part from its leader's, not at its high watermark.
    TruncateByEpoch,
    /// The high watermark counts with everybody whom a proposal may have added to the ISR.
    MaximalIsr,
    /// A replica joins the ISR with everything that its leader had when its reign began.
    EpochStartBeforeExpand,
    /// What an earlier life of a node said counts no more.
    StaleFollowerIsFenced,
    /// A report or a frame counts only under the number of the subscription in force.
    SubscriptionNumbers,
    /// Producers are put together again when a log is read anew.
    ProducersSurviveReload,
    /// A new leader knows of no follower where its log ends.
    FollowersUnknownAtReignStart,
    /// A replica is told to have flushed what `write.caching` left when it has flushed all of it.
    CachedIsFlushedFirst,
}

impl Rule {
    /// The rules about one leader and its producers.
    pub const OF_APPENDS: [Rule; 9] = [
        Rule::StoredOnce,
        Rule::AfterIsStored,
        Rule::UnknownProducerStartsOver,
        Rule::OlderProducerEpochIsFenced,
        Rule::NewerProducerEpochResets,
        Rule::DuplicateWaits,
        Rule::AcknowledgedIsCommitted,
        Rule::OnlyFlushedCounts,
        Rule::ExpiryNeedsRealTime,
    ];

    /// The rules between replicas.
    pub const OF_REPLICATION: [Rule; 10] = [
        Rule::TruncateByEpoch,
        Rule::MaximalIsr,
        Rule::EpochStartBeforeExpand,
        Rule::StaleFollowerIsFenced,
        Rule::SubscriptionNumbers,
        Rule::ProducersSurviveReload,
        Rule::FollowersUnknownAtReignStart,
        Rule::CachedIsFlushedFirst,
        Rule::AcknowledgedIsCommitted,
        Rule::OnlyFlushedCounts,
    ];
}

/// The rules in force: all, or all but one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
