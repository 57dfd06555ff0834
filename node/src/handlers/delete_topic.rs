//! Deleting a topic with all its records.

use weir_core::metadata::{Applied, Command};
use weir_wire::request::{DeleteTopic, TopicDeleted};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context, submit_error};

pub(super) async fn handle(context: Context, request: DeleteTopic) -> Answer<TopicDeleted> {
    authorize(&context.principal, Operation::Delete, Resource::Topic(&request.name))?;
    let command = Command::DeleteTopic { name: request.name };
    let (index, applied) = context.services.controller.submit(command).await.map_err(submit_error)?;
    let Applied::TopicDeleted(id) = applied else { unreachable!("deleting a topic leads to no topic") };
    context.services.partitions.applied(index).await;
    Ok((index, TopicDeleted { id }))
}
