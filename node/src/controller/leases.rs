//! Who is alive: nodes say so to the active controller, which fences those that do not.
//!
//! A lease is about being noticed, not about safety: epochs keep a node that lost its lease and does not know it from
//! doing harm. Leases live in the memory of the active controller. When a new one begins, each lease begins anew.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_core::metadata::{Command, Image, ProcessId};
use weir_core::time::Now;
use weir_wire::ids::{Incarnation, NodeId};
use weir_wire::metadata::{Heartbeat, HeartbeatTaken};

use super::{Controller, Standing};
use crate::outside::Clock;

/// How often the active controller looks for leases that ran out, in parts of a lease.
const LOOKS_PER_LEASE: u32 = 10;
/// What is left of the lease of a node that was the active controller until others missed its signs of life, in parts of
/// a lease: it was silent for long already, but may live and need a moment to find its successor.
const SUCCEEDED_LEASE: (u32, u32) = (2, 5);
/// How long fencing a node may take before it is tried again.
const FENCE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the active controller knows of leases, and this node of its own.
pub(super) struct Leases {
    clock: Arc<dyn Clock>,
    table: Mutex<Table>,
    /// When the newest heartbeat that was answered was sent.
    acknowledged: Mutex<Option<Now>>,
}

/// When each node was last heard of.
#[derive(Debug, Default)]
struct Table {
    /// The reign in which the leases run.
    term: u64,
    heard: BTreeMap<NodeId, (Incarnation, u64)>,
    looked_ns: u64,
}

/// The node that counts, which needs no lease while it lives.
#[derive(Clone, Copy, Debug)]
struct Myself {
    node: NodeId,
    /// Its process; `None` before it registers.
    process: Option<ProcessId>,
}

impl Myself {
    /// Whether an earlier process of this node still counts as alive.
    ///
    /// Nobody is accused then. Where an ISR has that life and one more, which falls silent, the one that goes last is the
    /// one whose records count, and this node may have lost some of its own when it stopped. Nor is that life fenced: what
    /// a node may have lost is judged by what it says when it registers, which it does any moment.
    fn counts_by_an_earlier_life(self, image: &Image) -> bool {
        let state = image.nodes.get(&self.node);
        state.is_some_and(|state| !state.fenced && self.process != Some(state.process))
    }
}

/// What a node is told about its lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Kept,
    RegisterAgain,
}

impl Table {
    /// A node was heard of.
    fn hear(&mut self, image: &Image, node: NodeId, incarnation: Incarnation, now_ns: u64) -> Answer {
        match image.nodes.get(&node) {
            Some(state) if state.incarnation == incarnation && state.fenced => Answer::RegisterAgain,
            Some(state) if state.incarnation > incarnation => Answer::RegisterAgain,
            // A registration that this image does not show yet is kept too.
            _ => {
                self.heard.insert(node, (incarnation, now_ns));
                Answer::Kept
            }
        }
    }

    /// The nodes whose leases ran out, first the one that fell silent first: it may lack what the others took since.
    fn lapsed(
        &mut self,
        image: &Image,
        me: Myself,
        standing: &Standing,
        lease: Duration,
        now_ns: u64,
    ) -> Vec<(NodeId, Incarnation)> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (lease_ns, term) = (nanos(lease), standing.term);
        // Who did not listen for a while, because another reigned or the machine stood still, accuses nobody.
        let was_deaf = now_ns.saturating_sub(self.looked_ns) > lease_ns / 2;
        if self.term != term || was_deaf {
            let is_new = self.term != term;
            *self = Table { term, ..Table::default() };
            if let Some(predecessor) = standing.predecessor.filter(|_| is_new)
                && let Some(state) = image.nodes.get(&predecessor)
            {
                let (part, of) = SUCCEEDED_LEASE;
                let heard_ns = (now_ns + nanos(lease * part / of)).saturating_sub(lease_ns);
                self.heard.insert(predecessor, (state.incarnation, heard_ns));
            }
        }
        self.looked_ns = now_ns;
        self.heard.retain(|node, _| image.nodes.contains_key(node));
        if me.counts_by_an_earlier_life(image) {
            return Vec::new();
        }
        let mut lapsed = Vec::new();
        for (node, state) in image.nodes.iter().filter(|(node, state)| !state.fenced && **node != me.node) {
            let (incarnation, heard_ns) = *self.heard.entry(*node).or_insert((state.incarnation, now_ns));
            if incarnation < state.incarnation {
                // Registering is a sign of life.
                self.heard.insert(*node, (state.incarnation, now_ns));
            } else if now_ns.saturating_sub(heard_ns) > lease_ns {
                lapsed.push((heard_ns, *node, state.incarnation));
            }
        }
        lapsed.sort_unstable();
        lapsed.into_iter().map(|(_, node, incarnation)| (node, incarnation)).collect()
    }
}

impl Leases {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Leases {
        Leases { clock, table: Mutex::default(), acknowledged: Mutex::new(None) }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn acknowledged(&self) -> MutexGuard<'_, Option<Now>> {
        self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Controller {
    /// Takes a heartbeat, as the active controller; says whether the lease runs on.
    pub(super) fn renew(&self, node: NodeId, incarnation: Incarnation) -> bool {
        let now_ns = self.0.leases.clock.now().monotonic_ns;
        self.0.leases.table().hear(&self.image(), node, incarnation, now_ns) == Answer::Kept
    }

    /// Whether this node's lease runs, as far as it can tell: it counts from the moment at which the newest
    /// acknowledged heartbeat was sent.
    #[must_use]
    pub fn holds_lease(&self) -> bool {
        if self.is_active() {
            return true;
        }
        let lease_ns = u64::try_from(self.0.config.timing.session_timeout.as_nanos()).unwrap_or(u64::MAX);
        let now_ns = self.0.leases.clock.now().monotonic_ns;
        self.0.leases.acknowledged().is_some_and(|sent| now_ns.saturating_sub(sent.monotonic_ns) < lease_ns)
    }

    /// Whether nobody has heard of a node for so long that it must be gone.
    pub(super) fn is_gone(image: &Image, node: NodeId) -> bool {
        image.nodes.get(&node).is_none_or(|state| state.fenced)
    }
}

/// The active controller's look for leases that ran out.
pub(super) async fn watch(controller: Controller) {
    let lease = controller.0.config.timing.session_timeout;
    loop {
        tokio::time::sleep(lease / LOOKS_PER_LEASE).await;
        let standing = *controller.0.standing.get();
        if standing.leader != Some(controller.node()) {
            continue;
        }
        let now_ns = controller.0.leases.clock.now().monotonic_ns;
        // Its process first: the image must not be older.
        let me = Myself { node: controller.node(), process: controller.0.process.get().copied() };
        let image = controller.image();
        let lapsed = controller.0.leases.table().lapsed(&image, me, &standing, lease, now_ns);
        for (node, incarnation) in lapsed {
            tracing::warn!(%node, %incarnation, lease_ms = lease.as_millis(), "no sign of life from a node: it is fenced");
            let fencing = controller.decide(Command::FenceNode { node, incarnation });
            match tokio::time::timeout(FENCE_TIMEOUT, fencing).await {
                Ok(Ok((_, Ok(_)))) => {}
                outcome => tracing::warn!(%node, ?outcome, "it was not fenced yet"),
            }
        }
    }
}

/// This node's signs of life. They do not wait for each other: one that is late does not make the next one late.
pub(super) async fn keep(controller: Controller) {
    let timing = controller.0.config.timing;
    loop {
        let registered = controller.0.registered.wait_until(Option::is_some).await;
        let leader = controller.leader().filter(|leader| *leader != controller.node());
        if let (Some(incarnation), Some(leader)) = (*registered, leader) {
            let controller = controller.clone();
            tokio::spawn(async move { controller.send_heartbeat(leader, incarnation).await });
        } else if let (Some(incarnation), None) = (*registered, leader)
            && controller.is_active()
            && !controller.renew(controller.node(), incarnation)
        {
            // Another one fenced this node, and then it was elected.
            controller.register_again(incarnation).await;
        }
        tokio::time::sleep(timing.heartbeat_interval).await;
    }
}

impl Controller {
    async fn send_heartbeat(&self, leader: NodeId, incarnation: Incarnation) {
        let sent = self.0.leases.clock.now();
        let heartbeat = Heartbeat { node: self.node(), incarnation };
        let session = self.0.config.timing.session_timeout;
        match self.0.asking.ask_within(session, leader, &heartbeat).await {
            Ok(HeartbeatTaken { is_current: true }) => {
                let mut acknowledged = self.0.leases.acknowledged();
                if acknowledged.is_none_or(|before| before.monotonic_ns < sent.monotonic_ns) {
                    *acknowledged = Some(sent);
                }
            }
            Ok(HeartbeatTaken { is_current: false }) => self.register_again(incarnation).await,
            Err(error) => tracing::debug!(%leader, %error, "a heartbeat was not taken"),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_wire::ids::ClusterId;

    use super::*;

    const LEASE: Duration = Duration::from_millis(1000);

    fn ms(ms: u64) -> u64 {
        ms * 1_000_000
    }

    fn image() -> Image {
        let mut image = Image::default();
        image.apply(&Command::Initialise { cluster: ClusterId([1; 16]) }).unwrap();
        for node in 1..=3 {
            image.apply(&crate::controller::testing::register(NodeId(node))).unwrap();
        }
        image
    }

    fn lapsed(table: &mut Table, image: &Image, term: u64, now_ms: u64) -> Vec<u32> {
        let predecessor = (term == 3).then_some(NodeId(2));
        let standing = Standing { leader: Some(NodeId(1)), term, predecessor };
        let me = Myself { node: NodeId(1), process: Some(image.nodes[&NodeId(1)].process) };
        let lapsed = table.lapsed(image, me, &standing, LEASE, ms(now_ms));
        lapsed.into_iter().map(|(node, _)| node.0).collect()
    }

    #[test]
    fn who_is_not_heard_of_for_a_lease_has_lost_it_and_the_controller_itself_has_not() {
        let (mut table, image) = (Table::default(), image());
        for now in (0..=1000).step_by(100) {
            assert_eq!(lapsed(&mut table, &image, 1, now), [0; 0]);
            assert_eq!(table.hear(&image, NodeId(2), Incarnation(1), ms(now)), Answer::Kept);
        }
        assert_eq!(lapsed(&mut table, &image, 1, 1100), [3]);
    }

    #[test]
    fn leases_begin_anew_with_a_reign_and_after_standing_still() {
        let (mut table, image) = (Table::default(), image());
        for now in (0..=1000).step_by(100) {
            assert_eq!(lapsed(&mut table, &image, 1, now), [0; 0]);
        }
        assert_eq!(lapsed(&mut table, &image, 2, 1100), [0; 0]);
        assert_eq!(lapsed(&mut table, &image, 2, 1200), [0; 0]);
        assert_eq!(lapsed(&mut table, &image, 2, 5000), [0; 0]);
        for now in (5100..=6000).step_by(100) {
            assert_eq!(lapsed(&mut table, &image, 2, now), [0; 0]);
        }
        assert_eq!(lapsed(&mut table, &image, 2, 6100), [2, 3]);
    }

    #[test]
    fn the_controller_before_has_only_a_part_of_its_lease_left() {
        let (mut table, image) = (Table::default(), image());
        for now in (10_000..=10_400).step_by(100) {
            assert_eq!(lapsed(&mut table, &image, 3, now), [0; 0]);
        }
        assert_eq!(lapsed(&mut table, &image, 3, 10_500), [2]);
        assert_eq!(table.hear(&image, NodeId(2), Incarnation(1), ms(10_600)), Answer::Kept);
        assert_eq!(lapsed(&mut table, &image, 3, 10_600), [0; 0]);
    }

    #[test]
    fn who_fell_silent_first_goes_first() {
        let (mut table, image) = (Table::default(), image());
        for now in (0..=900).step_by(100) {
            assert_eq!(lapsed(&mut table, &image, 1, now), [0; 0]);
        }
        table.hear(&image, NodeId(3), Incarnation(1), ms(500));
        table.hear(&image, NodeId(2), Incarnation(1), ms(900));
        assert_eq!(lapsed(&mut table, &image, 1, 1300), [0; 0]);
        assert_eq!(lapsed(&mut table, &image, 1, 1700), [3]);
        assert_eq!(lapsed(&mut table, &image, 1, 2000), [3, 2]);
    }

    #[test]
    fn a_controller_that_has_not_registered_yet_accuses_nobody() {
        let (mut table, image) = (Table::default(), image());
        let standing = Standing { leader: Some(NodeId(1)), term: 1, predecessor: None };
        let mut gone = |process, now_ms| {
            let me = Myself { node: NodeId(1), process };
            table.lapsed(&image, me, &standing, LEASE, ms(now_ms))
        };
        for (process, from) in [(None, 0), (Some(ProcessId([9; 16])), 2000)] {
            for now in (from..=from + 2000).step_by(100) {
                assert_eq!(gone(process, now), []);
            }
        }
        let registered = Some(image.nodes[&NodeId(1)].process);
        for now in (4100..=5100).step_by(100) {
            assert_eq!(gone(registered, now), []);
        }
        let silent = [(NodeId(2), Incarnation(1)), (NodeId(3), Incarnation(1))];
        assert_eq!(gone(registered, 5200), silent);
    }

    #[test]
    fn a_fenced_node_and_an_earlier_life_are_told_to_register_again() {
        let (mut table, mut image) = (Table::default(), image());
        image.apply(&Command::FenceNode { node: NodeId(2), incarnation: Incarnation(1) }).unwrap();
        assert_eq!(table.hear(&image, NodeId(2), Incarnation(1), 0), Answer::RegisterAgain);
        assert_eq!(table.hear(&image, NodeId(3), Incarnation(0), 0), Answer::RegisterAgain);
        // Registered, but this image does not show it yet.
        assert_eq!(table.hear(&image, NodeId(3), Incarnation(2), 0), Answer::Kept);
    }
}
