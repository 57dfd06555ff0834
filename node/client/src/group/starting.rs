//! Where to begin with partitions that were assigned: what they are called, and what was committed.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::ids::TopicId;
use weir_wire::request::{CommittedOffset, FetchOffsets, Metadata as MetadataRequest, TopicPartitions};

use super::coordinator;
use super::member::TopicPartition;
use crate::client::Inner;
use crate::error::ClientError;
use crate::net::Again;

/// Where to begin with one partition.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    pub(crate) partition: TopicPartition,
    /// The topic's name.
    pub(crate) topic: String,
    /// What the group has committed.
    pub(crate) committed: Option<CommittedOffset>,
}

/// Looks up where to begin. Partitions of topics that are gone are left out, and so are those of topics of which the node
/// that is asked has not heard yet.
pub(crate) async fn find_starts(
    client: &Inner,
    group: &str,
    partitions: &[TopicPartition],
) -> Result<Vec<Start>, ClientError> {
    let names = find_names(client, partitions).await?;
    let partitions_asked = TopicPartitions::gather(partitions.iter().copied());
    let request = FetchOffsets { group: group.to_owned(), partitions: Some(partitions_asked) };
    let fetched = coordinator::ask(client, group, &request, Again::Harmless).await?;
    let committed: BTreeMap<TopicPartition, CommittedOffset> =
        fetched.offsets.into_iter().map(|one| ((one.topic, one.partition), one.committed)).collect();
    let starts = partitions.iter().filter_map(|partition| {
        let topic = names.get(&partition.0)?.clone();
        Some(Start { partition: *partition, topic, committed: committed.get(partition).cloned() })
    });
    Ok(starts.collect())
}

/// The names of topics; the metadata of each is kept fresh from now on.
async fn find_names(
    client: &Inner,
    partitions: &[TopicPartition],
) -> Result<BTreeMap<TopicId, String>, ClientError> {
    let wanted: BTreeSet<TopicId> = partitions.iter().map(|(topic, _)| *topic).collect();
    let mut names: BTreeMap<TopicId, String> = BTreeMap::new();
    for (name, topic) in &client.metadata.image().topics {
        names.insert(topic.id, name.clone());
    }
    if wanted.iter().any(|id| !names.contains_key(id)) {
        let all = client.net.ask(&MetadataRequest { topics: None }, Again::Harmless).await?;
        names.extend(all.topics.into_iter().map(|topic| (topic.id, topic.name)));
    }
    names.retain(|id, _| wanted.contains(id));
    for name in names.values() {
        match client.metadata.topic(&client.net, name).await {
            Ok(_) | Err(ClientError::UnknownTopic { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(names)
}
