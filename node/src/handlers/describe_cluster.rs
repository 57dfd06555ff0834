//! How the cluster is: nodes, quorum, figures. Answered from what this node has, also without a majority.

use std::collections::BTreeMap;

use weir_core::metadata::{Image, NodeState};
use weir_wire::ids::NodeId;
use weir_wire::request::{
    ClusterDescription, DescribeCluster, NodeDescription, NodeStanding, PartitionFigures, QuorumView,
};

use super::authorize::{Operation, Resource, authorize};
use super::control::{Answer, Context};
use crate::controller::QuorumStatus;

pub(super) async fn handle(context: Context, _: DescribeCluster) -> Answer<ClusterDescription> {
    authorize(&context.principal, Operation::Describe, Resource::Cluster)?;
    let quorum = context.services.controller.quorum().await;
    let image = &context.image;
    let description = ClusterDescription {
        cluster: context.services.cluster,
        answered_by: context.services.node,
        applied: image.index,
        quorum: view(quorum),
        nodes: nodes(image),
        partitions: figures(image),
    };
    Ok((image.index, description))
}

fn view(status: QuorumStatus) -> QuorumView {
    QuorumView {
        controller: status.leader,
        term: status.term,
        last_index: status.last_index,
        committed_index: status.committed_index,
        acknowledged_ms: status.quorum_acknowledged_ms,
        members: status.members,
        is_from_controller: status.is_from_leader,
    }
}

fn nodes(image: &Image) -> Vec<NodeDescription> {
    let mut counts: BTreeMap<NodeId, (u32, u32)> = BTreeMap::new();
    for (_, _, _, partition) in image.partitions() {
        if let Some(leader) = partition.leader {
            counts.entry(leader).or_default().0 += 1;
        }
        for replica in &partition.replicas {
            counts.entry(*replica).or_default().1 += 1;
        }
    }
    let describe = |(node, state): (&NodeId, &NodeState)| {
        let (leads, replicas) = counts.get(node).copied().unwrap_or_default();
        NodeDescription {
            node: *node,
            address: state.address.clone(),
            rack: state.rack.clone(),
            incarnation: state.incarnation,
            standing: match state {
                NodeState { fenced: true, .. } => NodeStanding::Fenced,
                NodeState { stopping: true, .. } => NodeStanding::Stopping,
                _ => NodeStanding::Live,
            },
            leads,
            replicas,
        }
    };
    image.nodes.iter().map(describe).collect()
}

fn figures(image: &Image) -> PartitionFigures {
    let mut figures = PartitionFigures::default();
    for (_, topic, _, partition) in image.partitions() {
        let (required, settled) = (topic.required_in_sync(partition), partition.settled());
        let in_sync = settled.iter().filter(|node| partition.isr.contains(node)).count();
        figures.total += 1;
        figures.leaderless += u32::from(partition.leader.is_none());
        figures.under_replicated += u32::from(in_sync < settled.len());
        figures.under_min_isr += u32::from(partition.isr.len() < required);
        figures.not_preferred += u32::from(partition.leader != partition.replicas.first().copied());
    }
    figures
}
