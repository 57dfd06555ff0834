//! Connections to other nodes that carry more than questions: made by whoever keeps them.

use std::net::SocketAddr;

use weir_quic::{CloseCode, ConnectError, Connector, Peer, Principal, Protocol};
use weir_wire::ids::NodeId;

/// Why a node could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody there, or nobody who speaks the protocol.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The address cannot be looked up.
    #[error(
        "'{address}' is not an address ({reason}); the node was registered with it, so check its --advertise"
    )]
    Address {
        /// What was looked up.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody else is there.
    #[error("{address} is {found}, not node {expected}: its certificate says so")]
    OtherNode {
        /// Where.
        address: String,
        /// Who is there.
        found: Principal,
        /// Who was meant.
        expected: NodeId,
    },
}

/// Makes connections to nodes, from a socket of its own.
#[derive(Clone)]
pub struct Dialler {
    connector: Connector,
}

impl Dialler {
    /// Connects through this connector.
    #[must_use]
    pub fn new(connector: Connector) -> Dialler {
        Dialler { connector }
    }

    /// A replication connection to a node that is reached at `address`. The certificate says who it is, whatever
    /// stands at the address.
    ///
    /// # Errors
    /// See [`DialError`].
    pub async fn dial(&self, node: NodeId, address: &str) -> Result<Peer, DialError> {
        let peer = self.connector.connect(resolve(address).await?, Protocol::Replication).await?;
        if peer.principal == Principal::Node(node) {
            return Ok(peer);
        }
        peer.close(CloseCode::Unauthorized, "another node was expected here");
        let (address, found) = (address.to_owned(), peer.principal.clone());
        Err(DialError::OtherNode { address, found, expected: node })
    }

    /// Ends all connections.
    pub fn close(&self) {
        self.connector.close(CloseCode::ShuttingDown, "the node is shutting down");
    }
}

/// Names are resolved anew at each attempt: the node may have moved.
async fn resolve(address: &str) -> Result<SocketAddr, DialError> {
    if let Ok(literal) = address.parse() {
        return Ok(literal);
    }
    let wrong = |reason: String| DialError::Address { address: address.to_owned(), reason };
    let mut found = tokio::net::lookup_host(address).await.map_err(|error| wrong(error.to_string()))?;
    found.next().ok_or_else(|| wrong("the name has no address".to_owned()))
}
