//! Pipelines of topics: staged, put in force, rolled back, closed.
//!
//! ```text
//!            stage                 every active node reports           activate
//!  spec ───────────────▶ staged ──────────────────────────▶ ready ───────────────▶ in force
//!                          │  under the next revision                                 │ superseded by an activation,
//!                          └── another stage, or a new partition count, ends it       │ a rollback, new partitions
//!                                                                                     ▼
//!                                                           closed ◀── grace ──── still open, for what is sent again
//! ```
//!
//! A revision's number is given out once and only rises: logs hold them in that order. So a rollback is one more
//! revision, with the plugins of an earlier one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_wire::ids::{Incarnation, NodeId, Revision, TopicId};
use weir_wire::names;
use weir_wire::plugin::{PluginDigest, PluginKind};

use super::plugins::label;
use super::rules::{Rule, Rules};
use super::{Applied, Command, Image, MetadataError, TopicState};
use crate::pipeline::failing::{Hook, OnFailure};

/// The most interceptors in one chain.
pub const INTERCEPTORS_MAX: usize = 16;
/// The most pipelines of one topic that are open at a time: each lies in every node's memory.
pub const OPENABLE_REVISIONS_MAX: usize = 1024;
/// The most bytes of all options of one pipeline.
const OPTIONS_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of a reason for which a node is not ready.
const FAILURE_BYTES_MAX: usize = 2000;

/// A plugin with its options, as it is bound in a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Its bytes.
    pub digest: PluginDigest,
    /// What it is configured with, in the operator's order.
    pub options: Vec<(String, String)>,
    /// Limits that are not the default, by name.
    pub limits: BTreeMap<String, u64>,
    /// What happens to records that it fails on.
    pub on_failure: OnFailure,
    /// Whether one instance serves many batches.
    pub reuse: bool,
}

/// The plugins of a topic, and how many partitions they place into.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineSpec {
    /// On the way into the log, in this order.
    pub producer_interceptors: Vec<Binding>,
    /// Who places records; without one, the default rule.
    pub partitioner: Option<Binding>,
    /// On the way to consumers, in this order.
    pub consumer_interceptors: Vec<Binding>,
    /// How many partitions the topic has under it.
    pub partitions: u32,
}

/// A pipeline under which batches may be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineState {
    /// Its plugins.
    pub spec: PipelineSpec,
    /// How it came into force.
    pub origin: Origin,
    /// From when its grace counts, in milliseconds since 1970; `None` while it is in force, and until somebody who
    /// knows the time saw that it is not.
    pub retired_at_ms: Option<u64>,
}

/// How a pipeline came into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// The topic was created with it.
    Created,
    /// It was activated.
    Activated {
        /// What was in force before: a rollback goes there.
        previous: Revision,
    },
    /// The topic got more partitions.
    Grown {
        /// Where a rollback goes, if anywhere.
        previous: Option<Revision>,
    },
    /// A later one was rolled back.
    RolledBack {
        /// Which.
        from: Revision,
        /// Who wanted it.
        cause: RollbackCause,
        /// Where the next rollback goes, if anywhere.
        previous: Option<Revision>,
    },
}

/// Who wants a pipeline rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RollbackCause {
    /// A person.
    Operator,
    /// A node, since a plugin fails too often. Once per activation: what an operator's activation did, no second one
    /// undoes.
    Traps,
}

/// A pipeline that nodes make ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedPipeline {
    /// Under which revision it will be in force.
    pub revision: Revision,
    /// Its plugins.
    pub spec: PipelineSpec,
    /// The nodes that are ready, as the incarnation that reported.
    pub ready: BTreeMap<NodeId, Incarnation>,
    /// The nodes that could not, with the reason.
    pub failed: BTreeMap<NodeId, (Incarnation, String)>,
}

impl PipelineSpec {
    /// Whether no plugin runs.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.bindings().next().is_none()
    }

    /// Every binding with the kind of plugin that belongs there, in the order in which records meet them.
    pub fn bindings(&self) -> impl Iterator<Item = (PluginKind, &Binding)> {
        let of = |kind: PluginKind| move |binding| (kind, binding);
        self.producer_interceptors
            .iter()
            .map(of(PluginKind::ProducerInterceptor))
            .chain(self.partitioner.iter().map(of(PluginKind::Partitioner)))
            .chain(self.consumer_interceptors.iter().map(of(PluginKind::ConsumerInterceptor)))
    }

    /// Whether a binding names this plugin.
    pub(super) fn names(&self, plugin: &str, version: &str) -> bool {
        self.bindings().any(|(_, binding)| binding.plugin == plugin && binding.version == version)
    }
}

impl PipelineState {
    pub(super) fn new(spec: PipelineSpec, origin: Origin) -> PipelineState {
        PipelineState { spec, origin, retired_at_ms: None }
    }

    /// Where a rollback goes.
    fn previous(&self) -> Option<Revision> {
        match self.origin {
            Origin::Created => None,
            Origin::Activated { previous } => Some(previous),
            Origin::Grown { previous } | Origin::RolledBack { previous, .. } => previous,
        }
    }
}

impl StagedPipeline {
    /// The active nodes that have not reported, and those that could not, as they run now.
    #[must_use]
    pub fn not_ready(&self, image: &Image, without: &[NodeId]) -> (Vec<NodeId>, Vec<(NodeId, String)>) {
        let (mut waiting, mut failed) = (Vec::new(), Vec::new());
        let asked = image.nodes.iter().filter(|(node, state)| state.is_active() && !without.contains(node));
        for (node, state) in asked {
            match self.failed.get(node) {
                _ if self.ready.get(node) == Some(&state.incarnation) => {}
                Some((incarnation, why)) if *incarnation == state.incarnation => {
                    failed.push((*node, why.clone()));
                }
                _ => waiting.push(*node),
            }
        }
        (waiting, failed)
    }
}

impl TopicState {
    /// The plugins of a revision under which batches may be taken, or of the staged one.
    #[must_use]
    pub fn pipeline(&self, revision: Revision) -> Option<&PipelineSpec> {
        let staged = self.staged.as_ref().filter(|staged| staged.revision == revision);
        self.pipelines
            .get(&revision)
            .map(|pipeline| &pipeline.spec)
            .or_else(|| staged.map(|staged| &staged.spec))
    }

    /// The plugins in force.
    ///
    /// # Panics
    /// Never: the pipeline in force is always there.
    #[must_use]
    pub fn current_pipeline(&self) -> &PipelineState {
        self.pipelines.get(&self.revision).expect("the pipeline in force is open")
    }

    /// Puts a pipeline in force. What was staged before was made for what is over now.
    fn supersede(&mut self, revision: Revision, spec: PipelineSpec, origin: Origin) {
        self.pipelines.insert(revision, PipelineState::new(spec, origin));
        self.revision = revision;
        self.newest_revision = self.newest_revision.max(revision);
        self.staged = None;
    }

    /// The same plugins place into more partitions: another pipeline.
    pub(super) fn grow_pipeline(&mut self, partitions: u32) {
        let current = self.current_pipeline();
        let spec = PipelineSpec { partitions, ..current.spec.clone() };
        let origin = Origin::Grown { previous: current.previous() };
        self.supersede(Revision(self.newest_revision.0 + 1), spec, origin);
    }

    /// Refuses one open pipeline too many.
    pub(super) fn check_openable(&self, name: &str) -> Result<(), MetadataError> {
        if self.pipelines.len() < OPENABLE_REVISIONS_MAX {
            Ok(())
        } else {
            Err(MetadataError::TooManyRevisions(name.to_owned()))
        }
    }

    fn check_revision(&self, name: &str, asked: Revision) -> Result<(), MetadataError> {
        if asked == self.revision {
            return Ok(());
        }
        Err(MetadataError::StaleRevision { topic: name.to_owned(), asked, known: self.revision })
    }

    fn check_staged(&self, name: &str, asked: Revision) -> Result<(), MetadataError> {
        let staged = self.staged.as_ref().map(|staged| staged.revision);
        if staged == Some(asked) {
            return Ok(());
        }
        Err(MetadataError::NotStaged { topic: name.to_owned(), asked, staged })
    }

    /// Whether a superseded pipeline must stay although its grace is over: a rollback goes there.
    fn is_next_rollback(&self, revision: Revision) -> bool {
        self.current_pipeline().previous() == Some(revision)
    }
}

impl Image {
    /// Stages a pipeline under the next revision.
    pub(super) fn stage_pipeline(
        &mut self,
        topic: TopicId,
        expected: Revision,
        spec: &PipelineSpec,
    ) -> Result<Applied, MetadataError> {
        let (name, state) = self.topic_by_id(topic).ok_or(MetadataError::UnknownTopicId(topic))?;
        if names::is_internal(name) {
            return Err(MetadataError::NoPlugins(name.to_owned()));
        }
        state.check_revision(name, expected)?;
        self.check_spec(spec)?;
        let state = self.topic_mut(topic)?;
        let revision = Revision(state.newest_revision.0 + 1);
        state.newest_revision = revision;
        let spec = PipelineSpec { partitions: state.partition_count(), ..spec.clone() };
        let (ready, failed) = Default::default();
        state.staged = Some(StagedPipeline { revision, spec, ready, failed });
        Ok(Applied::PipelineStaged(revision))
    }

    /// Notes what a node reports of the staged pipeline. The newest report counts.
    pub(super) fn report_ready(
        &mut self,
        topic: TopicId,
        revision: Revision,
        (node, incarnation): (NodeId, Incarnation),
        failure: Option<&str>,
    ) -> Result<Applied, MetadataError> {
        self.current_life(node, incarnation)?;
        let (name, state) = self.topic_by_id(topic).ok_or(MetadataError::UnknownTopicId(topic))?;
        state.check_staged(name, revision)?;
        if let Some(staged) = &mut self.topic_mut(topic)?.staged {
            staged.ready.remove(&node);
            staged.failed.remove(&node);
            match failure {
                None => drop(staged.ready.insert(node, incarnation)),
                Some(why) => drop(staged.failed.insert(node, (incarnation, shortened(why)))),
            }
        }
        Ok(Applied::ReadinessNoted)
    }

    /// Puts the staged pipeline in force, once every active node can run it.
    pub(super) fn activate_pipeline(
        &mut self,
        rules: Rules,
        topic: TopicId,
        revision: Revision,
        expected: Revision,
        without: &[NodeId],
    ) -> Result<Applied, MetadataError> {
        let (name, state) = self.topic_by_id(topic).ok_or(MetadataError::UnknownTopicId(topic))?;
        if state.revision == revision {
            // Asked again, by somebody who did not hear the answer.
            return Ok(Applied::PipelineActivated(revision));
        }
        if rules.hold(Rule::ActivationComparesRevisions) {
            state.check_revision(name, expected)?;
        }
        state.check_staged(name, revision)?;
        state.check_openable(name)?;
        if let Some(staged) = &state.staged
            && rules.hold(Rule::ActivationWaitsForReadiness)
        {
            let (waiting, failed) = staged.not_ready(self, without);
            if !waiting.is_empty() || !failed.is_empty() {
                return Err(MetadataError::NotReady { topic: name.to_owned(), revision, waiting, failed });
            }
        }
        let state = self.topic_mut(topic)?;
        if let Some(staged) = state.staged.take() {
            state.supersede(revision, staged.spec, Origin::Activated { previous: state.revision });
        }
        Ok(Applied::PipelineActivated(revision))
    }

    /// Puts the plugins of an earlier pipeline in force again: every node has run them, so none is asked.
    pub(super) fn roll_back_pipeline(
        &mut self,
        rules: Rules,
        topic: TopicId,
        expected: Revision,
        cause: RollbackCause,
    ) -> Result<Applied, MetadataError> {
        let (name, state) = self.topic_by_id(topic).ok_or(MetadataError::UnknownTopicId(topic))?;
        state.check_revision(name, expected)?;
        let refuse =
            |why: String| MetadataError::NoRollback { topic: name.to_owned(), revision: state.revision, why };
        let current = state.current_pipeline();
        let is_activated = matches!(current.origin, Origin::Activated { .. });
        if cause == RollbackCause::Traps && !is_activated && rules.hold(Rule::OneRollbackPerActivation) {
            return Err(refuse(
                "it was not activated by anybody, and a rollback by itself undoes only that".into(),
            ));
        }
        let to = current.previous().ok_or_else(|| {
            refuse("nothing was in force before it; stage and activate what you want instead".into())
        })?;
        let target = state.pipelines.get(&to).ok_or_else(|| {
            refuse(format!("revision {to} before it is closed; stage and activate what you want instead"))
        })?;
        state.check_openable(name)?;
        let origin = Origin::RolledBack { from: state.revision, cause, previous: target.previous() };
        let spec = PipelineSpec { partitions: state.partition_count(), ..target.spec.clone() };
        let revision = Revision(state.newest_revision.0 + 1);
        self.topic_mut(topic)?.supersede(revision, spec, origin);
        Ok(Applied::PipelineRolledBack { revision, to })
    }

    /// Closes what nobody may send under any more. The grace of a revision counts from the first time that somebody
    /// who knows the time saw it superseded: never from earlier than it was.
    pub(super) fn retire_revisions(&mut self, rules: Rules, now_ms: u64) -> Applied {
        let mut count = 0;
        for state in self.topics.values_mut().filter(|state| state.pipelines.len() > 1) {
            let grace_ms = state.config().pipeline_revision_grace_ms;
            let grace_ms = if rules.hold(Rule::RevisionsKeepTheirGrace) { grace_ms } else { 0 };
            let superseded: Vec<Revision> =
                state.pipelines.keys().copied().filter(|revision| *revision != state.revision).collect();
            for revision in superseded {
                let is_next_rollback = state.is_next_rollback(revision);
                let Some(pipeline) = state.pipelines.get_mut(&revision) else { continue };
                let since = *pipeline.retired_at_ms.get_or_insert(now_ms);
                if now_ms.saturating_sub(since) >= grace_ms && !is_next_rollback {
                    state.pipelines.remove(&revision);
                    count += 1;
                }
            }
        }
        Applied::RevisionsRetired { count }
    }

    /// The command that closes revisions, if at this time it would change anything.
    #[must_use]
    pub fn retirement(&self, now_ms: u64) -> Option<Command> {
        let changes = self.topics.values().filter(|state| state.pipelines.len() > 1).any(|state| {
            let grace_ms = state.config().pipeline_revision_grace_ms;
            state.pipelines.iter().filter(|(revision, _)| **revision != state.revision).any(
                |(revision, pipeline)| {
                    pipeline.retired_at_ms.is_none_or(|since| {
                        now_ms.saturating_sub(since) >= grace_ms && !state.is_next_rollback(*revision)
                    })
                },
            )
        });
        changes.then_some(Command::RetireRevisions { now_ms })
    }

    /// Says which plugins new topics get.
    pub(super) fn set_new_topic_pipeline(&mut self, spec: &PipelineSpec) -> Result<Applied, MetadataError> {
        self.check_spec(spec)?;
        self.new_topic_pipeline = PipelineSpec { partitions: 0, ..spec.clone() };
        Ok(Applied::NewTopicPipelineSet)
    }

    fn check_spec(&self, spec: &PipelineSpec) -> Result<(), MetadataError> {
        for chain in [&spec.producer_interceptors, &spec.consumer_interceptors] {
            if chain.len() > INTERCEPTORS_MAX {
                let (count, max) = (chain.len(), INTERCEPTORS_MAX);
                let sentence = format!("a chain has at most {max} interceptors, not {count}");
                return Err(MetadataError::InvalidBinding(sentence));
            }
        }
        let options = spec.bindings().flat_map(|(_, binding)| &binding.options);
        if options.map(|(name, value)| name.len() + value.len()).sum::<usize>() > OPTIONS_BYTES_MAX {
            let sentence =
                format!("the options of a pipeline have at most {OPTIONS_BYTES_MAX} bytes together");
            return Err(MetadataError::InvalidBinding(sentence));
        }
        spec.bindings().try_for_each(|(wanted, binding)| self.check_binding(wanted, binding))
    }

    fn check_binding(&self, wanted: PluginKind, binding: &Binding) -> Result<(), MetadataError> {
        let plugin = label(&binding.plugin, &binding.version);
        let known = self.plugin(&binding.plugin, &binding.version);
        let Some(known) = known.filter(|known| known.digest == binding.digest) else {
            return Err(MetadataError::UnknownPlugin(plugin));
        };
        if known.kind != wanted {
            return Err(MetadataError::WrongKind { plugin, kind: known.kind, wanted });
        }
        let hook = match wanted {
            PluginKind::ProducerInterceptor => Hook::OnSend,
            PluginKind::ConsumerInterceptor => Hook::OnConsume,
            PluginKind::Partitioner => Hook::Partition,
            PluginKind::Assignor => Hook::Assign,
        };
        binding.on_failure.check(hook).map_err(MetadataError::InvalidBinding)
    }

    fn topic_mut(&mut self, id: TopicId) -> Result<&mut TopicState, MetadataError> {
        let name = self.topic_names.get(&id);
        name.and_then(|name| self.topics.get_mut(name)).ok_or(MetadataError::UnknownTopicId(id))
    }
}

/// As much of a reason as is kept.
fn shortened(why: &str) -> String {
    let end = (0..=FAILURE_BYTES_MAX.min(why.len())).rev().find(|at| why.is_char_boundary(*at));
    why[..end.unwrap_or(0)].to_owned()
}
