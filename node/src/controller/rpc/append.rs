//! Entries of the active controller, and its sign of life.

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use weir_wire::ids::NodeId;
use weir_wire::metadata::{AppendEntries, Appended, Refusal};

use super::{Answer, check_identity, unavailable};
use crate::controller::Controller;
use crate::controller::types::{log_id, position, raft_entry, raft_vote, wire_vote};

pub(super) async fn answer(
    controller: &Controller,
    from: NodeId,
    request: AppendEntries,
) -> Answer<AppendEntries> {
    check_identity(from, request.vote.node)?;
    let entries: Option<Vec<_>> = request.entries.into_iter().map(raft_entry).collect();
    let unknown = || {
        Refusal::Invalid(
            "an entry holds a command that it does not know: it needs a newer program".to_owned(),
        )
    };
    let request = AppendEntriesRequest {
        vote: raft_vote(request.vote),
        prev_log_id: request.previous.map(log_id),
        entries: entries.ok_or_else(unknown)?,
        leader_commit: request.committed.map(log_id),
    };
    match controller.0.raft.append_entries(request).await.map_err(unavailable)? {
        AppendEntriesResponse::Success => Ok(Appended::All),
        AppendEntriesResponse::PartialSuccess(last) => Ok(Appended::UpTo(last.as_ref().map(position))),
        AppendEntriesResponse::Conflict => Ok(Appended::Conflict),
        AppendEntriesResponse::HigherVote(vote) => Ok(Appended::Superseded(wire_vote(&vote))),
    }
}
