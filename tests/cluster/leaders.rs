//! Leaders that are killed: others lead, consumers go on, and leaderships come back by themselves.

use std::time::Duration;

use super::three_nodes::{Cluster, create_on_all, leader, partition, wait_for_partition};

/// After so long a connection itself notices that the other end is gone.
const CONNECTION_NOTICES: Duration = Duration::from_secs(10);

/// Everything that is away goes back, as soon as it is looked for.
const EAGER: &str =
    "leader.imbalance.check.interval.seconds = 1\nleader.imbalance.per.broker.percentage = 0\n";

#[test]
fn a_killed_leader_that_comes_back_leads_again_without_being_asked() {
    let mut cluster = Cluster::configured(EAGER);
    let client = cluster.client_of_all();
    create_on_all(&client, "t");
    let preferred = leader(&partition(&client, "t", 0));
    client.run_with_input(&["produce", "t"], b"one\n").ok();
    cluster.nodes[preferred].kill();
    let number = preferred as u64 + 1;
    let other = wait_for_partition(&client, "t", "another leads", |state| {
        state["leader"].as_u64().is_some_and(|now| now != number)
    });
    assert_eq!(other["offline"], serde_json::json!([number]), "{other}");
    let fields = other.as_object().unwrap();
    let promised =
        ["partition", "leader", "leader_epoch", "replicas", "isr", "elr", "offline", "high_watermark"];
    assert!(promised.iter().all(|name| fields.contains_key(*name)), "{other}");
    let log_ends = other["replica_states"].as_array().unwrap();
    assert!(log_ends.iter().all(|replica| replica.get("log_end_offset").is_some()), "{other}");
    client.run_with_input(&["produce", "t"], b"two\n").ok();
    cluster.nodes[preferred].start();
    let back = wait_for_partition(&client, "t", "it leads again", |state| state["leader"] == number);
    assert!(back["leader_epoch"].as_u64() > other["leader_epoch"].as_u64(), "{other} {back}");
    client.run_with_input(&["produce", "t"], b"three\n").ok();
    let stored = client.run(&["consume", "t", "--from-beginning", "--until-end"]).ok().text();
    assert_eq!(stored, "one\ntwo\nthree\n");
}

/// The consumer says nothing to the node that it reads from, and that node says nothing any more.
#[test]
fn a_consumer_goes_on_when_the_leader_that_it_reads_from_is_killed() {
    let mut cluster = Cluster::new();
    let client = cluster.client_of_all();
    create_on_all(&client, "t");
    client.run_with_input(&["produce", "t"], b"before\n").ok();
    let reader = client.spawn(&["consume", "t", "--from-beginning", "--max", "2"]);
    reader.wait_for_lines(1);
    let led = leader(&partition(&client, "t", 0));
    cluster.nodes[led].kill();
    let number = led as u64 + 1;
    wait_for_partition(&client, "t", "another leads", |state| {
        state["leader"].as_u64().is_some_and(|now| now != number)
    });
    client.run_with_input(&["produce", "t"], b"after\n").ok();
    // Far below the ten seconds after which the connection itself would notice.
    let said = reader.finish_within(CONNECTION_NOTICES).ok();
    assert_eq!(said.text(), "before\nafter\n");
}
