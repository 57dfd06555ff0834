//! Who may start a handshake. A handshake costs a node signatures and memory before it knows who asks, so
//! strangers are counted: in total and per address.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How much a node takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateLimits {
    /// Connections at a time, over all network threads. Each may cost up to
    /// [`crate::config::CONNECTION_WINDOW_BYTES_MAX`] of unread data.
    pub connections_max: usize,
    /// Connections at a time from one address. Many clients may share one (a gateway, a test on one machine).
    pub connections_per_address_max: usize,
    /// Handshakes at a time.
    pub handshakes_max: usize,
    /// Handshakes at a time from one address.
    pub handshakes_per_address_max: usize,
    /// With this many handshakes going on, newcomers must first prove that they receive at the address they
    /// claim (a Retry packet, RFC 9000 section 8.1.2): one more round trip, and forged addresses get nowhere.
    pub handshakes_before_retry: usize,
    /// How long a handshake may take, from the first datagram to the certificate.
    pub handshake_timeout: Duration,
}

impl Default for GateLimits {
    fn default() -> GateLimits {
        GateLimits {
            connections_max: 4096,
            connections_per_address_max: 2048,
            handshakes_max: 512,
            handshakes_per_address_max: 128,
            handshakes_before_retry: 64,
            handshake_timeout: Duration::from_secs(5),
        }
    }
}

/// Counts a node's handshakes and connections. Clones count together: all network threads share one gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    limits: GateLimits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    handshakes: Counter,
    connections: Counter,
}

/// A count in total and per address. An address is held only while it counts for something, so the map is as
/// bounded as the total.
#[derive(Debug, Default)]
struct Counter {
    total: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// What to do with a newcomer.
#[derive(Debug)]
pub enum Verdict {
    /// Go on with the handshake.
    Accept(HandshakePermit),
    /// Have the newcomer prove its address first.
    Retry,
    /// Say no. The peer sees [`crate::ConnectionEnd::Refused`].
    Refuse,
}

impl Gate {
    /// A gate with these limits.
    #[must_use]
    pub fn new(limits: GateLimits) -> Gate {
        Gate(Arc::new(Shared { limits, counts: Mutex::default() }))
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &GateLimits {
        &self.0.limits
    }

    /// Judges a newcomer. `address_proven` says whether it answered a retry.
    #[must_use]
    pub fn admit(&self, address: IpAddr, address_proven: bool) -> Verdict {
        let limits = &self.0.limits;
        let address = address.to_canonical();
        let mut counts = self.0.lock();
        // A full house is full for everybody, so nobody need prove an address to hear it.
        if counts.connections.total >= limits.connections_max
            || counts.handshakes.total >= limits.handshakes_max
        {
            return Verdict::Refuse;
        }
        if !address_proven && counts.handshakes.total >= limits.handshakes_before_retry {
            return Verdict::Retry;
        }
        if counts.connections.of(address) >= limits.connections_per_address_max
            || counts.handshakes.of(address) >= limits.handshakes_per_address_max
        {
            return Verdict::Refuse;
        }
        counts.handshakes.add(address);
        Verdict::Accept(HandshakePermit { gate: self.clone(), address })
    }

    /// Connections that stand now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.0.lock().connections.total
    }

    /// Handshakes that go on now.
    #[must_use]
    pub fn handshakes(&self) -> usize {
        self.0.lock().handshakes.total
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        // Nothing panics while it is held; and counts are whole after every step.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counter {
    fn of(&self, address: IpAddr) -> usize {
        self.by_address.get(&address).copied().unwrap_or(0)
    }

    fn add(&mut self, address: IpAddr) {
        self.total += 1;
        *self.by_address.entry(address).or_insert(0) += 1;
    }

    fn remove(&mut self, address: IpAddr) {
        let count = self.by_address.get_mut(&address).expect("a permit was counted when it was made");
        *count -= 1;
        if *count == 0 {
            self.by_address.remove(&address);
        }
        self.total -= 1;
    }
}

/// Counts one handshake for as long as it lives.
#[derive(Debug)]
pub struct HandshakePermit {
    gate: Gate,
    address: IpAddr,
}

impl HandshakePermit {
    /// The handshake is done: counts a connection from now on. `None` when there are too many by now.
    #[must_use]
    pub fn into_connection(self) -> Option<ConnectionPermit> {
        let limits = &self.gate.0.limits;
        let mut counts = self.gate.0.lock();
        if counts.connections.total >= limits.connections_max
            || counts.connections.of(self.address) >= limits.connections_per_address_max
        {
            return None;
        }
        counts.connections.add(self.address);
        drop(counts);
        Some(ConnectionPermit { gate: self.gate.clone(), address: self.address })
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        self.gate.0.lock().handshakes.remove(self.address);
    }
}

/// Counts one connection for as long as it lives.
#[derive(Debug)]
pub struct ConnectionPermit {
    gate: Gate,
    address: IpAddr,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.gate.0.lock().connections.remove(self.address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> Gate {
        Gate::new(GateLimits {
            connections_max: 3,
            connections_per_address_max: 2,
            handshakes_max: 4,
            handshakes_per_address_max: 3,
            handshakes_before_retry: 2,
            handshake_timeout: Duration::from_secs(5),
        })
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn accept(verdict: Verdict) -> HandshakePermit {
        match verdict {
            Verdict::Accept(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn beyond_a_threshold_addresses_must_be_proven() {
        let gate = gate();
        let _first = accept(gate.admit(address(1), false));
        let _second = accept(gate.admit(address(2), false));
        assert!(matches!(gate.admit(address(3), false), Verdict::Retry));
        let _third = accept(gate.admit(address(3), true));
        assert_eq!(gate.handshakes(), 3);
    }

    #[test]
    fn handshakes_are_limited_per_address_and_in_total() {
        let gate = gate();
        let mut permits: Vec<_> = (0..3).map(|_| accept(gate.admit(address(1), true))).collect();
        assert!(matches!(gate.admit(address(1), true), Verdict::Refuse));
        permits.push(accept(gate.admit(address(2), true)));
        assert!(matches!(gate.admit(address(3), true), Verdict::Refuse));
        assert!(matches!(gate.admit(address(3), false), Verdict::Refuse));
        permits.clear();
        assert_eq!(gate.handshakes(), 0);
        accept(gate.admit(address(1), false));
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_the_same_address() {
        let gate = gate();
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        let _permits: Vec<_> = (0..3).map(|_| accept(gate.admit(mapped, true))).collect();
        assert!(matches!(gate.admit(address(1), true), Verdict::Refuse));
    }

    #[test]
    fn connections_are_limited_and_counted_down() {
        let gate = gate();
        let connect = |last| accept(gate.admit(address(last), true)).into_connection();
        let first = connect(1).unwrap();
        let _second = connect(1).unwrap();
        assert!(matches!(gate.admit(address(1), true), Verdict::Refuse));
        let late = accept(gate.admit(address(2), true));
        let _third = connect(2).unwrap();
        assert_eq!(gate.connections(), 3);
        assert!(late.into_connection().is_none(), "the house filled up during the handshake");
        assert!(matches!(gate.admit(address(3), false), Verdict::Refuse));
        drop(first);
        assert_eq!((gate.connections(), gate.handshakes()), (2, 0));
        assert!(connect(3).is_some());
    }
}
