//! The node that is measured: one that runs already, or one of the bench's own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use tempfile::TempDir;
use weir_client::{Client, ClientConfig, NewTopic, NodeId};

use super::Load;
use crate::cli::child::{NodeFiles, NodeProcess};
use crate::cli::global::Global;
use crate::cli::output::{Failure, Output};
use crate::cli::plugins::bind::stage_and_activate;

/// Room for a batch's header and record overheads above the size that was asked for.
const BATCH_MARGIN_BYTES: u32 = 64 * 1024;

/// Where to measure.
#[derive(Debug, clap::Args)]
pub(super) struct Where {
    /// A node that runs already, HOST:PORT [default: one of its own, on a temporary folder]
    #[arg(long, value_name = "ADDR")]
    node: Option<String>,
    /// The process of that node, if it is on this machine: its CPU time is then told
    #[arg(long, value_name = "PID", requires = "node")]
    node_pid: Option<u32>,
    /// Where the folder of its own node is made [default: the system's place for temporary files]
    #[arg(long, value_name = "DIR", conflicts_with = "node")]
    folder: Option<PathBuf>,
}

/// The node, and how to reach it.
pub(super) struct Target {
    /// Gone with the value, after the node.
    own: Option<(NodeProcess, TempDir)>,
    pub(super) address: String,
    pub(super) certs: PathBuf,
    pub(super) pid: Option<u32>,
}

impl Target {
    pub(super) async fn start(place: &Where, global: &Global, output: Output) -> Result<Target, Failure> {
        if let Some(address) = &place.node {
            if place.node_pid.is_none() {
                output.note("weir: without --node-pid the node's CPU time is counted among the others'");
            }
            let (address, certs) = (address.clone(), global.client_certs());
            return Ok(Target { own: None, address, certs, pid: place.node_pid });
        }
        let folder = place.folder.clone().unwrap_or_else(std::env::temp_dir);
        let folder = tempfile::Builder::new().prefix("weir-bench-").tempdir_in(folder)?;
        let program = std::env::current_exe()?;
        let files = NodeFiles { program, folder: folder.path().to_owned(), node: NodeId(1), join: None };
        let any_port = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let node = match files.start(any_port).await {
            Ok(node) => node,
            Err(failure) => {
                output.note(&files.log_tail());
                return Err(failure);
            }
        };
        let (address, pid) = (node.address().to_string(), node.pid());
        Ok(Target { address, certs: files.certs(), pid, own: Some((node, folder)) })
    }

    /// A connection of its own: clients share nothing with each other.
    pub(super) async fn connect(&self) -> Result<Client, Failure> {
        Ok(Client::connect(ClientConfig::new([self.address.clone()], self.certs.clone())).await?)
    }

    /// A topic for one run.
    pub(super) async fn create_topic(&self, load: &Load) -> Result<String, Failure> {
        let name = format!("weir-bench-{:08x}", fastrand::u32(..));
        let mut topic = NewTopic::new(&name).partitions(load.partitions);
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
        client.create_topic(topic).await?;
        if let Some(pipeline) = pipeline {
            stage_and_activate(&client, &name, &pipeline).await?;
        }
        client.close().await;
        Ok(name)
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
                Some((node, _folder)) => node.stop().await,
                None => Ok(()),
            },
        }
    }
}
