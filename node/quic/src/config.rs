//! Every QUIC setting, with its reason.
//!
//! The figures behind them were measured on loopback with quinn 0.11: against quinn's defaults, these settings
//! move three times the bytes at a third of the CPU time, most of it through larger datagrams.

use std::sync::Arc;
use std::time::Duration;

use quinn::congestion::CubicConfig;
use quinn::{ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, MtuDiscoveryConfig};
use quinn::{TransportConfig, VarInt};

use crate::identity::Protocol;
use crate::tls;

/// The socket buffers that are asked for, each way, in bytes. The kernel grants at most `net.core.rmem_max` and
/// `net.core.wmem_max`; [`crate::BoundSocket::receive_buffer_bytes`] says what it granted.
pub const SOCKET_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// The largest connection window in bytes: 1 ms of delay at 4 GB/s, or 40 ms at 100 MB/s. A window above the
/// socket's buffer buys nothing but loss: a sender may burst a whole window, and what the buffer cannot hold is
/// dropped (64 MiB windows over a 4 MiB buffer lost 70,000 packets where 4 MiB windows lost none).
pub const CONNECTION_WINDOW_BYTES_MAX: u32 = 4 * 1024 * 1024;

/// The smallest connection window in bytes, used where the kernel grants less buffer than this (Linux grants
/// 208 KiB unless told otherwise). Pacing keeps real bursts far below a window, so on a path with some delay a
/// window of 208 KiB would cost more throughput than the rare loss does.
pub const CONNECTION_WINDOW_BYTES_MIN: u32 = 1024 * 1024;

/// Bytes of a connection's sent data that may wait for their acknowledgement. Twice the largest receive window, so
/// that the receiver's window, which knows the receiver's memory, is what holds a sender back: the send window
/// counts a buffer until all of it is acknowledged, and would otherwise bite first.
pub const SEND_WINDOW_BYTES: u64 = 2 * CONNECTION_WINDOW_BYTES_MAX as u64;

/// The largest UDP payload sent or accepted, in bytes. quinn hands the kernel up to 10 datagrams per call
/// (segmentation offload), and one call carries at most 65,507 bytes: from 6,551 bytes upwards the call fails
/// silently, the path looks like a black hole and falls back to 1,200 bytes. 6,500 keeps nearly all of what
/// jumbo frames and loopback can give.
pub const UDP_PAYLOAD_BYTES_MAX: u16 = 6500;

/// The UDP payload that a connection starts with, in bytes: what RFC 9000 requires every path to carry, so a
/// handshake never hangs on a small path. Discovery does the rest within some ten round trips. (Starting above
/// 12,000 bytes, the default congestion window, never sends anything at all.)
pub const UDP_PAYLOAD_BYTES_MIN: u16 = 1200;

/// How long after a suspected black hole the path is probed again. quinn's default is a minute, at a third of the
/// throughput; congestion alone can raise the suspicion.
pub const BLACK_HOLE_COOLDOWN: Duration = Duration::from_secs(10);

/// A connection that hears nothing for this long is over. Three keep-alives may be lost before that.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// As [`IDLE_TIMEOUT`], for metadata connections. A node that was cut off is dialled anew when the network is back,
/// sooner than a lost packet's backed-off timer would find out.
pub const METADATA_IDLE_TIMEOUT: Duration = Duration::from_secs(3);

/// How often a connecting side says something when there is nothing to say, and so at the latest learns that a
/// node was restarted. The accepting side stays quiet: one side is enough.
pub const KEEP_ALIVE: Duration = Duration::from_secs(3);

/// The round trip assumed before one was measured. RFC 9002 says 333 ms, which makes a lost first packet cost a
/// second; nodes and clients are nearer than that. Too low a guess costs a few packets sent twice.
pub const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Bytes that may be in flight before the first acknowledgement: 32 datagrams of 1,200 bytes, as large services
/// start with, so that a first request of some record batches leaves in one go.
pub const INITIAL_CONGESTION_WINDOW_BYTES: u64 = 32 * UDP_PAYLOAD_BYTES_MIN as u64;

/// The least time between two stateless resets of one endpoint. quinn's 20 ms would make a thousand clients of a
/// restarted node wait for up to 20 s; this bounds what an attacker can make a node send to 500 datagrams a second.
pub const RESET_INTERVAL: Duration = Duration::from_millis(2);

/// Incoming connections that may wait for the accept loop, per endpoint.
pub const WAITING_INCOMING_MAX: usize = 1024;
/// Bytes buffered for one of them, in addition to its first datagram.
pub const WAITING_INCOMING_BYTES: u64 = 16 * 1024;
/// Bytes buffered for all of them together.
pub const WAITING_INCOMING_BYTES_TOTAL: u64 = 4 * 1024 * 1024;

/// The streams that one side of a connection may have open at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamLimits {
    /// Streams with both directions that the peer may open.
    pub bidirectional: u32,
    /// One-way streams that the peer may open.
    pub unidirectional: u32,
}

/// The most streams that a peer may have open on one connection, whatever they proved.
pub const STREAMS_MAX: u32 = 4096;

impl StreamLimits {
    /// What an accepting side allows. The connecting side opens all streams: control, lanes, fetch, replication.
    #[must_use]
    pub fn accepting(protocol: Protocol) -> StreamLimits {
        match protocol {
            // One control stream, some fetch streams, and a lane for each producer and topic of the process. A lane that is
            // served makes room for one more: see `StreamRoom`.
            Protocol::Client => StreamLimits { bidirectional: 256, unidirectional: 0 },
            // Two for a follower, some questions at a time, and one for each lane that forwards to this node, which makes
            // room for one more when it is served.
            Protocol::Replication => StreamLimits { bidirectional: 256, unidirectional: 0 },
            Protocol::Metadata => StreamLimits { bidirectional: 64, unidirectional: 0 },
        }
    }

    /// What a connecting side allows: nodes open no streams of their own accord.
    pub const CONNECTING: StreamLimits = StreamLimits { bidirectional: 0, unidirectional: 0 };
}

/// The windows that go with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Bytes that a peer may send on all streams together before this side read any of them.
    pub connection_bytes: u32,
    /// Bytes that a peer may send on one stream before this side read any of them. Half of the connection's, so
    /// that one stream that nobody reads cannot starve the others.
    pub stream_bytes: u32,
}

impl Windows {
    /// The windows for a socket that was granted `receive_buffer_bytes`.
    #[must_use]
    pub fn for_receive_buffer(receive_buffer_bytes: usize) -> Windows {
        let connection_bytes = u32::try_from(receive_buffer_bytes)
            .unwrap_or(u32::MAX)
            .clamp(CONNECTION_WINDOW_BYTES_MIN, CONNECTION_WINDOW_BYTES_MAX);
        Windows { connection_bytes, stream_bytes: connection_bytes / 2 }
    }

    /// The window of each of so many connections that send much to one socket. Together they may burst half more than the
    /// window of one that is alone: Linux grants twice of what was asked for, and needs a tenth for its bookkeeping where
    /// datagrams come in segments. Not below [`CONNECTION_WINDOW_BYTES_MIN`], for its reason.
    #[must_use]
    pub fn connection_bytes_among(self, connections: usize) -> u32 {
        let room = u64::from(self.connection_bytes) * 3 / 2;
        let part = room / u64::try_from(connections.max(1)).unwrap_or(u64::MAX);
        let part = u32::try_from(part).unwrap_or(u32::MAX);
        part.clamp(CONNECTION_WINDOW_BYTES_MIN, self.connection_bytes)
    }
}

/// The settings of a connection that this side makes.
#[must_use]
pub fn connecting_transport(windows: Windows, protocol: Protocol) -> TransportConfig {
    let mut transport = common_transport(windows, StreamLimits::CONNECTING);
    transport.keep_alive_interval(Some(KEEP_ALIVE));
    if protocol == Protocol::Metadata {
        // The lower of both sides' timeouts holds. Heartbeats keep the connection alive.
        transport.max_idle_timeout(Some(milliseconds(METADATA_IDLE_TIMEOUT)));
    }
    transport
}

/// The settings of a connection that this side accepts. Which protocol it speaks is known only after the
/// handshake; [`limit_streams`] then narrows what this allows.
#[must_use]
pub fn accepting_transport(windows: Windows) -> TransportConfig {
    common_transport(windows, StreamLimits::accepting(Protocol::Client))
}

/// Applies the stream limits of the protocol that an accepted connection turned out to speak.
pub fn limit_streams(connection: &quinn::Connection, protocol: Protocol) {
    let limits = StreamLimits::accepting(protocol);
    connection.set_max_concurrent_bi_streams(VarInt::from_u32(limits.bidirectional));
    connection.set_max_concurrent_uni_streams(VarInt::from_u32(limits.unidirectional));
}

fn common_transport(windows: Windows, streams: StreamLimits) -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    // A binary search between 1,200 and here: it ends within 20 bytes of what a path of 1,500 bytes carries, and
    // finds the whole 6,500 on loopback and on jumbo frames. Probes that are too large are lost alone, cost no
    // congestion window, and are not fragmented (the socket sets the don't-fragment bit).
    mtu.upper_bound(UDP_PAYLOAD_BYTES_MAX).black_hole_cooldown(BLACK_HOLE_COOLDOWN);

    let mut congestion = CubicConfig::default();
    // CUBIC: NewReno was no faster on loopback and is slower to refill a long path; quinn's BBR was slower, is
    // marked experimental, and draws from the system's randomness, which a simulation cannot seed.
    congestion.initial_window(INITIAL_CONGESTION_WINDOW_BYTES);

    let mut transport = TransportConfig::default();
    transport
        .stream_receive_window(VarInt::from_u32(windows.stream_bytes))
        .receive_window(VarInt::from_u32(windows.connection_bytes))
        .send_window(SEND_WINDOW_BYTES)
        // Streams of one priority take turns: a lane with a large batch does not hold up the next lane's small one.
        .send_fairness(true)
        .max_concurrent_bidi_streams(VarInt::from_u32(streams.bidirectional))
        .max_concurrent_uni_streams(VarInt::from_u32(streams.unidirectional))
        .max_idle_timeout(Some(milliseconds(IDLE_TIMEOUT)))
        .initial_rtt(INITIAL_RTT)
        .initial_mtu(UDP_PAYLOAD_BYTES_MIN)
        .min_mtu(UDP_PAYLOAD_BYTES_MIN)
        .mtu_discovery_config(Some(mtu))
        .congestion_controller_factory(Arc::new(congestion))
        // Without it every datagram costs a system call: a fifth of the throughput.
        .enable_segmentation_offload(true)
        // Nothing is sent unreliably, so nothing need be buffered for it.
        .datagram_receive_buffer_size(None)
        .datagram_send_buffer_size(0)
        // No ack frequency is asked for: quinn's receiver takes up to 32 reads of up to 64 datagrams before it
        // answers, so bulk data is acknowledged every 20 datagrams anyway, and a threshold of 10 changed nothing.
        .ack_frequency_config(None)
        // Says how far away a peer is to everybody on the path, and nobody here reads it.
        .allow_spin(false);
    transport
}

fn milliseconds(timeout: Duration) -> IdleTimeout {
    let millis = u32::try_from(timeout.as_millis()).expect("some seconds fit 32 bits of milliseconds");
    VarInt::from_u32(millis).into()
}

/// The secret of an accepting endpoint that outlives its process, derived from the node's private key.
///
/// All endpoints of a node, before and after a restart, sign stateless resets with one key. So a client of a node
/// that was killed and restarted learns within a round trip that its connection is gone (RFC 9000, section 10.3),
/// instead of waiting out the idle timeout. The same holds for datagrams that reach another network thread because
/// a client's address changed.
#[derive(Clone)]
pub struct ResetSecret([u8; 32]);

impl ResetSecret {
    /// Derives the secret from a private key.
    #[must_use]
    pub fn derive(private_key: &[u8]) -> ResetSecret {
        ResetSecret(tls::hmac_sha256(private_key, b"weir stateless reset"))
    }
}

/// The settings of an endpoint, apart from its connections. `reset` for accepting endpoints only: a connecting
/// one starts afresh with its process.
#[must_use]
pub fn endpoint(reset: Option<&ResetSecret>, rng_seed: Option<[u8; 32]>) -> EndpointConfig {
    let mut config = EndpointConfig::default();
    config
        // Advertised to peers, whose discovery stops there, and the size of the receive buffers.
        .max_udp_payload_size(UDP_PAYLOAD_BYTES_MAX)
        .expect("6,500 bytes is between 1,200 and 65,527")
        .min_reset_interval(RESET_INTERVAL)
        .cid_generator(move || Box::new(ConnectionIds::new(rng_seed)))
        .rng_seed(rng_seed);
    if let Some(ResetSecret(key)) = reset {
        config.reset_key(Arc::new(aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, key)));
    }
    config
}

/// Makes connection ids of eight bytes: from the system's randomness, or from a seed where a run must repeat.
///
/// quinn's own generator signs its ids and leaves a datagram with a foreign one unanswered. Ids from before a
/// restart must be answered with a reset, so this one takes every id for possible.
struct ConnectionIds {
    seed: Option<[u8; 32]>,
    made: u64,
}

impl ConnectionIds {
    const BYTES: usize = 8;

    fn new(seed: Option<[u8; 32]>) -> ConnectionIds {
        ConnectionIds { seed, made: 0 }
    }
}

impl ConnectionIdGenerator for ConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        self.made += 1;
        let mut id = [0; ConnectionIds::BYTES];
        match self.seed {
            Some(seed) => {
                let hash = tls::hmac_sha256(&seed, &self.made.to_le_bytes());
                id.copy_from_slice(&hash[..ConnectionIds::BYTES]);
            }
            None => aws_lc_rs::rand::fill(&mut id).expect("the system's randomness does not run dry"),
        }
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        ConnectionIds::BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// Fills in the settings of an accepting side that are not the transport's.
pub fn accepting(server: &mut quinn::ServerConfig, windows: Windows) {
    server
        .transport_config(Arc::new(accepting_transport(windows)))
        // A moved client's datagrams would reach another network thread, which does not know its connection: the
        // kernel spreads datagrams over a node's sockets by address. It is told to reconnect instead.
        .migration(false)
        .max_incoming(WAITING_INCOMING_MAX)
        .incoming_buffer_size(WAITING_INCOMING_BYTES)
        .incoming_buffer_size_total(WAITING_INCOMING_BYTES_TOTAL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_follow_the_granted_buffer_between_their_bounds() {
        for (granted, connection_bytes) in
            [(0, 1 << 20), (212_992, 1 << 20), (2 << 20, 2 << 20), (4 << 20, 4 << 20), (1 << 40, 4 << 20)]
        {
            let windows = Windows::for_receive_buffer(granted);
            assert_eq!(
                windows,
                Windows { connection_bytes, stream_bytes: connection_bytes / 2 },
                "{granted}"
            );
        }
    }

    #[test]
    fn connections_that_send_much_share_the_window() {
        let windows = Windows::for_receive_buffer(4 << 20);
        let each = [0, 1, 2, 4, 6, 100].map(|connections| windows.connection_bytes_among(connections));
        assert_eq!(each, [4 << 20, 4 << 20, 3 << 20, 3 << 19, 1 << 20, 1 << 20]);
    }

    #[test]
    fn ten_segments_fit_one_system_call() {
        assert!(10 * usize::from(UDP_PAYLOAD_BYTES_MAX) <= 65_507);
    }
}
