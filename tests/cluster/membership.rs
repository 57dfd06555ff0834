//! Nodes that leave for good, and voters that others replace.

use std::time::Instant;

use serde_json::Value;
use weir_tests::process::{DEADLINE, Signal, Weir, free_address};

use super::three_nodes::Cluster;
use super::{Place, text, weir};

const NODES: usize = 4;

/// Asks until the nodes are as wanted. Each question is a process that ends when it was answered.
fn wait_for_nodes(client: &Weir, what: &str, wanted: impl Fn(&[Value]) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let nodes = client.run(&["cluster", "nodes", "--output", "json"]).ok().json()["nodes"].clone();
        if wanted(nodes.as_array().unwrap()) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}: {nodes}");
    }
}

fn are_live(count: usize) -> impl Fn(&[Value]) -> bool {
    move |nodes| nodes.iter().filter(|node| node["standing"] == "live").count() == count
}

fn voters(client: &Weir) -> Vec<u64> {
    let quorum = client.run(&["cluster", "quorum", "--output", "json"]).json();
    let members = quorum["members"].as_array().unwrap();
    let voters = members.iter().filter(|member| member["voter"] == true);
    voters.filter_map(|member| member["node"].as_u64()).collect()
}

#[test]
fn a_lost_voters_place_goes_to_a_live_learner() {
    let mut cluster = Cluster::of(NODES, "");
    let client = cluster.client_of_all();
    wait_for_nodes(&client, "all live", are_live(NODES));
    let before = voters(&client);
    let spare = (1..=NODES as u64).find(|node| !before.contains(node)).unwrap();
    let lost = *before.last().unwrap();
    let (number, place) = (lost.to_string(), usize::try_from(lost).unwrap() - 1);
    cluster.nodes[place].kill();
    wait_for_nodes(&client, "it is missed", are_live(NODES - 1));
    client.run(&["cluster", "replace-voter", &number, "--with", &number]).refused(&["its own place"]);
    client.run(&["cluster", "replace-voter", &number]).ok();
    // Asked again, nothing more happens.
    client.run(&["cluster", "replace-voter", &number]).ok();
    let mut expected: Vec<u64> = before.iter().copied().filter(|voter| *voter != lost).collect();
    expected.push(spare);
    expected.sort_unstable();
    assert_eq!(voters(&client), expected);
    cluster.nodes[place].start();
    wait_for_nodes(&client, "it is back", are_live(NODES));
    assert_eq!(voters(&client), expected);
    client.run(&["topics", "create", "t"]).ok();
}

#[test]
fn a_node_that_has_stopped_is_removed_and_comes_back_as_a_new_one() {
    let mut cluster = Cluster::of(NODES, "");
    let client = cluster.client_of_all();
    wait_for_nodes(&client, "all live", are_live(NODES));
    client.run(&["cluster", "remove-node", "4"]).refused(&["node 4", "it is alive", "stop it"]);
    client.run(&["cluster", "drain", "4"]).ok();
    cluster.nodes[3].stop();
    wait_for_nodes(&client, "its lease ran out", |nodes| {
        nodes.iter().any(|node| node["node"] == 4 && node["standing"] == "fenced")
    });
    client.run(&["cluster", "remove-node", "4"]).ok();
    wait_for_nodes(&client, "it is gone", |nodes| nodes.len() == NODES - 1);
    assert_eq!(voters(&client), [1, 2, 3]);
    client.run(&["cluster", "remove-node", "4"]).refused(&["no node 4"]);
    let (join, certs) = (cluster.nodes[0].address().to_string(), text(&cluster.certs));
    let flags = ["--node-id", "4", "--certs", &certs, "--join", &join];
    let _again = weir().node_with(&cluster.path("another"), free_address(), &flags);
    wait_for_nodes(&client, "it is back", are_live(NODES));
    client.run(&["topics", "create", "t", "--replication-factor", "4"]).ok();
}

#[test]
fn what_would_cost_the_cluster_its_quorum_is_refused() {
    let place = Place::new();
    let weir = &place.weir;
    weir.run(&["cluster", "remove-node", "1"]).refused(&["the only voter", "start another node"]);
    weir.run(&["cluster", "replace-voter", "1"]).refused(&["the only voter", "start another node"]);
    weir.run(&["cluster", "remove-node", "9"]).refused(&["no node 9"]);
    weir.run(&["cluster", "replace-voter", "9"]).refused(&["no node 9"]);
    place.create("t", &[]);
    place.assert_serves();
}

/// `replica.lag.time.max.ms` as each node has it, and who said so.
fn lags(client: &Weir) -> Vec<(String, String)> {
    let shown = client.run(&["cluster", "configs", "--output", "json"]).ok().json();
    let of = |node: &Value| {
        let configs = node["configs"].as_array().unwrap();
        let key = configs.iter().find(|config| config["key"] == "replica.lag.time.max.ms").unwrap();
        let text = |field: &str| key[field].as_str().unwrap().to_owned();
        (text("value"), text("source"))
    };
    shown["nodes"].as_array().unwrap().iter().map(of).collect()
}

#[test]
fn what_nodes_go_by_is_changed_while_they_run() {
    let mut cluster = Cluster::configured("replica.lag.time.max.ms = 9000\n");
    let client = cluster.client_of_all();
    let said = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(lags(&client), vec![said("9000", "start"); 3]);
    client.run(&["cluster", "configs", "--config", "replica.lag.time.max.ms=8000"]).ok();
    let only_two = ["cluster", "configs", "--node", "2", "--config", "replica.lag.time.max.ms=700"];
    let answer = client.run(&only_two).ok().text();
    assert_eq!(answer, "set for node 2 now: replica.lag.time.max.ms=700\n");
    let expected = [said("8000", "all nodes"), said("700", "this node"), said("8000", "all nodes")];
    assert_eq!(lags(&client), expected);
    // A process that starts anew goes by it too.
    cluster.nodes[1].stop();
    cluster.nodes[1].start();
    assert_eq!(lags(&client), expected);
    client.run(&["cluster", "configs", "--node", "2", "--delete-config", "replica.lag.time.max.ms"]).ok();
    client.run(&["cluster", "configs", "--delete-config", "replica.lag.time.max.ms"]).ok();
    assert_eq!(lags(&client), vec![said("9000", "start"); 3]);

    let refused = |change: &[&str], says: &[&str]| {
        client.run(&[&["cluster", "configs"], change].concat()).refused(says);
    };
    refused(&["--config", "replica.lag.time.max.ms=1"], &["milliseconds, from 100"]);
    refused(&["--config", "replica.lag.max.ms=500"], &["did you mean 'replica.lag.time.max.ms'"]);
    refused(&["--node", "1", "--config", "num.partitions=3"], &["holds for the whole cluster"]);
    refused(&["--node", "9", "--config", "replica.lag.time.max.ms=500"], &["no node 9"]);
    refused(&["--node", "9"], &["no node 9"]);
}

#[test]
fn a_shorter_lag_is_gone_by_at_once() {
    // Leases that do not run out within the test: what is noticed is the lag.
    let cluster =
        Cluster::configured("broker.session.timeout.ms = 600000\nreplica.lag.time.max.ms = 3600000\n");
    let client = cluster.client_of_all();
    client.run(&["topics", "create", "t", "--replication-factor", "3"]).ok();
    let topic = client.run(&["topics", "describe", "t", "--output", "json"]).ok().json();
    let leader = topic["partitions"][0]["leader"].as_u64().unwrap();
    let quorum = client.run(&["cluster", "quorum", "--output", "json"]).ok().json();
    let controller = quorum["controller"].as_u64().unwrap();
    let asleep = (1..=3).find(|node| *node != leader && *node != controller).unwrap();
    cluster.nodes[usize::try_from(asleep).unwrap() - 1].process().signal(Signal::Stop);
    let others = cluster.client(usize::try_from(leader).unwrap() - 1);
    others.run(&["cluster", "configs", "--config", "replica.lag.time.max.ms=500"]).ok();
    others.run_with_input(&["produce", "t", "--acks", "all"], b"one\n").ok();
    let topic = others.run(&["topics", "describe", "t", "--output", "json"]).ok().json();
    let isr = topic["partitions"][0]["isr"].as_array().unwrap();
    assert!(!isr.contains(&Value::from(asleep)), "{topic}");
    cluster.nodes[usize::try_from(asleep).unwrap() - 1].process().signal(Signal::Continue);
}
