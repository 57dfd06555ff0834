//! A node, from configuration to readiness and back: builds the parts, starts and stops them in order.
//!
//! The only file that knows everyone; nobody imports it but the command line and the tests.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::Semaphore;
use weir_core::metadata::{Applied, Command, Image, LastLife, ProcessId, Registration};
use weir_quic::certs::CertsError;
use weir_quic::endpoint::EndpointError;
use weir_quic::{
    BindError, CloseCode, FrameReader, FrameWriter, Gate, GateLimits, Identity, Principal, Server, certs,
};
use weir_wire::ids::{ClusterId, NodeId};

use crate::controller::{Controller, MetadataStore, SubmitError};
use crate::handlers::{self, PRODUCE_MEMORY_BYTES, ProducerIds, Services};
use crate::outside::Outside;
use crate::partitions::Partitions;
use crate::storage::{DataFolder, FolderError, Found, StorageConfig, StorageError, ValueError};
use crate::transport::{self, StreamHandler, Threads};
use crate::watched::Watched;

/// The port that nodes listen on when nobody says otherwise.
pub const DEFAULT_PORT: u16 = 9440;

/// The folder of a node's own certificate within its data folder.
const NODE_FOLDER: &str = "node";
/// The folder of the certificates that clients read, within the data folder.
const CERTS_FOLDER: &str = "certs";

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
        }
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
    #[error("the data folder {} holds data of cluster {cluster}, but its metadata is gone: restore {} from a copy", .data.display(), .data.join("metadata").display())]
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
    /// The metadata could not be changed.
    #[error("this node could not be registered: {0}")]
    Register(#[from] SubmitError),
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
    servers: Vec<Server>,
    stopping: Arc<Watched<bool>>,
    /// Dropped last: everything above runs on them.
    _threads: Threads,
}

impl Node {
    /// Starts a node. Returns once it serves.
    ///
    /// # Errors
    /// See [`StartError`]; each says what to do.
    pub async fn start(config: NodeConfig, outside: Outside) -> Result<Node, StartError> {
        // The folder first: a second node on it must not take the port away from the first.
        let (data, found) =
            DataFolder::open(Arc::clone(&outside.disk), &config.data, &StorageConfig::default())?;
        let data = Arc::new(data);
        let sockets = outside.network.bind(config.listen, config.network_threads)?;
        let threads = Threads::start(sockets.len()).map_err(StartError::Threads)?;
        if let Some(listen) = config.metrics_listen {
            crate::admin::serve_metrics(listen).map_err(StartError::Metrics)?;
        }
        let address = sockets[0].local_addr();
        let (store, image) = MetadataStore::open(&outside, &config.data)?;
        check_owner(&config, &found, &image)?;
        let controller = Controller::start(store, image);
        let cluster = form_cluster(&controller, &outside).await?;
        data.bind_cluster(cluster)?;
        let image = controller.image();
        let partitions = Partitions::open(outside.clone(), config.node_id, data, &threads, &image)
            .await
            .map_err(FolderError::from)?;
        let advertised = config.advertised.clone().unwrap_or_else(|| address.to_string());
        register(&controller, config.node_id, advertised, &outside, found.clean.is_some()).await?;

        partitions.start(controller.clone()).await;
        let identity = identity(&config, &outside)?;
        let stopping = Arc::new(Watched::new(false));
        let services = Arc::new(Services {
            node: config.node_id,
            cluster,
            outside: outside.clone(),
            controller,
            partitions,
            producer_ids: ProducerIds::default(),
            produce_memory: Arc::new(Semaphore::new(PRODUCE_MEMORY_BYTES)),
            stopping: Arc::clone(&stopping),
        });
        let gate = Gate::new(GateLimits::default());
        let mut servers = Vec::new();
        for (socket, handle) in sockets.into_iter().zip(threads.handles()) {
            // An endpoint belongs to the runtime that it is made in.
            let _entered = handle.enter();
            let server = Server::new(&outside.network, socket, &identity, gate.clone())?;
            let handler = ClientStreams(Arc::clone(&services));
            handle.spawn(transport::accept(server.clone(), handler, Arc::clone(&stopping)));
            servers.push(server);
        }
        tracing::info!(%address, node = %config.node_id, %cluster, "ready");
        Ok(Node { address, services, servers, stopping, _threads: threads })
    }

    /// Where the node listens; the port is the real one.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops politely: takes no more, answers what is under way, flushes, closes the logs, and notes that it did.
    ///
    /// # Errors
    /// When something could not be made durable; the next start then recovers as after a crash.
    pub async fn stop(self) -> Result<(), StorageError> {
        self.stopping.set(true);
        self.services.partitions.close().await?;
        for server in &self.servers {
            server.close(CloseCode::ShuttingDown, "the node is shutting down");
        }
        for server in &self.servers {
            server.wait_idle().await;
        }
        Ok(())
    }
}

/// A data folder knows whose it is once a node registered from it.
fn check_owner(config: &NodeConfig, found: &Found, image: &Image) -> Result<(), StartError> {
    if let (Some(cluster), None) = (found.cluster, image.cluster) {
        return Err(StartError::MetadataMissing { data: config.data.clone(), cluster });
    }
    match image.nodes.keys().next() {
        Some(found) if *found != config.node_id => Err(StartError::OtherNode {
            data: config.data.clone(),
            found: *found,
            configured: config.node_id,
        }),
        _ => Ok(()),
    }
}

/// The cluster's id, given on the very first start.
async fn form_cluster(controller: &Controller, outside: &Outside) -> Result<ClusterId, SubmitError> {
    if let Some(cluster) = controller.image().cluster {
        return Ok(cluster);
    }
    let cluster = ClusterId(outside.random.id());
    controller.submit(Command::Initialise { cluster }).await?;
    Ok(cluster)
}

/// Ends every reign of this node's earlier life before anything is appended in this one.
async fn register(
    controller: &Controller,
    node: NodeId,
    address: String,
    outside: &Outside,
    clean: bool,
) -> Result<(), SubmitError> {
    // The metadata lies in the same folder as the logs: what it knows of the node is what the folder remembers.
    let known = controller.image().nodes.get(&node).map(|state| state.incarnation);
    let registration = Registration {
        node,
        process: ProcessId(outside.random.id()),
        address,
        rack: None,
        last: known.map(|incarnation| LastLife { incarnation, clean }),
        earlier: Vec::new(),
        // The only replica leads whatever it still has.
        cut: Vec::new(),
    };
    let (_, applied) = controller.submit(Command::RegisterNode(registration)).await?;
    let Applied::Registered(incarnation) = applied else {
        unreachable!("registering leads to an incarnation")
    };
    tracing::info!(%node, %incarnation, "registered");
    Ok(())
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

#[derive(Clone)]
struct ClientStreams(Arc<Services>);

impl StreamHandler for ClientStreams {
    fn serve(
        &self,
        principal: Arc<Principal>,
        reader: FrameReader,
        writer: FrameWriter,
    ) -> impl Future<Output = ()> + Send {
        handlers::serve_stream(Arc::clone(&self.0), principal, reader, writer)
    }
}
