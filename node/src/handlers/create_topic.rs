//! Creating a topic.

use std::collections::BTreeMap;

use weir_core::metadata::{Applied, Command};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::TopicId;
use weir_wire::request::{CreateTopic, TopicCreated};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context, submit_error};

pub(super) async fn handle(context: Context, request: CreateTopic) -> Answer<TopicCreated> {
    authorize(&context.principal, Operation::Create, Resource::Topic(&request.name))?;
    if request.configs.len() > CreateTopic::CONFIGS_MAX {
        let sentence = format!("one request sets at most {} configuration keys", CreateTopic::CONFIGS_MAX);
        return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
    }
    let command = Command::CreateTopic {
        name: request.name,
        id: TopicId(context.services.outside.random.id()),
        partitions: request.partitions,
        replication_factor: request.replication_factor,
        configs: request.configs.into_iter().collect::<BTreeMap<_, _>>(),
    };
    let (index, applied) = context.services.controller.submit(command).await.map_err(submit_error)?;
    let Applied::TopicCreated { id, partitions, replication_factor } = applied else {
        unreachable!("creating a topic leads to a topic");
    };
    // Who creates a topic writes to it next: answer when its partitions take records.
    context.services.partitions.applied(index).await;
    Ok((index, TopicCreated { id, partitions, replication_factor }))
}
