//! A node that wants to take part.

use weir_wire::ids::NodeId;
use weir_wire::metadata::{Join, Joined, Refusal};

use super::{Answer, check_identity, unavailable};
use crate::controller::Controller;
use crate::controller::types::members;

pub(super) async fn answer(controller: &Controller, from: NodeId, request: Join) -> Answer<Join> {
    let Join { member, is_empty } = request;
    check_identity(from, member.node)?;
    let cluster = (*controller.0.cluster.get()).ok_or(Refusal::NotFormed)?;
    if !controller.is_active() {
        return Err(controller.not_controller());
    }
    if let Some(address) = controller.taken_by(member.node, is_empty) {
        return Err(Refusal::DuplicateNode { node: member.node, address });
    }
    controller.admit(&member, is_empty).await.map_err(unavailable)?;
    let membership = controller.membership();
    tracing::info!(node = %member.node, address = member.address, "a node joins");
    Ok(Joined { cluster, members: members(&membership) })
}
