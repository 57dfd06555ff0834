//! A cluster's authority, a server and a client on loopback, in one single-threaded runtime.

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, Runtime, UdpPoller};
use weir_quic::{
    Authority, BindError, BoundSocket, Connector, Gate, GateLimits, Identity, Network, Peer, Principal,
    Protocol, RealNetwork, Server,
};
use weir_wire::ids::NodeId;

/// Some day in 2025.
pub(crate) const NOW: Duration = Duration::from_secs(1_750_000_000);

/// How long a test waits for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test in a runtime as a network thread has it.
pub(crate) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("the test takes too long") });
}

pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// Real sockets at a fixed time of day. `largest` makes a path that silently drops larger datagrams.
#[derive(Clone, Copy)]
pub(crate) struct TestNetwork {
    pub(crate) now: Duration,
    pub(crate) largest: usize,
}

impl TestNetwork {
    pub(crate) fn arc() -> Arc<dyn Network> {
        TestNetwork::at(NOW)
    }

    pub(crate) fn at(now: Duration) -> Arc<dyn Network> {
        Arc::new(TestNetwork { now, largest: usize::MAX })
    }

    pub(crate) fn narrow(largest: usize) -> Arc<dyn Network> {
        Arc::new(TestNetwork { now: NOW, largest })
    }

    fn wrap(self, socket: BoundSocket) -> BoundSocket {
        let (addr, buffer, largest) = (socket.local_addr(), socket.receive_buffer_bytes(), self.largest);
        BoundSocket::new(addr, buffer, move || Ok(Arc::new(Narrow { inner: socket.open()?, largest })))
    }
}

impl Network for TestNetwork {
    fn bind(&self, addr: SocketAddr, sockets: usize) -> Result<Vec<BoundSocket>, BindError> {
        Ok(RealNetwork.bind(addr, sockets)?.into_iter().map(|socket| self.wrap(socket)).collect())
    }

    fn bind_client(&self) -> Result<BoundSocket, BindError> {
        RealNetwork.bind_client().map(|socket| self.wrap(socket))
    }

    fn runtime(&self) -> Arc<dyn Runtime> {
        RealNetwork.runtime()
    }

    fn unix_time(&self) -> Duration {
        self.now
    }
}

#[derive(Debug)]
struct Narrow {
    inner: Arc<dyn AsyncUdpSocket>,
    largest: usize,
}

impl AsyncUdpSocket for Narrow {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.inner).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let datagram = transmit.segment_size.unwrap_or(transmit.contents.len());
        if datagram > self.largest { Ok(()) } else { self.inner.try_send(transmit) }
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}

/// The authority of a test's cluster; another number is another authority.
pub(crate) fn authority(number: u8) -> Authority {
    Authority::seeded([number; 32], NOW).unwrap()
}

pub(crate) fn node(id: u32) -> Identity {
    authority(1).issue(&Principal::Node(NodeId(id)), NOW).unwrap()
}

pub(crate) fn client(name: &str) -> Identity {
    authority(1).issue(&Principal::client(name).unwrap(), NOW).unwrap()
}

pub(crate) fn server(network: &Arc<dyn Network>, identity: &Identity) -> (Server, SocketAddr) {
    server_with(network, identity, GateLimits::default())
}

pub(crate) fn server_with(
    network: &Arc<dyn Network>,
    identity: &Identity,
    limits: GateLimits,
) -> (Server, SocketAddr) {
    let socket = network.bind(loopback(), 1).unwrap().remove(0);
    let addr = socket.local_addr();
    (Server::new(network, socket, identity, Gate::new(limits)).unwrap(), addr)
}

pub(crate) fn connector(network: &Arc<dyn Network>, identity: &Identity) -> Connector {
    Connector::new(network, network.bind_client().unwrap(), identity).unwrap()
}

/// A connected pair of good peers, and what keeps them going.
pub(crate) struct Pair {
    pub(crate) client: Peer,
    pub(crate) server: Peer,
    pub(crate) _connector: Connector,
    pub(crate) endpoint: Server,
}

pub(crate) async fn pair(network: &Arc<dyn Network>) -> Pair {
    pair_that_speaks(network, Protocol::Client, &client("alice")).await
}

pub(crate) async fn pair_that_speaks(
    network: &Arc<dyn Network>,
    protocol: Protocol,
    identity: &Identity,
) -> Pair {
    let (endpoint, addr) = server(network, &node(1));
    let connector = connector(network, identity);
    let (client, server) = tokio::join!(connector.connect(addr, protocol), async {
        endpoint.accept().await.unwrap().establish().await
    });
    Pair { client: client.unwrap(), server: server.unwrap(), _connector: connector, endpoint }
}
