//! Everything that this node knows about one topic.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_core::metadata::{PartitionState as PartitionMetadata, TopicState};
use weir_wire::forward::ReplicaProgress;
use weir_wire::ids::{NodeId, PartitionIndex};
use weir_wire::request::{ConfigEntry, DescribeTopic, PartitionState, ReplicaState, TopicDescription};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context};
use super::metadata::find;
use super::node_streams;
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
    let mut progress = progress(&context, topic).await;
    let partitions = (0..)
        .map(PartitionIndex)
        .zip(&topic.partitions)
        .map(|(index, partition)| {
            let hosted = context.services.partitions.get(topic.id, index);
            let view = hosted.as_ref().map(|handle| &*handle.view);
            describe(index, partition, view, progress.remove(&index), &context)
        })
        .collect();
    let description =
        TopicDescription { name: request.name, id: topic.id, revision: topic.revision, configs, partitions };
    Ok((context.image.index, description))
}

/// How far replicas are, as their leaders say: this node's own at once, the others asked side by side.
pub(super) async fn progress(
    context: &Context,
    topic: &TopicState,
) -> BTreeMap<PartitionIndex, ReplicaProgress> {
    let mut by_leader: BTreeMap<NodeId, Vec<PartitionIndex>> = BTreeMap::new();
    for (index, partition) in (0..).map(PartitionIndex).zip(&topic.partitions) {
        if let Some(leader) = partition.leader {
            by_leader.entry(leader).or_default().push(index);
        }
    }
    let mut found = BTreeMap::new();
    for index in by_leader.remove(&context.services.node).unwrap_or_default() {
        let here = node_streams::progress(&context.services, topic.id, index).await;
        found.extend(here.map(|progress| (index, progress)));
    }
    let asked = by_leader.into_iter().map(|(leader, partitions)| {
        let (services, topic) = (Arc::clone(&context.services), topic.id);
        tokio::spawn(async move {
            let answers = services.replication.status(leader, topic, partitions.clone()).await;
            partitions.into_iter().zip(answers)
        })
    });
    for answers in asked.collect::<Vec<_>>() {
        let Ok(answers) = answers.await else { continue };
        found.extend(answers.filter_map(|(index, progress)| Some((index, progress?))));
    }
    found
}

fn describe(
    index: PartitionIndex,
    partition: &PartitionMetadata,
    view: Option<&View>,
    progress: Option<ReplicaProgress>,
    context: &Context,
) -> PartitionState {
    let here = context.services.node;
    let failed = view.is_none_or(|view| view.standing() == Standing::Failed);
    let on_no_live_node = context.image.offline(partition);
    let is_offline = |node: &NodeId| on_no_live_node.contains(node) || (*node == here && failed);
    let (log_start, high_watermark) =
        progress.as_ref().map(|progress| (progress.log_start, progress.high_watermark)).unzip();
    let log_ends: BTreeMap<_, _> = progress.map(|progress| progress.log_ends).into_iter().flatten().collect();
    let replica = |node: &NodeId| ReplicaState { node: *node, log_end: log_ends.get(node).copied() };
    PartitionState {
        index,
        leader: partition.leader,
        leader_epoch: partition.leader_epoch,
        isr: partition.isr.clone(),
        elr: partition.elr.clone(),
        offline: partition.replicas.iter().filter(|node| is_offline(node)).copied().collect(),
        log_start,
        high_watermark,
        replicas: partition.replicas.iter().map(replica).collect(),
    }
}
