//! What is measured: a node that runs already, or one or more of the bench's own.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;
use weir_client::{Client, ClientConfig, ElectLeaders, ElectionKind, NewTopic, NodeId, NodeStanding};

use super::Load;
use crate::cli::child::{NodeFiles, NodeProcess};
use crate::cli::global::Global;
use crate::cli::output::{Failure, Output};
use crate::cli::plugins::bind::stage_and_activate;

/// How long nodes may take to become a cluster.
const FORM_PATIENCE: Duration = Duration::from_secs(30);
/// The pause before it is looked again whether they did.
const FORM_PAUSE: Duration = Duration::from_millis(50);
/// How many of them vote: of more, the others are learners.
const VOTERS_MAX: usize = 3;
/// Room for a batch's header and record overheads above the size that was asked for.
const BATCH_MARGIN_BYTES: u32 = 64 * 1024;

/// Where to measure.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// Nodes that run already, HOST:PORT, separated by commas [default: one of its own, on a temporary folder]
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    node: Vec<String>,
    /// The processes of those nodes, if they are on this machine: their CPU time is then told
    #[arg(long, value_name = "PID", requires = "node", value_delimiter = ',')]
    node_pid: Vec<u32>,
    /// How many nodes of its own there are, one cluster; their CPU times are told together
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "node")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=5))]
    nodes: u32,
    /// Where the folder of its own nodes is made [default: the system's place for temporary files]
    #[arg(long, value_name = "DIR", conflicts_with = "node")]
    folder: Option<PathBuf>,
}

impl Where {
    /// Whether a node may be killed: it is the bench's own, and others go on without it.
    pub(super) fn is_cluster_of_its_own(&self) -> bool {
        self.nodes > 1
    }
}

/// The nodes, and how to reach them.
pub(super) struct Target {
    own: Option<Own>,
    /// Of each node that is known.
    pub(super) addresses: Vec<String>,
    pub(super) certs: PathBuf,
    /// The processes of those that are known.
    pub(super) pids: Vec<u32>,
}

/// Nodes of the bench's own.
struct Own {
    nodes: Vec<NodeProcess>,
    /// Gone with the value, after the nodes.
    _folder: TempDir,
}

/// The topic of a run, its own or one that was there.
pub(super) struct OwnTopic {
    pub(super) name: String,
    pub(super) partitions: u32,
    pub(super) replication_factor: u32,
}

impl Target {
    pub(super) async fn start(place: &Where, global: &Global, output: Output) -> Result<Target, Failure> {
        if !place.node.is_empty() {
            if place.node_pid.is_empty() {
                output.note("weir: without --node-pid the node's CPU time is counted among the others'");
            }
            let (addresses, certs) = (place.node.clone(), global.client_certs());
            return Ok(Target { own: None, addresses, certs, pids: place.node_pid.clone() });
        }
        let folder = place.folder.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("weir-bench-").tempdir_in(folder)?;
        let program = std::env::current_exe()?;
        let first = NodeFiles { program, folder: folder.path().to_owned(), node: NodeId(1), join: None };
        let nodes = match first.start_cluster(place.nodes).await {
            Ok(nodes) => nodes,
            Err(failure) => {
                output.note(&first.log_tail());
                return Err(failure);
            }
        };
        let addresses = nodes.iter().map(|node| node.address().to_string()).collect();
        let pids = nodes.iter().filter_map(NodeProcess::pid).collect();
        let own = Some(Own { nodes, _folder: folder });
        let target = Target { own, addresses, certs: first.certs(), pids };
        target.formed().await?;
        Ok(target)
    }

    /// Waits until nodes of the bench's own are there, and vote: what comes before that is nobody's figure.
    async fn formed(&self) -> Result<(), Failure> {
        let client = self.connect().await?;
        let deadline = Instant::now() + FORM_PATIENCE;
        loop {
            let cluster = client.describe_cluster().await?;
            let there = cluster.nodes.iter().filter(|node| node.standing == NodeStanding::Live).count();
            let voters = cluster.quorum.members.iter().filter(|member| member.is_voter).count();
            if there == self.addresses.len() && voters == there.min(VOTERS_MAX) {
                client.close().await;
                return Ok(());
            }
            if Instant::now() > deadline {
                let seconds = FORM_PATIENCE.as_secs();
                return Err(Failure::new(format!("{there} nodes, {voters} voters after {seconds} s")));
            }
            tokio::time::sleep(FORM_PAUSE).await;
        }
    }

    /// Kills that one of the bench's own nodes as `kill -9` does which leads most, but for the active controller, calls
    /// `meanwhile`, starts the node again, and waits until it leads again what it led.
    pub(super) async fn without_a_node<T>(
        &mut self,
        admin: &Client,
        meanwhile: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let cluster = admin.describe_cluster().await?;
        // Another controller is another thing to wait for. One that was killed before may lead nothing yet.
        let others = cluster.nodes.iter().filter(|node| Some(node.node) != cluster.quorum.controller);
        let chosen = others.max_by_key(|node| node.leads).map(|node| node.node);
        let nodes = &mut self.own.as_mut().expect("a cluster of its own was asked for").nodes;
        let at =
            nodes.iter().position(|node| Some(node.node()) == chosen).expect("all nodes are the bench's");
        let killed = nodes.swap_remove(at).kill().await?;
        let outcome = meanwhile.await;
        nodes.push(killed.start_again().await?);
        self.formed().await?;
        self.balanced(admin).await?;
        outcome
    }

    /// Waits until each partition is led by its preferred replica.
    async fn balanced(&self, admin: &Client) -> Result<(), Failure> {
        let deadline = Instant::now() + FORM_PATIENCE;
        let all = ElectLeaders { topic: None, partition: None, kind: ElectionKind::Preferred };
        loop {
            // Where nothing is said there is nothing left to elect.
            let elections = admin.elect_leaders(&all).await?.elections;
            if elections.is_empty() {
                return Ok(());
            }
            if Instant::now() > deadline {
                let (count, seconds) = (elections.len(), FORM_PATIENCE.as_secs());
                return Err(Failure::new(format!(
                    "{count} partitions without preferred leader after {seconds} s"
                )));
            }
            tokio::time::sleep(FORM_PAUSE).await;
        }
    }

    /// Whether the nodes are the bench's own, to do with as it likes.
    pub(super) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// A connection of its own: clients share nothing with each other.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        Ok(Client::connect(ClientConfig::new(self.addresses.clone(), self.certs.clone())).await?)
    }

    /// A topic that a run finds and leaves.
    pub(super) async fn topic_there(&self, name: &str) -> Result<OwnTopic, Failure> {
        let client = self.connect().await?;
        let described = client.describe_topic(name).await?;
        client.close().await;
        let replicas = described.partitions.first().map_or(0, |partition| partition.replicas.len());
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (partitions, replication_factor) = (count(described.partitions.len()), count(replicas));
        Ok(OwnTopic { name: name.to_owned(), partitions, replication_factor })
    }

    /// A topic for one run.
    pub(super) async fn create_topic(&self, load: &Load) -> Result<OwnTopic, Failure> {
        let name = format!("weir-bench-{:08x}", fastrand::u32(..));
        let mut topic = NewTopic::new(&name).partitions(load.partitions());
        if let Some(replicas) = load.replication_factor {
            topic = topic.replication_factor(replicas);
        }
        let has_limit = load.config.iter().any(|(key, _)| key == "max.message.bytes");
        if !has_limit {
            let limit = load.batch_bytes().saturating_add(BATCH_MARGIN_BYTES).max(1 << 20);
            topic = topic.config("max.message.bytes", limit.to_string());
        }
        for (key, value) in &load.config {
            topic = topic.config(key, value);
        }
        let pipeline = load.pipeline()?;
        let client = self.connect().await?;
        let replication_factor = client.create_topic(topic).await?.replication_factor;
        if let Some(pipeline) = pipeline {
            stage_and_activate(&client, &name, &pipeline).await?;
        }
        client.close().await;
        Ok(OwnTopic { name, partitions: load.partitions(), replication_factor })
    }

    /// Removes what the run left.
    pub(super) async fn stop(self, topic: Option<&str>) -> Result<(), Failure> {
        match (self.own.is_some(), topic) {
            (false, Some(topic)) => {
                let client = self.connect().await?;
                client.delete_topic(topic).await?;
                client.close().await;
                Ok(())
            }
            _ => match self.own {
                Some(own) => {
                    for node in own.nodes {
                        node.stop().await?;
                    }
                    Ok(())
                }
                None => Ok(()),
            },
        }
    }
}
