//! Makes pipelines ready: what is in force, what is staged, what a rollback would go to, and what a lane asks for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use weir_core::metadata::{Binding, Command, Image, PipelineSpec, TopicState};
use weir_core::pipeline::failing::OnFailure;
use weir_wire::ids::{Incarnation, Revision, TopicId};
use weir_wire::names;
use weir_wire::plugin::PluginDigest;

use super::{Key, Pipelines, Slot, dead_letters_of};
use crate::controller::SubmitError;
use crate::plugins::{
    Assignor, BindingConfig, Bindings, Grants, Limits, Loaded, Opening, Pipeline, Place, Purpose,
};

/// How many revisions of a topic are kept ready beside the staged one, the newest first. Lanes that come back under
/// an older one have it made ready again.
const WARM_MAX: usize = 4;
/// How many revisions that lanes asked for are kept ready beside those.
const ASKED_MAX: usize = 64;
/// The pause before what failed is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What the task remembers.
struct Warming {
    pipelines: Pipelines,
    /// What this life of the node has reported of staged pipelines.
    reported: BTreeSet<(Key, Incarnation)>,
    /// The revisions that lanes asked for lately, the newest last.
    asked: VecDeque<Key>,
}

/// Follows the metadata, and who waits, until the node stops.
pub(super) async fn run(pipelines: Pipelines, mut wanted: mpsc::UnboundedReceiver<Key>) {
    let mut image = pipelines.0.controller.image();
    let mut warming = Warming { pipelines, reported: BTreeSet::new(), asked: VecDeque::new() };
    loop {
        let changed = warming.pipelines.0.changed.get();
        warming.follow(&image);
        tokio::select! {
            biased;
            Some(key) = wanted.recv() => warming.open(&image, key),
            newer = warming.pipelines.0.controller.newer_than(image.index) => image = newer,
            // A staged pipeline became ready, or could not.
            _ = warming.pipelines.0.changed.wait_until(|changes| *changes != *changed) => {}
            () = tokio::time::sleep(RETRY) => warming.retry(),
        }
    }
}

impl Warming {
    fn follow(&mut self, image: &Image) {
        let slots: BTreeSet<Key> = {
            let mut slots = self.pipelines.slots();
            slots.retain(|key, slot| {
                let state = image.topic_by_id(key.0).map(|(_, state)| state);
                let state = state.filter(|state| state.pipeline(key.1).is_some());
                state.is_some_and(|state| is_warm(state, key.1) || self.asked.contains(key) || is_held(slot))
            });
            slots.keys().copied().collect()
        };
        for (name, topic) in image.topics.iter().filter(|(name, _)| !names::is_internal(name)) {
            let warm =
                topic.pipelines.iter().rev().take(WARM_MAX).map(|(revision, state)| (*revision, &state.spec));
            let staged = topic.staged.as_ref().map(|staged| (staged.revision, &staged.spec));
            for (revision, spec) in warm.chain(staged) {
                let key = (topic.id, revision);
                if !spec.is_plain() && !slots.contains(&key) {
                    self.build(image, name, topic, key, spec);
                }
            }
            self.report(image, topic);
            if let Some(partitions) = lacks_dead_letters(image, name, topic) {
                self.create_dead_letters(name, partitions);
            }
        }
    }

    /// Makes a revision ready that somebody waits for.
    fn open(&mut self, image: &Image, key: Key) {
        let Some((name, topic)) = image.topic_by_id(key.0) else { return };
        self.asked.retain(|asked| *asked != key);
        self.asked.push_back(key);
        if self.asked.len() > ASKED_MAX {
            self.asked.pop_front();
        }
        if let Some(spec) = topic.pipeline(key.1).filter(|_| self.pipelines.slot(key).is_none()) {
            self.build(image, name, topic, key, spec);
        }
    }

    /// Forgets what failed, so that it is tried again. What is staged and failed is the operator's to stage again.
    fn retry(&mut self) {
        let image = self.pipelines.0.controller.image();
        let is_staged = |(topic, revision): &Key| {
            let staged = image.topic_by_id(*topic).and_then(|(_, topic)| topic.staged.as_ref());
            staged.is_some_and(|staged| staged.revision == *revision)
        };
        self.pipelines.slots().retain(|key, slot| !matches!(slot, Slot::Failed(_)) || is_staged(key));
    }

    fn build(&self, image: &Image, name: &str, topic: &TopicState, key: Key, spec: &PipelineSpec) {
        let is_staged = topic.staged.as_ref().is_some_and(|staged| staged.revision == key.1);
        let order = Order {
            pipelines: self.pipelines.clone(),
            place: Place::of(name, key.1.0, spec.partitions),
            opening: if is_staged { Opening::Stage } else { Opening::Reopen },
            allowed_wasi: allowed_wasi(image, spec),
            spec: spec.clone(),
        };
        self.pipelines.set(key, Slot::Building);
        tokio::spawn(async move {
            let pipelines = order.pipelines.clone();
            let topic = order.place.topic.clone();
            let slot = match order.carry_out().await {
                Ok(pipeline) => Slot::Ready(pipeline),
                Err(why) => {
                    tracing::warn!(topic, revision = %key.1, why, "a pipeline cannot run on this node");
                    Slot::Failed(why.into())
                }
            };
            pipelines.set(key, slot);
        });
    }

    /// Tells the metadata how far this node is with what a topic has staged, in this life of it.
    fn report(&mut self, image: &Image, topic: &TopicState) {
        let Some(staged) = &topic.staged else { return };
        let Some(me) = image.nodes.get(&self.pipelines.0.node).map(|node| node.incarnation) else { return };
        let (key, node) = ((topic.id, staged.revision), self.pipelines.0.node);
        let failure = match self.pipelines.slot(key) {
            _ if staged.spec.is_plain() => None,
            Some(Slot::Ready(_)) => None,
            Some(Slot::Failed(why)) => Some(why.to_string()),
            Some(Slot::Building) | None => return,
        };
        self.reported
            .retain(|((reported, revision), _)| *reported != topic.id || *revision == staged.revision);
        let is_noted = staged.ready.get(&node) == Some(&me)
            || staged.failed.get(&node).is_some_and(|(incarnation, _)| *incarnation == me);
        if is_noted || !self.reported.insert((key, me)) {
            return;
        }
        let command = Command::ReportReady {
            topic: topic.id,
            revision: staged.revision,
            node,
            incarnation: me,
            failure,
        };
        let controller = self.pipelines.0.controller.clone();
        tokio::spawn(async move {
            loop {
                match controller.submit(command.clone()).await {
                    // What was staged is another by now, or this node another.
                    Ok(_) | Err(SubmitError::Refused(_) | SubmitError::Stopping) => return,
                    Err(error) => {
                        tracing::warn!(%error, "a node could not report what it is ready for; trying on")
                    }
                }
                tokio::time::sleep(RETRY).await;
            }
        });
    }

    fn create_dead_letters(&self, topic: &str, partitions: u32) {
        let pipelines = self.pipelines.clone();
        let name = dead_letters_of(topic);
        let mut id = [0; 16];
        pipelines.0.outside.random.fill(&mut id);
        tokio::spawn(async move {
            let command = Command::CreateTopic {
                name: name.clone(),
                id: TopicId(id),
                partitions: Some(partitions),
                replication_factor: None,
                configs: Default::default(),
            };
            match pipelines.0.controller.submit(command).await {
                Ok(_) => tracing::info!(topic = name, "created for records that plugins fail on"),
                // Another node was first.
                Err(SubmitError::Refused(weir_core::metadata::MetadataError::TopicExists(_))) => {}
                Err(error) => {
                    tracing::warn!(topic = name, %error, "the topic for dead letters could not be created")
                }
            }
        });
    }
}

/// Whether a revision is kept ready whoever asks for it.
fn is_warm(topic: &TopicState, revision: Revision) -> bool {
    let is_staged = topic.staged.as_ref().is_some_and(|staged| staged.revision == revision);
    is_staged || topic.pipelines.keys().rev().take(WARM_MAX).any(|warm| *warm == revision)
}

/// Whether a lane holds on to it, or it is being made.
fn is_held(slot: &Slot) -> bool {
    match slot {
        Slot::Building => true,
        Slot::Ready(pipeline) => Arc::strong_count(pipeline) > 1,
        Slot::Failed(_) => false,
    }
}

/// How many partitions the dead-letter topic needs that a topic's bindings name and that is not there.
fn lacks_dead_letters(image: &Image, name: &str, topic: &TopicState) -> Option<u32> {
    let specs = [Some(&topic.current_pipeline().spec), topic.staged.as_ref().map(|staged| &staged.spec)];
    let mut bindings = specs.into_iter().flatten().flat_map(PipelineSpec::bindings);
    let wants = bindings.any(|(_, binding)| binding.on_failure == OnFailure::DeadLetter);
    let lacks = wants && !image.topics.contains_key(&dead_letters_of(name));
    lacks.then_some(u32::try_from(topic.partitions.len()).unwrap_or(1))
}

/// Which bindings' plugins were granted an empty WASI, in the order of the pipeline.
fn allowed_wasi(image: &Image, spec: &PipelineSpec) -> Vec<bool> {
    let granted =
        |binding: &Binding| image.plugin(&binding.plugin, &binding.version).is_some_and(|plugin| plugin.wasi);
    spec.bindings().map(|(_, binding)| granted(binding)).collect()
}

/// Makes a pipeline ready that nobody keeps.
pub(super) async fn trial(
    pipelines: &Pipelines,
    topic: &str,
    revision: Revision,
    spec: &PipelineSpec,
    is_shadow: bool,
) -> Result<Arc<Pipeline>, String> {
    let image = pipelines.0.controller.image();
    let place = Place { is_shadow, ..Place::of(topic, revision.0, spec.partitions) };
    let allowed_wasi = allowed_wasi(&image, spec);
    let order = Order {
        pipelines: pipelines.clone(),
        spec: spec.clone(),
        place,
        opening: Opening::Stage,
        allowed_wasi,
    };
    order.carry_out().await
}

/// A pipeline to be made ready.
struct Order {
    pipelines: Pipelines,
    spec: PipelineSpec,
    place: Place,
    opening: Opening,
    allowed_wasi: Vec<bool>,
}

impl Order {
    async fn carry_out(self) -> Result<Arc<Pipeline>, String> {
        let mut configs = Vec::new();
        for ((_, binding), wasi) in self.spec.bindings().zip(&self.allowed_wasi) {
            configs.push(self.config(binding, *wasi).await?);
        }
        let mut configs = configs.into_iter();
        let bindings = Bindings {
            producer_interceptors: configs.by_ref().take(self.spec.producer_interceptors.len()).collect(),
            partitioner: self.spec.partitioner.as_ref().and_then(|_| configs.next()),
            consumer_interceptors: configs.collect(),
        };
        let ready = self.pipelines.0.plugins.pipeline(bindings, self.place, self.opening).await;
        ready.map_err(|failure| failure.to_string())
    }

    async fn config(&self, binding: &Binding, wasi: bool) -> Result<BindingConfig, String> {
        let mut limits = Limits::default();
        for (name, value) in &binding.limits {
            limits.set(name, &value.to_string())?;
        }
        Ok(BindingConfig {
            plugin: self.loaded(binding, wasi).await?,
            name: binding.plugin.clone(),
            version: binding.version.clone(),
            options: binding.options.clone(),
            limits,
            on_failure: binding.on_failure,
            reuse: binding.reuse,
        })
    }

    async fn loaded(&self, binding: &Binding, wasi: bool) -> Result<Arc<Loaded>, String> {
        let named = |why: String| format!("{}@{}: {why}", binding.plugin, binding.version);
        self.pipelines.loaded(binding.digest, wasi).await.map_err(named)
    }
}

impl Pipelines {
    /// The component of a digest, compiled and linked.
    async fn loaded(&self, digest: PluginDigest, wasi: bool) -> Result<Arc<Loaded>, String> {
        let key = (digest, Grants { wasi });
        let known = self.loaded_so_far().get(&key).and_then(Weak::upgrade);
        if let Some(loaded) = known {
            return Ok(loaded);
        }
        let component = self.0.components.get(digest).await?;
        let loaded = self.0.plugins.load(component, key.1, Purpose::Run).await;
        let loaded = loaded.map_err(|error| error.to_string())?;
        let mut so_far = self.loaded_so_far();
        so_far.retain(|_, one| one.strong_count() > 0);
        // Two may load it at once; the later ones share the last.
        so_far.insert(key, Arc::downgrade(&loaded));
        Ok(loaded)
    }

    fn loaded_so_far(&self) -> MutexGuard<'_, BTreeMap<(PluginDigest, Grants), Weak<Loaded>>> {
        // Each change is one step.
        self.0.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An assignor that an operator pushed, ready for a group.
    ///
    /// # Errors
    /// What is missing, or what the plugin said.
    pub async fn assignor(&self, name: &str, version: &str, group: &str) -> Result<Assignor, String> {
        let image = self.0.controller.image();
        let plugin = image.plugin(name, version).ok_or_else(|| "it was deleted; push it again".to_owned())?;
        let config = BindingConfig {
            plugin: self.loaded(plugin.digest, plugin.wasi).await?,
            name: name.to_owned(),
            version: version.to_owned(),
            options: Vec::new(),
            limits: Limits::default(),
            on_failure: OnFailure::default(),
            reuse: false,
        };
        self.0.plugins.assignor(config, group).await.map_err(|failure| failure.to_string())
    }
}
