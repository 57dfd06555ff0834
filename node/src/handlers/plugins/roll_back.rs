//! Going back to the plugins of an earlier revision.

use weir_core::metadata::{Applied, Command, RollbackCause};
use weir_wire::request::{PipelineRolledBack, RollBackPipeline};

use crate::handlers::authorize::{Operation, Resource, authorize};
use crate::handlers::control::{Answer, Context, submit_error};
use crate::handlers::metadata::find;

pub(in crate::handlers) async fn handle(
    context: Context,
    request: RollBackPipeline,
) -> Answer<PipelineRolledBack> {
    authorize(&context.principal, Operation::Alter, Resource::Topic(&request.topic))?;
    let topic = find(&context.image, &request.topic)?;
    let expected = request.expected.unwrap_or(topic.revision);
    let command = Command::RollbackPipeline { topic: topic.id, expected, cause: RollbackCause::Operator };
    let (index, applied) = context.services.controller.submit(command).await.map_err(submit_error)?;
    let Applied::PipelineRolledBack { revision, to } = applied else {
        unreachable!("rolling back leads to an earlier pipeline");
    };
    Ok((index, PipelineRolledBack { revision, to }))
}
