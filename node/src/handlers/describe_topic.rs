//! Everything that this node knows about one topic.

use weir_core::metadata::PartitionState as PartitionMetadata;
use weir_wire::ids::PartitionIndex;
use weir_wire::request::{ConfigEntry, DescribeTopic, PartitionState, ReplicaState, TopicDescription};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context};
use super::metadata::find;
use crate::partitions::{Standing, View};

pub(super) async fn handle(context: Context, request: DescribeTopic) -> Answer<TopicDescription> {
    authorize(&context.principal, Operation::Describe, Resource::Topic(&request.name))?;
    let topic = find(&context.image, &request.name)?;
    let configs = topic
        .config()
        .values()
        .into_iter()
        .map(|config| ConfigEntry {
            is_set: topic.configs.contains_key(config.name),
            key: config.name.to_owned(),
            value: config.value,
        })
        .collect();
    let partitions = (0..)
        .map(PartitionIndex)
        .zip(&topic.partitions)
        .map(|(index, partition)| {
            let hosted = context.services.partitions.get(topic.id, index);
            describe(index, partition, hosted.as_ref().map(|handle| &*handle.view), &context)
        })
        .collect();
    let description =
        TopicDescription { name: request.name, id: topic.id, revision: topic.revision, configs, partitions };
    Ok((context.image.index, description))
}

fn describe(
    index: PartitionIndex,
    partition: &PartitionMetadata,
    view: Option<&View>,
    context: &Context,
) -> PartitionState {
    let here = context.services.node;
    let failed = view.is_none_or(|view| view.standing() == Standing::Failed);
    let is_fenced = |node: &_| context.image.nodes.get(node).is_none_or(|state| state.fenced);
    let is_offline = |node: &_| is_fenced(node) || (*node == here && failed);
    let log_end = |node| view.filter(|_| node == here).map(View::log_end);
    PartitionState {
        index,
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        isr: partition.isr.clone(),
        elr: partition.elr.clone(),
        offline: partition.replicas.iter().filter(|node| is_offline(node)).copied().collect(),
        log_start: view.map(View::log_start),
        high_watermark: view.map(View::high_watermark),
        replicas: partition
            .replicas
            .iter()
            .map(|node| ReplicaState { node: *node, log_end: log_end(*node) })
            .collect(),
    }
}
