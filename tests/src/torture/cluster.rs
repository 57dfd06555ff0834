//! The nodes of a round: real processes on hosts of their own.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_client::{Client, ClientConfig};

use super::host::{Device, Host, enter_namespaces, mount_small_disk};
use super::switch::{Link, Switch, address_of};
use crate::process::{Running, Signal, Weir, free_address};

/// The port of every node that has an address of its own.
const PORT: u16 = 9440;
/// How large a disk is that will be full: room for a round, and what a node keeps free.
const SMALL_DISK_BYTES: u64 = 192 << 20;
/// How long a node may take to stop when it is asked to.
const STOP_PATIENCE: Duration = Duration::from_secs(40);
/// What every node goes by: followers that are away leave the ISR soon.
const CONFIGURATION: &str = "replica.lag.time.max.ms = 2000\ngroup.consumer.session.timeout.ms = 6000\n\
                             group.consumer.heartbeat.interval.ms = 1000\n";

/// All nodes of a round, and the network between them.
pub(super) struct Cluster {
    nodes: Vec<Node>,
    /// `None` where the nodes are on loopback.
    switch: Option<Switch>,
    weir: Weir,
    folder: PathBuf,
}

/// One node.
struct Node {
    // Before the host, so that its process is gone when the host goes.
    process: RefCell<Option<Running>>,
    /// Whether it is to run: else somebody keeps it down.
    is_wanted: Cell<bool>,
    lives: Cell<u32>,
    host: Host,
    address: SocketAddr,
    /// Where the disk is that will be full, if this is that node's.
    disk: Option<PathBuf>,
    data: PathBuf,
    /// What its earlier processes said.
    said: RefCell<Vec<String>>,
}

/// What all hosts of a round are connected to.
pub(super) enum Network {
    /// Each host has a network of its own; this leads into the one of the clients.
    Own(Device),
    /// All are on loopback.
    Loopback,
}

impl Cluster {
    /// Makes the hosts; nothing runs yet.
    pub(super) fn new(
        nodes: usize,
        weir: Weir,
        folder: &Path,
        network: Network,
        small_disk: Option<usize>,
        seed: u64,
    ) -> Result<Cluster, String> {
        let is_own = matches!(network, Network::Own(_));
        let mut made = Vec::new();
        let mut devices = Vec::new();
        for index in 0..nodes {
            let host = Host::start(&format!("node-{}", index + 1));
            let address = if is_own {
                let address = address_of(index);
                devices.push(host.run(move || enter_namespaces(address))?);
                SocketAddr::from((address, PORT))
            } else {
                free_address()
            };
            let mut data = folder.join(format!("data-{}", index + 1));
            let disk = (small_disk == Some(index)).then(|| folder.join(format!("disk-{}", index + 1)));
            if let Some(disk) = &disk {
                std::fs::create_dir_all(disk).map_err(|error| error.to_string())?;
                let path = text(disk);
                host.run(move || mount_small_disk(&path, SMALL_DISK_BYTES))?;
                data = disk.join("data");
            }
            made.push(Node {
                process: RefCell::default(),
                is_wanted: Cell::new(false),
                lives: Cell::new(0),
                host,
                address,
                disk,
                data,
                said: RefCell::default(),
            });
        }
        let switch = match network {
            Network::Own(clients) => {
                devices.push(clients);
                Some(Switch::start(devices, seed))
            }
            Network::Loopback => None,
        };
        std::fs::write(folder.join("weir.toml"), CONFIGURATION).map_err(|error| error.to_string())?;
        // However this process ends, its nodes end too; where there is no such command they are killed when it ends well.
        let weir = if is_own { weir.through(&["setpriv", "--pdeathsig", "KILL"]) } else { weir };
        Ok(Cluster { nodes: made, switch, weir, folder: folder.to_owned() })
    }

    pub(super) fn count(&self) -> usize {
        self.nodes.len()
    }

    /// Starts a node. That it serves is seen later.
    pub(super) async fn start(&self, index: usize) {
        let node = &self.nodes[index];
        node.is_wanted.set(true);
        if node.process.borrow().is_some() {
            return;
        }
        let mut arguments = vec!["node".to_owned()];
        let mut flag = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
        flag("data", text(&node.data));
        flag("listen", node.address.to_string());
        flag("node-id", (index + 1).to_string());
        flag("certs", text(&self.certs()));
        flag("config", text(&self.folder.join("weir.toml")));
        // The first one forms the cluster, once; a folder that knows its cluster ignores whom to join.
        let others = self.nodes.iter().enumerate().filter(|(other, _)| *other != index);
        for (_, other) in others.filter(|_| index > 0 || node.lives.get() > 0) {
            flag("join", other.address.to_string());
        }
        node.lives.set(node.lives.get() + 1);
        let weir = self.weir.clone();
        let process = node.host.call(move || weir.spawn(&arguments)).await;
        *node.process.borrow_mut() = Some(process);
    }

    /// `kill -9`. It stays down until it is started.
    pub(super) async fn kill(&self, index: usize) {
        self.end(index, Signal::Kill).await;
    }

    /// SIGTERM. It stays down until it is started.
    pub(super) async fn stop(&self, index: usize) {
        self.end(index, Signal::Term).await;
    }

    async fn end(&self, index: usize, signal: Signal) {
        let node = &self.nodes[index];
        node.is_wanted.set(false);
        let process = node.process.borrow_mut().take();
        if let Some(process) = process {
            process.signal(signal);
            let finished = node.host.call(move || process.finish_within(STOP_PATIENCE)).await;
            node.said.borrow_mut().push(format!("({})\n{}", finished.status, finished.stderr));
        }
    }

    /// Sends a signal that ends nothing.
    pub(super) fn signal(&self, index: usize, signal: Signal) {
        if let Some(process) = self.nodes[index].process.borrow().as_ref() {
            process.signal(signal);
        }
    }

    /// The nodes that should run and ended by themselves. They count as down, and are the caller's to start again.
    pub(super) async fn ended(&self) -> Vec<usize> {
        let mut ended = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let is_over = node.process.borrow().as_ref().is_some_and(|process| !process.is_running());
            if is_over && node.is_wanted.get() {
                self.end(index, Signal::Kill).await;
                ended.push(index);
            }
        }
        ended
    }

    /// The last line that the last process of a node said.
    pub(super) fn last_words(&self, index: usize) -> String {
        let said = self.nodes[index].said.borrow();
        said.last().and_then(|said| said.lines().last()).unwrap_or_default().to_owned()
    }

    /// Does something with a node's data folder, as its host sees it.
    pub(super) async fn with_data<T: Send + 'static>(
        &self,
        index: usize,
        work: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> T {
        let data = self.nodes[index].data.clone();
        self.nodes[index].host.call(move || work(&data)).await
    }

    /// Does something with the small disk of a node, if it has one.
    pub(super) async fn with_disk<T: Send + 'static>(
        &self,
        index: usize,
        work: impl FnOnce(&Path) -> T + Send + 'static,
    ) -> Option<T> {
        let disk = self.nodes[index].disk.clone()?;
        Some(self.nodes[index].host.call(move || work(&disk)).await)
    }

    /// Changes links between hosts; the clients are the last one.
    pub(super) fn change_links(&self, change: impl Fn(usize, usize, &mut Link)) {
        if let Some(switch) = &self.switch {
            switch.change(change);
        }
    }

    /// A client of its own, as the clients' host has it.
    pub(super) async fn connect(&self) -> Result<Client, String> {
        let addresses = self.nodes.iter().map(|node| node.address.to_string());
        let mut config = ClientConfig::new(addresses, self.certs());
        config.connect_timeout = Duration::from_secs(2);
        config.request_timeout = Duration::from_secs(5);
        Client::connect(config).await.map_err(|error| error.to_string())
    }

    fn certs(&self) -> PathBuf {
        self.folder.join("certs")
    }

    /// What every process of every node said on stderr.
    pub(super) fn logs(&self) -> Vec<String> {
        let log = |node: &Node| {
            let mut said = node.said.borrow().clone();
            said.extend(node.process.borrow().as_ref().map(|process| process.stderr().text()));
            said.join("\n----\n")
        };
        self.nodes.iter().map(log).collect()
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
