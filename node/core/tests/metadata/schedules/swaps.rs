//! Operators who push, stage, activate and roll back, and nodes that report, each with an old view now and then.

use std::collections::BTreeMap;

use weir_core::metadata::{
    Applied, Binding, Command, MetadataError, PipelineSpec, PluginState, RollbackCause, TopicState,
};
use weir_core::pipeline::failing::OnFailure;
use weir_wire::ids::{Incarnation, Revision, TopicId};
use weir_wire::plugin::{PluginDigest, PluginKind, PluginShape};

use super::world::World;

const VERSIONS: usize = 3;
const NAMES: [(&str, PluginKind); 3] = [
    ("check", PluginKind::ProducerInterceptor),
    ("place", PluginKind::Partitioner),
    ("hide", PluginKind::ConsumerInterceptor),
];

impl World {
    pub(super) fn swap(&mut self) -> Result<(), String> {
        self.now_ms += u64::try_from(self.random.below(400)).unwrap();
        let command = match self.random.below(40) {
            0..5 => self.push_or_forget(),
            5..7 => Command::RetireRevisions { now_ms: self.now_ms },
            7 => Command::SetNewTopicPipeline { spec: self.spec() },
            _ => match self.some_topic() {
                Some((topic, state)) => self.swap_of(topic, &state),
                None => return Ok(()),
            },
        };
        let result = self.submit(command, &[])?;
        let what = match result {
            Ok(Applied::PipelineActivated(_)) => "activated",
            Ok(Applied::PipelineRolledBack { .. }) => "rolled back",
            Ok(Applied::RevisionsRetired { count: 1.. }) => "closed a revision",
            Err(MetadataError::NotReady { .. }) => "refused: not ready",
            Err(MetadataError::StaleRevision { .. }) => "refused: the pipeline changed",
            Err(MetadataError::PluginInUse { .. }) => "refused: the plugin is used",
            _ => return Ok(()),
        };
        *self.tally.entry(what).or_insert(0) += 1;
        Ok(())
    }

    fn some_topic(&mut self) -> Option<(TopicId, TopicState)> {
        let topics: Vec<_> = self.image.topics.values().collect();
        let at = self.random.below(topics.len().max(1));
        topics.get(at).map(|topic| (topic.id, (*topic).clone()))
    }

    fn swap_of(&mut self, topic: TopicId, state: &TopicState) -> Command {
        let is_late = self.random.percent(15);
        let expected = Revision(state.revision.0 - u32::from(is_late));
        let staged = state.staged.as_ref().map_or(state.newest_revision, |staged| staged.revision);
        match self.random.below(20) {
            0..2 => Command::StagePipeline { topic, expected, spec: self.spec() },
            2..13 => self.report(topic, staged),
            13..18 => {
                let node = self.node();
                let without = if self.random.percent(30) { vec![node] } else { Vec::new() };
                Command::ActivatePipeline { topic, revision: staged, expected, without }
            }
            _ => {
                let by_itself = self.random.percent(60);
                let cause = if by_itself { RollbackCause::Traps } else { RollbackCause::Operator };
                Command::RollbackPipeline { topic, expected, cause }
            }
        }
    }

    fn report(&mut self, topic: TopicId, revision: Revision) -> Command {
        let node = self.node();
        let newest = self.image.nodes.get(&node).map_or(Incarnation(1), |state| state.incarnation);
        let incarnation = Incarnation(newest.0 - u64::from(self.random.percent(10)));
        let failure = self.random.percent(7).then(|| "it said no".to_owned());
        Command::ReportReady { topic, revision, node, incarnation, failure }
    }

    fn push_or_forget(&mut self) -> Command {
        let ((name, kind), version) = (NAMES[self.random.below(NAMES.len())], self.version());
        let (name, version) = (name.to_owned(), version.to_string());
        if self.random.percent(25) {
            return Command::DeletePlugin { name, version };
        }
        let digest = digest(&name, &version);
        let (shape, component_bytes) = (PluginShape::Flat, 100);
        let plugin = PluginState { digest, kind, shape, component_bytes, wasi: false, reuse: false };
        Command::PushPlugin { name, version, plugin }
    }

    fn version(&mut self) -> usize {
        1 + self.random.below(VERSIONS)
    }

    fn spec(&mut self) -> PipelineSpec {
        let [check, place, hide] = NAMES.map(|(name, _)| {
            self.random.percent(50).then(|| {
                let version = self.version().to_string();
                Binding {
                    digest: digest(name, &version),
                    plugin: name.to_owned(),
                    version,
                    options: Vec::new(),
                    limits: BTreeMap::new(),
                    on_failure: OnFailure::Reject,
                    reuse: false,
                }
            })
        });
        PipelineSpec {
            producer_interceptors: check.into_iter().collect(),
            partitioner: place,
            consumer_interceptors: hide.into_iter().collect(),
            partitions: 0,
        }
    }
}

fn digest(name: &str, version: &str) -> PluginDigest {
    let mut digest = [0; 32];
    let text = format!("{name}@{version}");
    digest[..text.len()].copy_from_slice(text.as_bytes());
    PluginDigest(digest)
}
