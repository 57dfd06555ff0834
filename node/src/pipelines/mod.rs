//! The pipelines of this node's topics: made ready as the metadata names them, handed to lanes and fetch streams.
//!
//! ```text
//!  metadata ──▶ warming: one task per revision ──▶ slots ──▶ at(topic, revision), consumers(topic)
//!                  │ components by digest, loaded    │
//!                  │ staged: ready, or why not       │ upkeep: who fails too often is rolled back
//!                  ▼                                 ▼
//!              controller ◀──────────────────────────┘
//! ```
//!
//! A topic without plugins has no slot and costs nothing: its lanes hold a [`Revised`] without a pipeline. What lanes
//! hold, they hold until they end, so a swap never takes a pipeline away under a batch.

mod lanes;
mod shadows;
mod upkeep;
mod warming;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use weir_core::metadata::{Image, PipelineSpec, TopicState};
use weir_wire::batch::control::{PluginDigest as MarkedPlugin, RevisionMarker};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{NodeId, Revision, TopicId};
use weir_wire::plugin::PluginDigest;

pub use self::lanes::OpenLane;
pub use self::shadows::{Offered, Shadow, ShadowSeen, Taken as Shadowed};
use crate::controller::Controller;
use crate::outside::Outside;
use crate::plugins::{Commit, Grants, Loaded, Pipeline, Plugins, Snapshot};
use crate::watched::Watched;

/// How long a lane waits for a revision that this node does not know yet, or has not made ready.
const READY_WAIT: Duration = Duration::from_secs(1);
/// Of the topic that records are put into that a plugin failed on, and whose binding says so.
const DEAD_LETTERS_SUFFIX: &str = ".dead-letter";

/// Where the bytes of components come from.
pub trait Components: Send + Sync {
    /// The component of a digest, from this node or from another one; the error says what to do.
    fn get(&self, digest: PluginDigest) -> Fetching<'_>;
}

/// A component on its way.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Bytes, String>> + Send + 'a>>;

/// The pipelines of a node. Cheap to clone.
#[derive(Clone)]
pub struct Pipelines(Arc<Shared>);

struct Shared {
    node: NodeId,
    outside: Outside,
    controller: Controller,
    plugins: Plugins,
    components: Arc<dyn Components>,
    /// What is loaded, for as long as a binding has it: bindings of one component share its code.
    loaded: Mutex<BTreeMap<(PluginDigest, Grants), Weak<Loaded>>>,
    slots: Mutex<BTreeMap<Key, Slot>>,
    /// Counts the changes of `slots`.
    changed: Watched<u64>,
    /// Revisions that somebody waits for and nobody keeps warm.
    wanted: mpsc::UnboundedSender<Key>,
    lanes: Mutex<lanes::LanesOfNode>,
    /// Staged pipelines that are compared with those in force.
    shadows: shadows::Shadows,
    /// What runs until the node stops.
    background: Mutex<Vec<AbortHandle>>,
}

/// A revision of a topic's pipeline.
type Key = (TopicId, Revision);

/// How far a pipeline is that has plugins.
#[derive(Clone)]
enum Slot {
    /// A task works on it.
    Building,
    Ready(Arc<Pipeline>),
    /// It could not be made ready, as the sentence says.
    Failed(Arc<str>),
}

/// A topic's pipeline at one revision, as a lane holds on to it.
#[derive(Clone)]
pub struct Revised {
    /// How many partitions records are placed into.
    pub partitions: u32,
    /// The plugins that batches meet on their way into the log; `None` where there are none.
    pub pipeline: Option<Arc<Pipeline>>,
    /// What the log is told before the first batch; `None` at the revision that the log begins with.
    pub made_by: Option<Arc<RevisionMarker>>,
}

/// What made the parts of a revision.
#[derive(Clone)]
pub struct MadeBy {
    /// What the log is told before the first of them; `None` at the revision that the log begins with.
    pub marker: Option<Arc<RevisionMarker>>,
    /// Whether plugins had a hand in it.
    pub by_plugins: bool,
}

impl Pipelines {
    /// The pipelines of a node, none of them ready. Call [`Pipelines::start`] when the node is registered.
    #[must_use]
    pub fn new(
        node: NodeId,
        outside: Outside,
        controller: Controller,
        plugins: Plugins,
        components: Arc<dyn Components>,
    ) -> (Pipelines, Wanted) {
        let (wanted, asked) = mpsc::unbounded_channel();
        let pipelines = Pipelines(Arc::new(Shared {
            node,
            outside,
            controller,
            plugins,
            components,
            loaded: Mutex::default(),
            slots: Mutex::default(),
            changed: Watched::new(0),
            wanted,
            lanes: Mutex::default(),
            shadows: shadows::Shadows::default(),
            background: Mutex::default(),
        }));
        (pipelines, Wanted(asked))
    }

    /// Follows the metadata from now on.
    pub fn start(&self, wanted: Wanted) {
        self.lanes().begin(&self.0.controller.image());
        let tasks = [
            tokio::spawn(warming::run(self.clone(), wanted.0)).abort_handle(),
            tokio::spawn(upkeep::run(self.clone())).abort_handle(),
        ];
        self.background().extend(tasks);
    }

    /// Ends what runs.
    pub fn stop(&self) {
        self.background().drain(..).for_each(|task| task.abort());
        self.stop_shadows();
    }

    /// A pipeline that nothing goes through, to learn whether it can be, or what it does.
    ///
    /// # Errors
    /// What a plugin said, for people.
    pub async fn trial(
        &self,
        topic: &str,
        revision: Revision,
        spec: &PipelineSpec,
    ) -> Result<Arc<Pipeline>, WireError> {
        let refused = |why| WireError::new(ErrorCode::InvalidPlugin, why);
        warming::trial(self, topic, revision, spec, false).await.map_err(refused)
    }

    /// The plugin host.
    #[must_use]
    pub fn plugins(&self) -> &Plugins {
        &self.0.plugins
    }

    /// Whether batches can be taken here at a revision at this moment, as far as its plugins go.
    #[must_use]
    pub fn is_ready(&self, topic: TopicId, revision: Revision) -> bool {
        let image = self.0.controller.image();
        let spec = image.topic_by_id(topic).and_then(|(_, state)| state.pipeline(revision));
        spec.is_some_and(|spec| {
            spec.is_plain() || matches!(self.slot((topic, revision)), Some(Slot::Ready(_)))
        })
    }

    /// A topic's pipeline at a revision. Waits a moment where this node has not heard of it or is not ready.
    ///
    /// # Errors
    /// Typed: the topic is gone, the revision is closed, or it is not ready here and may be elsewhere.
    pub async fn at(&self, topic: TopicId, revision: Revision) -> Result<Revised, WireError> {
        let finding = async {
            loop {
                let image = self.0.controller.image();
                let (name, state) = find_topic(&image, topic)?;
                if revision > state.revision {
                    self.0.controller.newer_than(image.index).await;
                    continue;
                }
                let Some(pipeline) = state.pipelines.get(&revision) else {
                    return Err(closed(name, revision, state.revision));
                };
                let spec = &pipeline.spec;
                return Ok(Revised {
                    partitions: spec.partitions,
                    pipeline: if meets_producers(spec) {
                        Some(self.ready(name, (topic, revision)).await?)
                    } else {
                        None
                    },
                    made_by: marker(state, revision, spec),
                });
            }
        };
        tokio::time::timeout(READY_WAIT, finding).await.unwrap_or_else(|_| {
            let sentence = format!(
                "revision {revision} of the topic's pipeline is not ready on this node; use another one"
            );
            Err(WireError::new(ErrorCode::PipelineNotReady, sentence))
        })
    }

    /// What made a part that another node ran through its pipeline, for its leader.
    ///
    /// # Errors
    /// As [`Pipelines::at`].
    pub async fn made_by(&self, topic: TopicId, revision: Revision) -> Result<MadeBy, WireError> {
        let hearing = async {
            loop {
                let image = self.0.controller.image();
                let (name, state) = find_topic(&image, topic)?;
                if revision <= state.revision {
                    let Some(pipeline) = state.pipelines.get(&revision) else {
                        return Err(closed(name, revision, state.revision));
                    };
                    let spec = &pipeline.spec;
                    return Ok(MadeBy {
                        marker: marker(state, revision, spec),
                        by_plugins: meets_producers(spec),
                    });
                }
                self.0.controller.newer_than(image.index).await;
            }
        };
        tokio::time::timeout(READY_WAIT, hearing).await.unwrap_or_else(|_| {
            let sentence =
                format!("this node has not heard of revision {revision} of the topic's pipeline yet");
            Err(WireError::new(ErrorCode::PipelineNotReady, sentence))
        })
    }

    /// The pipeline in force that a topic's batches meet on their way to consumers; `None` where no plugin looks at
    /// them.
    ///
    /// # Errors
    /// As [`Pipelines::at`]: what has not been looked at is not shown.
    pub async fn consumers(&self, topic: TopicId) -> Result<Option<Arc<Pipeline>>, WireError> {
        let image = self.0.controller.image();
        let (name, state) = find_topic(&image, topic)?;
        if state.current_pipeline().spec.consumer_interceptors.is_empty() {
            return Ok(None);
        }
        let ready = self.ready(name, (topic, state.revision));
        tokio::time::timeout(READY_WAIT, ready).await.map_or_else(
            |_| {
                let sentence =
                    format!("the consumer interceptors of topic '{name}' are not ready on this node yet");
                Err(WireError::new(ErrorCode::PipelineNotReady, sentence))
            },
            |ready| ready.map(Some),
        )
    }

    /// Tells the consumer interceptors in force of a topic about a commit. Never waits.
    pub fn committed(&self, topic: TopicId, commit: Commit) {
        let image = self.0.controller.image();
        let Some((_, state)) = image.topic_by_id(topic) else { return };
        if state.current_pipeline().spec.consumer_interceptors.is_empty() {
            return;
        }
        if let Some(Slot::Ready(pipeline)) = self.slot((topic, state.revision))
            && pipeline.wants_commits()
        {
            pipeline.committed(commit);
        }
    }

    /// The figures of the plugins of all pipelines that are ready here.
    #[must_use]
    pub fn snapshots(&self) -> Vec<Snapshot> {
        let slots = self.slots();
        slots.values().filter_map(Slot::ready).flat_map(|pipeline| pipeline.snapshots()).collect()
    }

    /// Notes that a pipeline made something else of a batch that was sent again: against each of its plugins, as nobody
    /// can say which of them it was.
    pub fn answered_differently(&self, topic: &str, revision: Revision, pipeline: &Pipeline) {
        let plugins = pipeline.answered_differently().join(", ");
        tracing::error!(topic, %revision, plugins, "a plugin answered differently when a batch was sent again: it is not a pure function");
        metrics::counter!("weir_plugins_nondeterministic_total", "topic" => topic.to_owned()).increment(1);
    }

    /// Waits until a pipeline with plugins is ready; the caller bounds how long.
    async fn ready(&self, name: &str, key: Key) -> Result<Arc<Pipeline>, WireError> {
        let mut is_asked = false;
        loop {
            let seen = *self.0.changed.get();
            match self.slot(key) {
                Some(Slot::Ready(pipeline)) => return Ok(pipeline),
                Some(Slot::Failed(why)) => {
                    let sentence = format!(
                        "the pipeline of topic '{name}' cannot run on this node: {why}; use another one"
                    );
                    return Err(WireError::new(ErrorCode::PipelineNotReady, sentence));
                }
                Some(Slot::Building) => {}
                None if is_asked => {}
                None => {
                    is_asked = true;
                    // Where nobody listens any more the node is stopping, and the caller waits in vain.
                    let _ = self.0.wanted.send(key);
                }
            }
            self.0.changed.wait_until(|changes| *changes != seen).await;
        }
    }

    fn slot(&self, key: Key) -> Option<Slot> {
        self.slots().get(&key).cloned()
    }

    fn set(&self, key: Key, slot: Slot) {
        self.slots().insert(key, slot);
        self.notify();
    }

    fn notify(&self) {
        let next = self.0.changed.get().wrapping_add(1);
        self.0.changed.set(next);
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<Key, Slot>> {
        // The guarded code inserts and removes whole entries.
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lanes(&self) -> MutexGuard<'_, lanes::LanesOfNode> {
        // The guarded code changes one count or entry at a time.
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn background(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.0.background.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Revisions that lanes ask for, on their way to who makes them ready.
pub struct Wanted(mpsc::UnboundedReceiver<Key>);

impl Slot {
    fn ready(&self) -> Option<&Arc<Pipeline>> {
        match self {
            Slot::Ready(pipeline) => Some(pipeline),
            Slot::Building | Slot::Failed(_) => None,
        }
    }
}

/// The name of the topic that takes a topic's dead letters.
#[must_use]
pub fn dead_letters_of(topic: &str) -> String {
    format!("{topic}{DEAD_LETTERS_SUFFIX}")
}

/// Whether batches meet a plugin on their way into the log.
fn meets_producers(spec: &PipelineSpec) -> bool {
    !spec.producer_interceptors.is_empty() || spec.partitioner.is_some()
}

/// What a topic's logs are told of a revision, if they do not begin with it.
fn marker(topic: &TopicState, revision: Revision, spec: &PipelineSpec) -> Option<Arc<RevisionMarker>> {
    if revision <= topic.created_at_revision {
        return None;
    }
    let plugins = spec.bindings().map(|(_, binding)| MarkedPlugin {
        name: format!("{}@{}", binding.plugin, binding.version),
        sha256: binding.digest.0,
    });
    Some(Arc::new(RevisionMarker { revision, plugins: plugins.collect() }))
}

/// The topic with this id, and its name.
///
/// # Errors
/// `UnknownTopic`, with what to do.
pub fn find_topic(image: &Image, topic: TopicId) -> Result<(&str, &TopicState), WireError> {
    image.topic_by_id(topic).ok_or_else(|| {
        let sentence = format!("there is no topic with id {topic}; refresh the metadata");
        WireError::new(ErrorCode::UnknownTopic, sentence)
    })
}

fn closed(name: &str, revision: Revision, current: Revision) -> WireError {
    let sentence =
        format!("revision {revision} of the pipeline of topic '{name}' is closed; go on at {current}");
    WireError::new(ErrorCode::StaleRevision, sentence)
}
