//! Putting a staged pipeline in force, once every node is ready.

use std::sync::Arc;
use std::time::Duration;

use weir_core::metadata::{Applied, Command, Image};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{NodeId, Revision, TopicId};
use weir_wire::request::{ActivatePipeline, PipelineActivated};

use super::invalid;
use crate::handlers::authorize::{Operation, Resource, authorize};
use crate::handlers::control::{Answer, Context, submit_error};
use crate::handlers::metadata::find;

/// How long nodes are waited for: a large component compiles for seconds.
const READY_WAIT: Duration = Duration::from_secs(20);

pub(in crate::handlers) async fn handle(
    context: Context,
    request: ActivatePipeline,
) -> Answer<PipelineActivated> {
    authorize(&context.principal, Operation::Alter, Resource::Topic(&request.topic))?;
    let topic = find(&context.image, &request.topic)?;
    let (id, previous) = (topic.id, request.expected.unwrap_or(topic.revision));
    let staged = topic.staged.as_ref().map(|staged| staged.revision);
    let Some(revision) = request.revision.or(staged) else {
        let sentence = format!(
            "nothing is staged for topic '{}'; stage it first: weir plugins stage {0} --interceptor NAME",
            request.topic
        );
        return Err(WireError::new(ErrorCode::PipelineChanged, sentence));
    };
    wait_until_ready(&context, id, revision, &request.without).await?;
    let command =
        Command::ActivatePipeline { topic: id, revision, expected: previous, without: request.without };
    let (index, applied) = context.services.controller.submit(command).await.map_err(submit_error)?;
    let Applied::PipelineActivated(revision) = applied else {
        unreachable!("activating leads to an active pipeline");
    };
    Ok((index, PipelineActivated { revision, previous }))
}

/// Waits until every node that is asked is ready; who cannot run the pipeline ends the wait. What is still missing then
/// the metadata says.
async fn wait_until_ready(
    context: &Context,
    topic: TopicId,
    revision: Revision,
    without: &[NodeId],
) -> Result<(), WireError> {
    let waiting = async {
        let mut image = Arc::clone(&context.image);
        while let Some((waiting, failed)) = not_ready(&image, topic, revision, without) {
            if let Some((node, why)) = failed.first() {
                return Err(invalid(format!(
                    "node {node} cannot run revision {revision}: {why}; stage another one, or leave the node out with \
                     --without {node}"
                )));
            }
            if waiting.is_empty() {
                break;
            }
            image = context.services.controller.newer_than(image.index).await;
        }
        Ok(())
    };
    tokio::time::timeout(READY_WAIT, waiting).await.unwrap_or(Ok(()))
}

/// The nodes that are waited for, and those that cannot run the pipeline, with the reason.
type NotReady = (Vec<NodeId>, Vec<(NodeId, String)>);

/// Who is not ready, as long as that revision is staged.
fn not_ready(image: &Image, topic: TopicId, revision: Revision, without: &[NodeId]) -> Option<NotReady> {
    let (_, topic) = image.topic_by_id(topic)?;
    let staged = topic.staged.as_ref().filter(|staged| staged.revision == revision)?;
    Some(staged.not_ready(image, without))
}
