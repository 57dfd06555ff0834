//! Whom to ask about a group: the leader of its partition of `__consumer_offsets`.

use std::sync::Arc;
use std::time::Duration;

use weir_wire::ids::NodeId;
use weir_wire::request::{Request, TopicEntry};
use weir_wire::{group_log, placement};

use crate::admin::no_leader;
use crate::client::Inner;
use crate::error::ClientError;
use crate::metadata::Image;
use crate::net::Again;

/// The node that coordinates a group, as far as is known; `None` while no group was ever made.
pub(crate) fn known(client: &Inner, group: &str) -> Option<NodeId> {
    coordinator(&client.metadata.image(), group)
}

fn coordinator(image: &Image, group: &str) -> Option<NodeId> {
    let topic = image.topics.get(group_log::TOPIC)?;
    let partition = placement::coordinator_of(group, partitions(topic)?);
    image.leader(topic, partition).map(|(leader, _)| leader)
}

/// Asks a group's coordinator once, which may hold its answer for as long as `held`. What may come of its having moved
/// asks for fresh metadata too.
pub(crate) async fn ask_once<R: Request>(
    client: &Inner,
    group: &str,
    request: &R,
    held: Duration,
    timeout: Duration,
) -> Result<R::Response, ClientError> {
    let answer = ask_known(client, group, request, held, timeout).await;
    if let Err(error) = &answer
        && error.is_retryable()
    {
        client.metadata.refresh();
    }
    answer
}

/// Asks a group's coordinator, again and again for as long as the configuration allows.
pub(crate) async fn ask<R: Request>(
    client: &Inner,
    group: &str,
    request: &R,
    again: Again,
) -> Result<R::Response, ClientError> {
    let timeout = client.net.config.request_timeout;
    client.net.persist(R::NAME, again, || ask_once(client, group, request, Duration::ZERO, timeout)).await
}

async fn ask_known<R: Request>(
    client: &Inner,
    group: &str,
    request: &R,
    held: Duration,
    timeout: Duration,
) -> Result<R::Response, ClientError> {
    let topic = match client.metadata.topic(&client.net, group_log::TOPIC).await {
        Ok(topic) => topic,
        // Any node makes the topic, or knows that there is no such group.
        Err(ClientError::UnknownTopic { .. }) => return client.net.ask_once(request).await,
        Err(error) => return Err(error),
    };
    let (node, address) = place_of(client, group, &topic)?;
    let asking = async {
        let connection = client.net.connection(&address).await?;
        client.net.ask_at_within(&connection, request, timeout).await.map(|(_, response)| response)
    };
    let has_moved = |image: &Image| coordinator(image, group).is_some_and(|now| now != node);
    client.metadata.unless_moved(&address, held, has_moved, asking).await
}

/// The coordinator of a group, and where it is.
fn place_of(client: &Inner, group: &str, topic: &Arc<TopicEntry>) -> Result<(NodeId, String), ClientError> {
    let image = client.metadata.image();
    let count = partitions(topic).ok_or_else(|| ClientError::UnknownTopic { topic: topic.name.clone() })?;
    let partition = placement::coordinator_of(group, count);
    let leader = image.leader(topic, partition).map(|(leader, _)| leader);
    let place = leader.and_then(|leader| Some((leader, image.nodes.get(&leader)?.clone())));
    place.ok_or_else(|| no_leader(group_log::TOPIC, partition))
}

fn partitions(topic: &TopicEntry) -> Option<u32> {
    u32::try_from(topic.partitions.len()).ok().filter(|count| *count > 0)
}
