//! Shadow runs: a staged pipeline gets what live producers send, and its answers are compared with those in force and
//! thrown away.
//!
//! ```text
//!  lane ──batch──▶ pipeline in force ──▶ partitions ──▶ answer ──▶ producer
//!    └─ offered: taken, or dropped and counted                │
//!                  └────────── queue (bounded) ◀──────────────┘
//!                                   ▼
//!              one task: the staged pipeline, within a share of a core ──▶ compared, counted, a few shown
//! ```
//!
//! A lane never waits for it: what finds no room is dropped and counted. What the staged pipeline does reaches nobody but
//! whoever asks for the report. A shadow run lives in the memory of its node, and ends with what it was for: when its
//! revision is no longer staged.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::AbortHandle;
use weir_core::metadata::PipelineSpec;
use weir_core::pipeline::budget::Budget;
use weir_core::pipeline::placing::Placement;
use weir_core::pipeline::shadow::{Compared, Made, Report};
use weir_wire::batch::{self, BatchError, Limits};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{NodeId, ProducerId, Revision, TopicId};
use weir_wire::lane::{LaneAnswer, Outcome};

use super::{Pipelines, find_topic, warming};
use crate::outside::metered;
use crate::plugins::{BatchContext, BatchTarget, Pipeline, Processed, Snapshot};

/// Batches that wait to be compared.
const QUEUED_MAX: usize = 256;
/// The memory of batches that are with a shadow run, in bytes; each counts twice: as it came, and as what was made of it.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// What a shadow run may take of a node: a quarter of one core, in thousandths.
const SHARE_PERMILLE: u32 = 250;
/// Shadow runs whose report is kept, of one node.
const RUNS_MAX: usize = 64;

/// The shadow runs of a node, those that ended too.
#[derive(Default)]
pub(super) struct Shadows {
    /// How many run, so that a node without any pays nothing.
    running: Arc<AtomicUsize>,
    by_topic: Mutex<BTreeMap<TopicId, Arc<Shadow>>>,
}

/// The shadow run of one topic on this node.
pub struct Shadow {
    revision: Revision,
    spec: PipelineSpec,
    /// Every how-manieth batch is taken.
    every: u32,
    pipeline: Arc<Pipeline>,
    started_ns: u64,
    queue: mpsc::Sender<Taken>,
    memory: Arc<Semaphore>,
    offered: AtomicU64,
    dropped: AtomicU64,
    /// How long it held a thread, the comparing too.
    busy_ns: AtomicU64,
    report: Mutex<Report>,
    end: Mutex<Option<End>>,
    task: Mutex<Option<AbortHandle>>,
    running: Arc<AtomicUsize>,
}

/// How a shadow run ended, and when.
#[derive(Clone, Debug)]
struct End {
    why: String,
    at_ns: u64,
}

/// What a shadow run came to so far, on this node.
#[derive(Clone, Debug)]
pub struct ShadowSeen {
    /// The staged revision.
    pub revision: Revision,
    /// Its plugins.
    pub spec: PipelineSpec,
    /// Every how-manieth batch is taken.
    pub every: u32,
    /// Why it ended; `None` while it runs.
    pub ended: Option<String>,
    /// How long it ran.
    pub ran_ns: u64,
    /// How much of that it held a thread.
    pub busy_ns: u64,
    /// Batches that found no room.
    pub dropped: u64,
    /// What comparing came to.
    pub report: Report,
    /// What its plugins did.
    pub figures: Vec<Snapshot>,
}

/// A batch as its lane offers it.
pub struct Offered<'a> {
    /// As it came.
    pub batch: &'a Bytes,
    /// What it is held to.
    pub limits: Limits,
    /// The lane's producer.
    pub producer: Option<ProducerId>,
    /// Its number in its lane.
    pub ordinal: u64,
    /// Where it is to go.
    pub target: BatchTarget,
    /// The producer's name.
    pub principal: &'a dyn std::fmt::Display,
    /// This node.
    pub entry_node: NodeId,
}

/// A batch on its way to being compared.
pub struct Taken {
    shadow: Arc<Shadow>,
    _memory: OwnedSemaphorePermit,
    batch: Bytes,
    limits: Limits,
    producer: Option<ProducerId>,
    ordinal: u64,
    target: BatchTarget,
    principal: String,
    entry_node: NodeId,
    placed: Option<(Placement, Vec<Bytes>)>,
    answer: Option<LaneAnswer>,
}

impl Shadow {
    /// Takes a batch, if it is its turn and there is room. Never waits.
    pub fn offer(self: &Arc<Shadow>, offered: &Offered<'_>) -> Option<Taken> {
        if !self.offered.fetch_add(1, Ordering::Relaxed).is_multiple_of(u64::from(self.every)) {
            return None;
        }
        let bytes = u32::try_from(offered.batch.len().saturating_mul(2)).unwrap_or(u32::MAX);
        let has_room = self.queue.capacity() > 0;
        let memory = Arc::clone(&self.memory).try_acquire_many_owned(bytes).ok().filter(|_| has_room);
        let Some(memory) = memory else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        Some(Taken {
            shadow: Arc::clone(self),
            _memory: memory,
            batch: offered.batch.clone(),
            limits: offered.limits,
            producer: offered.producer,
            ordinal: offered.ordinal,
            target: offered.target,
            principal: offered.principal.to_string(),
            entry_node: offered.entry_node,
            placed: None,
            answer: None,
        })
    }

    fn seen(&self, now_ns: u64) -> ShadowSeen {
        let end = locked(&self.end).clone();
        let until_ns = end.as_ref().map_or(now_ns, |end| end.at_ns);
        ShadowSeen {
            revision: self.revision,
            spec: self.spec.clone(),
            every: self.every,
            ended: end.map(|end| end.why),
            ran_ns: until_ns.saturating_sub(self.started_ns),
            busy_ns: self.busy_ns.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            report: locked(&self.report).clone(),
            figures: self.pipeline.snapshots(),
        }
    }

    /// Ends it, once: further batches are not offered any more.
    fn end(&self, why: String, at_ns: u64) {
        let mut end = locked(&self.end);
        if end.is_none() {
            *end = Some(End { why, at_ns });
            self.running.fetch_sub(1, Ordering::SeqCst);
        }
        if let Some(task) = locked(&self.task).take() {
            task.abort();
        }
    }
}

impl Taken {
    /// Notes what the pipeline in force made of it.
    pub fn placed(&mut self, placement: &Placement, batches: &[Bytes]) {
        self.placed = Some((placement.clone(), batches.to_vec()));
    }

    /// Lines it up, now that its producer is answered. Never waits.
    pub fn answered(mut self, answer: &LaneAnswer) {
        self.answer = Some(answer.clone());
        let shadow = Arc::clone(&self.shadow);
        if shadow.queue.try_send(self).is_err() {
            shadow.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Runs it through the staged pipeline, and compares.
    async fn compare(self) -> Result<(), BatchError> {
        let Some(answer) = &self.answer else { return Ok(()) };
        let records = batch::records(&self.batch, &self.limits)?;
        let in_force = match self.placed {
            Some((placement, batches)) => Made::placed(placement, &batches, &self.limits)?,
            None => {
                let unknown = || Outcome::Failed(WireError::new(ErrorCode::Internal, "it was not answered"));
                Made::Whole(answer.outcomes.first().cloned().unwrap_or_else(unknown))
            }
        };
        let context = BatchContext {
            producer: self.producer,
            ordinal: self.ordinal,
            target: self.target,
            resent: false,
            limits: self.limits,
            principal: &self.principal,
            entry_node: self.entry_node,
            // Nothing gets there: that there is such a topic is all that a policy needs.
            dead_letter_partitions: Some(1),
        };
        let pipeline = &self.shadow.pipeline;
        let staged = match pipeline.run(self.batch.clone(), records.clone(), &context).await {
            Processed::Placed { placement, batches } => Made::placed(placement, &batches, &self.limits)?,
            Processed::Retry(error) => Made::Whole(Outcome::Failed(error)),
            Processed::Refused(outcome) => Made::Whole(outcome),
        };
        // Reading batches again took its time, and comparing will.
        tokio::task::yield_now().await;
        let compared = Compared { records: &records, ordinal: self.ordinal, answer };
        locked(&self.shadow.report).compare(&compared, &in_force, &staged);
        Ok(())
    }
}

impl Pipelines {
    /// The shadow run of a topic, if one is under way here.
    #[must_use]
    pub fn shadow(&self, topic: TopicId) -> Option<Arc<Shadow>> {
        let shadows = &self.0.shadows;
        if shadows.running.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let shadow = locked(&shadows.by_topic).get(&topic).cloned()?;
        let runs = locked(&shadow.end).is_none();
        runs.then_some(shadow)
    }

    /// Has the staged pipeline of a topic run in shadow on this node, in place of an earlier run.
    ///
    /// # Errors
    /// Typed: nothing or another revision is staged, or it cannot run here.
    pub async fn start_shadow(
        &self,
        topic: TopicId,
        revision: Option<Revision>,
        every: u32,
    ) -> Result<(), WireError> {
        let image = self.0.controller.image();
        let (name, state) = find_topic(&image, topic)?;
        let staged =
            state.staged.as_ref().filter(|staged| revision.is_none_or(|asked| asked == staged.revision));
        let Some(staged) = staged else {
            let what = revision.map_or("nothing".to_owned(), |revision| format!("no revision {revision}"));
            let sentence = format!(
                "{what} is staged for topic '{name}'; stage it first: weir plugins stage {name} --interceptor NAME"
            );
            return Err(WireError::new(ErrorCode::PipelineChanged, sentence));
        };
        let refused = |why| WireError::new(ErrorCode::InvalidPlugin, why);
        let building = warming::trial(self, name, staged.revision, &staged.spec, true);
        let pipeline = building.await.map_err(refused)?;
        let (queue, taken) = mpsc::channel(QUEUED_MAX);
        let shadow = Arc::new(Shadow {
            revision: staged.revision,
            spec: staged.spec.clone(),
            every: every.max(1),
            pipeline,
            started_ns: self.now_ns(),
            queue,
            memory: Arc::new(Semaphore::new(BYTES_MAX)),
            offered: AtomicU64::default(),
            dropped: AtomicU64::default(),
            busy_ns: AtomicU64::default(),
            report: Mutex::default(),
            end: Mutex::default(),
            task: Mutex::default(),
            running: Arc::clone(&self.0.shadows.running),
        });
        self.0.shadows.running.fetch_add(1, Ordering::SeqCst);
        let run = run(self.clone(), topic, Arc::clone(&shadow), taken);
        *locked(&shadow.task) = Some(tokio::spawn(run).abort_handle());
        let before = {
            let mut by_topic = locked(&self.0.shadows.by_topic);
            let before = by_topic.insert(topic, shadow);
            forget(&mut by_topic);
            before
        };
        if let Some(before) = before {
            before.end("another run took its place".to_owned(), self.now_ns());
        }
        Ok(())
    }

    /// Ends the shadow run of a topic on this node, if one is under way. Its report stays.
    pub fn stop_shadow(&self, topic: TopicId) {
        let shadow = locked(&self.0.shadows.by_topic).get(&topic).cloned();
        if let Some(shadow) = shadow {
            shadow.end("it was stopped".to_owned(), self.now_ns());
        }
    }

    /// What the shadow run of a topic came to on this node: the latest one.
    #[must_use]
    pub fn shadow_seen(&self, topic: TopicId) -> Option<ShadowSeen> {
        let shadow = locked(&self.0.shadows.by_topic).get(&topic).cloned()?;
        Some(shadow.seen(self.now_ns()))
    }

    /// Ends every shadow run.
    pub(super) fn stop_shadows(&self) {
        let shadows: Vec<_> = locked(&self.0.shadows.by_topic).values().cloned().collect();
        shadows.iter().for_each(|shadow| shadow.end("the node stopped".to_owned(), self.now_ns()));
    }

    fn now_ns(&self) -> u64 {
        self.0.outside.clock.now().monotonic_ns
    }
}

/// Forgets a report, if there are too many: one of a run that ended.
fn forget(by_topic: &mut BTreeMap<TopicId, Arc<Shadow>>) {
    if by_topic.len() <= RUNS_MAX {
        return;
    }
    let over = by_topic.iter().find(|(_, shadow)| locked(&shadow.end).is_some()).map(|(topic, _)| *topic);
    if let Some(topic) = over {
        by_topic.remove(&topic);
    }
}

/// Compares what is lined up, one batch after the other, until the revision is no longer staged.
async fn run(pipelines: Pipelines, topic: TopicId, shadow: Arc<Shadow>, mut taken: mpsc::Receiver<Taken>) {
    let mut budget = Budget::of_permille(SHARE_PERMILLE);
    let is_over = is_over(&pipelines, topic, shadow.revision);
    tokio::pin!(is_over);
    let why = loop {
        let rest = budget.rest_ns(pipelines.now_ns());
        if rest > 0 {
            tokio::time::sleep(Duration::from_nanos(rest)).await;
        }
        let batch = tokio::select! {
            biased;
            why = &mut is_over => break why,
            batch = taken.recv() => batch,
        };
        let Some(batch) = batch else { break "nobody offers it anything any more".to_owned() };
        let (compared, busy_ns) = metered(&*pipelines.0.outside.clock, batch.compare()).await;
        if let Err(error) = compared {
            tracing::error!(%topic, %error, "a batch could not be read again to be compared");
        }
        budget.used(pipelines.now_ns(), busy_ns);
        shadow.busy_ns.fetch_add(busy_ns, Ordering::Relaxed);
        metrics::counter!("weir_shadow_batches_total").increment(1);
        metrics::counter!("weir_shadow_busy_nanoseconds_total").increment(busy_ns);
    };
    shadow.end(why, pipelines.now_ns());
}

/// Waits until a revision is no longer staged, and says what became of it.
async fn is_over(pipelines: &Pipelines, topic: TopicId, revision: Revision) -> String {
    let mut image = pipelines.0.controller.image();
    loop {
        let Ok((_, state)) = find_topic(&image, topic) else { return "the topic is gone".to_owned() };
        if state.revision == revision {
            return "its revision is in force now".to_owned();
        }
        if state.staged.as_ref().is_none_or(|staged| staged.revision != revision) {
            return "its revision is no longer staged".to_owned();
        }
        image = pipelines.0.controller.newer_than(image.index).await;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whole values are put in.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
