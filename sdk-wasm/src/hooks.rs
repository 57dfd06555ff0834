//! The traits that plugins implement, one per kind.

use crate::assignment::{Assignment, Member, Topic};
use crate::context::{Context, Options};
use crate::edits::Edits;
use crate::error::Result;
use crate::outcomes::{Outcomes, Position};
use crate::records::{FetchedBatch, Keys, Produced, ProducedBatch};

/// What a plugin asks for besides its hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// Calls of [`ProducerInterceptor::on_acknowledgement`].
    Acknowledgements,
    /// Calls of [`ConsumerInterceptor::on_commit`].
    Commits,
    /// A call of `close` before an instance is put away.
    Close,
    /// Batches without their records: saves copying what the plugin does not look at.
    NoRecords,
    /// Long batches some records at a time: for a plugin that decides each record by that record and its options alone,
    /// and appends the same headers to all. It needs memory for a part at a time; what becomes of the records is the same.
    /// [`testing`](crate::testing) shows such a plugin each record alone, too, and compares.
    InParts,
}

impl Want {
    /// The contract's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Want::Acknowledgements => "acknowledgements",
            Want::Commits => "commits",
            Want::Close => "close",
            Want::NoRecords => "no-records",
            Want::InParts => "in-parts",
        }
    }
}

/// Validates, enriches, redacts, filters or rejects records on their way into the log.
///
/// [`on_send`](ProducerInterceptor::on_send) must be pure: a producer that got no answer sends its batch again, and
/// then the same must be dropped, rejected and changed. `&mut self` is for buffers that are used again.
pub trait ProducerInterceptor: Sized + 'static {
    /// Makes an instance. It runs as often as `on_send` does, so it should only read options.
    ///
    /// # Errors
    /// If the options are wrong; the operator sees the sentence.
    fn configure(context: &Context) -> Result<Self>;

    /// What this instance wants; asked once, after `configure`.
    fn wants(&self) -> &'static [Want] {
        &[]
    }

    /// Looks at a batch and says what changes.
    ///
    /// # Errors
    /// If the plugin cannot judge the batch: then the binding's policy holds. A record that is wrong is rejected
    /// instead.
    fn on_send(&mut self, batch: &ProducedBatch<'_>, edits: &mut Edits) -> Result<()>;

    /// Observes what became of a batch; with [`Want::Acknowledgements`] only. It may run on another instance than
    /// `on_send` did, and more than once for one batch.
    fn on_acknowledgement(&mut self, batch: &Produced, outcomes: &Outcomes) {
        let _ = (batch, outcomes);
    }

    /// Before the instance is put away; with [`Want::Close`] only.
    fn close(&mut self) {}
}

/// Redacts or filters records on their way to a consumer. The log keeps them as they are.
pub trait ConsumerInterceptor: Sized + 'static {
    /// Makes an instance. It runs as often as `on_consume` does, so it should only read options.
    ///
    /// # Errors
    /// If the options are wrong; the operator sees the sentence.
    fn configure(context: &Context) -> Result<Self>;

    /// What this instance wants; asked once, after `configure`.
    fn wants(&self) -> &'static [Want] {
        &[]
    }

    /// Looks at a batch and says what the consumer gets of it. Nothing can be rejected here.
    ///
    /// # Errors
    /// If the plugin cannot judge the batch: then the binding's policy holds.
    fn on_consume(&mut self, batch: &FetchedBatch<'_>, edits: &mut Edits) -> Result<()>;

    /// Observes what a group committed; with [`Want::Commits`] only.
    fn on_commit(&mut self, group: &str, positions: &[Position]) {
        let _ = (group, positions);
    }

    /// Before the instance is put away; with [`Want::Close`] only.
    fn close(&mut self) {}
}

/// Chooses the partition of each record that names none. [`partition`](Partitioner::partition) must be pure.
pub trait Partitioner: Sized + 'static {
    /// Makes an instance. It runs as often as `partition` does, so it should only read options.
    ///
    /// # Errors
    /// If the options are wrong; the operator sees the sentence.
    fn configure(context: &Context) -> Result<Self>;

    /// What this instance wants; asked once, after `configure`.
    fn wants(&self) -> &'static [Want] {
        &[]
    }

    /// A partition for each key, in order, below the context's `partitions`.
    ///
    /// # Errors
    /// If the plugin cannot place the batch: then the producer is refused.
    fn partition(&mut self, batch: &Produced, keys: Keys<'_>) -> Result<Vec<u32>>;

    /// Before the instance is put away; with [`Want::Close`] only.
    fn close(&mut self) {}
}

/// Decides which member of a consumer group reads which partition. [`assign`](Assignor::assign) must be pure.
pub trait Assignor: Sized + 'static {
    /// Makes an instance.
    ///
    /// # Errors
    /// If the options are wrong; the operator sees the sentence.
    fn configure(options: &Options) -> Result<Self>;

    /// What this instance wants; asked once, after `configure`.
    fn wants(&self) -> &'static [Want] {
        &[]
    }

    /// What each member is to own. Members come sorted by their id and topics by their name, at least one of each.
    /// Every partition of every topic must be given exactly once, to a member that subscribes to the topic.
    ///
    /// # Errors
    /// If the plugin cannot decide: then the group gets what `range` answers.
    fn assign(&mut self, members: &[Member], topics: &[Topic]) -> Result<Assignment>;

    /// Before the instance is put away; with [`Want::Close`] only.
    fn close(&mut self) {}
}
