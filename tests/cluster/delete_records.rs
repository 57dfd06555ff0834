//! Records that an operator deletes stay deleted.

use std::time::Instant;

use weir_tests::process::{DEADLINE, Finished, Weir};

use super::three_nodes::{Cluster, create_on_all, leader, partition, wait_for_partition};
use super::{Place, text, weir};

fn log_start(place: &Place) -> u64 {
    let described = place.weir.run(&["topics", "describe", "t", "--output", "json"]).ok().json();
    described["partitions"][0]["log_start"].as_u64().unwrap()
}

#[test]
fn deleted_records_stay_deleted() {
    let mut place = Place::that_restarts();
    place.create("t", &["--config", "segment.bytes=2048"]);
    let lines: Vec<String> = (0..200).map(|number| format!("{number:050}\n")).collect();
    for lines in lines.chunks(20) {
        place.weir.run_with_input(&["produce", "t"], lines.concat().as_bytes()).ok();
    }
    let delete = |place: &Place, before: &str| {
        place.weir.run(&["topics", "delete-records", "t", "--partition", "0", "--before-offset", before])
    };
    delete(&place, "201").refused(&["200"]);
    assert_eq!(log_start(&place), 0, "what was refused did nothing");
    let answer = delete(&place, "77").ok();
    assert!(answer.text().contains("starts at offset 77"), "{answer}");
    assert_eq!(log_start(&place), 77);
    let left = lines[77..].concat();
    assert!(place.stored("t") == left.as_bytes(), "earliest is the log start");
    place.weir.run(&["consume", "t", "--offset", "76", "--until-end"]).refused(&["77"]);

    place.node.kill();
    place.node.start();
    assert_eq!(log_start(&place), 77, "a crash brings nothing back");
    assert!(place.stored("t") == left.as_bytes());
    delete(&place, "50").ok();
    assert_eq!(log_start(&place), 77, "a log start never goes back");
    delete(&place, "-1").ok();
    assert_eq!(log_start(&place), 200);
    assert!(place.stored("t").is_empty());
    place.weir.run_with_input(&["produce", "t"], b"next\n").ok();
    assert_eq!(place.stored("t"), b"next\n");
}

fn delete(client: &Weir, topic: &str, before: u64) -> Finished {
    let before = before.to_string();
    client.run(&["topics", "delete-records", topic, "--partition", "0", "--before-offset", &before]).ok()
}

fn wait_for_in_sync(client: &Weir, topic: &str, count: usize) -> usize {
    let what = format!("{count} replicas of {topic} are in sync");
    let state = wait_for_partition(client, topic, &what, |state| {
        state["leader"].is_number() && state["isr"].as_array().unwrap().len() == count
    });
    leader(&state)
}

/// What the cluster has deleted stays deleted on a leader that knew it, on one that follows it, on a replica that was away,
/// and on one that did not exist.
#[test]
fn deleted_records_stay_deleted_on_every_replica() {
    let mut cluster = Cluster::configured("log.retention.check.interval.ms = 100\n");
    let client = cluster.client_of_all();
    create_on_all(&client, "t");
    client.run(&["topics", "create", "u", "--replication-factor", "2"]).ok();
    let lines: Vec<String> = (0..200).map(|number| format!("{number:050}\n")).collect();
    for topic in ["t", "u"] {
        client.run(&["topics", "alter", topic, "--config", "segment.bytes=2048"]).ok();
        client.run_with_input(&["produce", topic, "--batch-size", "1024"], lines.concat().as_bytes()).ok();
    }
    let away = (wait_for_in_sync(&client, "t", 3) + 1) % 3;
    cluster.nodes[away].kill();
    // A client that knows a dead node only by its address waits for it now and then.
    let client = cluster.client((away + 1) % 3);
    wait_for_in_sync(&client, "t", 2);
    // What it has is deleted, all of it, and more: it is sent what is left, in whole batches.
    let more: Vec<String> = (200..300).map(|number| format!("{number:050}\n")).collect();
    client.run_with_input(&["produce", "t", "--batch-size", "1024"], more.concat().as_bytes()).ok();
    delete(&client, "t", 207);
    cluster.nodes[away].start();
    let led = wait_for_in_sync(&client, "t", 3);
    assert_eq!(partition(&client, "t", 0)["log_start"], 207);

    delete(&client, "t", 250);
    cluster.nodes[led].kill();
    let client = cluster.client((led + 1) % 3);
    let number = led as u64 + 1;
    let state = wait_for_partition(&client, "t", "another leads", |state| {
        state["leader"].as_u64().is_some_and(|now| now != number) && state["log_start"].is_number()
    });
    assert_eq!(state["log_start"], 250, "{state}");
    let left = client.run(&["consume", "t", "--from-beginning", "--until-end"]).ok().text();
    assert_eq!(left, more[50..].concat());
    client.run(&["consume", "t", "--offset", "249", "--until-end"]).refused(&["250"]);
    cluster.nodes[led].start();
    wait_for_in_sync(&client, "t", 3);

    wait_for_in_sync(&client, "u", 2);
    delete(&client, "u", 101);
    let replicas =
        ["cluster", "reassign", "--topic", "u", "--partition", "0", "--replicas", "1,2,3", "--wait"];
    client.run(&replicas).ok();
    wait_for_in_sync(&client, "u", 3);
    let left = client.run(&["consume", "u", "--from-beginning", "--until-end"]).ok().text();
    assert_eq!(left, lines[101..].concat());

    // Readers see nothing of it at once; files go when a node keeps house.
    for (node, topic, start, end) in (0..3).flat_map(|node| [(node, "t", 250, 300), (node, "u", 101, 200)]) {
        let folder = cluster.nodes[node].data().join("topics").join(format!("{topic}-0"));
        let (verify, deadline) =
            (["log", "verify", &text(&folder), "--output", "json"], Instant::now() + DEADLINE);
        loop {
            let found = weir().run(&verify).json()["partitions"][0].clone();
            if (&found["log_start"], &found["end"]) == (&start.into(), &end.into()) {
                break;
            }
            assert!(Instant::now() < deadline, "{topic} on node {}: not {start} to {end}: {found}", node + 1);
        }
    }
}
