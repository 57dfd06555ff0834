//! Shadow runs of staged pipelines, on this node.

use weir_core::pipeline::shadow::{Kind, Sample};
use weir_wire::request::{ShadowAction, ShadowReport, ShadowSample, ShadowTopic, TopicShadowed};

use super::bound;
use super::describe::of_snapshot;
use crate::handlers::authorize::{Operation, Resource, authorize};
use crate::handlers::control::{Answer, Context};
use crate::handlers::metadata::find;
use crate::pipelines::ShadowSeen;

pub(in crate::handlers) async fn handle(context: Context, request: ShadowTopic) -> Answer<TopicShadowed> {
    let resource = Resource::Topic(&request.topic);
    // The examples show what records hold.
    authorize(&context.principal, Operation::Read, resource)?;
    if request.action != ShadowAction::Report {
        authorize(&context.principal, Operation::Alter, resource)?;
    }
    let topic = find(&context.image, &request.topic)?.id;
    let pipelines = &context.services.pipelines;
    match request.action {
        ShadowAction::Report => {}
        ShadowAction::Start { revision, every } => pipelines.start_shadow(topic, revision, every).await?,
        ShadowAction::Stop => pipelines.stop_shadow(topic),
    }
    let run = pipelines.shadow_seen(topic).map(report);
    Ok((context.image.index, TopicShadowed { node: context.services.node, run }))
}

fn report(seen: ShadowSeen) -> ShadowReport {
    let different = Kind::ALL.iter().zip(seen.report.different);
    ShadowReport {
        revision: seen.revision,
        plugins: bound(&seen.spec),
        every: seen.every,
        ended: seen.ended,
        ran_us: seen.ran_ns / 1000,
        busy_us: seen.busy_ns / 1000,
        dropped: seen.dropped,
        batches: seen.report.batches,
        records: seen.report.records,
        same: seen.report.same,
        different: different.map(|(kind, count)| (kind.name().to_owned(), count)).collect(),
        samples: seen.report.samples.into_iter().map(sample).collect(),
        figures: seen.figures.into_iter().map(of_snapshot).collect(),
    }
}

fn sample(sample: Sample) -> ShadowSample {
    let (ordinal, index) = sample.position;
    ShadowSample {
        kind: sample.kind.name().to_owned(),
        stored: sample.stored,
        ordinal,
        index,
        key: sample.key,
        in_force: sample.in_force,
        staged: sample.staged,
    }
}
