//! Three real nodes that are one cluster, for the tests of clusters.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;
use weir_tests::process::{DEADLINE, Node, Weir, free_address};

use super::{text, weir};

/// Three nodes on one machine that share a folder of certificates.
pub(crate) struct Cluster {
    // Before the folder, so that the processes are gone when their files go.
    pub(crate) nodes: Vec<Node>,
    pub(crate) certs: PathBuf,
    folder: TempDir,
}

impl Cluster {
    /// Starts all of them at once on an empty folder: one forms the cluster, the others join it as soon as they can.
    pub(crate) fn new() -> Cluster {
        Cluster::configured("")
    }

    /// As [`Cluster::new`], each node with this in its configuration file.
    pub(crate) fn configured(configuration: &str) -> Cluster {
        Cluster::of(3, configuration)
    }

    /// As [`Cluster::configured`], with another number of nodes.
    pub(crate) fn of(count: usize, configuration: &str) -> Cluster {
        let mut cluster = Cluster::empty(configuration);
        let addresses: Vec<SocketAddr> = (0..count).map(|_| free_address()).collect();
        let starting = &cluster;
        let start = |index: usize| starting.start(index, addresses[index], addresses[0]);
        let nodes = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..count).map(|index| scope.spawn(move || start(index))).collect();
            starting.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        cluster.nodes = nodes;
        cluster.wait_for_quorum();
        cluster
    }

    /// Three nodes that were one until that had done something.
    pub(crate) fn grown_from_one(begin: impl FnOnce(&Weir)) -> Cluster {
        let mut cluster = Cluster::empty("");
        let first = free_address();
        cluster.nodes.push(cluster.start(0, first, first));
        begin(&cluster.client(0));
        for index in 1..3 {
            cluster.nodes.push(cluster.start(index, free_address(), first));
        }
        cluster.wait_for_quorum();
        cluster
    }

    fn empty(configuration: &str) -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("weir.toml"), configuration).unwrap();
        let certs = folder.path().join("certs");
        Cluster { nodes: Vec::new(), certs, folder }
    }

    fn start(&self, index: usize, address: SocketAddr, first: SocketAddr) -> Node {
        let (id, certs, config) = ((index + 1).to_string(), text(&self.certs), text(&self.path("weir.toml")));
        let first = first.to_string();
        let mut flags = vec!["--node-id", &id, "--certs", &certs, "--config", &config];
        if index > 0 {
            flags.extend(["--join", &first]);
        }
        weir().node_with(&self.path(&format!("data-{id}")), address, &flags)
    }

    pub(crate) fn wait_for_quorum(&self) {
        self.nodes[0].process().wait_for_stderr("the metadata quorum changes");
    }

    /// The program as a client of one node.
    pub(crate) fn client(&self, index: usize) -> Weir {
        weir().client_of(self.nodes[index].address(), &self.certs)
    }

    pub(crate) fn create(&self, index: usize, topic: &str) {
        self.client(index).run(&["topics", "create", topic, "--replication-factor", "1"]).ok();
    }

    pub(crate) fn topics(&self, index: usize) -> String {
        self.client(index).run(&["topics", "list"]).ok().text()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program as a client that knows all nodes.
    pub(crate) fn client_of_all(&self) -> Weir {
        let all: Vec<String> = self.nodes.iter().map(|node| node.address().to_string()).collect();
        self.client(0).with("WEIR_BOOTSTRAP", &all.join(","))
    }

    /// How many vote, as soon as all of these nodes say the same and it is three.
    pub(crate) fn voters(&self, nodes: &[usize]) -> usize {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let counts: Vec<usize> = nodes.iter().map(|node| self.voters_at(*node)).collect();
            if counts.iter().all(|count| *count == 3) || Instant::now() > deadline {
                return counts.into_iter().min().unwrap();
            }
        }
    }

    fn voters_at(&self, node: usize) -> usize {
        let quorum = self.client(node).run(&["cluster", "quorum", "--output", "json"]).json();
        let members = quorum["members"].as_array().unwrap();
        members.iter().filter(|member| member["voter"] == true).count()
    }
}

/// The place in `nodes` of the one that leads a partition.
pub(crate) fn leader(partition: &Value) -> usize {
    usize::try_from(partition["leader"].as_u64().expect("it is led")).unwrap() - 1
}

/// What a client is told of a topic's partition.
pub(crate) fn partition(client: &Weir, topic: &str, index: usize) -> Value {
    client.run(&["topics", "describe", topic, "--output", "json"]).ok().json()["partitions"][index].clone()
}

/// Asks until the partition is as wanted. Each question is a process that ends when it was answered.
pub(crate) fn wait_for_partition(
    client: &Weir,
    topic: &str,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Value {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let state = partition(client, topic, 0);
        if wanted(&state) {
            return state;
        }
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}: {state}");
    }
}

/// Creates a topic with a replica on each of the three, as soon as all of them are taken to be alive.
pub(crate) fn create_on_all(client: &Weir, topic: &str) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let created = client.run(&["topics", "create", topic, "--replication-factor", "3"]);
        if created.status.success() || created.stderr.contains("exists already") {
            return;
        }
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {created}");
    }
}
