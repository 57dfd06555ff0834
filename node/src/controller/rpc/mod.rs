//! What a node answers other nodes: one file per request kind.

mod append;
mod change_voters;
mod heartbeat;
mod join;
mod propose;
mod quorum;
mod snapshot;
mod vote;

use bytes::Bytes;
use weir_wire::ids::{ClusterId, NodeId};
use weir_wire::metadata::{
    AppendEntries, AskVote, ChangeVoters, DescribeQuorum, Heartbeat, InstallSnapshot, Join, PeerRequest,
    Propose, Refusal,
};
use weir_wire::request::{Request, decode_body, encode_body};

use super::Controller;
use crate::transport::PeerHandler;

type Answer<R> = Result<<R as Request>::Response, Refusal>;

impl PeerHandler for Controller {
    async fn answer(&self, from: NodeId, request: PeerRequest, body: Bytes) -> Result<Vec<u8>, Refusal> {
        let cluster = request.cluster;
        match request.kind {
            AppendEntries::KIND => {
                run(self, cluster, &body, |request| append::answer(self, from, request)).await
            }
            AskVote::KIND => run(self, cluster, &body, |request| vote::answer(self, from, request)).await,
            InstallSnapshot::KIND => {
                run(self, cluster, &body, |request| snapshot::answer(self, from, request)).await
            }
            Propose::KIND => run(self, cluster, &body, |request| propose::answer(self, request)).await,
            Heartbeat::KIND => {
                run(self, cluster, &body, |request| heartbeat::answer(self, from, request)).await
            }
            ChangeVoters::KIND => {
                run(self, cluster, &body, |request| change_voters::answer(self, request)).await
            }
            DescribeQuorum::KIND => run(self, cluster, &body, |request| quorum::answer(self, request)).await,
            // From a node that has no cluster yet.
            Join::KIND => {
                let request = decode::<Join>(&body)?;
                Ok(encode_body(&join::answer(self, from, request).await?))
            }
            unknown => Err(Refusal::Invalid(format!("request kind {} is not known to it", unknown.0))),
        }
    }
}

async fn run<R: Request, F: Future<Output = Answer<R>>>(
    controller: &Controller,
    cluster: Option<ClusterId>,
    body: &[u8],
    answer: impl FnOnce(R) -> F,
) -> Result<Vec<u8>, Refusal> {
    // A node that waits to join listens to nobody: another cluster may know its address from an earlier life.
    let found = (*controller.0.cluster.get()).ok_or(Refusal::NotFormed)?;
    if cluster != Some(found) {
        return Err(Refusal::WrongCluster { found });
    }
    Ok(encode_body(&answer(decode::<R>(body)?).await?))
}

fn decode<R: Request>(body: &[u8]) -> Result<R, Refusal> {
    decode_body::<R>(body).map_err(|error| Refusal::Invalid(error.message))
}

/// The certificate decides who asks.
fn check_identity(certificate: NodeId, claimed: NodeId) -> Result<(), Refusal> {
    if certificate == claimed { Ok(()) } else { Err(Refusal::OtherIdentity { certificate, claimed }) }
}

fn unavailable(error: impl std::fmt::Display) -> Refusal {
    Refusal::Unavailable(error.to_string())
}

impl Controller {
    fn not_controller(&self) -> Refusal {
        let leader = self.leader().filter(|leader| *leader != self.node());
        Refusal::NotController { leader: leader.and_then(|leader| self.0.asking.member(leader)) }
    }
}
