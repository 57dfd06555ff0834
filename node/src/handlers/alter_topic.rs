//! Changing a topic's configuration, and adding partitions to it.

use weir_core::metadata::{Command, ConfigChange};
use weir_wire::request::{AlterTopic, TopicAltered};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context, submit_error};
use super::metadata::find;

pub(super) async fn handle(context: Context, request: AlterTopic) -> Answer<TopicAltered> {
    authorize(&context.principal, Operation::Alter, Resource::Topic(&request.name))?;
    let controller = &context.services.controller;
    let mut index = context.image.index;
    if !request.configs.is_empty() {
        let command =
            Command::AlterTopicConfigs { topic: request.name.clone(), change: change(request.configs) };
        (index, _) = controller.submit(command).await.map_err(submit_error)?;
    }
    if let Some(count) = request.partitions {
        let command = Command::CreatePartitions { topic: request.name.clone(), count };
        (index, _) = controller.submit(command).await.map_err(submit_error)?;
    }
    context.services.partitions.applied(index).await;
    let image = controller.image();
    let topic = find(&image, &request.name)?;
    let partitions = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    Ok((index, TopicAltered { id: topic.id, partitions, revision: topic.revision }))
}

/// Keys to set, and, where there is no value, to put back.
pub(super) fn change(configs: Vec<(String, Option<String>)>) -> ConfigChange {
    let mut change = ConfigChange::default();
    for (key, value) in configs {
        match value {
            Some(value) => drop(change.set.insert(key, value)),
            None => drop(change.delete.insert(key)),
        }
    }
    change
}
