//! Metadata connections: this node asks others.
//!
//! ```text
//! ask(node 2) ──▶ link 2 ── up? ──▶ a stream of its own: request, answer
//!                   │ no
//!                   └──▶ one task dials; who asks meanwhile waits for it
//! ```
//!
//! A connection stays for as long as it works. One that is lost is dialled again when somebody asks, after a pause that
//! grows. Each node has its own link, so one that does not answer delays nobody who asks another.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use weir_quic::{
    CloseCode, ConnectError, Connector, Peer, Principal, Priority, Protocol, ReadError, WriteError,
};
use weir_wire::ids::NodeId;
use weir_wire::metadata::{METADATA_LIMITS, PeerAnswer, PeerRequest, Refusal};
use weir_wire::request::{Request, decode_body, encode_body};

use crate::watched::Watched;

/// How long a connection attempt may take. Nodes are near each other, and consensus waits.
const DIAL_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause after the first failed attempt.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause after failed attempts.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// Why another node gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AskError {
    /// It said no, and why.
    #[error("{node} says: {refusal}")]
    Refused {
        /// Who was asked.
        node: String,
        /// What it says.
        refusal: Refusal,
    },
    /// It could not be asked: the request did not reach it.
    #[error("{0}")]
    Unreachable(Arc<ConnectError>),
    /// The address cannot be looked up.
    #[error("'{address}' is not an address: {reason}")]
    Address {
        /// What was asked for.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The connection broke before the answer: whether the request was carried out is not known.
    #[error("the connection to {node} broke: {reason}")]
    Broken {
        /// Who was asked.
        node: String,
        /// What happened.
        reason: String,
    },
}

impl AskError {
    /// Whether the request may have been carried out all the same.
    #[must_use]
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, AskError::Broken { .. })
    }
}

/// Asks other nodes. Clones share their connections.
#[derive(Clone)]
pub struct Peers(Arc<Shared>);

struct Shared {
    connector: Connector,
    links: Mutex<BTreeMap<NodeId, Arc<Link>>>,
}

struct Link {
    state: Watched<LinkState>,
    dialling: Mutex<Dialling>,
}

#[derive(Default)]
struct Dialling {
    under_way: bool,
    pause: Duration,
}

#[derive(Clone)]
enum LinkState {
    Down,
    Failed(AskError),
    Up { address: String, peer: Arc<Peer> },
}

impl Peers {
    /// Asks through this connector.
    #[must_use]
    pub fn new(connector: Connector) -> Peers {
        Peers(Arc::new(Shared { connector, links: Mutex::default() }))
    }

    /// Asks a node that is reached at `address`.
    ///
    /// # Errors
    /// See [`AskError`].
    ///
    /// # Cancel safety
    /// Dropping the future gives the request up; whether it was carried out is not known then.
    pub async fn ask<R: Request>(
        &self,
        node: NodeId,
        address: &str,
        header: PeerRequest,
        request: &R,
    ) -> Result<R::Response, AskError> {
        let peer = self.connection(node, address).await?;
        exchange::<R>(&peer, header, request).await
    }

    /// Asks whoever is at `address`, over a connection for this request alone.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask_stranger<R: Request>(
        &self,
        address: &str,
        header: PeerRequest,
        request: &R,
    ) -> Result<R::Response, AskError> {
        let peer = dial(&self.0.connector, address).await?;
        let answer = exchange::<R>(&peer, header, request).await;
        peer.close(CloseCode::Done, "");
        answer
    }

    /// Ends all connections.
    pub fn close(&self) {
        self.0.connector.close(CloseCode::ShuttingDown, "the node is shutting down");
    }

    async fn connection(&self, node: NodeId, address: &str) -> Result<Arc<Peer>, AskError> {
        let link = Arc::clone(self.links().entry(node).or_insert_with(|| Arc::new(Link::new())));
        loop {
            if let LinkState::Up { address: at, peer } = &*link.state.get()
                && at == address
                && peer.connection.close_reason().is_none()
            {
                return Ok(Arc::clone(peer));
            }
            link.start_dialling(&self.0, node, address);
            let dialled = link.state.wait_until(|state| !matches!(state, LinkState::Down)).await;
            if let LinkState::Failed(error) = &*dialled {
                return Err(error.clone());
            }
        }
    }

    fn links(&self) -> MutexGuard<'_, BTreeMap<NodeId, Arc<Link>>> {
        self.0.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link {
    fn new() -> Link {
        Link { state: Watched::new(LinkState::Down), dialling: Mutex::default() }
    }

    /// Starts one attempt, unless one is under way or the last one failed a moment ago.
    fn start_dialling(self: &Arc<Self>, shared: &Arc<Shared>, node: NodeId, address: &str) {
        let mut dialling = self.dialling();
        if dialling.under_way {
            return;
        }
        dialling.under_way = true;
        self.state.set(LinkState::Down);
        let (link, shared, address) = (Arc::clone(self), Arc::clone(shared), address.to_owned());
        tokio::spawn(async move {
            let dialled =
                dial(&shared.connector, &address).await.and_then(|peer| check(peer, node, &address));
            match dialled {
                Ok(peer) => {
                    tracing::debug!(%node, %address, "metadata connection made");
                    *link.dialling() = Dialling::default();
                    link.state.set(LinkState::Up { address, peer: Arc::new(peer) });
                }
                Err(error) => {
                    tracing::debug!(%node, %address, %error, "no metadata connection");
                    link.state.set(LinkState::Failed(error));
                    let pause = (link.dialling().pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
                    tokio::time::sleep(pause).await;
                    *link.dialling() = Dialling { under_way: false, pause };
                }
            }
        });
    }

    fn dialling(&self) -> MutexGuard<'_, Dialling> {
        self.dialling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn dial(connector: &Connector, address: &str) -> Result<Peer, AskError> {
    let resolved = resolve(address).await?;
    connector
        .connect_within(resolved, Protocol::Metadata, DIAL_TIMEOUT)
        .await
        .map_err(|error| AskError::Unreachable(Arc::new(error)))
}

/// The certificate says who it is, whatever stands at the address.
fn check(peer: Peer, node: NodeId, address: &str) -> Result<Peer, AskError> {
    if peer.principal == Principal::Node(node) {
        return Ok(peer);
    }
    let reason = format!("that is {}, not {}", peer.principal, Principal::Node(node));
    peer.close(CloseCode::Unauthorized, "another node was expected here");
    Err(AskError::Address { address: address.to_owned(), reason })
}

async fn resolve(address: &str) -> Result<SocketAddr, AskError> {
    if let Ok(literal) = address.parse() {
        return Ok(literal);
    }
    let wrong = |reason: String| AskError::Address { address: address.to_owned(), reason };
    let mut found =
        tokio::net::lookup_host(address).await.map_err(|error| wrong(format!("{error}; give HOST:PORT")))?;
    found.next().ok_or_else(|| wrong("the name has no address".to_owned()))
}

async fn exchange<R: Request>(
    peer: &Peer,
    header: PeerRequest,
    request: &R,
) -> Result<R::Response, AskError> {
    let broken = |reason: String| AskError::Broken { node: peer.principal.to_string(), reason };
    let written = |error: WriteError| broken(error.to_string());
    let read = |error: ReadError| broken(error.to_string());
    let (mut writer, mut reader) =
        peer.open(Priority::Control, METADATA_LIMITS).await.map_err(|end| broken(end.to_string()))?;
    writer.queue(&header, Bytes::from(encode_body(request)));
    writer.finish().await.map_err(written)?;
    let answer = reader.next::<PeerAnswer>().await.map_err(read)?;
    let answer = answer.ok_or_else(|| broken("it ended the stream without an answer".to_owned()))?;
    match answer.header.refusal {
        Some(refusal) => Err(AskError::Refused { node: peer.principal.to_string(), refusal }),
        None => decode_body(&answer.payload).map_err(|error| broken(error.message)),
    }
}
