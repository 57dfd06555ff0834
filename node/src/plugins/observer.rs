//! Hooks that only observe: called off the path of every answer, in order, and left out when there is no time.

use std::sync::Arc;

use tokio::sync::mpsc;
use weir_core::pipeline::failing::Hook;
use weir_wire::ids::{Offset, PartitionIndex};
use weir_wire::lane::{LaneAnswer, Outcome};

use super::binding::{Binding, Leased};
use super::contract::types;
use super::instance::Broken;

/// How many observing calls of one pipeline may wait.
const WAITING_MAX: usize = 1024;

/// What became of a batch.
#[derive(Clone, Debug)]
pub struct Acknowledgement {
    /// The batch as its producer sent it.
    pub batch: ObservedBatch,
    /// The answer that the producer got.
    pub answer: LaneAnswer,
}

/// What an observing hook is told of a batch.
#[derive(Clone, Copy, Debug)]
pub struct ObservedBatch {
    /// The lane's producer, if it is idempotent.
    pub producer: Option<u64>,
    /// The batch's number in its lane.
    pub ordinal: u64,
    /// The partition that the producer named or guessed.
    pub guess: Option<PartitionIndex>,
    /// How many records it had.
    pub count: u32,
    /// What its timestamp deltas count from.
    pub base_timestamp_ms: i64,
}

/// Positions that a group committed in the topic.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The group.
    pub group: String,
    /// Where it goes on in which partition.
    pub positions: Vec<(PartitionIndex, Offset)>,
}

/// The observing calls of one pipeline.
pub(super) struct Observer {
    queue: mpsc::Sender<Event>,
}

enum Event {
    Acknowledged(Arc<Binding>, Arc<Acknowledgement>),
    Committed(Arc<Binding>, Arc<Commit>),
    Close(Arc<Binding>, Leased),
}

impl Observer {
    /// Starts the task that makes the calls; it ends with the pipeline. Call it inside a runtime.
    pub(super) fn start() -> Observer {
        let (queue, mut events) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            while let Some(event) = events.recv().await {
                let (binding, hook) = match &event {
                    Event::Acknowledged(binding, _) => (Arc::clone(binding), Hook::OnAcknowledgement),
                    Event::Committed(binding, _) => (Arc::clone(binding), Hook::OnCommit),
                    Event::Close(binding, _) => (Arc::clone(binding), Hook::Close),
                };
                if let Err(broken) = observe(event).await {
                    binding.stats().failed(broken.cause);
                    tracing::debug!(failure = %binding.failure(hook, broken), "an observing call failed");
                }
            }
        });
        Observer { queue }
    }

    pub(super) fn acknowledged(&self, binding: &Arc<Binding>, acknowledgement: &Arc<Acknowledgement>) {
        self.send(binding, Event::Acknowledged(Arc::clone(binding), Arc::clone(acknowledgement)));
    }

    pub(super) fn committed(&self, binding: &Arc<Binding>, commit: &Arc<Commit>) {
        self.send(binding, Event::Committed(Arc::clone(binding), Arc::clone(commit)));
    }

    pub(super) fn close(&self, binding: &Arc<Binding>, ending: Leased) {
        self.send(binding, Event::Close(Arc::clone(binding), ending));
    }

    fn send(&self, binding: &Binding, event: Event) {
        if self.queue.try_send(event).is_err() {
            binding.stats().left_out();
        }
    }
}

async fn observe(event: Event) -> Result<(), Broken> {
    match event {
        Event::Acknowledged(binding, acknowledgement) => {
            let Acknowledgement { batch, answer } = &*acknowledgement;
            let outcomes: Vec<_> = answer.outcomes.iter().map(outcome).collect();
            let runs: Vec<_> = answer
                .runs
                .iter()
                .map(|run| types::OutcomeRun { records: run.records, outcome: run.outcome })
                .collect();
            let batch = types::ProducedBatch {
                producer_id: batch.producer,
                ordinal: batch.ordinal,
                guess: batch.guess.map(|partition| partition.0),
                count: batch.count,
                base_timestamp: batch.base_timestamp_ms,
            };
            let call = async |leased: &mut Leased| {
                leased.instance().on_acknowledgement(batch, &outcomes, &runs).await
            };
            on_instance(&binding, batch.guess, call).await
        }
        Event::Committed(binding, commit) => {
            let positions: Vec<_> = commit
                .positions
                .iter()
                .map(|(partition, offset)| types::Position { partition: partition.0, offset: offset.0 })
                .collect();
            let call =
                async |leased: &mut Leased| leased.instance().on_commit(&commit.group, &positions).await;
            on_instance(&binding, None, call).await
        }
        Event::Close(_, mut leased) => leased.instance().close().await,
    }
}

/// Runs an observing call on any instance.
async fn on_instance(
    binding: &Binding,
    partition: Option<u32>,
    call: impl AsyncFnOnce(&mut Leased) -> Result<(), Broken>,
) -> Result<(), Broken> {
    let turn = binding.turn().await?;
    let work = async {
        let mut leased = binding.lease(binding.voice(partition)).await?;
        call(&mut leased).await?;
        if let Some(mut ending) = binding.release(leased) {
            ending.instance().close().await?;
        }
        Ok(())
    };
    let result = work.await;
    binding.ended(turn, result.as_ref().err());
    result
}

fn outcome(outcome: &Outcome) -> types::Outcome<'_> {
    match outcome {
        Outcome::Stored { partition, base_offset, duplicate } => types::Outcome::Stored(types::Stored {
            partition: partition.0,
            base_offset: base_offset.map(|offset| offset.0),
            duplicate: *duplicate,
        }),
        Outcome::Dropped => types::Outcome::Dropped,
        Outcome::Rejected(error) => {
            types::Outcome::Rejected(types::RejectionParam { code: 0, reason: &error.message })
        }
        Outcome::Failed(error) | Outcome::Retry(error) => types::Outcome::Failed(&error.message),
        Outcome::Unknown(error) => types::Outcome::Unknown(&error.message),
    }
}
