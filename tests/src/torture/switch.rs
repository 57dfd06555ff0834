//! The network between hosts, in this process: what one host sends goes to the other one, or late, or not at all.
//!
//! ```text
//!   host ──▶ TUN ──▶ its thread: rule of (from, to) ──▶ TUN ──▶ host
//!                         │            └── lost
//!                         └── delayed ──▶ the thread of what is late ──▶ TUN
//! ```
//!
//! So no kernel needs `tc netem`, and what is lost is decided by a seed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::host::Device;
use crate::sim::dice::Dice;

/// How often a thread that waits for packets looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What a link holds back at most, in packets, as a router's buffer would.
const HELD_MAX: usize = 100_000;

/// What happens to packets on their way from one host to another.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Link {
    /// None of them arrives.
    pub(super) cut: bool,
    /// So many of them are lost, from 0 to 1.
    pub(super) loss: f64,
    /// So late they come at least.
    pub(super) delay: Duration,
    /// So much later at most; packets overtake each other.
    pub(super) jitter: Duration,
}

/// The address of a host, by its place in the network.
///
/// # Panics
/// If there is no such place.
#[must_use]
pub(super) fn address_of(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, u8::try_from(host + 1).expect("a network has few hosts"))
}

/// A running network. It ends with this value.
#[derive(Debug)]
pub(super) struct Switch {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    devices: Vec<Device>,
    links: Mutex<Vec<Vec<Link>>>,
    late: Mutex<BinaryHeap<Reverse<Late>>>,
    wake: Condvar,
    ended: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("links", &self.links).finish_non_exhaustive()
    }
}

/// A packet that waits.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Late {
    due: Instant,
    to: usize,
    packet: Vec<u8>,
}

impl Switch {
    /// Connects the hosts to which these devices lead, in the order of their addresses.
    #[must_use]
    pub(super) fn start(devices: Vec<Device>, seed: u64) -> Switch {
        let count = devices.len();
        let shared = Arc::new(Shared {
            devices,
            links: Mutex::new(vec![vec![Link::default(); count]; count]),
            late: Mutex::default(),
            wake: Condvar::new(),
            ended: AtomicBool::new(false),
        });
        let mut threads: Vec<_> = (0..count)
            .map(|from| {
                let (shared, dice) = (Arc::clone(&shared), Dice::new(seed, &format!("packets of {from}")));
                std::thread::spawn(move || shared.carry(from, dice))
            })
            .collect();
        let of_late = Arc::clone(&shared);
        threads.push(std::thread::spawn(move || of_late.deliver_late()));
        Switch { shared, threads }
    }

    /// Changes links: `change` is told from where to where each goes.
    pub(super) fn change(&self, change: impl Fn(usize, usize, &mut Link)) {
        let mut links = locked(&self.shared.links);
        for (from, to_others) in links.iter_mut().enumerate() {
            to_others.iter_mut().enumerate().for_each(|(to, link)| change(from, to, link));
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.shared.wake.notify_all();
        self.threads.drain(..).for_each(|thread| {
            // It says itself why it panicked, and then the hosts hear nothing any more, which nobody misses.
            let _ = thread.join();
        });
    }
}

impl Shared {
    /// Carries what one host sends.
    fn carry(&self, from: usize, mut dice: Dice) {
        let device = &self.devices[from];
        let mut packet = vec![0; 64 * 1024];
        let look_every = Timespec::try_from(LOOK_EVERY).expect("it is short");
        while !self.ended.load(Ordering::Relaxed) {
            match device.recv(&mut packet) {
                Ok(bytes) => self.route(from, &packet[..bytes], &mut dice),
                // Nothing at the moment, or nothing any more: both are seen at the next look.
                Err(_) => drop(poll(&mut [PollFd::new(device, PollFlags::IN)], Some(&look_every))),
            }
        }
    }

    fn route(&self, from: usize, packet: &[u8], dice: &mut Dice) {
        let Some(to) = destination(packet).filter(|to| *to < self.devices.len()) else { return };
        let link = locked(&self.links)[from][to];
        if link.cut || dice.chance(link.loss) {
            return;
        }
        if link.delay.is_zero() && link.jitter.is_zero() {
            return self.deliver(to, packet);
        }
        let due = Instant::now() + link.delay + dice.time(Duration::ZERO..=link.jitter);
        let mut late = locked(&self.late);
        if late.len() < HELD_MAX {
            late.push(Reverse(Late { due, to, packet: packet.to_vec() }));
            self.wake.notify_one();
        }
    }

    fn deliver_late(&self) {
        let mut late = locked(&self.late);
        while !self.ended.load(Ordering::Relaxed) {
            let now = Instant::now();
            while late.peek().is_some_and(|Reverse(next)| next.due <= now) {
                let Some(Reverse(next)) = late.pop() else { break };
                self.deliver(next.to, &next.packet);
            }
            let wait = late.peek().map_or(LOOK_EVERY, |Reverse(next)| next.due.duration_since(now));
            let waited = self.wake.wait_timeout(late, wait.min(LOOK_EVERY));
            late = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A host that takes nothing at the moment loses it, as on a network.
    fn deliver(&self, to: usize, packet: &[u8]) {
        let _ = self.devices[to].send(packet);
    }
}

/// The place in the network that an IPv4 packet goes to.
fn destination(packet: &[u8]) -> Option<usize> {
    let header = packet.get(..20)?;
    let is_ours = header[0] >> 4 == 4 && header[16..19] == address_of(0).octets()[..3];
    is_ours.then(|| usize::from(header[19]).checked_sub(1)).flatten()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
