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
use weir_node::storage::{Disk, SimDisk};
use weir_quic::{Authority, Identity, Principal};
use weir_wire::ids::NodeId;

use super::clock::EPOCH;
use super::dice::Dice;
use super::disk::Lie;
use super::machine::{DATA_FOLDER, Machine, NODE_PORT, NodeState};
use super::network::{Power, SimNetwork, Weather};
use super::plan::{End, Ways};
use super::trace::{Kind, Trace};

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
            world.add_node(NodeId(id), lie);
        }
        world
    }

    fn add_node(&mut self, id: NodeId, lie: Option<Lie>) {
        let host: Arc<str> = format!("node-{id}").into();
        let identity = self.identity(&Principal::Node(id));
        let address = SocketAddr::new(self.sim.lookup(&*host), NODE_PORT);
        let machine = Arc::new(Machine::new(
            id,
            Arc::clone(&host),
            address,
            identity,
            self.seed,
            self.weather.clone(),
            lie,
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

    /// Lets nothing pass between a node and the clients.
    pub fn cut(&self, node: NodeId, ways: Ways) {
        let host = self.machine(node).host();
        for client in &self.clients {
            match ways {
                Ways::Both => self.sim.partition(host, &**client),
                Ways::ToNode => self.sim.partition_oneway(&**client, host),
                Ways::FromNode => self.sim.partition_oneway(host, &**client),
            }
        }
    }

    /// Lets everything pass again.
    pub fn mend(&self, node: NodeId) {
        let host = self.machine(node).host();
        for client in &self.clients {
            self.sim.repair(host, &**client);
        }
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
