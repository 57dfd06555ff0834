//! Lines about plugins and pipelines, and what they print.

use std::collections::BTreeMap;

use weir_core::metadata::{
    Binding, Command, Origin, PipelineSpec, PluginState, RollbackCause, StagedPipeline, TopicState,
};
use weir_core::pipeline::failing::OnFailure;
use weir_wire::ids::{Incarnation, NodeId, Revision, TopicId};
use weir_wire::plugin::{PluginDigest, PluginKind, PluginShape};

use super::interpreter::{Line, Runner, parse, show_lives};

/// `name@version`, taken apart.
pub(super) fn versioned(text: &str) -> (&str, &str) {
    text.split_once('@').expect("NAME@VERSION")
}

impl Runner {
    pub(super) fn push(&mut self, line: &Line<'_>) {
        let (name, version) = versioned(line.words[0]);
        let kind = match line.values.get("kind").copied() {
            None | Some("producer") => PluginKind::ProducerInterceptor,
            Some("consumer") => PluginKind::ConsumerInterceptor,
            Some("partitioner") => PluginKind::Partitioner,
            Some("assignor") => PluginKind::Assignor,
            Some(other) => panic!("no kind is '{other}'"),
        };
        let plugin = PluginState {
            digest: digest(name, version, line),
            kind,
            shape: PluginShape::Flat,
            component_bytes: 100,
            wasi: line.has("wasi"),
            reuse: false,
        };
        self.apply(&Command::PushPlugin { name: name.to_owned(), version: version.to_owned(), plugin });
    }

    pub(super) fn stage(&mut self, line: &Line<'_>) {
        let name = line.words[0];
        let (topic, current) = self.named(name);
        let expected = line.number("expected").unwrap_or(current);
        let spec = self.spec(line);
        self.apply(&Command::StagePipeline { topic, expected, spec });
    }

    #[expect(clippy::unused_self, reason = "beside the other lines")]
    pub(super) fn spec(&self, line: &Line<'_>) -> PipelineSpec {
        let policy = line.values.get("policy").map_or(OnFailure::Reject, |name| {
            OnFailure::of_name(name).unwrap_or_else(|| panic!("no policy is '{name}'"))
        });
        let bind = |text: &str| {
            let (plugin, version) = versioned(text);
            Binding {
                plugin: plugin.to_owned(),
                version: version.to_owned(),
                digest: digest(plugin, version, line),
                options: Vec::new(),
                limits: BTreeMap::new(),
                on_failure: policy,
                reuse: false,
            }
        };
        PipelineSpec {
            producer_interceptors: line.list("chain").map(bind).collect(),
            partitioner: line.list("placer").map(bind).next(),
            consumer_interceptors: line.list("readers").map(bind).collect(),
            partitions: 0,
        }
    }

    pub(super) fn ready(&mut self, line: &Line<'_>) {
        let (name, revision) = line.words[0].split_once('/').expect("TOPIC/REVISION");
        let node = parse(line.words[1]);
        let incarnation = line.number("inc").unwrap_or(self.incarnation(node));
        let (topic, _) = self.named(name);
        let failure = line.has("failed").then(|| "it said no".to_owned());
        self.apply(&Command::ReportReady { topic, revision: parse(revision), node, incarnation, failure });
    }

    pub(super) fn activate(&mut self, line: &Line<'_>) {
        let (topic, current) = self.named(line.words[0]);
        let expected = line.number("expected").unwrap_or(current);
        let without = line.list("without").map(parse).collect();
        self.apply(&Command::ActivatePipeline { topic, revision: parse(line.words[1]), expected, without });
    }

    pub(super) fn roll_back(&mut self, line: &Line<'_>) {
        let (topic, current) = self.named(line.words[0]);
        let expected = line.number("expected").unwrap_or(current);
        let cause = if line.has("traps") { RollbackCause::Traps } else { RollbackCause::Operator };
        self.apply(&Command::RollbackPipeline { topic, expected, cause });
    }

    /// Prints the open pipelines of a topic, and the staged one.
    pub(super) fn pipelines(&mut self, name: &str) {
        let topic = &self.image.topics[name];
        let mut lines: Vec<String> =
            topic.pipelines.keys().map(|revision| describe_pipeline(topic, *revision)).collect();
        lines.extend(topic.staged.as_ref().map(|staged| self.describe_staged(staged)));
        lines.iter().for_each(|line| self.print(line));
    }

    fn describe_staged(&self, staged: &StagedPipeline) -> String {
        let ready: Vec<(NodeId, Incarnation)> =
            staged.ready.iter().map(|(node, incarnation)| (*node, *incarnation)).collect();
        let (waiting, failed) = staged.not_ready(&self.image, &[]);
        let mut line = format!("{} staged: {}", staged.revision, describe_spec(&staged.spec));
        if !ready.is_empty() {
            line += &format!(", ready {}", show_lives(&ready));
        }
        if !waiting.is_empty() || !failed.is_empty() {
            line += &format!(", waits for {waiting:?} {failed:?}");
        }
        line
    }

    /// The id and the revision of a topic; of one that is not there, some that no topic has.
    fn named(&self, name: &str) -> (TopicId, Revision) {
        self.image
            .topics
            .get(name)
            .map_or((TopicId([0; 16]), Revision(0)), |topic| (topic.id, topic.revision))
    }
}

/// Bytes that differ by name and version, and by what the line says.
fn digest(name: &str, version: &str, line: &Line<'_>) -> PluginDigest {
    let mut digest = [line.number("bytes").unwrap_or(0); 32];
    let text = format!("{name}@{version}");
    digest[1..=text.len()].copy_from_slice(text.as_bytes());
    PluginDigest(digest)
}

fn describe_pipeline(topic: &TopicState, revision: Revision) -> String {
    let pipeline = &topic.pipelines[&revision];
    let origin = match pipeline.origin {
        Origin::Created => "created".to_owned(),
        Origin::Activated { previous } => format!("activated over {previous}"),
        Origin::Grown { previous } => format!("grown, back to {}", show(previous)),
        Origin::RolledBack { from, cause, previous } => {
            format!("rolled back from {from} by {cause:?}, back to {}", show(previous))
        }
    };
    let in_force = if revision == topic.revision { ", in force" } else { "" };
    let retired = pipeline.retired_at_ms.map_or(String::new(), |at| format!(", superseded by {at}"));
    format!("{revision} {origin}: {}{in_force}{retired}", describe_spec(&pipeline.spec))
}

fn describe_spec(spec: &PipelineSpec) -> String {
    let names: Vec<String> =
        spec.bindings().map(|(_, binding)| format!("{}@{}", binding.plugin, binding.version)).collect();
    let names = if names.is_empty() { "plain".to_owned() } else { names.join(" ") };
    format!("{names} into {}", spec.partitions)
}

fn show(revision: Option<Revision>) -> String {
    revision.map_or("nothing".to_owned(), |revision| revision.to_string())
}
