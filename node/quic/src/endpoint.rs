//! Accepting and making connections.
//!
//! Each network thread has a [`Server`] of its own, all on one port, and all share one [`Gate`]. Connections to
//! other nodes are made by a [`Connector`] with a socket of its own: answers to a connection made from the shared
//! port could reach any of the port's sockets.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use quinn::Endpoint;
use weir_wire::frame::Limits;

use crate::admission::{ConnectionPermit, Gate, HandshakePermit, Verdict};
use crate::config::{self, ResetSecret, Windows};
use crate::ending::{self, CloseCode, ConnectionEnd};
use crate::framed::{self, FrameReader, FrameWriter, Priority};
use crate::identity::{
    Identity, IdentityError, Principal, Protocol, SERVER_NAME, negotiated_protocol, peer_principal,
};
use crate::network::{BoundSocket, Network};
use crate::shared_buffer::SharedBuffer;
use crate::tls::{self, TokenClock};

/// How long a connection attempt may take, from the first datagram to the certificate.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection whose other end proved its name.
///
/// A node holds it for as long as it serves the connection: dropping it makes room for another one.
#[derive(Debug)]
pub struct Peer {
    /// The connection. Clones are handles to the same one.
    pub connection: quinn::Connection,
    /// Who is at the other end.
    pub principal: Principal,
    /// What the connection is for.
    pub protocol: Protocol,
    /// The buffer of the socket that this end receives on.
    pub buffer: SharedBuffer,
    _permit: Option<ConnectionPermit>,
}

impl Peer {
    /// Opens a stream: [`framed::open`].
    ///
    /// # Errors
    /// Why the connection is over.
    pub async fn open(
        &self,
        priority: Priority,
        limits: Limits,
    ) -> Result<(FrameWriter, FrameReader), ConnectionEnd> {
        framed::open(&self.connection, priority, limits).await
    }

    /// Takes the next stream that the peer opened: [`framed::accept`].
    ///
    /// # Errors
    /// Why the connection is over.
    pub async fn accept(&self) -> Result<(FrameWriter, FrameReader), ConnectionEnd> {
        framed::accept(&self.connection).await
    }

    /// Completes when the connection is over, with the reason.
    pub async fn closed(&self) -> ConnectionEnd {
        self.connection.closed().await.into()
    }

    /// Closes the connection with a code and a sentence for the peer.
    pub fn close(&self, code: CloseCode, reason: &str) {
        ending::close(&self.connection, code, reason);
    }
}

/// The accepting endpoint of one network thread.
#[derive(Clone, Debug)]
pub struct Server {
    endpoint: Endpoint,
    gate: Gate,
    buffer: SharedBuffer,
}

/// Why an endpoint could not be made.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// The operating system has something against the socket.
    #[error("cannot use the UDP socket: {0}")]
    Socket(#[from] io::Error),
    /// The certificates cannot be used.
    #[error("cannot use the certificates: {0}")]
    Identity(#[from] IdentityError),
}

impl Server {
    /// Starts to accept on `socket`. Call it inside the runtime of the thread that will drive the endpoint.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn new(
        network: &Arc<dyn Network>,
        socket: BoundSocket,
        identity: &Identity,
        gate: Gate,
    ) -> Result<Server, EndpointError> {
        let windows = Windows::for_receive_buffer(socket.receive_buffer_bytes());
        let mut server = quinn::ServerConfig::with_crypto(tls::accepting(identity, network)?);
        server.time_source(Arc::new(TokenClock(Arc::clone(network))));
        config::accepting(&mut server, windows);
        let reset = ResetSecret::derive(identity.key().secret_der());
        let endpoint = Endpoint::new_with_abstract_socket(
            config::endpoint(Some(&reset), network.rng_seed()),
            Some(server),
            socket.open()?,
            network.runtime(),
        )?;
        Ok(Server { endpoint, gate, buffer: SharedBuffer::new(windows) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The operating system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// The next newcomer that the gate lets in. Those it does not let in were answered. `None` once the endpoint
    /// is closed.
    ///
    /// # Cancel safety
    /// Dropping the future loses no newcomer.
    pub async fn accept(&self) -> Option<Arriving> {
        loop {
            let incoming = self.endpoint.accept().await?;
            let address = canonical(incoming.remote_address());
            match self.gate.admit(address.ip(), incoming.remote_address_validated()) {
                Verdict::Accept(permit) => {
                    return Some(Arriving {
                        incoming,
                        permit,
                        buffer: self.buffer.clone(),
                        timeout: self.gate.limits().handshake_timeout,
                    });
                }
                Verdict::Retry => {
                    // Only an address that was proven cannot be asked again, and those are not judged so.
                    let _ = incoming.retry();
                }
                Verdict::Refuse => {
                    tracing::debug!(%address, "refused a connection: too many");
                    incoming.refuse();
                }
            }
        }
    }

    /// Closes every connection, and takes no more.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.endpoint.close(code.into(), reason.as_bytes());
    }

    /// Waits until the peers of all closed connections were told.
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }

    /// Connections of this endpoint.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.endpoint.open_connections()
    }
}

/// A newcomer whose handshake has not begun.
#[derive(Debug)]
pub struct Arriving {
    incoming: quinn::Incoming,
    permit: HandshakePermit,
    buffer: SharedBuffer,
    timeout: Duration,
}

/// Why a newcomer did not become a peer. It was told, and nothing is left to be done but to count it.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The handshake failed: no or a foreign certificate, no common protocol, or the newcomer went away.
    #[error("the handshake with {address} failed: {end}")]
    Handshake {
        /// The newcomer's address.
        address: SocketAddr,
        /// What ended it.
        end: ConnectionEnd,
    },
    /// The handshake took too long.
    #[error("the handshake with {address} took longer than {} ms", .timeout.as_millis())]
    Timeout {
        /// The newcomer's address.
        address: SocketAddr,
        /// The limit.
        timeout: Duration,
    },
    /// The certificate is the authority's, but names nobody.
    #[error("{address} shows a certificate that cannot be used: {reason}")]
    Identity {
        /// The newcomer's address.
        address: SocketAddr,
        /// What is wrong with it.
        reason: IdentityError,
    },
    /// A client on a protocol that only nodes may speak.
    #[error("{principal} at {address} may not speak {protocol}")]
    NotAllowed {
        /// The newcomer's address.
        address: SocketAddr,
        /// Who it is.
        principal: Principal,
        /// What it asked for.
        protocol: Protocol,
    },
    /// The node filled up during the handshake.
    #[error("{address} was turned away: there are too many connections")]
    TooMany {
        /// The newcomer's address.
        address: SocketAddr,
    },
}

impl Arriving {
    /// The newcomer's address.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        canonical(self.incoming.remote_address())
    }

    /// Completes the handshake and checks who is there. Run it beside the accept loop: it waits for the network.
    ///
    /// # Errors
    /// [`AcceptError`]; the newcomer was told.
    pub async fn establish(self) -> Result<Peer, AcceptError> {
        let address = self.remote_address();
        let Arriving { incoming, permit, buffer, timeout } = self;
        let connecting =
            incoming.accept().map_err(|error| AcceptError::Handshake { address, end: error.into() })?;
        let connection = tokio::time::timeout(timeout, connecting)
            .await
            .map_err(|_| AcceptError::Timeout { address, timeout })?
            .map_err(|error| AcceptError::Handshake { address, end: error.into() })?;
        let (principal, protocol) = who(&connection).map_err(|reason| {
            ending::close(&connection, CloseCode::Unauthorized, &reason.to_string());
            AcceptError::Identity { address, reason }
        })?;
        if !principal.may_speak(protocol) {
            let error = AcceptError::NotAllowed { address, principal, protocol };
            ending::close(&connection, CloseCode::Unauthorized, &error.to_string());
            return Err(error);
        }
        let Some(permit) = permit.into_connection() else {
            let error = AcceptError::TooMany { address };
            ending::close(&connection, CloseCode::TooManyConnections, "try again later, or another node");
            return Err(error);
        };
        config::limit_streams(&connection, protocol);
        Ok(Peer { connection, principal, protocol, buffer, _permit: Some(permit) })
    }
}

/// Makes connections to nodes, from a socket of its own.
#[derive(Clone)]
pub struct Connector {
    endpoint: Endpoint,
    network: Arc<dyn Network>,
    identity: Identity,
    windows: Windows,
    buffer: SharedBuffer,
}

/// Why no connection could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered in time.
    #[error("no answer from {address} within {} ms: is a node running there?", .timeout.as_millis())]
    Timeout {
        /// Who was asked.
        address: SocketAddr,
        /// The limit.
        timeout: Duration,
    },
    /// The handshake failed.
    #[error("cannot connect to {address}: {end}")]
    Failed {
        /// Who was asked.
        address: SocketAddr,
        /// What ended it.
        end: ConnectionEnd,
    },
    /// The address cannot be connected to at all.
    #[error("{address} is not an address that this host can connect to: {detail}")]
    Address {
        /// What was asked for.
        address: SocketAddr,
        /// quinn's words.
        detail: String,
    },
    /// Something of the same authority that is not a node answered, or not the node that was meant.
    #[error("{address} is {found}, not {expected}: check the address")]
    OtherPeer {
        /// Who was asked.
        address: SocketAddr,
        /// Who answered.
        found: Principal,
        /// Who was meant.
        expected: String,
    },
    /// The certificates cannot be used.
    #[error("cannot use the certificates: {0}")]
    Identity(#[from] IdentityError),
    /// [`Connector::close`] was called.
    #[error("this process is shutting down")]
    ShuttingDown,
}

impl ConnectError {
    /// Whether trying again may help without anybody changing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            ConnectError::Timeout { .. } => true,
            ConnectError::Failed { end, .. } => end.is_retryable(),
            ConnectError::Address { .. }
            | ConnectError::OtherPeer { .. }
            | ConnectError::Identity(_)
            | ConnectError::ShuttingDown => false,
        }
    }
}

impl Connector {
    /// Makes connections from `socket` ([`Network::bind_client`]). Call it inside the runtime of the thread that
    /// will drive the endpoint.
    ///
    /// # Errors
    /// [`EndpointError`].
    pub fn new(
        network: &Arc<dyn Network>,
        socket: BoundSocket,
        identity: &Identity,
    ) -> Result<Connector, EndpointError> {
        let windows = Windows::for_receive_buffer(socket.receive_buffer_bytes());
        // What would fail at the first connection fails here.
        tls::connecting(identity, network, Protocol::Client)?;
        let endpoint = Endpoint::new_with_abstract_socket(
            config::endpoint(None, network.rng_seed()),
            None,
            socket.open()?,
            network.runtime(),
        )?;
        let buffer = SharedBuffer::new(windows);
        Ok(Connector { endpoint, network: Arc::clone(network), identity: identity.clone(), windows, buffer })
    }

    /// Connects to the node at `address`, within [`CONNECT_TIMEOUT`].
    ///
    /// A node that does not accept this side's certificate says so only after this returned: TLS 1.3 lets the
    /// connecting side finish first. It then ends the connection, and the first answer that is waited for fails
    /// with [`ConnectionEnd::CertificateRefused`].
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(&self, address: SocketAddr, protocol: Protocol) -> Result<Peer, ConnectError> {
        self.connect_within(address, protocol, CONNECT_TIMEOUT).await
    }

    /// As [`Connector::connect`], with another limit.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect_within(
        &self,
        address: SocketAddr,
        protocol: Protocol,
        timeout: Duration,
    ) -> Result<Peer, ConnectError> {
        let mut client = quinn::ClientConfig::new(tls::connecting(&self.identity, &self.network, protocol)?);
        client.transport_config(Arc::new(config::connecting_transport(self.windows, protocol)));
        let connecting =
            self.endpoint.connect_with(client, address, SERVER_NAME).map_err(|error| match error {
                quinn::ConnectError::EndpointStopping => ConnectError::ShuttingDown,
                other => ConnectError::Address { address, detail: other.to_string() },
            })?;
        let connection = tokio::time::timeout(timeout, connecting)
            .await
            .map_err(|_| ConnectError::Timeout { address, timeout })?
            .map_err(|error| ConnectError::Failed { address, end: error.into() })?;
        let (principal, protocol) = who(&connection)?;
        if let Principal::Client(_) = principal {
            ending::close(&connection, CloseCode::Unauthorized, "a node was expected here");
            return Err(ConnectError::OtherPeer { address, found: principal, expected: "a node".to_owned() });
        }
        Ok(Peer { connection, principal, protocol, buffer: self.buffer.clone(), _permit: None })
    }

    /// Closes every connection, and makes no more.
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.endpoint.close(code.into(), reason.as_bytes());
    }

    /// Waits until the peers of all closed connections were told. A process that ends without it leaves them
    /// waiting for [`config::IDLE_TIMEOUT`].
    pub async fn wait_idle(&self) {
        self.endpoint.wait_idle().await;
    }
}

/// An IPv4 address as such, also where it came in through an IPv6 socket.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn who(connection: &quinn::Connection) -> Result<(Principal, Protocol), IdentityError> {
    Ok((peer_principal(connection)?, negotiated_protocol(connection)?))
}
