//! What would become of a record. Nothing is stored.

use weir_core::metadata::{PipelineSpec, TopicState};
use weir_wire::batch::{self, BatchBuilder, Compression};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::PartitionIndex;
use weir_wire::placement;
use weir_wire::request::{ExplainTopic, PlacementExplained, TopicExplained};

use super::{bound, invalid};
use crate::handlers::authorize::{Operation, Resource, authorize};
use crate::handlers::control::{Answer, Context};
use crate::handlers::metadata::find;
use crate::plugins::{BatchContext, BatchTarget, Processed};

pub(in crate::handlers) async fn handle(context: Context, request: ExplainTopic) -> Answer<TopicExplained> {
    authorize(&context.principal, Operation::Describe, Resource::Topic(&request.topic))?;
    let topic = find(&context.image, &request.topic)?;
    let placement = match &request.key {
        None => None,
        Some(key) => {
            let partition = place(&context, &request.topic, topic, key).await?;
            topic.partitions.get(partition.0 as usize).map(|state| PlacementExplained {
                partition,
                leader: state.leader,
                leader_epoch: state.leader_epoch,
                isr: state.isr.clone(),
            })
        }
    };
    let explained = TopicExplained {
        revision: topic.revision,
        plugins: bound(&topic.current_pipeline().spec),
        partitions: topic.current_pipeline().spec.partitions,
        placement,
        required_in_sync: required_in_sync(topic),
        write_caching: topic.config().write_caching,
    };
    Ok((context.image.index, explained))
}

/// How many replicas must be in sync, where most are asked for.
fn required_in_sync(topic: &TopicState) -> u32 {
    let required = topic.partitions.iter().map(|partition| topic.required_in_sync(partition)).max();
    u32::try_from(required.unwrap_or(1)).unwrap_or(u32::MAX)
}

/// Where a record with this key goes. Interceptors, which may change keys, are left out: they would want its value too.
async fn place(
    context: &Context,
    name: &str,
    topic: &TopicState,
    key: &[u8],
) -> Result<PartitionIndex, WireError> {
    let spec = &topic.current_pipeline().spec;
    if spec.partitioner.is_none() {
        return Ok(placement::of_key(key, spec.partitions));
    }
    let alone = PipelineSpec {
        partitioner: spec.partitioner.clone(),
        partitions: spec.partitions,
        ..PipelineSpec::default()
    };
    let pipeline = context.services.pipelines.trial(name, topic.revision, &alone).await?;
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(context.services.outside.clock.now().wall_ms, Some(key), None, &[]);
    let limits = batch::Limits::default();
    let bytes = builder.finish(None);
    let (_, records) = batch::validate(&bytes, &limits).map_err(invalid)?;
    let batch_context = BatchContext {
        producer: None,
        ordinal: 0,
        target: BatchTarget::Unguessed,
        resent: false,
        limits,
        principal: &context.principal.to_string(),
        entry_node: context.services.node,
        dead_letter_partitions: None,
    };
    match pipeline.run(bytes, records, &batch_context).await {
        Processed::Placed { placement, .. } => placement.parts.first().copied().ok_or_else(|| {
            WireError::new(
                ErrorCode::PluginFailed,
                "the partitioner fails on the key, so the record would be rejected",
            )
        }),
        Processed::Retry(error) => Err(error),
        Processed::Refused(outcome) => {
            Err(WireError::new(ErrorCode::PluginFailed, format!("the record would be refused: {outcome:?}")))
        }
    }
}
