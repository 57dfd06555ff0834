//! Metadata: which nodes there are, which topics, and who leads what.

use weir_core::metadata::{Image, TopicState};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::PartitionIndex;
use weir_wire::request::{ClusterMetadata, Metadata, NodeEntry, PartitionEntry, TopicEntry};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context};

pub(super) async fn handle(context: Context, request: Metadata) -> Answer<ClusterMetadata> {
    authorize(&context.principal, Operation::Describe, Resource::Cluster)?;
    let image = &context.image;
    let topics = match &request.topics {
        None => image.topics.iter().map(|(name, topic)| describe(name, topic)).collect(),
        Some(names) if names.len() > Metadata::TOPICS_MAX => {
            let sentence =
                format!("one request names at most {} topics; ask in several", Metadata::TOPICS_MAX);
            return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
        }
        Some(names) => names
            .iter()
            .filter_map(|name| image.topics.get(name).map(|topic| describe(name, topic)))
            .collect(),
    };
    let node = |(id, state): (&_, &weir_core::metadata::NodeState)| NodeEntry {
        id: *id,
        address: state.address.clone(),
    };
    let answer = ClusterMetadata {
        cluster: context.services.cluster,
        controller: Some(context.services.node),
        nodes: image.nodes.iter().map(node).collect(),
        topics,
    };
    Ok((image.index, answer))
}

fn describe(name: &str, topic: &TopicState) -> TopicEntry {
    let partitions = (0..).map(PartitionIndex).zip(&topic.partitions);
    TopicEntry {
        name: name.to_owned(),
        id: topic.id,
        revision: topic.revision,
        batch_bytes_max: topic.config().max_message_bytes,
        partitions: partitions
            .map(|(index, partition)| PartitionEntry {
                index,
                leader: partition.leader,
                leader_epoch: partition.leader_epoch,
                partition_epoch: partition.partition_epoch,
                replicas: partition.replicas.clone(),
                isr: partition.isr.clone(),
                elr: partition.elr.clone(),
            })
            .collect(),
    }
}

/// The topic of this name.
pub(super) fn find<'i>(image: &'i Image, name: &str) -> Result<&'i TopicState, WireError> {
    image.topics.get(name).ok_or_else(|| {
        let sentence = format!("there is no topic '{name}'; 'weir topics list' shows which there are");
        WireError::new(ErrorCode::UnknownTopic, sentence)
    })
}
