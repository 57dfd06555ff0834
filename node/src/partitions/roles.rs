//! What the metadata says that each replica of this node is.

use weir_core::metadata::{Image, NodeState, PartitionState, ProcessId};
use weir_core::partition::{Assigned, Following, Member, Reign};
use weir_wire::ids::{Incarnation, NodeId};

/// A replica's part in its partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Leader(Reign),
    Follower(Following),
}

/// This node as it is registered.
///
/// `None` while the metadata knows another process under the node's number: whatever it says then is meant for that
/// one, and no process may use a life that is not its own.
pub(super) fn myself(image: &Image, node: NodeId, process: ProcessId) -> Option<Member> {
    let state = image.nodes.get(&node).filter(|state| state.process == process)?;
    Some(Member { node, incarnation: state.incarnation })
}

/// The role of `me` in a partition that is assigned to it.
pub(super) fn role(image: &Image, state: &PartitionState, me: Member) -> Role {
    let (leader_epoch, partition_epoch) = (state.leader_epoch, state.partition_epoch);
    if state.leader == Some(me.node) {
        let replicas = state.replicas.iter().map(|node| assigned(image, state, *node)).collect();
        let isr = state.isr.iter().copied().collect();
        let unflushed = state.unflushed.clone();
        let replication_factor = u32::try_from(state.replication_factor()).unwrap_or(u32::MAX);
        return Role::Leader(Reign {
            leader_epoch,
            partition_epoch,
            me,
            replicas,
            replication_factor,
            isr,
            unflushed,
        });
    }
    let leader = state.leader.map(|leader| assigned(image, state, leader).member);
    Role::Follower(Following { leader_epoch, partition_epoch, me, leader, unclean: state.unclean })
}

fn assigned(image: &Image, partition: &PartitionState, node: NodeId) -> Assigned {
    let state = image.nodes.get(&node);
    // A node that was never registered has no life that anything could be said about.
    let incarnation = state.map_or(Incarnation(0), |state| state.incarnation);
    let is_sound = !partition.failed.contains(&node);
    let is_eligible = is_sound && state.is_some_and(NodeState::is_active);
    Assigned { member: Member { node, incarnation }, is_eligible }
}
