//! Nodes that leave for good, and voters that others replace.

use std::time::Instant;

use serde_json::Value;
use weir_tests::process::{DEADLINE, Weir, free_address};

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
