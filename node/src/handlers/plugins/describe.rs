//! What topics' pipelines are like, and what they did.

use std::collections::BTreeMap;

use weir_core::metadata::{Origin, RollbackCause, StagedPipeline, TopicState};
use weir_core::pipeline::moving::LanesSeen;
use weir_wire::forward::ReplicaProgress;
use weir_wire::ids::{NodeId, Offset, PartitionIndex, Revision};
use weir_wire::request::{
    DescribePipelines, PartitionRevision, PipelineDescription, PipelineLanes, PipelinesDescribed,
    PluginFigures, StagedDescription,
};

use super::bound;
use crate::handlers::authorize::{Operation, Resource, authorize};
use crate::handlers::control::{Answer, Context};
use crate::handlers::describe_topic::progress;
use crate::handlers::metadata::find;
use crate::plugins::Snapshot;

pub(in crate::handlers) async fn handle(
    context: Context,
    request: DescribePipelines,
) -> Answer<PipelinesDescribed> {
    let image = &context.image;
    let mut topics = Vec::new();
    match &request.topic {
        Some(name) => {
            authorize(&context.principal, Operation::Describe, Resource::Topic(name))?;
            topics.push(describe(&context, name, find(image, name)?).await);
        }
        None => {
            for (name, topic) in &image.topics {
                let is_plain = topic.current_pipeline().spec.is_plain() && topic.staged.is_none();
                if !is_plain
                    && authorize(&context.principal, Operation::Describe, Resource::Topic(name)).is_ok()
                {
                    topics.push(describe(&context, name, topic).await);
                }
            }
        }
    }
    Ok((image.index, PipelinesDescribed { topics }))
}

async fn describe(context: &Context, name: &str, topic: &TopicState) -> PipelineDescription {
    let progress = progress(context, topic).await;
    let current = topic.current_pipeline();
    let now_ms = context.services.outside.clock.now().wall_ms;
    let oldest = oldest_open(topic, now_ms);
    let lanes = context.services.pipelines.lanes_seen(topic.id, oldest, topic.revision);
    let figures =
        context.services.pipelines.snapshots().into_iter().filter(|snapshot| snapshot.topic == name);
    PipelineDescription {
        topic: name.to_owned(),
        id: topic.id,
        revision: topic.revision,
        origin: origin(current.origin),
        plugins: bound(&current.spec),
        staged: topic.staged.as_ref().map(|staged| describe_staged(context, staged)),
        open: topic.pipelines.keys().copied().filter(|revision| *revision != topic.revision).collect(),
        partitions: partitions(topic, &progress, oldest < topic.revision),
        figures: figures.map(of_snapshot).collect(),
        lanes: lanes.map(|LanesSeen { open, behind, moved }| PipelineLanes { open, behind, moved }),
    }
}

fn origin(origin: Origin) -> String {
    match origin {
        Origin::Created => "created with the topic".to_owned(),
        Origin::Activated { previous } => format!("activated over revision {previous}"),
        Origin::Grown { .. } => "the topic got more partitions".to_owned(),
        Origin::RolledBack { from, cause: RollbackCause::Operator, .. } => {
            format!("revision {from} was rolled back")
        }
        Origin::RolledBack { from, cause: RollbackCause::Traps, .. } => {
            format!("revision {from} was rolled back by itself: its plugins failed too often")
        }
    }
}

fn describe_staged(context: &Context, staged: &StagedPipeline) -> StagedDescription {
    let (waiting, failed) = staged.not_ready(&context.image, &[]);
    let is_waited_for =
        |node: &NodeId| waiting.contains(node) || failed.iter().any(|(other, _)| other == node);
    StagedDescription {
        revision: staged.revision,
        plugins: bound(&staged.spec),
        ready: staged.ready.keys().copied().filter(|node| !is_waited_for(node)).collect(),
        waiting,
        failed,
    }
}

/// The oldest revision under which anything can still be sent: its grace is not over.
fn oldest_open(topic: &TopicState, now_ms: i64) -> Revision {
    let grace_ms = topic.config().pipeline_revision_grace_ms;
    let now_ms = u64::try_from(now_ms).unwrap_or(0);
    let is_open = |since: Option<u64>| since.is_none_or(|since| now_ms.saturating_sub(since) < grace_ms);
    let open = topic.pipelines.iter().filter(|(_, pipeline)| is_open(pipeline.retired_at_ms));
    open.map(|(revision, _)| *revision).min().unwrap_or(topic.revision).min(topic.revision)
}

/// From where on the revision in force made the records of each partition.
fn partitions(
    topic: &TopicState,
    progress: &BTreeMap<PartitionIndex, ReplicaProgress>,
    may_follow: bool,
) -> Vec<PartitionRevision> {
    let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    (0..count)
        .map(PartitionIndex)
        .map(|partition| {
            let marked = progress.get(&partition).map(|progress| offsets(progress, topic.revision));
            let from_the_beginning = topic.revision == topic.created_at_revision;
            let (first, older_end) = match marked {
                Some(None) if from_the_beginning => (Some(Offset::ZERO), Some(Offset::ZERO)),
                Some(Some((first, older_end))) => (Some(first), Some(older_end)),
                _ => (None, None),
            };
            let settled_offset = older_end.filter(|_| !may_follow);
            PartitionRevision { partition, first_offset: first, settled_offset, older_end }
        })
        .collect()
}

/// Where a log says that a revision begins.
fn offsets(progress: &ReplicaProgress, revision: Revision) -> Option<(Offset, Offset)> {
    let marked = progress.revision.filter(|marked| marked.revision == revision)?;
    Some((marked.first_offset, marked.older_end))
}

pub(super) fn of_snapshot(snapshot: Snapshot) -> PluginFigures {
    let waited = snapshot.waited_ns.into_iter();
    PluginFigures {
        plugin: snapshot.plugin,
        version: snapshot.version,
        revision: Revision(snapshot.revision),
        calls: snapshot.calls,
        kept: snapshot.kept,
        replaced: snapshot.replaced,
        dropped: snapshot.dropped,
        rejected: snapshot.rejected,
        failures: snapshot.failures.into_iter().map(|(cause, count)| (cause.to_owned(), count)).collect(),
        times: snapshot.times,
        memory_high_bytes: snapshot.memory_high_bytes,
        instances: snapshot.instances,
        busy_us: snapshot.busy_ns / 1000,
        throttled_us: waited.map(|(share, ns)| (share.to_owned(), ns / 1000)).collect(),
    }
}
