//! Operators who move replicas while nodes are killed: what was acknowledged stays, and what was asked for comes true.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};
use weir_tests::process::{DEADLINE, Weir};

use super::text;
use super::three_nodes::{Cluster, leader, partition, wait_for_partition};

const NODES: usize = 4;
const RECORDS: usize = 500;

/// Four nodes, and a topic on the first two that are in sync.
fn cluster_with(topic: &str) -> (Cluster, Weir) {
    let cluster = Cluster::of(NODES, "");
    let client = cluster.client_of_all();
    wait_until_live(&client, NODES);
    let one_is_enough = ["--replication-factor", "1", "--config", "min.insync.replicas=1"];
    client.run(&[&["topics", "create", topic][..], &one_is_enough].concat()).ok();
    move_to(&client, topic, "1,2");
    produce(&client, topic, "first");
    (cluster, client)
}

fn wait_until_live(client: &Weir, count: usize) {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let nodes = client.run(&["cluster", "nodes", "--output", "json"]).ok().json()["nodes"].clone();
        let live = nodes.as_array().unwrap().iter().filter(|node| node["standing"] == "live").count();
        if live == count {
            return;
        }
        assert!(Instant::now() < deadline, "not {count} nodes within {DEADLINE:?}: {nodes}");
    }
}

fn reassign<'a>(topic: &'a str, nodes: &'a str) -> [&'a str; 8] {
    ["cluster", "reassign", "--topic", topic, "--partition", "0", "--replicas", nodes]
}

fn move_to(client: &Weir, topic: &str, nodes: &str) {
    let mut arguments = reassign(topic, nodes).to_vec();
    arguments.push("--wait");
    client.run(&arguments).ok();
}

/// In batches so small that no replica gets all of it with its first frame, which no throttle holds back.
fn produce(client: &Weir, topic: &str, what: &str) {
    let lines: String = (0..RECORDS).map(|number| format!("{what} {number}\n")).collect();
    client.run_with_input(&["produce", topic, "--batch-size", "1024"], lines.as_bytes()).ok();
}

/// Every record of these, once, in order.
fn assert_stored(client: &Weir, topic: &str, what: &[&str]) {
    let all = what.iter().flat_map(|what| (0..RECORDS).map(move |number| format!("{what} {number}\n")));
    let stored = client.run(&["consume", topic, "--from-beginning", "--until-end"]).ok().text();
    assert_eq!(stored, all.collect::<String>());
}

fn has_replicas(state: &Value, nodes: &[u32]) -> bool {
    let mut isr: Vec<u64> = state["isr"].as_array().unwrap().iter().filter_map(Value::as_u64).collect();
    isr.sort_unstable();
    state["replicas"] == json!(nodes) && isr.iter().copied().eq(nodes.iter().map(|node| u64::from(*node)))
}

fn folders(cluster: &Cluster, node: usize, topic: &str) -> usize {
    let topics = fs::read_dir(cluster.nodes[node].data().join("topics")).unwrap();
    let is_of = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&format!("{topic}-"));
    topics.filter_map(Result::ok).filter(is_of).count()
}

#[test]
fn a_partition_moves_to_other_nodes_with_all_its_records() {
    let (cluster, client) = cluster_with("t");
    move_to(&client, "t", "3,4");
    // Asked again, nothing more happens.
    move_to(&client, "t", "3,4");
    let state = partition(&client, "t", 0);
    assert!(has_replicas(&state, &[3, 4]) && state["leader"] == 3, "{state}");
    produce(&client, "t", "second");
    assert_stored(&client, "t", &["first", "second"]);
    let deadline = Instant::now() + DEADLINE;
    while folders(&cluster, 0, "t") + folders(&cluster, 1, "t") > 0 {
        assert!(Instant::now() < deadline, "what was removed lies there still");
    }
    let listed = client.run(&["cluster", "reassign", "--list", "--output", "json"]).ok().json();
    assert_eq!(listed["reassignments"], json!([]));
}

/// The node that is to take the replica dies, then the one that leads, then the active controller: each comes back.
#[test]
fn nodes_that_are_killed_in_the_middle_of_a_reassignment_do_not_hinder_it() {
    let (mut cluster, client) = cluster_with("t");
    client.run(&["cluster", "reassign", "--throttle", "2000"]).ok();
    client.run(&reassign("t", "3,4")).ok();
    cluster.nodes[2].kill();
    client.run(&reassign("t", "3,4")).ok();
    cluster.nodes[2].start();
    let led = leader(&partition(&client, "t", 0));
    cluster.nodes[led].kill();
    wait_for_partition(&client, "t", "another leads", |state| {
        state["leader"].as_u64().is_some_and(|now| now != led as u64 + 1)
    });
    produce(&client, "t", "second");
    cluster.nodes[led].start();
    let quorum = client.run(&["cluster", "quorum", "--output", "json"]).json();
    let controller = usize::try_from(quorum["controller"].as_u64().unwrap()).unwrap() - 1;
    cluster.nodes[controller].kill();
    cluster.nodes[controller].start();
    client.run(&["cluster", "reassign", "--throttle", "off"]).ok();
    wait_for_partition(&client, "t", "it has moved", |state| has_replicas(state, &[3, 4]));
    assert_stored(&client, "t", &["first", "second"]);
}

#[test]
fn the_throttle_holds_a_new_replica_back_and_what_is_under_way_is_taken_back() {
    let (_cluster, client) = cluster_with("t");
    let mut arguments = reassign("t", "3,4").to_vec();
    arguments.extend(["--throttle", "1"]);
    client.run(&arguments).ok();
    let listed = client.run(&["cluster", "reassign", "--list", "--output", "json"]).ok().json();
    let one = &listed["reassignments"][0];
    assert_eq!((&one["origin"], &one["target"]), (&json!([1, 2]), &json!([3, 4])), "{listed}");
    assert!(one["offsets_to_go"].as_u64().is_some_and(|left| left > 0), "{listed}");
    let state = partition(&client, "t", 0);
    let moving = (&state["adding_replicas"], &state["removing_replicas"]);
    assert_eq!(moving, (&json!([3, 4]), &json!([1, 2])), "{state}");
    let shown = client.run(&["topics", "describe", "t"]).ok().text();
    assert!(["1-", "2-", "3+", "4+"].iter().all(|marked| shown.contains(marked)), "{shown}");
    produce(&client, "t", "second");
    client.run(&["cluster", "reassign", "--cancel", "--topic", "t", "--partition", "0"]).ok();
    client.run(&["cluster", "reassign", "--cancel", "--all"]).ok();
    let state = wait_for_partition(&client, "t", "it is as before", |state| has_replicas(state, &[1, 2]));
    assert_eq!(state["leader"], 1, "{state}");
    assert_eq!(state["adding_replicas"], json!([]), "{state}");
    client.run(&["cluster", "reassign", "--throttle", "off"]).ok();
    // A replica that was taken back begins anew.
    move_to(&client, "t", "3,4");
    assert_stored(&client, "t", &["first", "second"]);
}

#[test]
fn a_node_is_drained_also_by_a_command_that_was_killed_and_takes_replicas_again() {
    let (cluster, client) = cluster_with("t");
    let plan = cluster.path("plan.json");
    fs::write(&plan, r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[2,3]}]}"#).unwrap();
    client.run(&["cluster", "reassign", "--plan", &text(&plan), "--wait"]).ok();
    client.run(&["cluster", "drain", "2", "--throttle", "1", "--no-wait"]).ok();
    let draining = client.spawn(&["cluster", "drain", "2"]);
    draining.signal(weir_tests::process::Signal::Kill);
    let _ = draining.finish();
    client.run(&["cluster", "drain", "2", "--throttle", "off"]).ok();
    let state = partition(&client, "t", 0);
    assert!(!state["replicas"].as_array().unwrap().contains(&json!(2)), "{state}");
    let refused = client.run(&reassign("t", "2,3")).text();
    assert!(refused.contains("being drained"), "{refused}");
    client.run(&["cluster", "add-node", "2"]).ok();
    move_to(&client, "t", "2,3");
    assert_stored(&client, "t", &["first"]);
}

#[test]
fn moves_that_cannot_be_are_refused() {
    let place = super::Place::new();
    place.create("t", &[]);
    let weir = &place.weir;
    let refused = |nodes: &str, words: &str| {
        let said = weir.run(&reassign("t", nodes));
        assert!(!said.status.success() && said.text().contains(words), "{said}");
    };
    refused("1,9", "no node 9");
    refused("1,1", "named twice");
    let gone = weir.run(&reassign("gone", "1"));
    assert!(!gone.status.success() && gone.text().contains("no topic 'gone'"), "{gone}");
    weir.run(&["cluster", "reassign", "--topic", "t", "--partition", "0"])
        .refused(&["--replicas", "--cancel"]);
    weir.run(&["cluster", "reassign"]).refused(&["--plan", "--list"]);
    let mut arguments = reassign("t", "1").to_vec();
    arguments.extend(["--throttle", "0"]);
    weir.run(&arguments).refused(&["nothing would ever arrive"]);
    weir.run(&["cluster", "drain", "1"])
        .refused(&["the only replica of partition 0 of topic 't'", "start another node"]);
    weir.run(&["cluster", "drain", "7"]).refused(&["no node 7", "weir cluster nodes"]);
    weir.run(&["cluster", "add-node", "7", "--move-replicas"])
        .status
        .code()
        .filter(|code| *code == 1)
        .unwrap();
    let how = weir.run(&["cluster", "add-node"]).ok().text();
    assert!(how.contains("weir node --node-id 2") && how.contains("--join"), "{how}");
    let missing = text(&place.path("missing"));
    weir.run(&["cluster", "reassign", "--plan", &missing]).refused(&["cannot read", &missing]);
    let plan = place.file("plan", b"{}");
    weir.run(&["cluster", "reassign", "--plan", &plan]).refused(&["is no plan", "it should look like"]);
    // A topic of the plan was deleted meanwhile: the others are moved all the same.
    let plan = place.file(
        "two",
        br#"{"version":1,"partitions":[{"topic":"gone","partition":0,"replicas":[1]},{"topic":"t","partition":0,"replicas":[1]}]}"#,
    );
    let said = weir.run(&["cluster", "reassign", "--plan", &plan]);
    assert!(!said.status.success(), "{said}");
    assert!(
        said.text().contains("no topic 'gone'") && said.text().contains("t-0: has its replicas"),
        "{said}"
    );
    place.assert_serves();
}
