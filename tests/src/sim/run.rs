//! One run: faults first, then everything is mended and must heal, then everything is looked at.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use weir_node::check;
use weir_wire::ids::NodeId;

use super::journal::Journal;
use super::logs;
use super::machine::NodeState;
use super::plan::{End, Fault, Plan, Planned, Workload};
use super::trace::{Digest, Trace};
use super::workload;
use super::world::World;

/// How long after the end of the faults everything sent must have its answer, in addition to what a producer waits
/// anyway.
pub const HEAL_MAX: Duration = Duration::from_secs(60);
/// How long writing to and reading a healed cluster may take.
pub const AUDIT_MAX: Duration = Duration::from_secs(60);
/// How long a node that did not start, or ended, waits for somebody to start it again.
const START_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What a run that kept all promises did.
#[derive(Clone, Debug)]
pub struct Summary {
    /// What the checker counted.
    pub report: check::Report,
    /// How often a node was killed, lost power or was stopped.
    pub deaths: u32,
    /// How long it took, in virtual time.
    pub took: Duration,
    /// Stands for everything that happened.
    pub digest: Digest,
}

/// What a run that did not keep its promises did.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The broken promises, one sentence each.
    pub violations: Vec<String>,
    /// When the run ended, in virtual time.
    pub at: Duration,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "at {:.6} s:", self.at.as_secs_f64())?;
        self.violations.iter().try_for_each(|violation| writeln!(f, "  {violation}"))
    }
}

/// Carries out a plan.
///
/// # Errors
/// The promises that were broken.
pub fn run(plan: &Plan, trace: &Trace) -> Result<Summary, Box<Failure>> {
    logs::collect(trace, || Run::new(plan, trace).finish())
}

struct Run<'a> {
    plan: &'a Plan,
    trace: &'a Trace,
    world: World,
    journal: Journal,
    nemesis: Nemesis,
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, trace: &'a Trace) -> Run<'a> {
        let journal = Journal::default();
        let mut world = World::new(plan.seed, 1, plan.latency.clone(), plan.lie, trace.clone());
        for node in world.node_ids() {
            world.machine(node).pace().set(plan.disk_takes.clone());
        }
        workload::add(&mut world, plan.seed, &plan.workload, &journal, trace);
        let nemesis = Nemesis::new(plan);
        Run { plan, trace, world, journal, nemesis }
    }

    fn finish(mut self) -> Result<Summary, Box<Failure>> {
        let broken = self.phases().err();
        let (report, mut violations) = self.journal.judge();
        violations.splice(0..0, broken);
        let (took, deaths) = (self.world.now(), self.nemesis.deaths);
        if violations.is_empty() {
            Ok(Summary { report, deaths, took, digest: self.trace.digest() })
        } else {
            Err(Box::new(Failure { violations, at: took }))
        }
    }

    fn phases(&mut self) -> Result<(), String> {
        while self.world.now() < self.plan.faults_until {
            self.nemesis.act(&mut self.world);
            self.world.step()?;
        }
        self.nemesis.mend(&mut self.world);
        self.journal.end_of_faults();
        let Workload { producers, churns, .. } = self.plan.workload;
        let producers = usize::try_from(producers + u32::from(churns)).expect("a few producers");
        self.until(self.plan.workload.delivery_timeout + HEAL_MAX, |run| {
            match run.journal.producers_finished() {
                finished if finished == producers => Ok(()),
                finished => {
                    let open = run.journal.open_records();
                    Err(format!(
                        "{finished} of {producers} producers came to their end, {open} records have no answer"
                    ))
                }
            }
        })?;
        let Plan { seed, workload, .. } = self.plan;
        workload::add_auditor(&mut self.world, *seed, workload, &self.journal, self.trace);
        self.until(AUDIT_MAX, |run| {
            run.journal
                .audit()
                .map(|_| ())
                .ok_or_else(|| "not everything could be written to and read".to_owned())
        })?;
        let ends = self.journal.audit().unwrap_or_default().ends;
        let readers = usize::try_from(workload.readers).expect("a few readers");
        self.until(AUDIT_MAX, |run| run.journal.readers_are_at(readers, &ends))
    }

    /// Lets the mended world go on until a condition holds.
    fn until(
        &mut self,
        limit: Duration,
        condition: impl Fn(&Run<'_>) -> Result<(), String>,
    ) -> Result<(), String> {
        let deadline = self.world.now() + limit;
        loop {
            let Err(missing) = condition(self) else { return Ok(()) };
            if self.world.now() >= deadline {
                return Err(format!("{} s after everything was mended: {missing}", limit.as_secs()));
            }
            self.nemesis.tend(&mut self.world);
            self.world.step()?;
        }
    }
}

/// Carries out faults and their ends, and starts nodes again, as an operator would.
struct Nemesis {
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
    deaths: u32,
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
    fn new(plan: &Plan) -> Nemesis {
        Nemesis {
            planned: plan.faults.iter().cloned().collect(),
            follow_ups: BTreeMap::new(),
            next_number: 0,
            stopping: BTreeMap::new(),
            disk_takes: plan.disk_takes.clone(),
            suspicious: BTreeSet::new(),
            full: BTreeMap::new(),
            deaths: 0,
        }
    }

    /// Does what is due at this moment.
    fn act(&mut self, world: &mut World) {
        while self.planned.front().is_some_and(|planned| planned.at <= world.now()) {
            let Some(Planned { fault, .. }) = self.planned.pop_front() else { break };
            world.note(format_args!("{fault:?}"));
            for node in world.node_ids() {
                self.strike(world, node, &fault);
            }
        }
        self.tend(world);
    }

    /// Ends what has lasted, and looks after the nodes.
    fn tend(&mut self, world: &mut World) {
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
            Fault::Cut { ways, lasts } => {
                world.cut(node, *ways);
                self.later(world, *lasts, FollowUp::MendNetwork(node));
            }
            Fault::KillProducer { producer, down } => {
                let name = workload::producer_name(*producer);
                world.end_client(&name);
                self.later(world, *down, FollowUp::StartClient(name));
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
    fn mend(&mut self, world: &mut World) {
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
