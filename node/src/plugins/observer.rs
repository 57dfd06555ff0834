//! Hooks that only observe: called off the path of every answer, in order, and left out when there is no time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use weir_core::pipeline::answer::Rejection;
use weir_core::pipeline::failing::Hook;
use weir_core::pipeline::throttle::Throttle;
use weir_wire::error::ErrorCode;
use weir_wire::ids::{Offset, PartitionIndex};
use weir_wire::lane::{LaneAnswer, Outcome};

use super::binding::{Binding, Leased};
use super::contract::types;
use super::instance::Broken;
use crate::outside::metered;

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
        let (queue, mut events) = mpsc::channel::<Event>(WAITING_MAX);
        tokio::spawn(async move {
            // Of its own: who observes badly makes no producer wait.
            let mut throttle = Throttle::default();
            while let Some(event) = events.recv().await {
                let (binding, hook) = event.of();
                let rest = throttle.rest_ns(binding.now_ns()).max(binding.rest_ns());
                if rest > 0 {
                    tokio::time::sleep(Duration::from_nanos(rest)).await;
                }
                let started_ns = binding.now_ns();
                let (ended, busy_ns) = metered(binding.clock(), observe(event)).await;
                binding.observed(busy_ns);
                let now_ns = binding.now_ns();
                throttle.ended(now_ns, now_ns.saturating_sub(started_ns), ended.is_err());
                if let Err(broken) = ended {
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

impl Event {
    /// Whose call it is, and of what.
    fn of(&self) -> (Arc<Binding>, Hook) {
        let (binding, hook) = match self {
            Event::Acknowledged(binding, _) => (binding, Hook::OnAcknowledgement),
            Event::Committed(binding, _) => (binding, Hook::OnCommit),
            Event::Close(binding, _) => (binding, Hook::Close),
        };
        (Arc::clone(binding), hook)
    }
}

async fn observe(event: Event) -> Result<(), Broken> {
    match event {
        Event::Acknowledged(binding, acknowledgement) => acknowledge(&binding, &acknowledgement).await,
        Event::Committed(binding, commit) => report(&binding, &commit).await,
        Event::Close(_, ending) => close(ending).await,
    }
}

async fn acknowledge(binding: &Binding, acknowledgement: &Acknowledgement) -> Result<(), Broken> {
    let Acknowledgement { batch, answer } = acknowledgement;
    let rejections: Vec<_> = answer.outcomes.iter().map(rejection).collect();
    let outcomes: Vec<_> =
        answer.outcomes.iter().zip(&rejections).map(|(of, rejection)| outcome(of, rejection)).collect();
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
    let mut leased = binding.lease(binding.voice(batch.guess)).await?;
    leased.instance().on_acknowledgement(batch, &outcomes, &runs).await?;
    put_back(binding, leased).await
}

async fn report(binding: &Binding, commit: &Commit) -> Result<(), Broken> {
    let positions: Vec<_> = commit
        .positions
        .iter()
        .map(|(partition, offset)| types::Position { partition: partition.0, offset: offset.0 })
        .collect();
    let mut leased = binding.lease(binding.voice(None)).await?;
    leased.instance().on_commit(&commit.group, &positions).await?;
    put_back(binding, leased).await
}

/// Gives an instance back. Nobody waits here, so that it is told of its end at once.
async fn put_back(binding: &Binding, leased: Leased) -> Result<(), Broken> {
    match binding.release(leased) {
        Some(ending) => close(ending).await,
        None => Ok(()),
    }
}

async fn close(mut ending: Leased) -> Result<(), Broken> {
    ending.instance().close().await
}

/// What a rejected record was refused with. A number is only in what an interceptor decided, not in what the node says
/// about one that failed.
fn rejection(outcome: &Outcome) -> Rejection {
    match outcome {
        Outcome::Rejected(error) if error.code == ErrorCode::InvalidRecord => {
            Rejection::of_sentence(&error.message)
        }
        Outcome::Rejected(error) => Rejection { code: 0, reason: error.message.clone() },
        _ => Rejection::default(),
    }
}

fn outcome<'a>(outcome: &'a Outcome, rejection: &'a Rejection) -> types::Outcome<'a> {
    match outcome {
        Outcome::Stored { partition, base_offset, duplicate } => types::Outcome::Stored(types::Stored {
            partition: partition.0,
            base_offset: base_offset.map(|offset| offset.0),
            duplicate: *duplicate,
        }),
        Outcome::Dropped => types::Outcome::Dropped,
        Outcome::Rejected(_) => types::Outcome::Rejected(types::RejectionParam {
            code: rejection.code,
            reason: &rejection.reason,
        }),
        Outcome::Failed(error) | Outcome::Retry(error) => types::Outcome::Failed(&error.message),
        Outcome::Unknown(error) => types::Outcome::Unknown(&error.message),
    }
}
