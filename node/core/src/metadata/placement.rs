//! Which nodes get the replicas of a new topic.

use std::collections::BTreeMap;

use weir_wire::ids::NodeId;

use super::Image;

/// Chooses replicas for `partitions` partitions: leaders go round the nodes, beginning with the node that leads
/// least; the other replicas are the nodes that follow in the circle, shifted by one more each time round, so that
/// the followers of one node's partitions are spread over all others (as Kafka's `StripedReplicaPlacer` does).
pub(super) fn spread(image: &Image, partitions: u32, replication_factor: u32) -> Vec<Vec<NodeId>> {
    let active = image.nodes.iter().filter(|(_, state)| state.is_active()).map(|(node, _)| node);
    let mut leads: BTreeMap<NodeId, usize> = active.map(|node| (*node, 0)).collect();
    for (_, _, _, partition) in image.partitions() {
        if let Some(count) = partition.leader.and_then(|leader| leads.get_mut(&leader)) {
            *count += 1;
        }
    }
    let mut circle: Vec<NodeId> = leads.keys().copied().collect();
    circle.sort_by_key(|node| (leads[node], *node));
    let nodes = circle.len();
    (0..partitions as usize)
        .map(|index| {
            let shift = (index / nodes) % nodes.saturating_sub(1).max(1);
            let follower = |rank: usize| circle[(index + 1 + (shift + rank) % (nodes - 1).max(1)) % nodes];
            let followers = (0..replication_factor as usize - 1).map(follower);
            std::iter::once(circle[index % nodes]).chain(followers).collect()
        })
        .collect()
}
