//! Asking other nodes by their number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_core::metadata::Image;
use weir_wire::ids::{ClusterId, Incarnation, NodeId};
use weir_wire::metadata::{Member, PeerRequest, Refusal};
use weir_wire::request::Request;

use crate::transport::{AskError, Peers};
use crate::watched::Watched;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoAnswer {
    #[error(transparent)]
    Asked(#[from] AskError),
    #[error("nothing is known of node {0}")]
    Unknown(NodeId),
    #[error("node {node} gave no answer within {} ms", .within.as_millis())]
    Timeout { node: NodeId, within: Duration },
}

impl NoAnswer {
    /// Whether the request may have been carried out all the same.
    pub(super) fn is_ambiguous(&self) -> bool {
        match self {
            NoAnswer::Asked(error) => error.is_ambiguous(),
            NoAnswer::Unknown(_) => false,
            NoAnswer::Timeout { .. } => true,
        }
    }

    pub(super) fn refusal(&self) -> Option<&Refusal> {
        match self {
            NoAnswer::Asked(AskError::Refused { refusal, .. }) => Some(refusal),
            _ => None,
        }
    }
}

/// Asks nodes, and knows where they are reached. Clones share what they know.
#[derive(Clone)]
pub(super) struct Asking {
    peers: Peers,
    cluster: Arc<Watched<Option<ClusterId>>>,
    image: Arc<Watched<Image>>,
    /// Where nodes said that they are reached when they joined; the image knows better once they registered.
    joined: Arc<Mutex<BTreeMap<NodeId, Joined>>>,
    /// What the last node said that is not of this cluster.
    foreign: Arc<Mutex<Option<String>>>,
}

/// Whether somebody answered who belongs to another cluster, or another authority.
fn is_foreign(error: &AskError) -> bool {
    match error {
        AskError::Refused { refusal, .. } => {
            matches!(refusal, Refusal::WrongCluster { .. } | Refusal::OtherIdentity { .. })
        }
        AskError::Unreachable(error) => !error.is_retryable(),
        AskError::Address { .. } | AskError::Broken { .. } => false,
    }
}

/// Where a node said that it is reached.
struct Joined {
    address: String,
    /// The registration that stood then, and says where an earlier life of the node was reached.
    superseded: Option<Incarnation>,
}

impl Asking {
    pub(super) fn new(
        peers: Peers,
        cluster: Arc<Watched<Option<ClusterId>>>,
        image: Arc<Watched<Image>>,
    ) -> Asking {
        Asking { peers, cluster, image, joined: Arc::default(), foreign: Arc::default() }
    }

    /// Remembers where a node is reached that may not have registered yet.
    pub(super) fn learn(&self, node: NodeId, address: &str) {
        if !address.is_empty() {
            let unknown = || Joined { address: address.to_owned(), superseded: None };
            self.joined().entry(node).or_insert_with(unknown);
        }
    }

    /// Remembers where a node is reached that joins at this moment.
    pub(super) fn joins(&self, node: NodeId, address: &str) {
        let superseded = self.image.get().nodes.get(&node).map(|state| state.incarnation);
        self.joined().insert(node, Joined { address: address.to_owned(), superseded });
    }

    /// Where a node is reached.
    pub(super) fn member(&self, node: NodeId) -> Option<Member> {
        let image = self.image.get();
        let (registered, joined) = (image.nodes.get(&node), self.joined());
        let address = match (registered, joined.get(&node)) {
            (Some(state), Some(joined)) if joined.superseded == Some(state.incarnation) => &joined.address,
            (Some(state), _) => &state.address,
            (None, Some(joined)) => &joined.address,
            (None, None) => return None,
        };
        Some(Member { node, address: address.clone() })
    }

    /// What a node said that is not of this cluster, if one did.
    pub(super) fn foreign(&self) -> Option<String> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks a node, for as long as the caller waits.
    pub(super) async fn ask<R: Request>(&self, node: NodeId, request: &R) -> Result<R::Response, NoAnswer> {
        let member = self.member(node).ok_or(NoAnswer::Unknown(node))?;
        let answer = self.peers.ask(node, &member.address, self.header::<R>(), request).await;
        if let Err(error) = &answer
            && is_foreign(error)
        {
            *self.foreign.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
        }
        Ok(answer?)
    }

    /// Asks a node, and waits so long.
    pub(super) async fn ask_within<R: Request>(
        &self,
        within: Duration,
        node: NodeId,
        request: &R,
    ) -> Result<R::Response, NoAnswer> {
        let answer = tokio::time::timeout(within, self.ask(node, request)).await;
        answer.map_err(|_| NoAnswer::Timeout { node, within })?
    }

    /// Asks whoever is at an address.
    pub(super) async fn ask_stranger<R: Request>(
        &self,
        address: &str,
        request: &R,
    ) -> Result<R::Response, AskError> {
        self.peers.ask_stranger(address, self.header::<R>(), request).await
    }

    fn header<R: Request>(&self) -> PeerRequest {
        PeerRequest { kind: R::KIND, cluster: *self.cluster.get() }
    }

    fn joined(&self) -> MutexGuard<'_, BTreeMap<NodeId, Joined>> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
