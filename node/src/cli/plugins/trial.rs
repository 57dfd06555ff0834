//! Running a plugin on records as a node would, without a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use weir_core::pipeline::failing;
use weir_wire::batch::{self, Limits};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{NodeId, PartitionIndex, ProducerId};
use weir_wire::lane::Outcome;

use super::records::OwnRecord;
use crate::cli::output::Failure;
use crate::plugins::{
    BatchContext, BatchTarget, BindingConfig, Bindings, Kind, Opening, Pipeline, Place, Plugins, Processed,
    Snapshot,
};

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes on as it was.
    Kept { partition: Option<u32> },
    /// It goes on as another.
    Replaced { partition: Option<u32>, record: OwnRecord },
    /// The plugin dropped it.
    Dropped,
    /// The plugin rejected it, with its reason.
    Rejected(String),
    /// The plugin failed on its batch.
    Failed(String),
}

/// A run over all batches.
pub(super) struct Run {
    /// By batch, then by record.
    pub(super) fates: Vec<Vec<Fate>>,
    pub(super) figures: Snapshot,
}

/// A plugin, and how it is bound for the trial.
pub(super) struct Trial<'a> {
    pub(super) plugins: &'a Plugins,
    pub(super) binding: BindingConfig,
    pub(super) partitions: u32,
}

/// What is known of a batch besides its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    /// The producer, if it is idempotent.
    pub(super) producer: Option<u64>,
    /// The batch's number in its lane.
    pub(super) ordinal: u64,
    /// The partition that its producer guesses.
    pub(super) guess: Option<u32>,
}

/// The topic that the plugin is told.
const TOPIC: &str = "trial";
/// The producer that it is told.
const PRINCIPAL: &str = "trial";

impl Trial<'_> {
    /// Runs the batches in the order of `order`, on instances of their own unless the binding says `reuse`.
    pub(super) async fn run(
        &self,
        batches: &[Bytes],
        order: impl Iterator<Item = usize>,
        reuse: bool,
    ) -> Result<Run, Failure> {
        let pipeline = self.pipeline(reuse).await?;
        let mut fates = vec![Vec::new(); batches.len()];
        for at in order {
            let about = About { producer: Some(1), ordinal: at as u64, guess: None };
            fates[at] = self.answer(&pipeline, &batches[at], about).await?;
        }
        let figures = pipeline.snapshots().into_iter().next().unwrap_or_default();
        Ok(Run { fates, figures })
    }

    /// The plugin, ready to be tried.
    pub(super) async fn pipeline(&self, reuse: bool) -> Result<Arc<Pipeline>, failing::Failure> {
        let binding = BindingConfig { reuse, ..self.binding.clone() };
        let bindings = match binding.plugin.kind() {
            Kind::ProducerInterceptor => {
                Bindings { producer_interceptors: vec![binding], ..Bindings::default() }
            }
            Kind::ConsumerInterceptor => {
                Bindings { consumer_interceptors: vec![binding], ..Bindings::default() }
            }
            Kind::Partitioner | Kind::Assignor => {
                Bindings { partitioner: Some(binding), ..Bindings::default() }
            }
        };
        let place = Place::of(TOPIC, 1, self.partitions);
        self.plugins.pipeline(bindings, place, Opening::Try).await
    }

    /// What it makes of one batch.
    pub(super) async fn answer(
        &self,
        pipeline: &Pipeline,
        batch: &Bytes,
        about: About,
    ) -> Result<Vec<Fate>, Failure> {
        if self.binding.plugin.kind() == Kind::ConsumerInterceptor {
            fetched(pipeline, batch).await
        } else {
            produced(pipeline, batch, about).await
        }
    }
}

async fn produced(pipeline: &Pipeline, batch: &Bytes, about: About) -> Result<Vec<Fate>, Failure> {
    let limits = Limits::default();
    let records = batch::records(batch, &limits)?;
    let originals: Vec<OwnRecord> = records.iter().map(|record| OwnRecord::of(&record)).collect();
    let context = BatchContext {
        producer: about.producer.map(ProducerId),
        ordinal: about.ordinal,
        target: about
            .guess
            .map_or(BatchTarget::Unguessed, |guess| BatchTarget::Guessed(PartitionIndex(guess))),
        resent: false,
        limits,
        principal: PRINCIPAL,
        entry_node: NodeId(1),
        dead_letter_partitions: None,
    };
    let (placement, batches) = match pipeline.run(batch.clone(), records, &context).await {
        Processed::Placed { placement, batches } => (placement, batches),
        Processed::Retry(error) => return Ok(vec![Fate::Failed(error.to_string()); originals.len()]),
        Processed::Refused(outcome) => return Ok(vec![settled(&outcome); originals.len()]),
    };
    let mut parts = Vec::new();
    for part in &batches {
        let records = batch::records(part, &limits)?;
        parts.push(records.iter().map(|record| OwnRecord::of(&record)).collect::<Vec<_>>().into_iter());
    }
    let outcomes =
        placement.runs.iter().flat_map(|run| std::iter::repeat_n(run.outcome, run.records as usize));
    let fates = originals.into_iter().zip(outcomes).map(|(original, outcome)| {
        let outcome = outcome as usize;
        let Some(partition) = placement.parts.get(outcome) else {
            return settled(&placement.settled[outcome - placement.parts.len()]);
        };
        let stored = parts[outcome].next().expect("a part holds the records that its runs count");
        went_on(original, stored, Some(partition.0))
    });
    Ok(fates.collect())
}

async fn fetched(pipeline: &Pipeline, batch: &Bytes) -> Result<Vec<Fate>, Failure> {
    let limits = Limits::default();
    let originals = batch::records(batch, &limits)?;
    let shown = match pipeline.fetch(batch.clone(), PartitionIndex(0), limits).await {
        Ok(shown) => batch::records(&shown, &limits)?,
        Err(error) => return Ok(vec![Fate::Failed(error.to_string()); originals.len()]),
    };
    let mut shown: BTreeMap<u32, OwnRecord> =
        shown.iter().map(|record| (record.offset_delta, OwnRecord::of(&record))).collect();
    let fate = |record: batch::RecordRef<'_>| match shown.remove(&record.offset_delta) {
        Some(shown) => went_on(OwnRecord::of(&record), shown, None),
        None => Fate::Dropped,
    };
    Ok(originals.iter().map(fate).collect())
}

fn went_on(original: OwnRecord, now: OwnRecord, partition: Option<u32>) -> Fate {
    if now == original { Fate::Kept { partition } } else { Fate::Replaced { partition, record: now } }
}

fn settled(outcome: &Outcome) -> Fate {
    let is_verdict = |error: &WireError| error.code == ErrorCode::InvalidRecord;
    match outcome {
        Outcome::Dropped => Fate::Dropped,
        Outcome::Rejected(error) if is_verdict(error) => Fate::Rejected(error.message.clone()),
        Outcome::Rejected(error)
        | Outcome::Failed(error)
        | Outcome::Retry(error)
        | Outcome::Unknown(error) => Fate::Failed(error.to_string()),
        Outcome::Stored { .. } => unreachable!("nothing is stored in a trial"),
    }
}
