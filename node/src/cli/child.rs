//! `weir node` processes of a command's own: the demo's and the bench's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use weir_wire::ids::NodeId;

use super::files;
use super::output::Failure;

/// A free port of this machine.
const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// How long a node may take until it serves; recovery of a demo's log is a matter of seconds.
const READY_AFTER_MAX: Duration = Duration::from_secs(60);
/// How long a node may take to stop politely.
const STOP_AFTER_MAX: Duration = Duration::from_secs(20);
/// How much of a node's log is shown when it fails.
const LOG_LINES_SHOWN: usize = 15;
/// Largest log that is looked at for that.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// How to start a node, again and again on the same data.
#[derive(Clone, Debug)]
pub(super) struct NodeFiles {
    pub(super) program: PathBuf,
    /// The command's folder; all nodes share its certificates.
    pub(super) folder: PathBuf,
    pub(super) node: NodeId,
    /// A node of the cluster to join; `None` for the one that forms it.
    pub(super) join: Option<SocketAddr>,
}

/// A running node. It ends with this value, and also when this process is killed, since its standard input then ends.
pub(super) struct NodeProcess {
    files: NodeFiles,
    child: Child,
    address: SocketAddr,
    /// Dropped to stop the node politely.
    stdin: Option<ChildStdin>,
    /// Held, so that the node's standard output stays open.
    _stdout: Lines<BufReader<ChildStdout>>,
}

/// A node that was killed, and what it left.
pub(super) struct Killed {
    files: NodeFiles,
    address: SocketAddr,
}

impl Killed {
    /// Starts another on the same data and address.
    pub(super) async fn start_again(&self) -> Result<NodeProcess, Failure> {
        self.files.start(self.address).await
    }
}

impl NodeFiles {
    fn data(&self) -> PathBuf {
        self.folder.join(format!("node-{}", self.node))
    }

    pub(super) fn certs(&self) -> PathBuf {
        self.folder.join("certs")
    }

    fn log(&self) -> PathBuf {
        self.folder.join(format!("node-{}.log", self.node))
    }

    /// The end of the node's log, for when something went wrong.
    pub(super) fn log_tail(&self) -> String {
        let log = files::read_text(&self.log(), LOG_BYTES_MAX).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n");
        format!("the end of node {}'s log:\n{last}", self.node)
    }

    /// Starts a node and waits until it serves.
    pub(super) async fn start(&self, listen: SocketAddr) -> Result<NodeProcess, Failure> {
        let log = files::append_to(&self.log())?;
        let mut child = self
            .command(listen)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| Failure::new(format!("cannot start {}: {error}", self.program.display())))?;
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("standard output was piped");
        let mut lines = BufReader::new(stdout).lines();
        let address = match tokio::time::timeout(READY_AFTER_MAX, ready(&mut lines)).await {
            Ok(Some(address)) => address,
            Ok(None) => {
                let node = self.node;
                return Err(Failure::new(format!("node {node} ended before it served; its log says why")));
            }
            Err(_) => {
                let (node, seconds) = (self.node, READY_AFTER_MAX.as_secs());
                return Err(Failure::new(format!(
                    "node {node} does not serve after {seconds} s; see its log"
                )));
            }
        };
        Ok(NodeProcess { files: self.clone(), child, address, stdin, _stdout: lines })
    }

    /// Starts this node, which forms a cluster, and then others, which join it: `nodes` in all, numbered from this one.
    pub(super) async fn start_cluster(&self, nodes: u32) -> Result<Vec<NodeProcess>, Failure> {
        let mut started = vec![self.start(ANY_PORT).await?];
        let join = Some(started[0].address());
        for number in 1..nodes {
            let node = NodeId(self.node.0 + number);
            started.push(NodeFiles { node, join, ..self.clone() }.start(ANY_PORT).await?);
        }
        Ok(started)
    }

    fn command(&self, listen: SocketAddr) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("node").arg("--data").arg(self.data()).arg("--certs").arg(self.certs());
        command.args(["--node-id", &self.node.to_string(), "--listen", &listen.to_string()]);
        if let Some(address) = self.join {
            command.args(["--join", &address.to_string()]);
        }
        command.arg("--stop-with-stdin");
        // Ctrl-C is for the command, which then ends the nodes.
        command.process_group(0).kill_on_drop(true);
        command
    }
}

impl NodeProcess {
    pub(super) fn node(&self) -> NodeId {
        self.files.node
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process's number; `None` once it ended.
    pub(super) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it as `kill -9` does.
    pub(super) async fn kill(mut self) -> Result<Killed, Failure> {
        self.child.kill().await?;
        Ok(Killed { files: self.files.clone(), address: self.address })
    }

    /// Kills it, and starts another on the same data and address, after a pause.
    pub(super) async fn kill_and_restart(self, pause: Duration) -> Result<NodeProcess, Failure> {
        let killed = self.kill().await?;
        tokio::time::sleep(pause).await;
        killed.start_again().await
    }

    /// Stops it politely.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        drop(self.stdin.take());
        match tokio::time::timeout(STOP_AFTER_MAX, self.child.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
            Ok(status) => Err(Failure::new(format!("the node did not stop cleanly: {}", status?))),
            Err(_) => {
                self.child.kill().await?;
                Err(Failure::new(format!("the node did not stop within {} s", STOP_AFTER_MAX.as_secs())))
            }
        }
    }
}

/// The address behind `ready`; `None` if the output ends without it.
async fn ready(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<SocketAddr> {
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(address) = line.strip_prefix("ready ") {
            return address.parse().ok();
        }
    }
    None
}
