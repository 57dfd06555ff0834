//! quinn over turmoil: the network that the simulation owns.
//!
//! turmoil delivers, delays and partitions; this adapter loses and duplicates, by dice of its own. Ciphertext
//! differs from run to run (TLS keys cannot be seeded), so nothing here looks at bytes, only at lengths, and at
//! connection ids, which are not encrypted and follow from the seed.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use turmoil::net::UdpSocket;
use weir_quic::quinn::udp::{RecvMeta, Transmit};
use weir_quic::quinn::{AsyncTimer, AsyncUdpSocket, Runtime, UdpPoller};
use weir_quic::{BindError, BoundSocket, Network};

use super::clock::SimClock;
use super::dice::Dice;
use super::trace::{Kind, Trace};

/// The room for datagrams that a socket claims to have. turmoil bounds datagrams by their number instead.
const RECEIVE_BUFFER_BYTES: usize = 1024 * 1024;

/// How bad the network is at the moment. Clones share it.
#[derive(Clone, Debug)]
pub struct Weather(Arc<Mutex<Conditions>>);

#[derive(Debug)]
struct Conditions {
    loss: f64,
    duplication: f64,
    dice: Dice,
}

/// What becomes of one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Sent,
    Lost,
    Doubled,
}

impl Weather {
    /// A network that delivers everything once.
    #[must_use]
    pub fn fair(dice: Dice) -> Weather {
        Weather(Arc::new(Mutex::new(Conditions { loss: 0.0, duplication: 0.0, dice })))
    }

    /// From now on loses and doubles datagrams with these probabilities.
    pub fn set(&self, loss: f64, duplication: f64) {
        let mut conditions = self.conditions();
        conditions.loss = loss;
        conditions.duplication = duplication;
    }

    fn fate(&self) -> Fate {
        let Conditions { loss, duplication, dice } = &mut *self.conditions();
        if dice.chance(*loss) {
            Fate::Lost
        } else if dice.chance(*duplication) {
            Fate::Doubled
        } else {
            Fate::Sent
        }
    }

    fn conditions(&self) -> MutexGuard<'_, Conditions> {
        // Plain numbers are whole wherever a panic stops.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a host has power. What a machine does in its last moments reaches nobody.
#[derive(Clone, Debug)]
pub struct Power(Arc<AtomicBool>);

impl Power {
    /// A host that runs.
    #[must_use]
    pub fn on() -> Power {
        Power(Arc::new(AtomicBool::new(true)))
    }

    /// Ends it.
    pub fn cut(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Whether the host still runs.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The network as one life of one host sees it.
pub struct SimNetwork {
    host: Arc<str>,
    weather: Weather,
    power: Power,
    trace: Trace,
    clock: SimClock,
    seeds: Mutex<Dice>,
}

impl SimNetwork {
    /// The network of `host`; `seeds` feed its endpoints.
    #[must_use]
    pub fn new(host: Arc<str>, weather: Weather, power: Power, trace: Trace, seeds: Dice) -> SimNetwork {
        SimNetwork { host, weather, power, trace, clock: SimClock, seeds: Mutex::new(seeds) }
    }

    fn bind_one(&self, addr: SocketAddr) -> Result<BoundSocket, BindError> {
        // turmoil's bind is async in name only.
        let bound = match pin!(UdpSocket::bind(addr)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(bound) => bound.map_err(|error| BindError::from_io(addr, error))?,
            Poll::Pending => unreachable!("a simulated socket is bound at once"),
        };
        let local_addr = bound.local_addr().map_err(|error| BindError::from_io(addr, error))?;
        let socket = SimSocket {
            io: Arc::new(bound),
            local_addr,
            host: Arc::clone(&self.host),
            weather: self.weather.clone(),
            power: self.power.clone(),
            trace: self.trace.clone(),
            ids: Mutex::default(),
            readable: Mutex::new(None),
        };
        Ok(BoundSocket::new(local_addr, RECEIVE_BUFFER_BYTES, move || Ok(Arc::new(socket))))
    }
}

impl Network for SimNetwork {
    fn bind(&self, addr: SocketAddr, sockets: usize) -> Result<Vec<BoundSocket>, BindError> {
        assert_eq!(sockets, 1, "a simulated node has one network thread");
        Ok(vec![self.bind_one(addr)?])
    }

    fn bind_client(&self) -> Result<BoundSocket, BindError> {
        self.bind_one(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)))
    }

    fn runtime(&self) -> Arc<dyn Runtime> {
        Arc::new(SimRuntime)
    }

    fn rng_seed(&self) -> Option<[u8; 32]> {
        let mut seed = [0; 32];
        self.seeds.lock().unwrap_or_else(PoisonError::into_inner).fill(&mut seed);
        Some(seed)
    }

    fn unix_time(&self) -> Duration {
        self.clock.unix_time()
    }
}

/// tokio's timers and tasks, which turmoil pauses and moves, and no sockets.
#[derive(Debug)]
struct SimRuntime;

impl Runtime for SimRuntime {
    fn new_timer(&self, at: Instant) -> Pin<Box<dyn AsyncTimer>> {
        Box::pin(tokio::time::sleep_until(at.into()))
    }

    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(future);
    }

    fn wrap_udp_socket(&self, _: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        Err(io::Error::other("the simulation has no sockets of the operating system"))
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

type Readable = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

struct SimSocket {
    io: Arc<UdpSocket>,
    local_addr: SocketAddr,
    host: Arc<str>,
    weather: Weather,
    power: Power,
    trace: Trace,
    ids: Mutex<OwnIds>,
    /// The wait that quinn's driver is in.
    readable: Mutex<Option<Readable>>,
}

/// The connection ids that an endpoint has given itself, as seen on its long-header packets.
///
/// A first packet (Initial) to an id that an endpoint never had was meant for an earlier process at its address. Its
/// keys are gone, and what quinn does with it depends on two bits of garbage: three times in four it drops it, else it
/// begins a handshake that fails. A run must not depend on that, so such a packet is always dropped here.
#[derive(Debug, Default)]
struct OwnIds(BTreeSet<Vec<u8>>);

impl OwnIds {
    /// The length of the ids that our endpoints give themselves. The one that a client makes up for a server in its
    /// first packet is longer.
    const BYTES: usize = 8;

    fn sent(&mut self, datagram: &[u8]) {
        if let Some(header) = LongHeader::of(datagram) {
            self.0.insert(header.source.to_vec());
        }
    }

    fn is_for_an_earlier_process(&self, datagram: &[u8]) -> bool {
        LongHeader::of(datagram).is_some_and(|header| {
            header.is_initial
                && header.destination.len() == Self::BYTES
                && !self.0.contains(header.destination)
        })
    }
}

/// What a packet with a long header shows to everybody (RFC 8999, section 5.1; RFC 9000, section 17.2).
struct LongHeader<'a> {
    is_initial: bool,
    destination: &'a [u8],
    source: &'a [u8],
}

impl LongHeader<'_> {
    fn of(datagram: &[u8]) -> Option<LongHeader<'_>> {
        let (first, rest) = datagram.split_first()?;
        if first & 0x80 == 0 {
            return None;
        }
        let (destination, rest) = connection_id(rest.get(4..)?)?;
        let (source, _) = connection_id(rest)?;
        Some(LongHeader { is_initial: first & 0x30 == 0, destination, source })
    }
}

fn connection_id(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

impl SimSocket {
    fn send(&self, datagram: &[u8], to: SocketAddr) {
        if !self.power.is_on() {
            return;
        }
        self.ids().sent(datagram);
        let fate = self.weather.fate();
        let (bytes, port) = (datagram.len(), self.local_addr.port());
        let note = match fate {
            Fate::Sent => "",
            Fate::Lost => ", lost",
            Fate::Doubled => ", doubled",
        };
        self.trace.note(&self.host, Kind::Packet, format_args!(":{port} -> {to} {bytes} bytes{note}"));
        let copies = match fate {
            Fate::Sent => 1,
            Fate::Lost => 0,
            Fate::Doubled => 2,
        };
        for _ in 0..copies {
            // To an address that no host has: as on a real network, nobody says so.
            let _ = self.io.try_send_to(datagram, to);
        }
    }
}

impl SimSocket {
    fn ids(&self) -> MutexGuard<'_, OwnIds> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncUdpSocket for SimSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for datagram in transmit.contents.chunks(segment) {
            self.send(datagram, transmit.destination);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [io::IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut readable = self.readable.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let waiting = readable.get_or_insert_with(|| {
                let io = Arc::clone(&self.io);
                Box::pin(async move { io.readable().await })
            });
            ready!(waiting.as_mut().poll(cx))?;
            *readable = None;
            let mut received = 0;
            while received < bufs.len().min(meta.len()) {
                let buf = &mut bufs[received];
                let Ok((len, addr)) = self.io.try_recv_from(buf) else { break };
                if !self.ids().is_for_an_earlier_process(&buf[..len]) {
                    meta[received] = RecvMeta { addr, len, stride: len, ecn: None, dst_ip: None };
                    received += 1;
                }
            }
            if received > 0 {
                return Poll::Ready(Ok(received));
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local_addr)
    }

    /// Turns the discovery of larger datagrams off, which turmoil has nothing to say to.
    fn may_fragment(&self) -> bool {
        true
    }
}

impl fmt::Debug for SimSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimSocket").field("host", &self.host).field("local_addr", &self.local_addr).finish()
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn initial(destination: &[u8], source: &[u8]) -> Vec<u8> {
        let len = |id: &[u8]| u8::try_from(id.len()).unwrap();
        [&[0xc3, 0, 0, 0, 1, len(destination)], destination, &[len(source)], source, b"rest"].concat()
    }

    #[test]
    fn a_first_packet_for_an_earlier_process_is_recognised() {
        let mut ids = OwnIds::default();
        ids.sent(&initial(b"whatever", b"mine-now"));
        assert!(!ids.is_for_an_earlier_process(&initial(b"mine-now", b"other")));
        assert!(ids.is_for_an_earlier_process(&initial(b"mine-old", b"other")));
        assert!(!ids.is_for_an_earlier_process(&initial(b"made-up-by-a-client!", b"other")));
        for odd in [&b""[..], b"\x43short header", b"\xc3\0\0\0\x01\xff", b"\xc3"] {
            assert!(!ids.is_for_an_earlier_process(odd));
        }
    }
}
