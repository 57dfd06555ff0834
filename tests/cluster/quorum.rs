//! Three real nodes: they form one cluster, go on without one of them, and refuse what does not belong to them.

use std::path::Path;

use super::three_nodes::Cluster;
use super::{text, weir};

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

/// From one voter to three the quorum passes through a moment in which both the one and two of the three must agree.
#[test]
fn a_node_that_dies_while_the_first_voters_are_made_holds_nobody_up_for_good() {
    // A new voter: the old one and the other new one are enough, in that moment and after it.
    let mut cluster = Cluster::new();
    cluster.nodes[1].kill();
    cluster.create(0, "without-2");
    cluster.create(2, "without-2-by-3");
    cluster.nodes[1].start();
    assert_eq!(cluster.voters(&[0, 1, 2]), 3);
    // The old one: without it nothing is decided until the change is, and it takes the change up again when it is back.
    let mut cluster = Cluster::new();
    cluster.nodes[0].kill();
    cluster.nodes[0].start();
    cluster.create(1, "with-1-again");
    assert_eq!(cluster.voters(&[0, 1, 2]), 3);
    for node in &mut cluster.nodes {
        node.stop().ok();
    }
}

/// Between its last word and the next controller's first one there is an election; what it led must not wait for that.
#[test]
fn an_active_controller_that_stops_has_told_the_others_who_leads_instead() {
    let mut cluster = Cluster::new();
    let client = cluster.client_of_all();
    client.run(&["topics", "create", "spread", "--partitions", "9", "--replication-factor", "3"]).ok();
    let status = client.run(&["cluster", "status", "--output", "json"]).json();
    let controller = status["quorum"]["controller"].as_u64().expect("there is one");
    let at = usize::try_from(controller).unwrap() - 1;
    cluster.nodes[at].stop().ok();
    // What each of them knows by itself, now.
    for other in (0..3).filter(|other| *other != at) {
        let told =
            cluster.client(other).run(&["topics", "describe", "spread", "--output", "json"]).ok().json();
        for partition in told["partitions"].as_array().unwrap() {
            assert_ne!(partition["leader"], controller, "{told}");
            assert!(!partition["isr"].as_array().unwrap().contains(&controller.into()), "{told}");
        }
    }
}
