//! A snapshot of the active controller's, for a node that is too far behind.

use std::sync::Arc;

use openraft::Snapshot;
use weir_core::metadata::Image;
use weir_wire::ids::NodeId;
use weir_wire::metadata::{InstallSnapshot, Refusal, SnapshotInstalled};
use weir_wire::stored;

use super::{Answer, check_identity, unavailable};
use crate::controller::Controller;
use crate::controller::state_machine;
use crate::controller::types::{StoredMembership, log_id, raft_membership, raft_vote, wire_vote};

pub(super) async fn answer(
    controller: &Controller,
    from: NodeId,
    request: InstallSnapshot,
) -> Answer<InstallSnapshot> {
    check_identity(from, request.vote.node)?;
    let image =
        stored::decode::<Image>(&request.image).map_err(|error| Refusal::Invalid(error.to_string()))?;
    let membership =
        StoredMembership::new(request.membership_at.map(log_id), raft_membership(request.membership));
    let snapshot = Snapshot {
        meta: state_machine::meta(request.last.map(log_id), membership),
        snapshot: Box::new(Arc::new(image)),
    };
    let vote = raft_vote(request.vote);
    let answer = controller.0.raft.install_full_snapshot(vote, snapshot).await.map_err(unavailable)?;
    Ok(SnapshotInstalled { vote: wire_vote(&answer.vote) })
}
