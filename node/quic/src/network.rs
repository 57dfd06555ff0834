//! The seam between the real and the simulated network.
//!
//! A node and a client reach the network through [`Network`] alone. [`RealNetwork`] is the one that exists outside
//! tests; a simulator brings its own, with sockets and a clock that it owns.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use quinn::{AsyncUdpSocket, Runtime};
use socket2::{Domain, Socket, Type};

use crate::config::SOCKET_BUFFER_BYTES;

/// Most sockets that may share one port, which is the most network threads a node can have.
pub const SOCKETS_MAX: usize = 64;

/// Where sockets, timers, tasks, randomness and the time of day come from.
///
/// A simulator binds in [`Network::bind`] too (its `bind` may be an `async fn` that never waits: poll it once), and
/// gives quinn a socket whose `may_fragment` is true, which turns the discovery of datagram sizes off.
pub trait Network: Send + Sync + 'static {
    /// Binds `sockets` sockets to one address, between which the network spreads peers by their address. Port 0
    /// picks one free port for all. Where a platform cannot spread, fewer sockets come back, but at least one.
    ///
    /// # Errors
    /// [`BindError`], with what to do.
    fn bind(&self, addr: SocketAddr, sockets: usize) -> Result<Vec<BoundSocket>, BindError>;

    /// Binds one socket to make connections from, to any family of addresses that this host has.
    ///
    /// # Errors
    /// [`BindError`], with what to do.
    fn bind_client(&self) -> Result<BoundSocket, BindError>;

    /// What drives timers and tasks of the endpoints.
    fn runtime(&self) -> Arc<dyn Runtime>;

    /// The seed for the next endpoint's randomness (packet numbers, connection ids); `None` takes the system's.
    /// An implementation that seeds must hand out another seed each time.
    fn rng_seed(&self) -> Option<[u8; 32]> {
        None
    }

    /// The time of day, since the Unix epoch. Certificates and retry tokens are checked against it.
    fn unix_time(&self) -> Duration;
}

/// A socket that has its port, but belongs to no runtime yet.
///
/// An endpoint must be created inside the runtime that will drive it, and each network thread has its own. So the
/// sockets are bound first, where errors can be reported, and opened on their threads afterwards.
pub struct BoundSocket {
    local_addr: SocketAddr,
    receive_buffer_bytes: usize,
    open: Open,
}

type Open = Box<dyn FnOnce() -> io::Result<Arc<dyn AsyncUdpSocket>> + Send>;

impl BoundSocket {
    /// A socket at `local_addr` which can hold `receive_buffer_bytes` of datagrams until they are read, and which
    /// `open` turns into a quinn socket.
    pub fn new(
        local_addr: SocketAddr,
        receive_buffer_bytes: usize,
        open: impl FnOnce() -> io::Result<Arc<dyn AsyncUdpSocket>> + Send + 'static,
    ) -> BoundSocket {
        BoundSocket { local_addr, receive_buffer_bytes, open: Box::new(open) }
    }

    /// Where the socket is bound; the port is the real one.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How many bytes of datagrams the socket was granted room for.
    #[must_use]
    pub fn receive_buffer_bytes(&self) -> usize {
        self.receive_buffer_bytes
    }

    /// Makes the socket one of the current runtime's. Call it on the thread that will drive the endpoint.
    ///
    /// # Errors
    /// The operating system's refusal.
    pub fn open(self) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        (self.open)()
    }
}

impl fmt::Debug for BoundSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundSocket")
            .field("local_addr", &self.local_addr)
            .field("receive_buffer_bytes", &self.receive_buffer_bytes)
            .finish_non_exhaustive()
    }
}

/// Why no socket could be bound. All are for the operator to mend; none goes away by itself.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has the port.
    #[error("the address {addr} (UDP) is taken: stop the process that listens there, or choose another port")]
    Taken {
        /// What was asked for.
        addr: SocketAddr,
    },
    /// This host does not have the address.
    #[error("this host has no address {}: choose one of its own, or 0.0.0.0 for all of them", .addr.ip())]
    NotHere {
        /// What was asked for.
        addr: SocketAddr,
    },
    /// Ports below 1024 and the like.
    #[error("no permission to listen on {addr}: choose a port above 1023")]
    NotAllowed {
        /// What was asked for.
        addr: SocketAddr,
    },
    /// Anything else that the operating system has against it.
    #[error("cannot open a UDP socket at {addr}: {source}")]
    Other {
        /// What was asked for.
        addr: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
}

impl BindError {
    /// Names the operating system's refusal to bind `addr`.
    #[must_use]
    pub fn from_io(addr: SocketAddr, source: io::Error) -> BindError {
        match source.kind() {
            io::ErrorKind::AddrInUse => BindError::Taken { addr },
            io::ErrorKind::AddrNotAvailable => BindError::NotHere { addr },
            io::ErrorKind::PermissionDenied => BindError::NotAllowed { addr },
            _ => BindError::Other { addr, source },
        }
    }
}

/// UDP sockets of the operating system, driven by tokio, with the system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealNetwork;

impl Network for RealNetwork {
    /// The first socket is bound alone, so a port that anybody holds is an error. Only then is it opened to its
    /// siblings (`SO_REUSEPORT`): another node's first socket is refused, because it does not ask to share.
    fn bind(&self, addr: SocketAddr, sockets: usize) -> Result<Vec<BoundSocket>, BindError> {
        assert!((1..=SOCKETS_MAX).contains(&sockets), "a node has 1 to {SOCKETS_MAX} network threads");
        let first = bound(addr, Sharing::Alone).map_err(|error| BindError::from_io(addr, error))?;
        let addr = first.local_addr();
        let mut all = vec![first.shared().map_err(|error| BindError::from_io(addr, error))?];
        while all.len() < sockets && SPREADS_PEERS {
            all.push(bound(addr, Sharing::Joined).map_err(|error| BindError::from_io(addr, error))?);
        }
        Ok(all.into_iter().map(RawSocket::into_bound).collect())
    }

    /// One socket for both families where the host has IPv6, else for IPv4.
    fn bind_client(&self) -> Result<BoundSocket, BindError> {
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        bound(both, Sharing::Alone)
            .or_else(|_| bound(v4, Sharing::Alone))
            .map(RawSocket::into_bound)
            .map_err(|error| BindError::from_io(v4, error))
    }

    fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(quinn::TokioRuntime)
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door to the real time of day")]
    fn unix_time(&self) -> Duration {
        // A clock before 1970 is a clock that was never set; certificates then are not valid yet, which is said.
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default()
    }
}

/// Only Linux spreads UDP peers over sockets of one port; elsewhere the last socket gets everything.
const SPREADS_PEERS: bool = cfg!(target_os = "linux");

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    Joined,
}

struct RawSocket {
    socket: Socket,
    local_addr: SocketAddr,
}

/// Binds one socket with large buffers.
fn bound(addr: SocketAddr, sharing: Sharing) -> io::Result<RawSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(socket2::Protocol::UDP))?;
    if addr.is_ipv6() {
        // Without it `[::]` would depend on a system setting.
        socket.set_only_v6(false)?;
    }
    // Granted up to the system's limit, without an error beyond it; what was granted is read back.
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    if sharing == Sharing::Joined {
        share_port(&socket)?;
    }
    socket.bind(&addr.into())?;
    let local_addr =
        socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("a UDP socket has an IP address"))?;
    Ok(RawSocket { socket, local_addr })
}

#[cfg(unix)]
fn share_port(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_port(true)
}

#[cfg(not(unix))]
fn share_port(_socket: &Socket) -> io::Result<()> {
    Ok(())
}

impl RawSocket {
    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Lets others of this process's user join the port from now on.
    fn shared(self) -> io::Result<RawSocket> {
        share_port(&self.socket)?;
        Ok(self)
    }

    fn into_bound(self) -> BoundSocket {
        let receive_buffer_bytes = granted_bytes(&self.socket);
        tracing::debug!(local_addr = %self.local_addr, receive_buffer_bytes, "bound a UDP socket");
        let RawSocket { socket, local_addr } = self;
        BoundSocket::new(local_addr, receive_buffer_bytes, move || {
            quinn::TokioRuntime.wrap_udp_socket(socket.into())
        })
    }
}

/// The receive buffer that was granted. Linux doubles what is asked for, to pay for its bookkeeping, and reports
/// the double.
fn granted_bytes(socket: &Socket) -> usize {
    let reported = socket.recv_buffer_size().unwrap_or(0);
    if cfg!(target_os = "linux") { reported / 2 } else { reported }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loopback() -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
    }

    #[test]
    fn several_sockets_share_one_port() {
        let sockets = RealNetwork.bind(loopback(), 3).unwrap();
        let expected = if SPREADS_PEERS { 3 } else { 1 };
        assert_eq!(sockets.len(), expected);
        assert!(sockets.iter().all(|socket| socket.local_addr() == sockets[0].local_addr()));
        assert_ne!(sockets[0].local_addr().port(), 0);
    }

    #[test]
    fn a_taken_port_is_an_error_although_ports_are_shared() {
        let first = RealNetwork.bind(loopback(), 2).unwrap();
        let addr = first[0].local_addr();
        for sockets in [1, 2] {
            let error = RealNetwork.bind(addr, sockets).unwrap_err();
            assert!(matches!(error, BindError::Taken { .. }), "{error:?}");
            assert!(error.to_string().contains("is taken: stop the process"), "{error}");
        }
        drop(first);
        RealNetwork.bind(addr, 2).unwrap();
    }

    #[test]
    fn a_port_that_somebody_else_holds_is_an_error() {
        let plain = std::net::UdpSocket::bind(loopback()).unwrap();
        let error = RealNetwork.bind(plain.local_addr().unwrap(), 2).unwrap_err();
        assert!(matches!(error, BindError::Taken { .. }), "{error:?}");

        let sharing = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        share_port(&sharing).unwrap();
        sharing.bind(&loopback().into()).unwrap();
        let addr = sharing.local_addr().unwrap().as_socket().unwrap();
        let error = RealNetwork.bind(addr, 2).unwrap_err();
        assert!(matches!(error, BindError::Taken { .. }), "{error:?}");
    }

    #[test]
    fn a_process_that_does_not_share_cannot_join() {
        let held = RealNetwork.bind(loopback(), 2).unwrap();
        let error = std::net::UdpSocket::bind(held[0].local_addr()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_address_of_another_host_is_named() {
        let addr: SocketAddr = "192.0.2.1:0".parse().unwrap();
        let error = RealNetwork.bind(addr, 1).unwrap_err();
        assert!(matches!(error, BindError::NotHere { .. }), "{error:?}");
        assert!(error.to_string().contains("no address 192.0.2.1"), "{error}");
    }

    #[test]
    fn what_was_granted_is_read_back() {
        let socket = RealNetwork.bind_client().unwrap();
        assert!((4096..=SOCKET_BUFFER_BYTES).contains(&socket.receive_buffer_bytes()), "{socket:?}");
    }
}
