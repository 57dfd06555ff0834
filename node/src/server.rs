//! A node, from configuration to readiness and back: builds the parts, starts and stops them in order.
//!
//! The only file that knows everyone; nobody imports it but the command line and the tests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use weir_core::metadata::MetadataError;
use weir_quic::certs::CertsError;
use weir_quic::endpoint::EndpointError;
use weir_quic::{
    BindError, BoundSocket, CloseCode, Connector, FrameReader, FrameWriter, Gate, GateLimits, Identity,
    Principal, Protocol, Server, certs,
};
use weir_wire::group_log;
use weir_wire::ids::{ClusterId, Incarnation, NodeId};

use crate::components::ComponentStore;
use crate::controller::{
    Controller, ControllerConfig, ControllerError, ENTRIES_PER_SNAPSHOT, Introduction, JoinError, Lives,
    RegisterError, SubmitError, Timing,
};
use crate::groups::Groups;
use crate::handlers::{
    self, Caller, FORWARD_MEMORY_BYTES, PIPELINE_MEMORY_BYTES, PRODUCE_MEMORY_BYTES, ProducerIds, Services,
    Uploads,
};
use crate::outside::Outside;
use crate::partitions::Partitions;
use crate::pipelines::Pipelines;
use crate::plugins::{EngineError, Engines, Plugins};
use crate::replication::Replication;
use crate::storage::{
    DataFolder, FolderError, Found, PrivateFolder, StorageConfig, StorageError, ValueError,
};
use crate::transport::{self, Dialler, Peers, StreamHandler, Threads, Whence};
use crate::watched::Watched;

/// The port that nodes listen on when nobody says otherwise.
pub const DEFAULT_PORT: u16 = 9440;

/// The folder of a node's own certificate within its data folder.
const NODE_FOLDER: &str = "node";
/// The folder of the certificates that clients read, within the data folder.
const CERTS_FOLDER: &str = "certs";
/// The folder of the metadata within the data folder.
const METADATA_FOLDER: &str = "metadata";
/// The folder of what was compiled out of plugins, within the data folder: nobody else may write there.
const PLUGINS_FOLDER: &str = "plugins";
/// The folder of the components of plugins, within the data folder.
const COMPONENTS_FOLDER: &str = "components";
/// How many nodes vote on the metadata when nobody says otherwise.
const VOTERS_DEFAULT: u32 = 3;
/// How long a node waits for the lease of an earlier life of its number to run out.
const DUPLICATE_WAIT: Duration = Duration::from_secs(5);
/// The pause before registering is tried again.
const REGISTER_PAUSE: Duration = Duration::from_millis(200);

/// What an operator decides about a node.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Where everything is stored.
    pub data: PathBuf,
    /// The UDP address to serve; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The node's number in its cluster.
    pub node_id: NodeId,
    /// The certs folder; `None` for the one in the data folder.
    pub certs: Option<PathBuf>,
    /// How many network threads.
    pub network_threads: usize,
    /// Where to serve metrics over HTTP, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// The `host:port` that clients are told; `None` for the address listened on.
    pub advertised: Option<String>,
    /// The node's certificate, where it does not come from a folder (simulation).
    pub identity: Option<Identity>,
    /// Nodes of the cluster to join, as `host:port`; none to form a cluster. A data folder that knows its cluster
    /// does not look at it.
    pub join: Vec<String>,
    /// How many nodes vote on the metadata, as soon as there are as many.
    pub voters: u32,
    /// Where the node stands: replicas are spread over racks.
    pub rack: Option<String>,
    /// How soon nodes notice that one of them is gone.
    pub timing: Timing,
    /// What it goes by while it runs, unless the cluster's metadata says otherwise.
    pub settings: weir_core::node_config::NodeConfig,
    /// What runs plugins, where the machine itself does not (simulation).
    pub engines: Option<Engines>,
    /// After how many entries of the metadata log a snapshot takes their place.
    pub entries_per_snapshot: u64,
    /// How many partitions `__consumer_offsets` gets when the first group needs it.
    pub offsets_partitions: u32,
    /// A rule that the node does not keep; for tests that must notice.
    #[cfg(feature = "sim")]
    #[doc(hidden)]
    pub without: Option<Rule>,
}

/// A rule that a test takes away from whole nodes.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One of replicas.
    Partition(weir_core::partition::Rule),
    /// One of the metadata.
    Metadata(weir_core::metadata::Rule),
    /// One of the coordinators of groups.
    Group(weir_core::group::Rule),
}

/// The rule that is not kept, by whom it concerns.
#[derive(Clone, Copy, Debug, Default)]
struct Without {
    partition: Option<weir_core::partition::Rule>,
    metadata: Option<weir_core::metadata::Rule>,
    group: Option<weir_core::group::Rule>,
}

impl NodeConfig {
    /// A node with its data in `data`, listening on `listen`, and defaults for the rest.
    #[must_use]
    pub fn new(data: PathBuf, listen: SocketAddr) -> NodeConfig {
        NodeConfig {
            data,
            listen,
            node_id: NodeId(1),
            certs: None,
            network_threads: 1,
            metrics_listen: None,
            advertised: None,
            identity: None,
            join: Vec::new(),
            voters: VOTERS_DEFAULT,
            rack: None,
            timing: Timing::default(),
            settings: weir_core::node_config::NodeConfig::default(),
            engines: None,
            entries_per_snapshot: ENTRIES_PER_SNAPSHOT,
            offsets_partitions: group_log::PARTITIONS,
            #[cfg(feature = "sim")]
            without: None,
        }
    }

    /// The rule that is not kept: outside of simulations every one is.
    #[cfg_attr(not(feature = "sim"), expect(clippy::unused_self, reason = "only simulations have one"))]
    fn without(&self) -> Without {
        #[cfg(feature = "sim")]
        match self.without {
            Some(Rule::Partition(rule)) => return Without { partition: Some(rule), ..Without::default() },
            Some(Rule::Metadata(rule)) => return Without { metadata: Some(rule), ..Without::default() },
            Some(Rule::Group(rule)) => return Without { group: Some(rule), ..Without::default() },
            None => {}
        }
        Without::default()
    }
}

/// Why a node did not start. Nothing of it runs then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The port cannot be had.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The metadata cannot be read.
    #[error(transparent)]
    Metadata(#[from] ValueError),
    /// The metadata is gone while data of its cluster is there.
    #[error("the data folder {} holds data of cluster {cluster}, but its metadata is gone: restore {} from a copy, or, if the cluster has other nodes, start with an empty folder and --join", .data.display(), .data.join("metadata").display())]
    MetadataMissing {
        /// The folder.
        data: PathBuf,
        /// Whose data it holds.
        cluster: ClusterId,
    },
    /// The certificates cannot be used.
    #[error(transparent)]
    Certs(#[from] CertsError),
    /// The endpoint cannot be made.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The controller does not start.
    #[error(transparent)]
    Controller(#[from] ControllerError),
    /// There is no cluster for it.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The cluster does not take it.
    #[error("this node could not be registered: {0}")]
    Register(#[from] RegisterError),
    /// The data folder is another node's.
    #[error("the data folder {} belongs to node {found}, not {configured}; check --node-id and --data", .data.display())]
    OtherNode {
        /// The folder.
        data: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// Who was started on it.
        configured: NodeId,
    },
    /// Plugins cannot run.
    #[error(transparent)]
    Engines(#[from] EngineError),
    /// Plugins, or what was compiled out of them, cannot be kept.
    #[error("a folder for plugins cannot be used: {0}")]
    PluginsFolder(String),
    /// No more threads.
    #[error("the system gives no more threads: {0}; lower num.network.threads")]
    Threads(std::io::Error),
    /// Metrics cannot be served.
    #[error("{0}")]
    Metrics(String),
}

/// A running node.
pub struct Node {
    address: SocketAddr,
    services: Arc<Services>,
    listening: Listening,
    stopping: Arc<Watched<bool>>,
    /// Dropped last: everything above runs on them.
    _threads: Threads,
}

/// The endpoints, and what they hand streams to.
struct Listening {
    servers: Vec<Server>,
    controller: Controller,
    peers: Peers,
    dialler: Dialler,
    /// Set once the node serves clients; until then their streams wait.
    services: Arc<Watched<Option<Arc<Services>>>>,
}

impl Node {
    /// Starts a node. Returns once it serves.
    ///
    /// A node that belongs to a cluster of several waits here until a majority of its voters runs.
    ///
    /// # Errors
    /// See [`StartError`]; each says what to do.
    pub async fn start(config: NodeConfig, outside: Outside) -> Result<Node, StartError> {
        // The folder first: a second node on it must not take the port away from the first.
        let (data, found) =
            DataFolder::open(Arc::clone(&outside.disk), &config.data, &StorageConfig::default())?;
        let lives = Lives::open(&outside, &config.data.join(METADATA_FOLDER))?;
        check_owner(&config, &lives)?;
        let sockets = outside.network.bind(config.listen, config.network_threads)?;
        let threads = Threads::start(sockets.len()).map_err(StartError::Threads)?;
        if let Some(listen) = config.metrics_listen {
            crate::admin::serve_metrics(listen).map_err(StartError::Metrics)?;
        }
        let address = sockets[0].local_addr();
        let advertised = config.advertised.clone().unwrap_or_else(|| address.to_string());
        let stopping = Arc::new(Watched::new(false));
        let listening =
            Listening::start(&config, &outside, &found, &advertised, sockets, &threads, &stopping).await?;
        let joined = join_and_open(
            &config,
            &outside,
            (data, found),
            lives,
            &threads,
            &listening,
            advertised,
            &stopping,
        );
        match joined.await {
            Ok(services) => {
                listening.services.set(Some(Arc::clone(&services)));
                tracing::info!(%address, node = %config.node_id, cluster = %services.cluster, "ready");
                Ok(Node { address, services, listening, stopping, _threads: threads })
            }
            Err(error) => {
                listening.close().await;
                Err(error)
            }
        }
    }

    /// Where the node listens; the port is the real one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The controller, for who looks at the node from outside.
    #[must_use]
    pub fn controller(&self) -> &Controller {
        &self.services.controller
    }

    /// The replicas, for who looks at the node from outside.
    #[must_use]
    pub fn partitions(&self) -> &Partitions {
        &self.services.partitions
    }

    /// The pipelines, for who looks at the node from outside.
    #[must_use]
    pub fn pipelines(&self) -> &Pipelines {
        &self.services.pipelines
    }

    /// Stops politely: hands its leaderships over, takes no more, answers what is under way, flushes, closes the logs,
    /// and notes that it did.
    ///
    /// # Errors
    /// When something could not be made durable; the next start then recovers as after a crash.
    pub async fn stop(self) -> Result<(), StorageError> {
        self.services.controller.hand_over().await;
        self.stopping.set(true);
        // Before the partitions, which give the data folder back when they are closed.
        self.services.pipelines.stop();
        self.services.components.stop();
        self.services.controller.stop().await;
        let closed = self.services.partitions.close().await;
        self.listening.close().await;
        closed
    }
}

impl Listening {
    /// Starts the controller, and lets other nodes reach it: joining a cluster needs that already.
    async fn start(
        config: &NodeConfig,
        outside: &Outside,
        found: &Found,
        advertised: &str,
        sockets: Vec<BoundSocket>,
        threads: &Threads,
        stopping: &Arc<Watched<bool>>,
    ) -> Result<Listening, StartError> {
        let identity = identity(config, outside)?;
        // Bulk data and consensus share no socket.
        let connector = || -> Result<Connector, StartError> {
            Ok(Connector::new(&outside.network, outside.network.bind_client()?, &identity)?)
        };
        let (peers, dialler) = (Peers::new(connector()?), Dialler::new(connector()?));
        let controller_config = ControllerConfig {
            node: config.node_id,
            address: advertised.to_owned(),
            cluster: found.cluster,
            voters: config.voters,
            entries_per_snapshot: config.entries_per_snapshot,
            timing: config.timing,
            settings: config.settings.clone(),
            without: config.without().metadata,
        };
        let folder = config.data.join(METADATA_FOLDER);
        let controller = Controller::start(controller_config, outside, &folder, peers.clone()).await?;
        let services = Arc::new(Watched::new(None));
        let gate = Gate::new(GateLimits::default());
        let mut servers = Vec::new();
        for (socket, handle) in sockets.into_iter().zip(threads.handles()) {
            // An endpoint belongs to the runtime that it is made in.
            let _entered = handle.enter();
            let server = Server::new(&outside.network, socket, &identity, gate.clone())?;
            let handler = Streams { services: Arc::clone(&services), controller: controller.clone() };
            handle.spawn(transport::accept(server.clone(), handler, Arc::clone(stopping)));
            servers.push(server);
        }
        Ok(Listening { servers, controller, peers, dialler, services })
    }

    async fn close(&self) {
        self.controller.stop().await;
        for server in &self.servers {
            server.close(CloseCode::ShuttingDown, "the node is shutting down");
        }
        self.peers.close();
        self.dialler.close();
        for server in &self.servers {
            server.wait_idle().await;
        }
    }
}

/// Becomes part of the cluster, opens the logs, and registers.
#[expect(clippy::too_many_arguments, reason = "the second half of starting, with what the first half made")]
async fn join_and_open(
    config: &NodeConfig,
    outside: &Outside,
    (data, found): (DataFolder, Found),
    lives: Lives,
    threads: &Threads,
    listening: &Listening,
    advertised: String,
    stopping: &Arc<Watched<bool>>,
) -> Result<Arc<Services>, StartError> {
    let (data, controller) = (Arc::new(data), &listening.controller);
    if let Some(cluster) = found.cluster
        && controller.is_blank()
    {
        return Err(StartError::MetadataMissing { data: config.data.clone(), cluster });
    }
    let cluster = controller.take_part(&config.join, outside).await?;
    data.bind_cluster(cluster)?;
    catch_up(controller, cluster).await?;
    let was_clean = found.clean.is_some();
    let opening = Partitions::open(
        outside.clone(),
        config.node_id,
        data,
        was_clean,
        threads,
        controller.clone(),
        config.without().partition,
    );
    let partitions = opening.await.map_err(FolderError::from)?;
    let (rack, cut) = (config.rack.clone(), partitions.cut_logs());
    let introduction = Introduction { address: advertised, rack, was_clean, cut };
    let incarnation = register(controller, lives, introduction).await?;
    let replication = Replication::new(
        config.node_id,
        cluster,
        outside.clone(),
        controller.clone(),
        partitions.clone(),
        listening.dialler.clone(),
        Arc::clone(stopping),
    );
    replication.start();
    let components = ComponentStore::new(
        config.node_id,
        outside.clone(),
        private_folder(config, outside, COMPONENTS_FOLDER)?,
        controller.clone(),
        replication.clone(),
    );
    let (pipelines, wanted) = Pipelines::new(
        config.node_id,
        outside.clone(),
        controller.clone(),
        start_plugins(config, outside)?,
        Arc::new(components.clone()),
    );
    partitions.start(incarnation).await;
    pipelines.start(wanted);
    components.start();
    let groups = Groups::new(
        outside.clone(),
        controller.clone(),
        partitions.clone(),
        pipelines.clone(),
        Arc::clone(stopping),
        config.offsets_partitions,
        config.without().group,
    );
    groups.start();
    Ok(Arc::new(Services {
        node: config.node_id,
        cluster,
        outside: outside.clone(),
        controller: controller.clone(),
        partitions,
        replication,
        groups,
        pipelines,
        components,
        uploads: Uploads::default(),
        producer_ids: ProducerIds::default(),
        produce_memory: Arc::new(Semaphore::new(PRODUCE_MEMORY_BYTES)),
        pipeline_memory: Arc::new(Semaphore::new(PIPELINE_MEMORY_BYTES)),
        forward_memory: Arc::new(Semaphore::new(FORWARD_MEMORY_BYTES)),
        stopping: Arc::clone(stopping),
    }))
}

/// The plugin host, with what it compiled before.
fn start_plugins(config: &NodeConfig, outside: &Outside) -> Result<Plugins, StartError> {
    let (engines, outside_for_compiling) = match &config.engines {
        Some(engines) => (engines.clone(), outside.clone()),
        // Not the workers that flush: compiling takes long.
        None => (
            Engines::real()?,
            outside.with_workers("weir-compile", Plugins::WORKERS).map_err(StartError::Threads)?,
        ),
    };
    let folder = private_folder(config, outside, PLUGINS_FOLDER)?;
    Plugins::start(engines, outside_for_compiling, Arc::new(folder))
        .map_err(|error| StartError::PluginsFolder(error.to_string()))
}

/// A folder of the data folder that nobody else may look into.
fn private_folder(config: &NodeConfig, outside: &Outside, name: &str) -> Result<PrivateFolder, StartError> {
    PrivateFolder::open(Arc::clone(&outside.disk), &config.data.join(name))
        .map_err(|error| StartError::PluginsFolder(error.to_string()))
}

/// A data folder knows whose it is once a node registered from it.
fn check_owner(config: &NodeConfig, lives: &Lives) -> Result<(), StartError> {
    match lives.node() {
        Some(found) if found != config.node_id => {
            Err(StartError::OtherNode { data: config.data.clone(), found, configured: config.node_id })
        }
        _ => Ok(()),
    }
}

/// Waits until this node has all metadata that there was when it started: it must know every log that is its own before
/// it says for which of them it cannot vouch. However long it takes until a majority of the voters runs.
async fn catch_up(controller: &Controller, cluster: ClusterId) -> Result<(), RegisterError> {
    loop {
        match controller.up_to_date(cluster).await {
            Ok(()) => return Ok(()),
            Err(error @ SubmitError::NoQuorum { foreign: None }) => {
                tracing::warn!(%error, "the metadata is not up to date yet; trying on");
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(REGISTER_PAUSE).await;
    }
}

/// Registers, however long it takes until a majority of the voters runs.
async fn register(
    controller: &Controller,
    lives: Lives,
    introduction: Introduction,
) -> Result<Incarnation, RegisterError> {
    let give_up_on_duplicate = Instant::now() + DUPLICATE_WAIT;
    loop {
        match controller.register(lives.clone(), introduction.clone()).await {
            Ok(incarnation) => return Ok(incarnation),
            Err(RegisterError::Submit(error)) => match &error {
                SubmitError::NoQuorum { foreign: None } | SubmitError::Unknown => {
                    tracing::warn!(%error, "not registered yet; trying on");
                }
                // An earlier life of this node may hold its lease still.
                SubmitError::Refused(MetadataError::DuplicateNode { .. })
                    if Instant::now() < give_up_on_duplicate => {}
                _ => return Err(error.into()),
            },
            Err(error) => return Err(error),
        }
        tokio::time::sleep(REGISTER_PAUSE).await;
    }
}

fn identity(config: &NodeConfig, outside: &Outside) -> Result<Identity, CertsError> {
    if let Some(identity) = &config.identity {
        return Ok(identity.clone());
    }
    let certs_folder = config.certs.clone().unwrap_or_else(|| config.data.join(CERTS_FOLDER));
    certs::for_node(
        &certs_folder,
        &config.data.join(NODE_FOLDER),
        config.node_id,
        outside.network.unix_time(),
    )
}

/// Where the streams of clients and of other nodes go.
#[derive(Clone)]
struct Streams {
    services: Arc<Watched<Option<Arc<Services>>>>,
    controller: Controller,
}

impl StreamHandler for Streams {
    async fn serve(&self, principal: Arc<Principal>, from: Whence, reader: FrameReader, writer: FrameWriter) {
        match (from.protocol, &*principal) {
            (Protocol::Client, _) => {
                let services = self.services.wait_until(Option::is_some).await;
                if let Some(services) = &*services {
                    let caller = Caller { principal, host: from.host, room: from.room };
                    handlers::serve_stream(Arc::clone(services), caller, reader, writer).await;
                }
            }
            (Protocol::Replication, Principal::Node(_)) => {
                let services = self.services.wait_until(Option::is_some).await;
                if let Some(services) = &*services {
                    let services = Arc::clone(services);
                    handlers::node_streams::serve(services, principal, from.room, reader, writer).await;
                }
            }
            (Protocol::Metadata, Principal::Node(peer)) => {
                transport::serve_peer_stream(self.controller.clone(), *peer, reader, writer).await;
            }
            // A client never gets here with a protocol of the nodes'.
            (Protocol::Replication | Protocol::Metadata, Principal::Client(_)) => {}
        }
    }
}
