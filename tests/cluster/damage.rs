//! A disk that changes what it had stored, on one node of three.

use std::fs;

use weir_tests::process::{DEADLINE, Weir};

use super::text;
use super::three_nodes::{Cluster, create_on_all, leader, partition, wait_for_partition};

const RECORDS: usize = 400;

fn produce(client: &Weir, from: usize) {
    let lines: String = (from..from + RECORDS).map(|number| format!("record {number}\n")).collect();
    client.run_with_input(&["produce", "t", "--batch-size", "256"], lines.as_bytes()).ok();
}

/// Nobody could read on there: the leader went on saying that its log is damaged, while two others had what it lacked.
#[test]
fn a_leader_whose_log_is_damaged_gives_way_to_one_that_has_it_all() {
    let mut cluster = Cluster::new();
    let client = cluster.client_of_all();
    create_on_all(&client, "t");
    client.run(&["topics", "alter", "t", "--config", "segment.bytes=4096"]).ok();
    produce(&client, 0);
    wait_for_partition(&client, "t", "all are in sync", |state| state["isr"].as_array().unwrap().len() == 3);
    let first = leader(&partition(&client, "t", 0));

    // What is read comes from the disk, and not from memory, once the process is another.
    cluster.nodes[first].stop();
    let folder = cluster.nodes[first].data().join("topics/t-0");
    let segment = folder.join("00000000000000000000.log");
    let mut bytes = fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).unwrap();
    cluster.nodes[first].start();
    let deadline = std::time::Instant::now() + DEADLINE;
    while partition(&client, "t", 0)["leader"] != first + 1 {
        client.run(&["cluster", "elect-leaders"]);
        assert!(std::time::Instant::now() < deadline, "it does not lead again");
    }

    let read = client.run(&["consume", "t", "--from-beginning", "--until-end"]).ok().text();
    let all: String = (0..RECORDS).map(|number| format!("record {number}\n")).collect();
    assert_eq!(read, all);
    wait_for_partition(&client, "t", "another leads", |state| {
        state["leader"].as_u64().is_some_and(|now| now != first as u64 + 1)
    });
    // What it lacks comes back with the next start.
    cluster.nodes[first].stop();
    cluster.nodes[first].start();
    produce(&client, RECORDS);
    wait_for_partition(&client, "t", "it is whole", |state| state["isr"].as_array().unwrap().len() == 3);
    cluster.nodes[first].stop();
    client.run(&["log", "verify", &text(&folder)]).ok();
}
