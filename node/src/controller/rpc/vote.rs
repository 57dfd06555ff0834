//! A candidate's question for a vote.

use openraft::raft::VoteRequest;
use weir_wire::ids::NodeId;
use weir_wire::metadata::{AskVote, VoteAnswered};

use super::{Answer, check_identity, unavailable};
use crate::controller::Controller;
use crate::controller::types::{log_id, position, raft_vote, wire_vote};

pub(super) async fn answer(controller: &Controller, from: NodeId, request: AskVote) -> Answer<AskVote> {
    check_identity(from, request.vote.node)?;
    let request = VoteRequest::new(raft_vote(request.vote), request.last.map(log_id));
    let answer = controller.0.raft.vote(request).await.map_err(unavailable)?;
    Ok(VoteAnswered {
        vote: wire_vote(&answer.vote),
        granted: answer.vote_granted,
        last: answer.last_log_id.as_ref().map(position),
    })
}
