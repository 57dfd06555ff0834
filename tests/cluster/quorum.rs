//! Three real nodes: they form one cluster, go on without one of them, and refuse what does not belong to them.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use weir_tests::process::{Node, Weir, free_address};

use super::{text, weir};

/// Three nodes on one machine that share a folder of certificates.
pub(super) struct Cluster {
    // Before the folder, so that the processes are gone when their files go.
    pub(super) nodes: Vec<Node>,
    certs: PathBuf,
    folder: TempDir,
}

impl Cluster {
    /// Starts all of them at once on an empty folder: one forms the cluster, the others join it as soon as they can.
    pub(super) fn new() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let certs = folder.path().join("certs");
        let addresses = [free_address(), free_address(), free_address()];
        let start = |index: usize| {
            let (id, certs) = ((index + 1).to_string(), text(&certs));
            let first = addresses[0].to_string();
            let mut flags = vec!["--node-id", &id, "--certs", &certs];
            if index > 0 {
                flags.extend(["--join", &first]);
            }
            weir().node_with(&folder.path().join(format!("data-{id}")), addresses[index], &flags)
        };
        let nodes = std::thread::scope(|scope| {
            let starting: Vec<_> = (0..3).map(|index| scope.spawn(move || start(index))).collect();
            starting.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let cluster = Cluster { nodes, certs, folder };
        cluster.wait_for_quorum();
        cluster
    }

    fn wait_for_quorum(&self) {
        self.nodes[0].process().wait_for_stderr("the metadata quorum changes");
    }

    /// The program as a client of one node.
    pub(super) fn client(&self, index: usize) -> Weir {
        weir().client_of(self.nodes[index].address(), &self.certs)
    }

    fn create(&self, index: usize, topic: &str) {
        self.client(index).run(&["topics", "create", topic, "--replication-factor", "1"]).ok();
    }

    fn topics(&self, index: usize) -> String {
        self.client(index).run(&["topics", "list"]).ok().text()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

#[test]
fn three_nodes_form_a_cluster_go_on_without_any_one_of_them_and_stop_in_order() {
    let mut cluster = Cluster::new();
    for (index, topic) in ["from-1", "from-2", "from-3"].into_iter().enumerate() {
        cluster.create(index, topic);
    }
    for victim in 0..3 {
        let other = (victim + 1) % 3;
        cluster.nodes[victim].kill();
        // By whichever node leads now, asked through one that need not be it.
        cluster.create(other, &format!("without-{}", victim + 1));
        cluster.nodes[victim].start();
        let seen = cluster.topics(victim);
        assert!(seen.contains(&format!("without-{}", victim + 1)), "{seen}");
    }
    for node in &mut cluster.nodes {
        node.kill();
    }
    std::thread::scope(|scope| cluster.nodes.iter_mut().for_each(|node| _ = scope.spawn(|| node.start())));
    let seen = cluster.topics(0);
    for topic in ["from-1", "from-2", "from-3", "without-1", "without-2", "without-3"] {
        assert!(seen.contains(topic), "{topic} is not in {seen}");
    }
    for node in &mut cluster.nodes {
        node.stop().ok();
    }
}

#[test]
fn nodes_that_do_not_belong_say_so_when_they_start() {
    let mut cluster = Cluster::new();
    let (certs, first) = (text(&cluster.certs), cluster.nodes[0].address().to_string());
    let any = "127.0.0.1:0";
    let node = |data: &Path, flags: &[&str]| {
        let data = text(data);
        weir().run(&[&["node", "--data", &data, "--listen", any], flags].concat())
    };
    // A number that is taken.
    let flags = ["--certs", &certs, "--join", &first, "--node-id", "2"];
    node(&cluster.path("new"), &flags).refused(&["node id 2 is taken", "--node-id"]);
    // Another authority.
    let flags = ["--join", &first, "--node-id", "4"];
    node(&cluster.path("foreign"), &flags).refused(&["cannot join", "--certs"]);
    // Nobody there: a name that cannot be an address.
    let flags = ["--certs", &certs, "--join", "nowhere", "--node-id", "4"];
    node(&cluster.path("lost"), &flags).refused(&["'nowhere' is not an address", "HOST:PORT"]);
    // Another node's folder.
    cluster.nodes[1].stop().ok();
    let flags = ["--certs", &certs, "--join", &first, "--node-id", "3"];
    let data = cluster.nodes[1].data().to_owned();
    node(&data, &flags).refused(&["belongs to node 2, not 3", "--node-id", "--data"]);
    // The folder knows its cluster, so `--join` does not matter to it.
    cluster.nodes[1].start();
    cluster.create(1, "still-there");
}
