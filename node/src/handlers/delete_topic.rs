//! Deleting a topic with all its records.

use weir_core::metadata::{Applied, Command};
use weir_wire::request::{DeleteTopic, TopicDeleted};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context, submit_error};

pub(super) async fn handle(context: Context, request: DeleteTopic) -> Answer<TopicDeleted> {
    authorize(&context.principal, Operation::Delete, Resource::Topic(&request.name))?;
    // What is meant is the topic that there is now, also if the command is carried out late.
    let id = context.services.controller.image().topics.get(&request.name).map(|topic| topic.id);
    let command = Command::DeleteTopic { name: request.name, id };
    let (index, applied) = context.services.controller.submit(command).await.map_err(submit_error)?;
    let Applied::TopicDeleted(id) = applied else { unreachable!("deleting a topic leads to no topic") };
    context.services.partitions.applied(index).await;
    Ok((index, TopicDeleted { id }))
}
