//! What nodes go by while they run: said by each for itself, changed for one or all.

use weir_core::config_keys::{ConfigValue, Configurable};
use weir_core::metadata::Command;
use weir_wire::request::{
    AlterNodeConfigs, ConfigSource, DescribeNodeConfigs, NodeConfigEntry, NodeConfigsAltered,
    NodeConfigsDescribed,
};

use super::alter_topic::change;
use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context, submit_error};

pub(super) async fn describe(
    context: Context,
    DescribeNodeConfigs: DescribeNodeConfigs,
) -> Answer<NodeConfigsDescribed> {
    authorize(&context.principal, Operation::Describe, Resource::Cluster)?;
    let (controller, image, node) = (&context.services.controller, &context.image, context.services.node);
    let own = image.nodes.get(&node).map(|state| &state.configs);
    let started_with = controller.started_with().values();
    let entry = |(value, at_start): (ConfigValue, bool)| {
        let source = match value.name {
            key if own.is_some_and(|own| own.contains_key(key)) => ConfigSource::ThisNode,
            key if image.node_configs.contains_key(key) => ConfigSource::AllNodes,
            _ if at_start => ConfigSource::Start,
            _ => ConfigSource::Default,
        };
        NodeConfigEntry { key: value.name.to_owned(), value: value.value, source }
    };
    let at_start = started_with.iter().map(|value| !value.is_default);
    let configs = image.node_config(node, controller.started_with()).values();
    let configs = configs.into_iter().zip(at_start).map(entry).collect();
    Ok((image.index, NodeConfigsDescribed { node, configs }))
}

pub(super) async fn alter(context: Context, request: AlterNodeConfigs) -> Answer<NodeConfigsAltered> {
    authorize(&context.principal, Operation::Alter, Resource::Cluster)?;
    let controller = &context.services.controller;
    let node = request.node;
    let mut index = context.image.index;
    if !request.configs.is_empty() {
        let command = Command::AlterNodeConfigs { node, change: change(request.configs) };
        (index, _) = controller.submit(command).await.map_err(submit_error)?;
    }
    context.services.partitions.applied(index).await;
    let image = controller.image();
    let set = match node {
        None => Some(&image.node_configs),
        Some(node) => image.nodes.get(&node).map(|state| &state.configs),
    };
    let set = set.into_iter().flatten().map(|(key, value)| (key.clone(), value.clone())).collect();
    Ok((index, NodeConfigsAltered { set }))
}
