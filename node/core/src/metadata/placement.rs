//! Which nodes get the replicas of new partitions.

use std::collections::BTreeMap;

use weir_wire::ids::NodeId;

use super::Image;

/// A node that may be given replicas, and where it stands.
#[derive(Clone, Copy)]
struct Place<'i> {
    node: NodeId,
    rack: Option<&'i str>,
}

/// Chooses replicas for `partitions` partitions: leaders go round the nodes, beginning with the node that leads
/// least; the other replicas are the nodes that follow in the circle, shifted by one more each time round, so that
/// the followers of one node's partitions are spread over all others (as Kafka's `StripedReplicaPlacer` does).
///
/// Racks alternate in the circle, and a replica goes to a rack that has fewest of the partition's replicas: the
/// replicas of a partition are in as many racks as there are (KIP-36). Nodes without a rack share one.
pub(super) fn spread(image: &Image, partitions: u32, replication_factor: u32) -> Vec<Vec<NodeId>> {
    let circle = circle(image);
    let nodes = circle.len();
    (0..partitions as usize)
        .map(|index| {
            let shift = (index / nodes) % nodes.saturating_sub(1).max(1);
            let others = (0..nodes - 1)
                .map(|rank| circle[(index + 1 + (shift + rank) % (nodes - 1).max(1)) % nodes])
                .collect();
            replicas(circle[index % nodes], others, replication_factor as usize)
        })
        .collect()
}

/// The nodes that take replicas, racks taking turns, and within a rack who leads least first.
fn circle(image: &Image) -> Vec<Place<'_>> {
    let mut leads: BTreeMap<NodeId, usize> = BTreeMap::new();
    for leader in image.partitions().filter_map(|(.., partition)| partition.leader) {
        *leads.entry(leader).or_default() += 1;
    }
    let rank = |node: NodeId| (leads.get(&node).copied().unwrap_or(0), node);
    let mut racks: BTreeMap<Option<&str>, Vec<NodeId>> = BTreeMap::new();
    for (node, state) in image.nodes.iter().filter(|(_, state)| state.takes_replicas()) {
        racks.entry(state.rack.as_deref()).or_default().push(*node);
    }
    let mut turns = Vec::new();
    for (rack, nodes) in &mut racks {
        nodes.sort_by_key(|node| rank(*node));
        turns.extend(nodes.iter().enumerate().map(|(turn, node)| (turn, Place { node: *node, rack: *rack })));
    }
    turns.sort_by_key(|(turn, place)| (*turn, rank(place.node)));
    turns.into_iter().map(|(_, place)| place).collect()
}

/// `count` replicas, the leader first: each next one is the first of `others` in a rack that has fewest.
fn replicas(leader: Place<'_>, mut others: Vec<Place<'_>>, count: usize) -> Vec<NodeId> {
    let mut chosen = vec![leader];
    while chosen.len() < count {
        let in_rack = |place: &Place<'_>| chosen.iter().filter(|replica| replica.rack == place.rack).count();
        // The first of several that are equal.
        let Some(next) = (0..others.len()).min_by_key(|at| in_rack(&others[*at])) else { break };
        chosen.push(others.remove(next));
    }
    chosen.into_iter().map(|place| place.node).collect()
}
