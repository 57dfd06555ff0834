//! The controller, and the door to openraft: puts commands into one order, has a majority make them durable, and
//! applies them to [`weir_core::metadata`] on every node.
//!
//! ```text
//!                     this node leads                    another node leads
//! submit ─┬─▶ proposer: what waits is one entry        ┌──▶ propose request ──▶ its proposer
//!         └────────────────────────────────────────────┘
//! openraft ──▶ log store (journal) ─┐
//!          ──▶ network (peers) ─────┴─▶ a majority has it ──▶ state machine: the image ──▶ everyone who watches
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | `types` | openraft's types as they are here, and their translation to ours |
//! | `runtime` | what openraft runs on |
//! | `log_store`, `state_machine` | what a node remembers |
//! | `network`, `asking` | what it asks others |
//! | `rpc` | what it answers others, one file per request |
//! | `submit` | commands on their way |
//! | `voters` | voters that an operator replaces |
//! | `members`, `leases`, `rebalance` | what the active controller looks after: who votes, who is alive, who leads |
//! | `formation`, `registration` | forming and joining a cluster, and saying that a node starts |
//! | `shutdown` | leaving it in order |
//!
//! Every node runs one. Voters vote; the others are learners, and have the whole image too. A node of its own is a
//! quorum of one voter, and leads itself as soon as it has started.

mod asking;
#[cfg(test)]
mod conformance;
mod formation;
mod leases;
mod log_store;
mod members;
mod network;
#[cfg(test)]
mod power_loss;
mod rebalance;
mod registration;
mod rpc;
mod runtime;
mod shutdown;
mod state_machine;
mod status;
mod submit;
#[cfg(test)]
mod testing;
mod types;
mod voters;

pub use formation::JoinError;
pub use log_store::LogError;
pub use registration::{Introduction, Lives, RegisterError};
pub use status::QuorumStatus;
pub use submit::SubmitError;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use tokio::sync::mpsc;
use weir_core::metadata::{Image, ProcessId};
use weir_core::node_config::NodeConfig;
use weir_wire::ids::{ClusterId, Incarnation, MetadataIndex, NodeId};

use self::asking::Asking;
use self::log_store::LogStore;
use self::network::Networks;
use self::runtime::Runtime;
use self::state_machine::StateMachine;
use self::submit::Proposal;
use self::types::{Raft, raft_node};
use crate::outside::{Outside, Randomness};
use crate::storage::ValueError;
use crate::transport::Peers;
use crate::watched::Watched;

/// How long [`Controller::at_least`] waits for metadata that this node has not seen yet.
const METADATA_WAIT: Duration = Duration::from_secs(5);
/// How long stopping waits for consensus to stop.
const STOP_WAIT: Duration = Duration::from_secs(2);
/// A snapshot is made after so many entries when nobody says otherwise: some 100 kB, which a start reads in no time.
pub const ENTRIES_PER_SNAPSHOT: u64 = 2000;
/// Of the entries between two snapshots the part that is kept behind the newer one, for nodes that are a little behind.
const KEPT_PART: u64 = 4;
/// Entries that are sent to another node at a time.
const ENTRIES_SENT_MAX: u64 = 256;
/// How long sending and installing a snapshot may take.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(60);

/// The times by which nodes notice that one of them is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// `broker.heartbeat.interval.ms`: how often a node says to the active controller that it is alive.
    pub heartbeat_interval: Duration,
    /// `broker.session.timeout.ms`: a node that was not heard of for so long is fenced: others take its leaderships.
    pub session_timeout: Duration,
    /// `controller.quorum.election.timeout.ms`: at the latest after so long without a word from the active controller
    /// another node wants to be it.
    pub election_timeout: Duration,
}

impl Default for Timing {
    /// A node that dies is noticed after 0.9 to 1.1 s, a controller that dies after 0.6 to 0.9 s, and what it led has
    /// another leader some 0.4 s later. Four heartbeats and seven of the controller's signs of life may be lost or late
    /// before that, which a busy machine's delays of some 100 ms do not come near.
    fn default() -> Timing {
        Timing {
            heartbeat_interval: Duration::from_millis(200),
            session_timeout: Duration::from_millis(1000),
            election_timeout: Duration::from_millis(800),
        }
    }
}

impl Timing {
    /// Whether the times go together.
    ///
    /// # Errors
    /// What to change.
    pub fn check(&self) -> Result<(), String> {
        if self.session_timeout < self.heartbeat_interval * 3 {
            return Err("broker.session.timeout.ms must be at least three times broker.heartbeat.interval.ms: one lost heartbeat must not fence a node".to_owned());
        }
        Ok(())
    }
}

/// What an operator decides about a node's part in the metadata quorum.
#[derive(Clone, Debug)]
pub struct ControllerConfig {
    /// The node.
    pub node: NodeId,
    /// Where the other nodes reach it, as `host:port`.
    pub address: String,
    /// The cluster whose data the data folder holds, if any.
    pub cluster: Option<ClusterId>,
    /// How many nodes vote at most, as soon as there are as many.
    pub voters: u32,
    /// A snapshot is made after so many entries.
    pub entries_per_snapshot: u64,
    /// See [`Timing`].
    pub timing: Timing,
    /// What the node goes by, unless the metadata says otherwise.
    pub settings: NodeConfig,
    /// A rule that this node does not keep; for tests that must notice.
    pub without: Option<weir_core::metadata::Rule>,
}

/// Why the controller did not start.
#[derive(Debug, thiserror::Error)]
pub enum ControllerError {
    /// Its log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Its snapshot.
    #[error(transparent)]
    Snapshot(#[from] ValueError),
    /// openraft did not take what it was given.
    #[error("the metadata quorum does not start: {0}")]
    Raft(String),
}

/// A handle to the controller, for anybody on the node.
#[derive(Clone)]
pub struct Controller(Arc<Inner>);

struct Inner {
    config: ControllerConfig,
    raft: Raft,
    log: LogStore,
    image: Arc<Watched<Image>>,
    /// Which cluster this is; `None` before it is formed or joined.
    cluster: Arc<Watched<Option<ClusterId>>>,
    standing: Arc<Watched<Standing>>,
    asking: Asking,
    proposals: mpsc::Sender<Proposal>,
    leases: leases::Leases,
    /// This process, as it registers.
    process: OnceLock<ProcessId>,
    /// This node's registration; heartbeats begin with it.
    registered: Watched<Option<Incarnation>>,
    registration: Mutex<Option<registration::Registered>>,
    /// Changes of the membership, one after the other.
    membership_turn: tokio::sync::Mutex<()>,
    /// The data folder held nothing of a cluster's metadata when the node started.
    was_blank: bool,
    stopping: Arc<Watched<bool>>,
    /// Why openraft gave up, if it did.
    failed: Watched<Option<String>>,
    random: Arc<dyn Randomness>,
}

/// Who leads, as this node knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Standing {
    leader: Option<NodeId>,
    term: u64,
    /// Who led before.
    predecessor: Option<NodeId>,
}

impl Controller {
    /// Starts the controller on what the metadata folder holds. It takes part in its cluster at once; a folder that
    /// holds nothing waits for [`Controller::take_part`].
    ///
    /// # Errors
    /// See [`ControllerError`].
    pub async fn start(
        config: ControllerConfig,
        outside: &Outside,
        folder: &Path,
        peers: Peers,
    ) -> Result<Controller, ControllerError> {
        let log = LogStore::open(outside, folder).await?;
        let was_blank = log.is_empty();
        let (machine, image) = StateMachine::open(outside, folder, config.without)?;
        log.purge_behind(machine.durable());
        let cluster = Arc::new(Watched::new(image.get().cluster.or(config.cluster)));
        let asking = Asking::new(peers, Arc::clone(&cluster), Arc::clone(&image));
        let random = Arc::clone(&outside.random);
        let raft_config = Arc::new(raft_config(&config));
        let networks = Networks(asking.clone());
        let starting = Raft::new(raft_node(config.node), raft_config, networks, log.clone(), machine);
        let raft = Runtime::with(Arc::clone(&random), starting)
            .await
            .map_err(|error| ControllerError::Raft(error.to_string()))?;
        // What the log has behind the snapshot was applied while starting.
        cluster.set(image.get().cluster.or(config.cluster));
        let (proposals, inbox) = mpsc::channel(submit::COMMANDS_QUEUED_MAX);
        let inner = Arc::new(Inner {
            leases: leases::Leases::new(Arc::clone(&outside.clock)),
            config,
            raft,
            log,
            image,
            cluster,
            standing: Arc::new(Watched::new(Standing::default())),
            asking,
            proposals,
            process: OnceLock::new(),
            registered: Watched::new(None),
            registration: Mutex::default(),
            membership_turn: tokio::sync::Mutex::default(),
            was_blank,
            stopping: Arc::new(Watched::new(false)),
            failed: Watched::new(None),
            random,
        });
        let controller = Controller(inner);
        controller.spawn(status::watch(controller.clone()));
        controller.spawn(submit::propose(controller.clone(), inbox));
        controller.spawn(members::look_after(controller.clone()));
        controller.spawn(leases::watch(controller.clone()));
        controller.spawn(leases::keep(controller.clone()));
        controller.spawn(rebalance::watch(controller.clone()));
        Ok(controller)
    }

    /// Runs a task of the controller until it stops.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stopping = Arc::clone(&self.0.stopping);
        tokio::spawn(Runtime::with(Arc::clone(&self.0.random), async move {
            tokio::select! {
                biased;
                _ = stopping.wait_until(|stopping| *stopping) => {}
                () = task => {}
            }
        }));
    }

    /// Stops taking part. Handles stay valid, and their image stays as it is.
    pub async fn stop(&self) {
        self.0.stopping.set(true);
        if tokio::time::timeout(STOP_WAIT, self.0.raft.shutdown()).await.is_err() {
            tracing::warn!("the metadata quorum did not stop in time; its log is as after a crash");
        }
    }

    /// This node.
    #[must_use]
    pub fn node(&self) -> NodeId {
        self.0.config.node
    }

    /// The newest metadata that this node knows to be durable on a majority.
    #[must_use]
    pub fn image(&self) -> Arc<Image> {
        self.0.image.get()
    }

    /// What this node goes by: what the metadata says for it, else what it was started with.
    #[must_use]
    pub fn settings(&self) -> NodeConfig {
        self.image().node_config(self.node(), &self.0.config.settings)
    }

    /// What this node was started with.
    pub(crate) fn started_with(&self) -> &NodeConfig {
        &self.0.config.settings
    }

    /// Waits for metadata beyond `seen`.
    pub async fn newer_than(&self, seen: MetadataIndex) -> Arc<Image> {
        self.0.image.wait_until(|image| image.index > seen).await
    }

    /// Metadata that holds at least everything up to `index`; `None` when it does not come in time.
    pub async fn at_least(&self, index: MetadataIndex) -> Option<Arc<Image>> {
        tokio::time::timeout(METADATA_WAIT, self.0.image.wait_until(|image| image.index >= index)).await.ok()
    }

    /// The active controller, as far as this node knows.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.0.standing.get().leader
    }

    /// Whether this node is the active controller.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.leader() == Some(self.node())
    }

    /// Waits until openraft has given up, although nobody stopped it, and says why. The node hears no metadata any more:
    /// it must start again, as after a crash.
    pub async fn failed(&self) -> String {
        let failed = self.0.failed.wait_until(Option::is_some).await;
        failed.as_ref().clone().unwrap_or_default()
    }

    fn registration(&self) -> MutexGuard<'_, Option<registration::Registered>> {
        self.0.registration.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller").field("node", &self.node()).field("leader", &self.leader()).finish()
    }
}

/// openraft's own times follow from one: after half of it without a word the controller's lease is over, and then each
/// node waits for another quarter to half before it stands for election, so that rarely two do.
fn raft_config(config: &ControllerConfig) -> Config {
    let kept = config.entries_per_snapshot / KEPT_PART;
    let election_ms = u64::try_from(config.timing.election_timeout.as_millis()).unwrap_or(u64::MAX);
    Config {
        cluster_name: "weir".to_owned(),
        heartbeat_interval: (election_ms / 10).max(1),
        election_timeout_min: (election_ms / 4).max(2),
        election_timeout_max: (election_ms / 2).max(4),
        install_snapshot_timeout: u64::try_from(SNAPSHOT_TIMEOUT.as_millis()).unwrap_or(u64::MAX),
        max_payload_entries: ENTRIES_SENT_MAX,
        replication_lag_threshold: config.entries_per_snapshot + kept,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.entries_per_snapshot),
        max_in_snapshot_log_to_keep: kept,
        ..Config::default()
    }
}
