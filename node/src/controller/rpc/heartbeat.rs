//! A node's sign of life to the active controller.

use weir_wire::ids::NodeId;
use weir_wire::metadata::{Heartbeat, HeartbeatTaken};

use super::{Answer, check_identity};
use crate::controller::Controller;

pub(super) async fn answer(controller: &Controller, from: NodeId, request: Heartbeat) -> Answer<Heartbeat> {
    check_identity(from, request.node)?;
    if !controller.is_active() {
        return Err(controller.not_controller());
    }
    Ok(HeartbeatTaken { is_current: controller.renew(request.node, request.incarnation) })
}
