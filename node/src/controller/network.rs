//! What openraft sends to other nodes.

use std::future::Future;
use std::time::Duration;

use openraft::error::{Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, Snapshot};
use weir_core::metadata::Image;
use weir_wire::metadata::{AppendEntries, Appended, AskVote, InstallSnapshot};
use weir_wire::stored;

use super::asking::{Asking, NoAnswer};
use super::types::{
    RaftNode, RaftVote, Site, Types, log_id, node_id, position, raft_vote, wire_entry, wire_membership,
    wire_vote,
};

/// How long a failed request waits before it says so: openraft may try again at once.
const FAILURE_PAUSE: Duration = Duration::from_millis(20);

/// Makes a [`Network`] for each node that is to be reached.
pub(super) struct Networks(pub(super) Asking);

impl RaftNetworkFactory<Types> for Networks {
    type Network = Network;

    async fn new_client(&mut self, target: RaftNode, site: &Site) -> Network {
        let node = node_id(target);
        self.0.learn(node, &site.address);
        Network { asking: self.0.clone(), target }
    }
}

/// Reaches one node.
pub(super) struct Network {
    asking: Asking,
    target: RaftNode,
}

type Failed<E> = RPCError<RaftNode, Site, RaftError<RaftNode, E>>;

impl Network {
    /// openraft's word for a request that may be sent again as it is.
    async fn failed(error: NoAnswer) -> NetworkError {
        tokio::time::sleep(FAILURE_PAUSE).await;
        NetworkError::new(&error)
    }
}

impl RaftNetwork<Types> for Network {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<Types>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<RaftNode>, Failed<openraft::error::Infallible>> {
        let request = AppendEntries {
            vote: wire_vote(&request.vote),
            previous: request.prev_log_id.as_ref().map(position),
            entries: request.entries.iter().map(wire_entry).collect(),
            committed: request.leader_commit.as_ref().map(position),
        };
        match self.asking.ask(node_id(self.target), &request).await {
            Ok(Appended::All) => Ok(AppendEntriesResponse::Success),
            Ok(Appended::UpTo(last)) => Ok(AppendEntriesResponse::PartialSuccess(last.map(log_id))),
            Ok(Appended::Conflict) => Ok(AppendEntriesResponse::Conflict),
            Ok(Appended::Superseded(vote)) => Ok(AppendEntriesResponse::HigherVote(raft_vote(vote))),
            Err(error) => Err(RPCError::Network(Network::failed(error).await)),
        }
    }

    async fn vote(
        &mut self,
        request: VoteRequest<RaftNode>,
        _: RPCOption,
    ) -> Result<VoteResponse<RaftNode>, Failed<openraft::error::Infallible>> {
        let request =
            AskVote { vote: wire_vote(&request.vote), last: request.last_log_id.as_ref().map(position) };
        match self.asking.ask(node_id(self.target), &request).await {
            Ok(answer) => Ok(VoteResponse {
                vote: raft_vote(answer.vote),
                vote_granted: answer.granted,
                last_log_id: answer.last.map(log_id),
            }),
            Err(error) => Err(RPCError::Network(Network::failed(error).await)),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: RaftVote,
        snapshot: Snapshot<Types>,
        cancelled: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<RaftNode>, StreamingError<Types, Fatal<RaftNode>>> {
        let membership = &snapshot.meta.last_membership;
        let request = InstallSnapshot {
            vote: wire_vote(&vote),
            last: snapshot.meta.last_log_id.as_ref().map(position),
            membership_at: membership.log_id().as_ref().map(position),
            membership: wire_membership(membership.membership()),
            image: stored::encode::<Image>(&snapshot.snapshot),
        };
        let asked = self.asking.ask_within(option.hard_ttl(), node_id(self.target), &request);
        tokio::select! {
            biased;
            closed = cancelled => Err(StreamingError::Closed(closed)),
            answer = asked => match answer {
                Ok(answer) => Ok(SnapshotResponse { vote: raft_vote(answer.vote) }),
                Err(error) => Err(StreamingError::Network(Network::failed(error).await)),
            },
        }
    }
}
