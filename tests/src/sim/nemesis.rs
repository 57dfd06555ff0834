//! What carries out a plan's faults and their ends, and starts nodes again, as an operator would.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

use weir_wire::ids::NodeId;

use super::machine::NodeState;
use super::members;
use super::plan::{End, Fault, Plan, Planned};
use super::workload;
use super::world::World;

/// How long a node that did not start, or ended, waits for somebody to start it again.
const START_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Carries out faults and their ends, and starts nodes again, as an operator would.
pub struct Nemesis {
    planned: VecDeque<Planned>,
    /// What follows from earlier faults, by time; the number keeps what falls on one moment in order.
    follow_ups: BTreeMap<(Duration, u64), FollowUp>,
    next_number: u64,
    /// Nodes that were told to stop, or whose disk will, and what follows then.
    stopping: BTreeMap<NodeId, Stopping>,
    disk_takes: RangeInclusive<Duration>,
    /// Nodes whose disk failed, and which are to be started again.
    suspicious: BTreeSet<NodeId>,
    full: BTreeMap<NodeId, u64>,
    /// When the cluster was formed: the plan's times count from then.
    begun: Duration,
    /// See [`Plan::is_careful`].
    is_careful: bool,
    /// How often a node was killed, lost power or was stopped.
    pub deaths: u32,
}

struct Stopping {
    end: End,
    /// In how many operations of the next starts it ends again.
    again: VecDeque<u64>,
    down: Duration,
}

#[derive(Clone, Debug)]
enum FollowUp {
    FairWeather,
    MendNetwork(NodeId),
    Start(NodeId),
    StartAgain(NodeId),
    MakeRoom(NodeId),
    QuickDisk(NodeId),
    StartClient(String),
}

impl Nemesis {
    /// What carries out `plan` on a cluster that was formed at `begun`.
    #[must_use]
    pub fn new(plan: &Plan, begun: Duration) -> Nemesis {
        Nemesis {
            planned: plan.faults.iter().cloned().collect(),
            follow_ups: BTreeMap::new(),
            next_number: 0,
            stopping: BTreeMap::new(),
            disk_takes: plan.disk_takes.clone(),
            suspicious: BTreeSet::new(),
            full: BTreeMap::new(),
            begun,
            is_careful: plan.is_careful,
            deaths: 0,
        }
    }

    /// Does what is due at this moment.
    pub fn act(&mut self, world: &mut World) {
        while self.planned.front().is_some_and(|planned| self.begun + planned.at <= world.now()) {
            let Some(Planned { fault, whom, .. }) = self.planned.pop_front() else { break };
            let struck = world.find(whom);
            world.note(format_args!("{fault:?} strikes {whom:?}: {struck:?}"));
            for node in struck {
                self.strike(world, node, &fault);
            }
        }
        self.tend(world);
    }

    /// Ends what has lasted, and looks after the nodes.
    pub fn tend(&mut self, world: &mut World) {
        while let Some(entry) = self.follow_ups.first_entry().filter(|entry| entry.key().0 <= world.now()) {
            let follow_up = entry.remove();
            self.follow_up(world, follow_up);
        }
        for node in world.node_ids() {
            self.look_after(world, node);
        }
    }

    fn strike(&mut self, world: &mut World, node: NodeId, fault: &Fault) {
        let is_up = matches!(world.state(node), NodeState::Starting | NodeState::Serving);
        match fault {
            Fault::Weather { loss, duplication, lasts } => {
                world.weather().set(*loss, *duplication);
                self.later(world, *lasts, FollowUp::FairWeather);
            }
            Fault::Cut { from, ways, lasts } => {
                world.cut(node, *from, *ways);
                self.later(world, *lasts, FollowUp::MendNetwork(node));
            }
            Fault::Pause { lasts } => {
                world.pause(node);
                self.later(world, *lasts, FollowUp::MendNetwork(node));
            }
            Fault::KillProducer { producer, down } => {
                let name = workload::producer_name(*producer);
                world.end_client(&name);
                self.later(world, *down, FollowUp::StartClient(name));
            }
            Fault::KillMember { member, down } => {
                let name = members::member_name(*member);
                world.end_client(&name);
                self.later(world, *down, FollowUp::StartClient(name));
            }
            Fault::ReplaceDisk { down } => {
                if world.state(node) != NodeState::Down {
                    self.end(world, node, End::Killed, *down);
                }
                self.full.remove(&node);
                world.replace_disk(node);
            }
            // The rest happens to a machine whose node runs.
            _ if !is_up => {}
            Fault::End { end, down } => self.end(world, node, *end, *down),
            Fault::EndInOperation { end, after, again, down } => {
                world.disk(node).stop_after(*after);
                let again = again.iter().copied().collect();
                self.stopping.insert(node, Stopping { end: *end, again, down: *down });
            }
            Fault::Restart { down } => {
                world.ask_to_stop(node);
                self.stopping
                    .insert(node, Stopping { end: End::Killed, again: VecDeque::new(), down: *down });
            }
            Fault::FailSyncs { count, noticed_after } => {
                world.disk(node).fail_syncs(*count);
                self.suspicious.insert(node);
                self.later(world, *noticed_after, FollowUp::StartAgain(node));
            }
            Fault::FailWrites { count, noticed_after } => {
                world.disk(node).fail_writes(*count);
                self.suspicious.insert(node);
                self.later(world, *noticed_after, FollowUp::StartAgain(node));
            }
            Fault::FullDisk { room_bytes, lasts } => {
                world.set_room(node, Some(*room_bytes));
                self.full.insert(node, *room_bytes);
                self.suspicious.insert(node);
                self.later(world, *lasts, FollowUp::MakeRoom(node));
            }
            Fault::Damage { damage, flips, down } => {
                self.end(world, node, End::Killed, *down);
                world.damage(node, *damage, *flips);
            }
            Fault::SlowDisk { takes, lasts } => {
                world.machine(node).pace().set(takes.clone());
                self.later(world, *lasts, FollowUp::QuickDisk(node));
            }
        }
    }

    fn follow_up(&mut self, world: &mut World, follow_up: FollowUp) {
        world.note(format_args!("{follow_up:?}"));
        match follow_up {
            FollowUp::FairWeather => world.weather().set(0.0, 0.0),
            FollowUp::MendNetwork(node) => world.mend(node),
            FollowUp::Start(node) => {
                if world.state(node) == NodeState::Down {
                    world.start(node);
                    if let Some(room_bytes) = self.full.get(&node) {
                        world.set_room(node, Some(*room_bytes));
                        // What cannot be written for want of room may be given up until the next start.
                        self.suspicious.insert(node);
                    }
                    match self.stopping.get_mut(&node).and_then(|stopping| stopping.again.pop_front()) {
                        Some(after) => world.disk(node).stop_after(after),
                        None => _ = self.stopping.remove(&node),
                    }
                }
            }
            FollowUp::StartAgain(node) => {
                if self.suspicious.contains(&node) {
                    self.end(world, node, End::Killed, START_AGAIN_AFTER);
                }
            }
            FollowUp::MakeRoom(node) => {
                self.full.remove(&node);
                world.set_room(node, None);
            }
            FollowUp::QuickDisk(node) => world.machine(node).pace().set(self.disk_takes.clone()),
            FollowUp::StartClient(name) => world.start_client(&name),
        }
    }

    /// Ends a node and has it started again.
    fn end(&mut self, world: &mut World, node: NodeId, end: End, down: Duration) {
        self.suspicious.remove(&node);
        let end = if self.is_careful && world.what_ails().is_some() { End::Killed } else { end };
        // A file system that has shut down takes no changes before a reboot. Anything else has to do without one: after
        // a failed sync memory holds what the disk does not, and says that it is clean.
        let end = if world.disk(node).has_shut_down() { End::PowerCut } else { end };
        self.deaths += 1;
        world.end(node, end);
        self.later(world, down, FollowUp::Start(node));
    }

    fn look_after(&mut self, world: &mut World, node: NodeId) {
        let state = world.state(node);
        let has_stopped = state != NodeState::Down && !world.machine(node).has_power();
        if has_stopped || matches!(state, NodeState::Ended(_)) {
            let (end, down) = match self.stopping.get(&node) {
                Some(stopping) => (stopping.end, stopping.down),
                None => (End::Killed, START_AGAIN_AFTER),
            };
            self.end(world, node, end, down);
        }
    }

    /// Ends all faults at once, as they would have ended later.
    pub fn mend(&mut self, world: &mut World) {
        world.note(format_args!("everything is mended"));
        self.planned.clear();
        self.stopping.clear();
        for follow_up in std::mem::take(&mut self.follow_ups).into_values() {
            // Starting again what failed comes below, once.
            if !matches!(follow_up, FollowUp::StartAgain(_)) {
                self.follow_up(world, follow_up);
            }
        }
        for node in world.node_ids() {
            let disk = world.disk(node);
            disk.fail_syncs(0);
            disk.fail_writes(0);
            disk.stop_after(u64::MAX);
            if self.suspicious.contains(&node) {
                self.end(world, node, End::Killed, Duration::ZERO);
            }
        }
    }

    fn later(&mut self, world: &World, after: Duration, follow_up: FollowUp) {
        self.next_number += 1;
        self.follow_ups.insert((world.now() + after, self.next_number), follow_up);
    }
}
