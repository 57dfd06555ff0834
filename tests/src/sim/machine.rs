//! A machine with one node on it, over all of the node's lives.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::Notify;
use weir_node::controller::Controller;
use weir_node::outside::Outside;
use weir_node::partitions::Partitions;
use weir_node::pipelines::Pipelines;
use weir_node::plugins::Engines;
use weir_node::server::{Node, NodeConfig, Rule};
use weir_node::storage::SimDisk;
use weir_quic::Identity;
use weir_wire::ids::NodeId;

use super::clock::SimClock;
use super::damage::Damage;
use super::dice::Dice;
use super::disk::{HostDisk, Lie};
use super::network::{Power, SimNetwork, Weather};
use super::outside::SimRandomness;
use super::plan::End;
use super::trace::{Kind, Trace};
use super::workers::{DiskPace, QUICK, SimWorkers};
use super::world::node_listen;

/// The port of every simulated node.
pub const NODE_PORT: u16 = 9440;
/// The data folder of every simulated node.
pub const DATA_FOLDER: &str = "/data";

/// What a node is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// It does not run.
    Down,
    /// It runs, and does not serve yet.
    Starting,
    /// It serves.
    Serving,
    /// It is stopping because it was asked to.
    Stopping,
    /// It ended by itself: because it was asked to, or with an error.
    Ended(Result<(), String>),
}

/// A machine and its node.
pub struct Machine {
    id: NodeId,
    host: Arc<str>,
    address: SocketAddr,
    identity: Identity,
    /// Where it finds the first node; `None` for the first node itself, which forms the cluster.
    join: Option<SocketAddr>,
    weather: Weather,
    lie: Option<Lie>,
    without: Option<Rule>,
    trace: Trace,
    pace: DiskPace,
    inner: Mutex<Inner>,
}

struct Inner {
    disk: SimDisk,
    power: Power,
    state: NodeState,
    stop: Arc<Notify>,
    /// The running node's, once it serves.
    controller: Option<Controller>,
    partitions: Option<Partitions>,
    pipelines: Option<Pipelines>,
    dice: Dice,
    lives: u32,
    /// Where a node whose disk was replaced finds its cluster.
    others: Vec<SocketAddr>,
}

/// What runs plugins in every node of this process: without a clock and without a thread.
fn engines() -> Engines {
    static ENGINES: OnceLock<Engines> = OnceLock::new();
    ENGINES.get_or_init(|| Engines::simulated().expect("this machine can run plugins")).clone()
}

impl Machine {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, by the world, with what belongs to the machine"
    )]
    pub(super) fn new(
        id: NodeId,
        host: Arc<str>,
        address: SocketAddr,
        identity: Identity,
        join: Option<SocketAddr>,
        seed: u64,
        weather: Weather,
        lie: Option<Lie>,
        without: Option<Rule>,
        trace: Trace,
    ) -> Machine {
        let mut dice = Dice::new(seed, &host);
        let pace = DiskPace::new(QUICK, dice.fork());
        let inner = Mutex::new(Inner {
            disk: SimDisk::new(dice.number()),
            power: Power::on(),
            state: NodeState::Down,
            stop: Arc::new(Notify::new()),
            controller: None,
            partitions: None,
            pipelines: None,
            dice,
            lives: 0,
            others: Vec::new(),
        });
        Machine { id, host, address, identity, join, weather, lie, without, trace, pace, inner }
    }

    /// One life of the node, from its start until it ends by itself.
    pub(super) async fn live(&self) {
        let (config, outside, stop) = self.begin_life();
        let ended = match Node::start(config, outside).await {
            Ok(node) => {
                {
                    let mut inner = self.inner();
                    inner.controller = Some(node.controller().clone());
                    inner.partitions = Some(node.partitions().clone());
                    inner.pipelines = Some(node.pipelines().clone());
                }
                self.enter(NodeState::Serving);
                tokio::select! {
                    biased;
                    () = stop.notified() => {
                        self.enter(NodeState::Stopping);
                        node.stop().await.map_err(|error| format!("it did not stop cleanly: {error}"))
                    }
                    why = node.controller().failed() => Err(format!("it gave up: {why}")),
                }
            }
            Err(error) => Err(format!("it did not start: {error}")),
        };
        self.enter(NodeState::Ended(ended));
    }

    fn begin_life(&self) -> (NodeConfig, Outside, Arc<Notify>) {
        let mut inner = self.inner();
        inner.lives += 1;
        inner.power = Power::on();
        inner.stop = Arc::new(Notify::new());
        inner.state = NodeState::Starting;
        self.trace.note(&self.host, Kind::Fault, format_args!("life {} begins", inner.lives));
        let (host, power, trace) = (Arc::clone(&self.host), inner.power.clone(), self.trace.clone());
        let disk =
            HostDisk::new(inner.disk.clone(), Arc::clone(&host), power.clone(), trace.clone(), self.lie);
        let network = SimNetwork::new(host, self.weather.clone(), power, trace, inner.dice.fork());
        let outside = Outside {
            clock: Arc::new(SimClock),
            random: Arc::new(SimRandomness::new(inner.dice.fork())),
            disk: Arc::new(disk),
            network: Arc::new(network),
            workers: Arc::new(SimWorkers::new(self.pace.clone())),
            cleaners: Arc::new(SimWorkers::new(self.pace.clone())),
        };
        let mut config = NodeConfig::new(PathBuf::from(DATA_FOLDER), node_listen());
        config.node_id = self.id;
        config.identity = Some(self.identity.clone());
        config.engines = Some(engines());
        config.advertised = Some(self.address.to_string());
        config.join = self.join.iter().chain(&inner.others).map(SocketAddr::to_string).collect();
        // Few, so that snapshots are made and sent in a run that makes few changes.
        config.entries_per_snapshot = 20;
        // Few, since each of them costs time; and members that are given up soon, as soon as may be.
        config.offsets_partitions = 2;
        config.settings.group_session_timeout_ms = 6_000;
        config.settings.group_heartbeat_interval_ms = 1_000;
        config.without = self.without;
        (config, outside, Arc::clone(&inner.stop))
    }

    fn enter(&self, state: NodeState) {
        self.trace.note(&self.host, Kind::Fault, format_args!("the node is now {state:?}"));
        self.inner().state = state;
    }

    /// Takes the disk away from the life that runs, and leaves what the next one finds.
    pub(super) fn end_life(&self, end: End) {
        let mut inner = self.inner();
        inner.power.cut();
        inner.disk = match end {
            End::Killed => inner.disk.process_crash(),
            End::PowerCut => inner.disk.power_loss(),
        };
        inner.state = NodeState::Down;
        inner.controller = None;
        inner.partitions = None;
        inner.pipelines = None;
        self.trace.note(&self.host, Kind::Fault, format_args!("{end:?}"));
    }

    /// Puts an empty disk in the place of the one that it has. Its node finds the cluster at these addresses.
    pub(super) fn replace_disk(&self, others: Vec<SocketAddr>) {
        let mut inner = self.inner();
        let seed = inner.dice.number();
        (inner.disk, inner.others) = (SimDisk::new(seed), others);
        self.trace.note(&self.host, Kind::Fault, format_args!("the disk is replaced by an empty one"));
    }

    /// Flips bits of the disk, of which the node knows nothing.
    pub(super) fn damage(&self, damage: Damage, flips: u32) {
        let mut inner = self.inner();
        let (disk, dice) = (inner.disk.clone(), &mut inner.dice);
        let flipped = damage.strike(&disk, Path::new(DATA_FOLDER), flips, dice);
        self.trace.note(&self.host, Kind::Fault, format_args!("flipped: {flipped:?}"));
    }

    pub(super) fn ask_to_stop(&self) {
        self.inner().stop.notify_one();
    }

    /// The number of its node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// Its name on the network.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Where clients find its node.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How fast its disk is.
    #[must_use]
    pub fn pace(&self) -> &DiskPace {
        &self.pace
    }

    /// What its node is doing.
    #[must_use]
    pub fn state(&self) -> NodeState {
        self.inner().state.clone()
    }

    /// The controller of its node, while that serves. What it knows may be read from outside of the simulated hosts.
    #[must_use]
    pub fn controller(&self) -> Option<Controller> {
        self.inner().controller.clone()
    }

    /// The replicas of its node, while that serves, and in which of its lives.
    #[must_use]
    pub fn partitions(&self) -> Option<(u32, Partitions)> {
        let inner = self.inner();
        Some((inner.lives, inner.partitions.clone()?))
    }

    /// The pipelines of its node, while that serves, and in which of its lives.
    #[must_use]
    pub fn pipelines(&self) -> Option<(u32, Pipelines)> {
        let inner = self.inner();
        Some((inner.lives, inner.pipelines.clone()?))
    }

    /// Whether the machine has power. A disk that stops takes it away.
    #[must_use]
    pub fn has_power(&self) -> bool {
        self.inner().power.is_on()
    }

    /// Its disk, until its node ends.
    #[must_use]
    pub fn disk(&self) -> SimDisk {
        self.inner().disk.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
