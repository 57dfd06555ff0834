//! Machines, the network between them, and what can be done to them.
//!
//! Each host is a runtime of turmoil's with a clock that only the simulation moves. Between two steps of one virtual
//! millisecond hosts can be killed, cut off and started again; within a step nothing interferes with them, except
//! that a disk may stop in the middle of an operation, which ends its host at the end of the step.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use weir_client::{ClientConfig, Credentials};
use weir_core::metadata::Image;
use weir_node::server::Rule;
use weir_node::storage::{Disk, SimDisk};
use weir_quic::{Authority, Identity, Principal};
use weir_wire::ids::{NodeId, PartitionIndex};
use weir_wire::{group_log, placement};

use super::clock::EPOCH;
use super::damage::Damage;
use super::dice::Dice;
use super::disk::Lie;
use super::machine::{DATA_FOLDER, Machine, NODE_PORT, NodeState};
use super::network::{Power, SimNetwork, Weather};
use super::plan::{End, GROUP, Others, Ways, Whom};
use super::trace::{Kind, Trace};
use super::workload::TOPIC;

/// The longest run, in virtual time. A run that does not end by itself has its own, shorter limit.
const RUN_MAX: Duration = Duration::from_secs(24 * 3600);
/// Datagrams that wait for a host. More are lost, as they are on a real machine.
const DATAGRAMS_WAITING_MAX: usize = 4096;

/// What turmoil's hosts end with.
pub type HostResult = Result<(), Box<dyn std::error::Error>>;

/// The simulated world.
pub struct World {
    sim: turmoil::Sim<'static>,
    seed: u64,
    trace: Trace,
    nowhere: Arc<str>,
    weather: Weather,
    authority: Authority,
    nodes: BTreeMap<NodeId, Arc<Machine>>,
    clients: Vec<Arc<str>>,
}

impl World {
    /// A world with nodes 1 to `nodes`, of which all are about to start.
    ///
    /// # Panics
    /// If certificates cannot be made, which does not depend on the seed.
    #[must_use]
    pub fn new(
        seed: u64,
        nodes: u32,
        latency: RangeInclusive<Duration>,
        lie: Option<Lie>,
        without: Option<Rule>,
        trace: Trace,
    ) -> World {
        watch_for_panics();
        let sim = turmoil::Builder::new()
            .rng_seed(Dice::new(seed, "turmoil").number())
            .epoch(UNIX_EPOCH + EPOCH)
            .min_message_latency(*latency.start())
            .max_message_latency(*latency.end())
            .simulation_duration(RUN_MAX)
            .udp_capacity(DATAGRAMS_WAITING_MAX)
            .build();
        let mut key = [0; 32];
        Dice::new(seed, "certificates").fill(&mut key);
        let authority = Authority::seeded(key, EPOCH).expect("an authority for the simulated day");
        let weather = Weather::fair(Dice::new(seed, "weather"));
        let nowhere = "".into();
        let (nodes_wanted, nodes, clients) = (nodes, BTreeMap::new(), Vec::new());
        let mut world = World { sim, seed, trace, nowhere, weather, authority, nodes, clients };
        for id in 1..=nodes_wanted {
            world.add_node(NodeId(id), lie, without);
        }
        world
    }

    fn add_node(&mut self, id: NodeId, lie: Option<Lie>, without: Option<Rule>) {
        let host: Arc<str> = format!("node-{id}").into();
        let identity = self.identity(&Principal::Node(id));
        let address = SocketAddr::new(self.sim.lookup(&*host), NODE_PORT);
        let join = self.nodes.values().next().map(|first| first.address());
        let machine = Arc::new(Machine::new(
            id,
            Arc::clone(&host),
            address,
            identity,
            join,
            self.seed,
            self.weather.clone(),
            lie,
            without,
            self.trace.clone(),
        ));
        self.nodes.insert(id, Arc::clone(&machine));
        self.sim.host(&*host, move || {
            let machine = Arc::clone(&machine);
            async move {
                machine.live().await;
                Ok(())
            }
        });
    }

    /// Adds a process that is a client. `software` is called for each of its lives, with what it needs.
    pub fn add_client<F, Fut>(&mut self, name: &str, software: F)
    where
        F: Fn(ClientConfig) -> Fut + 'static,
        Fut: Future<Output = HostResult> + 'static,
    {
        let host: Arc<str> = name.into();
        let identity = self.identity(&Principal::client(name).expect("a name for a client"));
        let site = ClientSite {
            host: Arc::clone(&host),
            bootstrap: self.nodes.values().map(|machine| machine.address().to_string()).collect(),
            identity,
            weather: self.weather.clone(),
            trace: self.trace.clone(),
            seeds: RefCell::new(Dice::new(self.seed, name)),
        };
        self.clients.push(Arc::clone(&host));
        self.sim.host(&*host, move || software(site.config()));
    }

    fn identity(&self, principal: &Principal) -> Identity {
        self.authority.issue(principal, EPOCH).expect("a certificate for the simulated day")
    }

    /// Moves the world by a millisecond.
    ///
    /// # Errors
    /// What panicked, or which host's software failed.
    pub fn step(&mut self) -> Result<(), String> {
        let stepped = self.sim.step().map_err(|error| error.to_string());
        self.trace.set_now(self.now());
        match take_panic() {
            Some(panic) => Err(panic),
            None => stepped.map(|_| ()),
        }
    }

    /// The time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.sim.elapsed()
    }

    /// Notes what is done to the world.
    pub fn note(&self, what: std::fmt::Arguments<'_>) {
        self.trace.note(&self.nowhere, Kind::Fault, what);
    }

    /// The network.
    #[must_use]
    pub fn weather(&self) -> &Weather {
        &self.weather
    }

    /// The nodes that there are.
    #[must_use]
    pub fn node_ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// What a node is doing.
    #[must_use]
    pub fn state(&self, node: NodeId) -> NodeState {
        self.machine(node).state()
    }

    /// The disk that a node has at the moment.
    #[must_use]
    pub fn disk(&self, node: NodeId) -> SimDisk {
        self.machine(node).disk()
    }

    /// The machine of a node.
    ///
    /// # Panics
    /// If there is no such node.
    #[must_use]
    pub fn machine(&self, node: NodeId) -> &Machine {
        &self.nodes[&node]
    }

    /// Ends a node, whatever it is doing.
    pub fn end(&mut self, node: NodeId, end: End) {
        let machine = Arc::clone(&self.nodes[&node]);
        machine.end_life(end);
        self.sim.crash(machine.host());
        // What its destructors had to say of a disk that is gone is nobody's business.
        let _ = take_panic();
    }

    /// Puts an empty disk into the machine of a node that does not run.
    pub fn replace_disk(&mut self, node: NodeId) {
        let others = self.nodes.values().filter(|machine| machine.id() != node);
        self.machine(node).replace_disk(others.map(|machine| machine.address()).collect());
    }

    /// Flips bits on the disk of a node that does not run.
    pub fn damage(&mut self, node: NodeId, damage: Damage, flips: u32) {
        self.machine(node).damage(damage, flips);
    }

    /// Starts a node that ended.
    pub fn start(&mut self, node: NodeId) {
        let host = Arc::clone(&self.nodes[&node]);
        self.sim.bounce(host.host());
    }

    /// Asks a node to stop; [`NodeState::Ended`] follows.
    pub fn ask_to_stop(&self, node: NodeId) {
        self.machine(node).ask_to_stop();
    }

    /// Ends a client process.
    pub fn end_client(&mut self, name: &str) {
        self.sim.crash(name);
    }

    /// Starts a client process again.
    pub fn start_client(&mut self, name: &str) {
        self.sim.bounce(name);
    }

    /// Lets nothing pass between a node and others.
    pub fn cut(&self, node: NodeId, from: Others, ways: Ways) {
        let host = self.machine(node).host();
        for other in self.others(node, from) {
            match ways {
                Ways::Both => self.sim.partition(host, &*other),
                Ways::ToNode => self.sim.partition_oneway(&*other, host),
                Ways::FromNode => self.sim.partition_oneway(host, &*other),
            }
        }
    }

    /// Keeps what passes between a node and everybody else under way.
    pub fn pause(&self, node: NodeId) {
        let host = self.machine(node).host();
        self.others(node, Others::Everybody).iter().for_each(|other| self.sim.hold(host, &**other));
    }

    /// Lets everything pass again, and what was kept under way arrive.
    pub fn mend(&self, node: NodeId) {
        let host = self.machine(node).host();
        self.others(node, Others::Everybody).iter().for_each(|other| self.sim.release(host, &**other));
    }

    fn others(&self, node: NodeId, from: Others) -> Vec<Arc<str>> {
        let nodes = |wanted: &dyn Fn(NodeId) -> bool| -> Vec<Arc<str>> {
            let others = self.nodes.keys().filter(|other| **other != node && wanted(**other));
            others.map(|other| self.machine(*other).host().into()).collect()
        };
        match from {
            Others::Clients => self.clients.clone(),
            Others::Nodes => nodes(&|_| true),
            Others::Controller => {
                let active = self.active_controller();
                nodes(&|other| Some(other) == active)
            }
            Others::Everybody => nodes(&|_| true).into_iter().chain(self.clients.iter().cloned()).collect(),
        }
    }

    /// The active controller, as far as it knows itself.
    #[must_use]
    pub fn active_controller(&self) -> Option<NodeId> {
        let is_active =
            |machine: &&Arc<Machine>| machine.controller().is_some_and(|controller| controller.is_active());
        self.nodes.values().find(is_active).map(|machine| machine.id())
    }

    /// Whom a fault strikes at this moment; nobody if there is no such node.
    #[must_use]
    pub fn find(&self, whom: Whom) -> Vec<NodeId> {
        let topic = self.newest_image().and_then(|image| image.topics.get(TOPIC).cloned());
        let partition = |index: PartitionIndex| {
            let index = usize::try_from(index.0).expect("few partitions");
            topic.as_ref().and_then(|topic| topic.partitions.get(index))
        };
        let nodes = self.node_ids();
        let found = match whom {
            Whom::Everybody => return nodes,
            Whom::AllBut(spared) => return nodes.into_iter().filter(|node| *node != spared).collect(),
            Whom::Node(node) => Some(node),
            Whom::Leader(index) => partition(index).and_then(|partition| partition.leader),
            Whom::Follower(index) => partition(index).and_then(|partition| {
                let others = partition.replicas.iter().filter(|node| Some(**node) != partition.leader);
                others.copied().rfind(|node| self.state(*node) == NodeState::Serving)
            }),
            Whom::Controller => self.active_controller(),
            Whom::Coordinator => self.coordinator(),
        };
        found.into_iter().filter(|node| nodes.contains(node)).collect()
    }

    /// The coordinator of the group, as the newest metadata has it.
    #[must_use]
    pub fn coordinator(&self) -> Option<NodeId> {
        let image = self.newest_image()?;
        let topic = image.topics.get(group_log::TOPIC)?;
        let count = u32::try_from(topic.partitions.len()).ok()?;
        let place = placement::coordinator_of(GROUP, count);
        topic.partitions.get(usize::try_from(place.0).ok()?)?.leader
    }

    /// How many voters there are, as the node says that knows of the fewest; 0 until all nodes serve.
    #[must_use]
    pub fn voters(&self) -> u32 {
        let known = self
            .nodes
            .values()
            .map(|machine| machine.controller().map_or(0, |controller| controller.voters().len()));
        known.min().map_or(0, |voters| u32::try_from(voters).expect("few nodes"))
    }

    /// Why the cluster is not as it should be: every node serves, every partition has a leader, and all of its replicas
    /// are in sync. `None` when all is well.
    #[must_use]
    pub fn what_ails(&self) -> Option<String> {
        if let Some((node, machine)) =
            self.nodes.iter().find(|(_, machine)| machine.state() != NodeState::Serving)
        {
            return Some(format!("node {node} is {:?}", machine.state()));
        }
        let image = self.newest_image()?;
        let topics = [TOPIC, group_log::TOPIC].into_iter();
        let topics = topics.filter_map(|name| Some((name, image.topics.get(name)?)));
        for (name, topic) in topics {
            for (index, state) in topic.partitions.iter().enumerate() {
                if state.leader.is_none() {
                    return Some(format!("partition {index} of {name} has no leader: {state:?}"));
                }
                if let Some(under_way) = &state.reassignment {
                    return Some(format!("partition {index} of {name} is on its way: {under_way:?}"));
                }
                if state.isr.len() < state.replicas.len() {
                    return Some(format!("not all replicas of {name}-{index} are in sync: {state:?}"));
                }
            }
        }
        None
    }

    /// The newest metadata that any node has.
    #[must_use]
    pub fn newest_image(&self) -> Option<Arc<Image>> {
        let controllers = self.nodes.values().filter_map(|machine| machine.controller());
        controllers.map(|controller| controller.image()).max_by_key(|image| image.index)
    }

    /// From now on the disk of a node has room for `room_bytes` more; `None` for any number.
    pub fn set_room(&self, node: NodeId, room_bytes: Option<u64>) {
        const PLENTY: u64 = u64::MAX / 2;
        let disk = self.disk(node);
        disk.set_space(Some(PLENTY));
        // A disk that has stopped holds nothing any more, so it does not matter what it says.
        let used = PLENTY - disk.available_bytes(Path::new(DATA_FOLDER)).unwrap_or(PLENTY);
        disk.set_space(room_bytes.map(|room| used + room));
    }
}

struct ClientSite {
    host: Arc<str>,
    bootstrap: Vec<String>,
    identity: Identity,
    weather: Weather,
    trace: Trace,
    seeds: RefCell<Dice>,
}

impl ClientSite {
    /// What one life of the client connects with.
    fn config(&self) -> ClientConfig {
        let seeds = self.seeds.borrow_mut().fork();
        let host = Arc::clone(&self.host);
        let mut config = ClientConfig::new(self.bootstrap.iter().cloned(), "");
        config.credentials = Credentials::Identity(self.identity.clone());
        config.network =
            Arc::new(SimNetwork::new(host, self.weather.clone(), Power::on(), self.trace.clone(), seeds));
        config
    }
}

/// The address that a node binds.
#[must_use]
pub fn node_listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, NODE_PORT))
}

thread_local! {
    /// What panicked on this thread since somebody asked. tokio catches the panics of tasks and keeps quiet, and a
    /// task that is gone looks like one that has nothing to say.
    static PANICKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn watch_for_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICKED
                .with_borrow_mut(|panicked| _ = panicked.get_or_insert_with(|| format!("a panic: {panic}")));
            before(panic);
        }));
    });
}

fn take_panic() -> Option<String> {
    PANICKED.with_borrow_mut(Option::take)
}
