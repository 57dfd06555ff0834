//! The pipeline of a topic: its interceptors in order, its partitioner, and what becomes of a batch in them.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use weir_core::pipeline::answer::Answer;
use weir_core::pipeline::dead_letters::{self, Origin};
use weir_core::pipeline::draft::{Changes, Draft, Offsets, Way};
use weir_core::pipeline::failing::{Cause, Consequence, Failure, Hook, OnFailure, on_produce};
use weir_core::pipeline::placing::{DeadLetters, DefaultPartitioner, Placement};
use weir_wire::batch::{self, BatchHeader, Records, TimestampType};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{NodeId, PartitionIndex, ProducerId};
use weir_wire::lane::Outcome;
use weir_wire::placement;

use super::binding::{Binding, BindingConfig, Leased, Place};
use super::contract::types;
use super::hooks::{Facts, Shown, wrong};
use super::instance::Broken;
use super::observer::{Acknowledgement, Commit, Observer};
use super::stats::Snapshot;
use super::voice::{Lines, Voice};
use crate::outside::Clock;

/// The plugins of a topic's pipeline, as they are bound.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    /// On the way into the log, in this order.
    pub producer_interceptors: Vec<BindingConfig>,
    /// Who places records; without one, the default rule.
    pub partitioner: Option<BindingConfig>,
    /// On the way to consumers, in this order.
    pub consumer_interceptors: Vec<BindingConfig>,
}

/// One revision of a topic's pipeline, ready to run. Cloning the `Arc` pins it: a batch ends on the revision that it
/// began on.
pub struct Pipeline {
    place: Place,
    interceptors: Vec<Arc<Binding>>,
    partitioner: Option<Arc<Binding>>,
    consumers: Vec<Arc<Binding>>,
    observer: Observer,
}

/// What a hook may know of a batch, and what the node must know to run the hooks.
#[derive(Clone, Copy, Debug)]
pub struct BatchContext<'a> {
    /// The lane's producer, if it is idempotent.
    pub producer: Option<ProducerId>,
    /// The batch's number in its lane.
    pub ordinal: u64,
    /// Where it is to go.
    pub target: BatchTarget,
    /// Whether it was sent before.
    pub resent: bool,
    /// What the batch and its parts are held to.
    pub limits: batch::Limits,
    /// The producer's name.
    pub principal: &'a str,
    /// This node.
    pub entry_node: NodeId,
    /// How many partitions the topic's dead-letter topic has; none if it is not there.
    pub dead_letter_partitions: Option<u32>,
}

/// Where a batch is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchTarget {
    /// Into this partition, whatever the partitioner would say.
    Explicit(PartitionIndex),
    /// Where the partitioner says; the producer expects this one.
    Guessed(PartitionIndex),
    /// Where the partitioner says.
    Unguessed,
}

/// For what a pipeline is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// To be activated: every plugin must take its options and survive a trial call; one whose instances are reused, the
    /// same call again and again with the same answer.
    Stage,
    /// To be tried out by its author, who looks at the answers: as to be activated, but whatever reused instances
    /// answer.
    Try,
    /// It was staged before, perhaps in an earlier life of the node: what a plugin fails at now it fails at batch by
    /// batch, as its binding says, rather than taking the topic down.
    Reopen,
}

/// What became of a batch in the pipeline.
#[derive(Debug)]
pub enum Processed {
    /// It goes on: these parts to those places.
    Placed {
        /// Where which records go, and what became of those that go nowhere: for `EntryLane::take`.
        placement: Placement,
        /// A batch for each part, the dead letters last.
        batches: Vec<Bytes>,
    },
    /// Nobody can say yet: for `EntryLane::retry`.
    Retry(WireError),
    /// None of it can be stored: for `EntryLane::refuse`.
    Refused(Outcome),
}

/// What plugins are bound with.
struct Host<'a> {
    place: &'a Place,
    opening: Opening,
    clock: &'a Arc<dyn Clock>,
    lines: &'a Arc<Lines>,
}

impl Host<'_> {
    async fn bind(&self, config: BindingConfig, hook: Hook) -> Result<Arc<Binding>, Failure> {
        let binding = Binding::new(config, self.place, hook, self.opening, self.clock, self.lines).await?;
        if self.opening != Opening::Reopen {
            let is_replayed = self.opening == Opening::Stage && binding.config().reuse;
            canary(&binding, self.place, is_replayed)
                .await
                .map_err(|broken| binding.failure(hook, broken))?;
        }
        Ok(Arc::new(binding))
    }
}

impl Pipeline {
    /// Makes a pipeline ready.
    ///
    /// # Errors
    /// See [`Opening`]: the first plugin that fails, with what it said.
    pub(super) async fn build(
        bindings: Bindings,
        place: Place,
        opening: Opening,
        clock: &Arc<dyn Clock>,
        lines: &Arc<Lines>,
    ) -> Result<Arc<Pipeline>, Failure> {
        let with = Host { place: &place, opening, clock, lines };
        let mut interceptors = Vec::new();
        for config in bindings.producer_interceptors {
            interceptors.push(with.bind(config, Hook::OnSend).await?);
        }
        let partitioner = match bindings.partitioner {
            Some(config) => Some(with.bind(config, Hook::Partition).await?),
            None => None,
        };
        let mut consumers = Vec::new();
        for config in bindings.consumer_interceptors {
            consumers.push(with.bind(config, Hook::OnConsume).await?);
        }
        let observer = Observer::start();
        Ok(Arc::new(Pipeline { place, interceptors, partitioner, consumers, observer }))
    }

    /// Whether a plugin wants to learn what became of batches.
    #[must_use]
    pub fn wants_acknowledgements(&self) -> bool {
        self.interceptors.iter().any(|binding| binding.wants().acknowledgements)
    }

    /// Reports what became of a batch. Never waits: the calls are made later, or left out and counted.
    pub fn acknowledged(&self, acknowledgement: Acknowledgement) {
        let acknowledgement = Arc::new(acknowledgement);
        for binding in self.interceptors.iter().filter(|binding| binding.wants().acknowledgements) {
            self.observer.acknowledged(binding, &acknowledgement);
        }
    }

    /// Whether a plugin wants to learn of committed positions.
    #[must_use]
    pub fn wants_commits(&self) -> bool {
        self.consumers.iter().any(|binding| binding.wants().commits)
    }

    /// Reports a commit. Never waits: the calls are made later, or left out and counted.
    pub fn committed(&self, commit: Commit) {
        let commit = Arc::new(commit);
        for binding in self.consumers.iter().filter(|binding| binding.wants().commits) {
            self.observer.committed(binding, &commit);
        }
    }

    /// Where the pipeline stands.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether batches on their way into the log meet no plugin.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.interceptors.is_empty() && self.partitioner.is_none()
    }

    /// Whether batches on their way to consumers meet a plugin.
    #[must_use]
    pub fn has_consumer_interceptors(&self) -> bool {
        !self.consumers.is_empty()
    }

    /// The figures of its plugins, in the order in which batches meet them.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let all = self.interceptors.iter().chain(&self.partitioner).chain(&self.consumers);
        all.map(|binding| binding.snapshot()).collect()
    }

    /// The digests of its plugins, in the same order.
    #[must_use]
    pub fn digests(&self) -> Vec<String> {
        let all = self.interceptors.iter().chain(&self.partitioner).chain(&self.consumers);
        all.map(|binding| binding.digest().to_owned()).collect()
    }

    /// Counts against the plugins that had a hand in it that a batch came out differently when it was sent again. Says
    /// which they are.
    pub fn answered_differently(&self) -> Vec<String> {
        let makers = self.interceptors.iter().chain(&self.partitioner);
        makers
            .map(|binding| {
                binding.stats().failed(Cause::Impure);
                binding.label().to_owned()
            })
            .collect()
    }

    /// Runs a validated batch through the interceptors and the partitioner.
    pub async fn run(&self, batch: Bytes, records: Records, context: &BatchContext<'_>) -> Processed {
        let offsets = match context.target {
            BatchTarget::Explicit(_) => Offsets::Kept,
            BatchTarget::Guessed(_) | BatchTarget::Unguessed => Offsets::Dense,
        };
        let mut draft = Draft::new(Way::In, offsets, context.limits, batch, records);
        let mut letters = None;
        for binding in &self.interceptors {
            if draft.count() == 0 {
                break;
            }
            let Err(failure) = self.intercept(binding, &mut draft, context).await else { continue };
            tracing::debug!(topic = self.place.topic, %failure, "a batch met a plugin that failed");
            match on_produce(binding.config().on_failure, failure.cause, context.resent) {
                Consequence::Pass => {}
                Consequence::Retry => return Processed::Retry(failure.to_wire()),
                Consequence::Reject => {
                    draft.settle_rest(Outcome::Rejected(failure.to_wire()));
                }
                Consequence::DeadLetter => match self.put_aside(binding, &mut draft, &failure, context) {
                    Ok(put_aside) => letters = Some(put_aside),
                    Err(error) => return Processed::Retry(error),
                },
            }
        }
        let placement = match self.place_records(&draft, context).await {
            Ok(placement) => placement,
            Err(failure) => match on_produce(OnFailure::Reject, failure.cause, context.resent) {
                Consequence::Retry => return Processed::Retry(failure.to_wire()),
                _ => {
                    draft.settle_rest(Outcome::Rejected(failure.to_wire()));
                    Placement::nowhere()
                }
            },
        };
        match draft.into_parts(&placement) {
            Ok((mut placement, mut batches)) => {
                if let Some((dead_letters, batch)) = letters {
                    placement.dead_letters = Some(dead_letters);
                    batches.push(batch);
                }
                Processed::Placed { placement, batches }
            }
            Err(bad) => {
                let sentence =
                    format!("the interceptors of topic '{}' made too much of it: {bad}", self.place.topic);
                Processed::Refused(Outcome::Failed(WireError::new(ErrorCode::MessageTooLarge, sentence)))
            }
        }
    }

    async fn intercept(
        &self,
        binding: &Arc<Binding>,
        draft: &mut Draft,
        context: &BatchContext<'_>,
    ) -> Result<(), Failure> {
        let changes = binding.in_turn(self.call_on_send(binding, draft, context)).await?;
        binding.stats().changed(&changes);
        Ok(())
    }

    async fn call_on_send(
        &self,
        binding: &Arc<Binding>,
        draft: &mut Draft,
        context: &BatchContext<'_>,
    ) -> Result<Changes, Broken> {
        let shown = binding.wants().shown();
        let facts = Facts { principal: context.principal, entry_node: context.entry_node.0 };
        if shown != Shown::NoRecords {
            draft.complete().map_err(|bad| wrong(&bad))?;
        }
        let batch = produced(draft, context);
        let mut leased = binding.lease(binding.voice(batch.guess)).await?;
        let answer = leased.instance().on_send(batch, draft, shown, facts).await?;
        let changes = draft.apply(&answer).map_err(|bad| wrong(&bad));
        self.put_back(binding, leased);
        changes
    }

    /// Gives an instance back after a call that succeeded.
    fn put_back(&self, binding: &Arc<Binding>, leased: Leased) {
        if let Some(ending) = binding.release(leased) {
            self.observer.close(binding, ending);
        }
    }

    /// Makes dead letters of the records that are left.
    fn put_aside(
        &self,
        binding: &Binding,
        draft: &mut Draft,
        failure: &Failure,
        context: &BatchContext<'_>,
    ) -> Result<(DeadLetters, Bytes), WireError> {
        let topic = &self.place.topic;
        let Some(partitions) = context.dead_letter_partitions.filter(|partitions| *partitions > 0) else {
            let sentence = format!(
                "{failure}; its records belong into topic '{topic}.dead-letter', which is not there yet"
            );
            return Err(WireError::new(ErrorCode::UnknownTopic, sentence));
        };
        let partition = match context.target {
            BatchTarget::Explicit(partition) => Some(partition.0),
            _ => None,
        };
        let origin = Origin { topic, revision: self.place.revision, partition, digest: binding.digest() };
        let batch = dead_letters::batch(draft, failure, &origin);
        let partition =
            placement::of_batch(context.producer.unwrap_or_default(), context.ordinal, partitions);
        let sentence = format!("{failure}; the record is in topic '{topic}.dead-letter'");
        let settled = draft.settle_rest(Outcome::Rejected(WireError::new(ErrorCode::DeadLettered, sentence)));
        Ok((DeadLetters { partition, settled }, batch))
    }

    /// Where the records left go.
    async fn place_records(&self, draft: &Draft, context: &BatchContext<'_>) -> Result<Placement, Failure> {
        let count = draft.count();
        let guess = match context.target {
            // Also when nothing is left: an emptied batch takes the producer's sequence on.
            BatchTarget::Explicit(partition) => return Ok(Placement::whole(partition, count)),
            BatchTarget::Guessed(partition) => Some(partition),
            BatchTarget::Unguessed => None,
        };
        if count == 0 {
            return Ok(Placement::nowhere());
        }
        if self.place.partitions == 1 {
            return Ok(Placement::whole(PartitionIndex(0), count));
        }
        let Some(binding) = &self.partitioner else {
            let default = DefaultPartitioner {
                partitions: self.place.partitions,
                guess,
                producer: context.producer,
                ordinal: context.ordinal,
            };
            return Ok(default.place(draft.iter().map(|record| record.key)));
        };
        let placement = binding.in_turn(self.call_partition(binding, draft, context)).await?;
        binding.stats().changed(&Changes { kept: count, ..Changes::default() });
        Ok(placement)
    }

    async fn call_partition(
        &self,
        binding: &Arc<Binding>,
        draft: &Draft,
        context: &BatchContext<'_>,
    ) -> Result<Placement, Broken> {
        let batch = produced(draft, context);
        let mut leased = binding.lease(binding.voice(batch.guess)).await?;
        let answer = leased.instance().partition(batch, draft).await?;
        let placement = Placement::answered(&answer, batch.count as usize, self.place.partitions)
            .map_err(|bad| wrong(&bad));
        self.put_back(binding, leased);
        placement
    }

    /// Runs a stored batch through the consumer interceptors. What comes back stands at the same offsets.
    ///
    /// # Errors
    /// A plugin that failed and whose binding does not say that records pass then: the fetch fails, the consumer's
    /// position stays.
    pub async fn fetch(
        &self,
        batch: Bytes,
        partition: PartitionIndex,
        limits: batch::Limits,
    ) -> Result<Bytes, WireError> {
        let broken = |error: batch::BatchError| WireError::new(ErrorCode::Internal, error.to_string());
        let header = BatchHeader::parse(&batch).map_err(broken)?;
        if self.consumers.is_empty() || header.attributes.is_control() || header.record_count == 0 {
            return Ok(batch);
        }
        let records = batch::records(&batch, &limits).map_err(broken)?;
        let mut draft = Draft::new(Way::Out, Offsets::Kept, limits, batch, records);
        for binding in &self.consumers {
            if draft.count() == 0 {
                break;
            }
            let Err(failure) = self.show(binding, &mut draft, partition).await else { continue };
            match binding.config().on_failure {
                OnFailure::Pass => {}
                OnFailure::Reject | OnFailure::DeadLetter => return Err(failure.to_wire()),
            }
        }
        let is_unchanged = draft.is_unchanged();
        let made =
            draft.into_batch().map_err(|bad| WireError::new(ErrorCode::PluginFailed, bad.to_string()))?;
        if is_unchanged {
            return Ok(made);
        }
        let mut made = BytesMut::from(made);
        batch::stamp(&mut made, header.base_offset, header.leader_epoch);
        Ok(made.freeze())
    }

    async fn show(
        &self,
        binding: &Arc<Binding>,
        draft: &mut Draft,
        partition: PartitionIndex,
    ) -> Result<(), Failure> {
        let changes = binding.in_turn(self.call_on_consume(binding, draft, partition)).await?;
        binding.stats().changed(&changes);
        Ok(())
    }

    async fn call_on_consume(
        &self,
        binding: &Arc<Binding>,
        draft: &mut Draft,
        partition: PartitionIndex,
    ) -> Result<Changes, Broken> {
        let shown = binding.wants().shown();
        if shown != Shown::NoRecords {
            draft.complete().map_err(|bad| wrong(&bad))?;
        }
        let batch = fetched(draft, partition);
        let mut leased = binding.lease(binding.voice(Some(partition.0))).await?;
        let answer = leased.instance().on_consume(batch, draft, shown).await?;
        let changes = draft.apply(&answer).map_err(|bad| wrong(&bad));
        self.put_back(binding, leased);
        changes
    }
}

fn produced(draft: &Draft, context: &BatchContext<'_>) -> types::ProducedBatch {
    types::ProducedBatch {
        producer_id: context.producer.map(|producer| producer.0),
        ordinal: context.ordinal,
        guess: match context.target {
            BatchTarget::Explicit(partition) | BatchTarget::Guessed(partition) => Some(partition.0),
            BatchTarget::Unguessed => None,
        },
        count: draft.count(),
        base_timestamp: draft.base_timestamp_ms(),
    }
}

fn fetched(draft: &Draft, partition: PartitionIndex) -> types::FetchedBatch {
    let header = draft.header();
    let appended = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
    types::FetchedBatch {
        partition: partition.0,
        base_offset: header.base_offset.0,
        count: draft.count(),
        base_timestamp: draft.base_timestamp_ms(),
        append_timestamp: appended.then_some(header.max_timestamp_ms),
    }
}

/// What a plugin makes of a batch that no producer sent.
#[derive(PartialEq)]
enum OfCanary {
    Records(Answer),
    Places(Vec<u32>),
    /// To refuse it is an answer too.
    Refused(String),
}

/// How often an instance that is to serve many batches is shown the same one before it is believed.
const REPLAYS: usize = 3;

/// A first call with one record that no producer sent: a plugin that cannot answer it cannot answer anything. What it
/// answers about the record does not matter; but an instance that serves many batches must answer always the same.
async fn canary(binding: &Binding, place: &Place, is_replayed: bool) -> Result<(), Broken> {
    let first = of_canary(binding, place, &mut binding.lease(Voice::default()).await?).await?;
    if !is_replayed {
        return Ok(());
    }
    let mut reused = binding.lease(Voice::default()).await?;
    for _ in 0..REPLAYS {
        if of_canary(binding, place, &mut reused).await? != first {
            let message = "the same batch came out differently on an instance that had seen it before; push it without \
                           --reuse, or make the hook forget its calls (weir plugins test --reuse shows the difference)";
            return Err(Broken::new(Cause::Impure, message));
        }
    }
    Ok(())
}

async fn of_canary(binding: &Binding, place: &Place, leased: &mut Leased) -> Result<OfCanary, Broken> {
    let mut builder = batch::BatchBuilder::new(batch::Compression::None);
    builder.push(0, Some(b"canary"), Some(b"{}"), &[]);
    let bytes = builder.finish(None);
    let limits = batch::Limits::default();
    let records = batch::records(&bytes, &limits).expect("a batch that was just made");
    let way = if binding.hook() == Hook::OnConsume { Way::Out } else { Way::In };
    let mut draft = Draft::new(way, Offsets::Kept, limits, bytes, records);
    let context = BatchContext {
        producer: None,
        ordinal: 0,
        target: BatchTarget::Unguessed,
        resent: false,
        limits,
        principal: "canary",
        entry_node: NodeId(0),
        dead_letter_partitions: None,
    };
    let facts = Facts { principal: context.principal, entry_node: 0 };
    let shown = binding.wants().shown();
    let instance = leased.instance();
    let answered = match binding.hook() {
        Hook::OnConsume => instance.on_consume(fetched(&draft, PartitionIndex(0)), &draft, shown).await,
        Hook::Partition => match instance.partition(produced(&draft, &context), &draft).await {
            Ok(places) => {
                Placement::answered(&places, 1, place.partitions).map_err(|bad| wrong(&bad))?;
                return Ok(OfCanary::Places(places));
            }
            Err(broken) => Err(broken),
        },
        _ => instance.on_send(produced(&draft, &context), &draft, shown, facts).await,
    };
    match answered {
        Ok(answer) => {
            draft.apply(&answer).map_err(|bad| wrong(&bad))?;
            Ok(OfCanary::Records(answer))
        }
        Err(broken) if broken.cause == Cause::Refused => Ok(OfCanary::Refused(broken.message)),
        Err(broken) => Err(broken),
    }
}
