//! `weir node`: runs a node until it is told to stop.

mod config_file;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;
use weir_wire::ids::NodeId;

use self::config_file::ConfigFile;
use super::global::Global;
use super::output::{Done, Exit, Failure, Output};
use super::signals::{Interrupts, stdin_ended};
use crate::outside::Outside;
use crate::server::{DEFAULT_PORT, Node, NodeConfig};

/// Where a node keeps its data when nobody says otherwise.
const DATA_DEFAULT: &str = "./weir-data";
/// How many nodes may vote: more make every change slower, and four failures at once are rare.
const VOTERS: [u32; 4] = [1, 3, 5, 7];

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Everything that the node stores [default: ./weir-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// UDP address to serve, IP:PORT; port 0 takes a free one [default: 127.0.0.1:9440]
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// A TOML file with listeners, advertised.listeners, node.id, log.dirs, num.network.threads; flags win over it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The node's number in its cluster [default: 1]
    #[arg(long, value_name = "N")]
    node_id: Option<u32>,
    /// A node of the cluster to join, HOST:PORT; may be repeated. Without it an empty data folder forms a cluster
    #[arg(long, value_name = "ADDR")]
    join: Vec<String>,
    /// How many nodes vote on the metadata, an odd number, as soon as there are as many [default: 3]
    #[arg(long, value_name = "N", value_parser = voters)]
    voters: Option<u32>,
    /// Where the node stands; replicas of a partition are spread over racks
    #[arg(long, value_name = "NAME")]
    rack: Option<String>,
    /// Serve Prometheus metrics over HTTP under /metrics, IP:PORT; without a password, so keep it on loopback
    #[arg(long, value_name = "ADDR")]
    metrics_listen: Option<SocketAddr>,
    /// Stop when standard input ends: for a node that must not outlive what started it.
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

#[derive(Serialize)]
struct Ready {
    ready: SocketAddr,
}

pub(super) async fn run(args: Args, global: &Global, output: Output) -> Done {
    let mut interrupts = Interrupts::listen()?;
    let stop_with_stdin = args.stop_with_stdin;
    let config = configure(args, global)?;
    let starting = Node::start(config, Outside::real()?);
    let node = tokio::select! {
        node = starting => node?,
        () = interrupts.next() => return Ok(Exit::Interrupted),
    };
    announce(&node, output)?;
    tokio::select! {
        why = node.controller().failed() => {
            return Err(Failure::new(format!("the node takes no part in its cluster any more ({why}); start it again")));
        }
        () = interrupts.next() => tracing::info!("stopping; a second signal stops at once"),
        () = stdin_ended(), if stop_with_stdin => tracing::info!("standard input ended; stopping"),
    }
    tokio::select! {
        stopped = node.stop() => {
            stopped?;
            Ok(Exit::Success)
        }
        () = interrupts.next() => {
            output.note("weir: stopped at once; the next start recovers as after a crash");
            Ok(Exit::Interrupted)
        }
    }
}

/// Says that the node serves, and where. A reader that is gone already does not matter to a node.
fn announce(node: &Node, output: Output) -> Result<(), Failure> {
    let ready = node.address();
    let said = output.line(&format!("ready {ready}")).and_then(|()| output.result(&Ready { ready }));
    match said {
        Err(Failure::ReaderGone) | Ok(()) => Ok(()),
        Err(failure) => Err(failure),
    }
}

fn voters(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|voters| VOTERS.contains(voters));
    number
        .ok_or_else(|| "take 1, 3, 5 or 7: an even number survives no more failures than one less".to_owned())
}

fn configure(args: Args, global: &Global) -> Result<NodeConfig, Failure> {
    let file = match &args.config {
        Some(path) => ConfigFile::read(path)?,
        None => ConfigFile::default(),
    };
    let data = args.data.or(file.data).unwrap_or_else(|| PathBuf::from(DATA_DEFAULT));
    let listen = args.listen.or(file.listen).unwrap_or(SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)));
    let mut config = NodeConfig::new(data, listen);
    config.node_id = args.node_id.or(file.node_id).map_or(config.node_id, NodeId);
    config.certs = global.certs.clone().or(file.certs);
    config.network_threads = file.network_threads.unwrap_or(config.network_threads);
    config.metrics_listen = args.metrics_listen.or(file.metrics_listen);
    config.advertised = file.advertised;
    config.join = if args.join.is_empty() { file.join } else { args.join };
    config.voters = args.voters.or(file.voters).unwrap_or(config.voters);
    config.rack = args.rack.or(file.rack);
    let timing = &mut config.timing;
    timing.heartbeat_interval = file.heartbeat_interval.unwrap_or(timing.heartbeat_interval);
    timing.session_timeout = file.session_timeout.unwrap_or(timing.session_timeout);
    timing.election_timeout = file.election_timeout.unwrap_or(timing.election_timeout);
    timing.check().map_err(Failure::new)?;
    config.settings = file.settings;
    Ok(config)
}
