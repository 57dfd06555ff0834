//! What `weir topics alter` changes while a topic is in use, each seen by what it does. Two keys have bounds that no test
//! waits for: these are altered in scripts.
//!
//! | key | what shows it |
//! |---|---|
//! | `cleanup.policy` | [`what_is_compacted_goes_by_what_was_altered`]: `delete` to `compact`, and to `compact,delete` |
//! | `compression.type`, `max.message.bytes`, `segment.bytes` | `topics::a_running_producer_goes_by_what_was_altered` |
//! | `delete.retention.ms` | [`what_is_compacted_goes_by_what_was_altered`] |
//! | `flush.messages`, `flush.ms` | [`what_caching_leaves_unflushed_goes_by_what_was_altered`] |
//! | `index.interval.bytes` | [`what_is_written_goes_by_what_was_altered`] |
//! | `max.compaction.lag.ms`, `min.compaction.lag.ms` | [`what_is_compacted_goes_by_what_was_altered`] |
//! | `min.cleanable.dirty.ratio` | [`what_is_compacted_goes_by_what_was_altered`] |
//! | `min.insync.replicas` | [`what_is_acknowledged_goes_by_what_was_altered`] |
//! | `pipeline.revision.grace.ms` | a script of the core: `the_grace_of_superseded_revisions_is_altered_at_run_time` |
//! | `producer.id.expiration.ms` | a script of the core: `how_long_a_quiet_producer_is_remembered_is_altered_at_run_time` |
//! | `retention.bytes`, `retention.ms`, `segment.ms` | [`what_is_kept_goes_by_what_was_altered`] |
//! | `write.caching` | [`what_is_acknowledged_goes_by_what_was_altered`] |

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;
use weir_tests::process::{DEADLINE, Weir, free_address};

use super::three_nodes::{Cluster, create_on_all, leader, partition, wait_for_partition};
use super::upkeep::get;
use super::{Place, any_port, weir};

/// Longer than any test: what waits for this does not come.
const NEVER_MS: &str = "86400000";

/// A node that keeps house ten times a second.
fn tidy_place() -> Place {
    let place = Place::new();
    place.weir.run(&["cluster", "configs", "--config", "log.retention.check.interval.ms=100"]).ok();
    place
}

fn create(place: &Place, topic: &str, configs: &[&str]) {
    let configs: Vec<&str> = configs.iter().flat_map(|config| ["--config", config]).collect();
    place.create(topic, &configs);
}

fn alter(weir: &Weir, topic: &str, configs: &[&str]) {
    let configs: Vec<&str> = configs.iter().flat_map(|config| ["--config", config]).collect();
    weir.run(&[&["topics", "alter", topic], &configs[..]].concat()).ok();
}

/// Each line is a batch of its own.
fn produce(weir: &Weir, topic: &str, lines: &[String]) {
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let flags = ["produce", topic, "--key-separator", ":", "--null-marker", "NULL", "--batch-size", "150"];
    weir.run_with_input(&flags, input.as_bytes()).ok();
}

/// As many records of these keys, with values of a hundred bytes.
fn records(keys: impl IntoIterator<Item = usize>) -> Vec<String> {
    keys.into_iter().map(|key| format!("k{key}:{key:0100}")).collect()
}

/// The keys of a topic as often as they are there, in order.
fn keys(place: &Place, topic: &str) -> Vec<String> {
    let read = place.weir.run(&["consume", topic, "--from-beginning", "--until-end", "--format", "json"]);
    let key = |line: &str| serde_json::from_str::<Value>(line).unwrap()["key"].as_str().unwrap().to_owned();
    read.ok().text().lines().map(key).collect()
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
    }
}

/// The files of a topic's only partition that end so, by name.
fn files(place: &Place, topic: &str, end: &str) -> Vec<PathBuf> {
    let folder = fs::read_dir(place.node.data().join("topics").join(format!("{topic}-0"))).unwrap();
    let mut files: Vec<PathBuf> = folder.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == end));
    files.sort();
    files
}

fn marks(place: &Place, topic: &str) -> (u64, u64) {
    let state = partition(&place.weir, topic, 0);
    (state["log_start"].as_u64().unwrap(), state["high_watermark"].as_u64().unwrap())
}

#[test]
fn what_is_kept_goes_by_what_was_altered() {
    let place = tidy_place();
    create(&place, "size", &["segment.bytes=1024"]);
    create(&place, "age", &[]);
    create(&place, "quiet", &[]);
    for topic in ["size", "age", "quiet"] {
        produce(&place.weir, topic, &records(0..40));
        assert_eq!(marks(&place, topic), (0, 40));
    }
    assert_eq!(files(&place, "quiet", "log").len(), 1);

    alter(&place.weir, "size", &["retention.bytes=3000"]);
    wait_until("segments go", || marks(&place, "size").0 > 0);
    let (start, end) = marks(&place, "size");
    assert!(start < end, "retention.bytes leaves what it allows: {start} to {end}");
    alter(&place.weir, "age", &["retention.ms=1"]);
    wait_until("everything goes", || marks(&place, "age") == (40, 40));
    // Nobody appends: the clock alone ends the segment.
    alter(&place.weir, "quiet", &["segment.ms=1"]);
    wait_until("another segment is begun", || files(&place, "quiet", "log").len() == 2);
    assert_eq!(marks(&place, "quiet"), (0, 40));
}

#[test]
fn what_is_written_goes_by_what_was_altered() {
    let place = Place::new();
    create(&place, "t", &["segment.bytes=4096", "index.interval.bytes=1000000"]);
    let entries =
        |files: &[PathBuf]| -> u64 { files.iter().map(|file| fs::metadata(file).unwrap().len()).sum() };
    produce(&place.weir, "t", &records(0..100));
    let before = files(&place, "t", "index");
    assert!(before.len() > 2 && entries(&before) == 0, "{before:?} have {} bytes", entries(&before));
    alter(&place.weir, "t", &["index.interval.bytes=100"]);
    produce(&place.weir, "t", &records(0..100));
    // The segment that was written to goes on as it was begun.
    let after = files(&place, "t", "index").split_off(before.len());
    assert!(after.len() > 2 && entries(&after) > 200, "{after:?} have {} bytes", entries(&after));
}

/// How often the node has flushed a log of a partition.
fn flushes(metrics: std::net::SocketAddr) -> u64 {
    let page = get(metrics, "/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix("weir_log_flushes_total "));
    line.map_or(0, |count| count.trim().parse().unwrap())
}

#[test]
fn what_caching_leaves_unflushed_goes_by_what_was_altered() {
    let (folder, metrics) = (tempfile::tempdir().unwrap(), free_address());
    let flags = ["--metrics-listen", &metrics.to_string()];
    let node = weir().node_with(&folder.path().join("data"), any_port(), &flags);
    let client = node.client();
    let configs = ["--config", "write.caching=true", "--config", &format!("flush.ms={NEVER_MS}")];
    client.run(&[&["topics", "create", "t"][..], &configs].concat()).ok();
    produce(&client, "t", &records(0..3));
    assert_eq!(flushes(metrics), 0);
    alter(&client, "t", &["flush.ms=100"]);
    wait_until("what was left is flushed", || flushes(metrics) == 1);
    produce(&client, "t", &records(0..1));
    wait_until("and what comes later", || flushes(metrics) == 2);

    alter(&client, "t", &[&format!("flush.ms={NEVER_MS}"), "flush.messages=5"]);
    produce(&client, "t", &records(0..4));
    assert_eq!(flushes(metrics), 2, "four may stay");
    produce(&client, "t", &records(0..1));
    wait_until("five may not", || flushes(metrics) == 3);
    produce(&client, "t", &records(0..4));
    alter(&client, "t", &["flush.messages=4"]);
    wait_until("nor four any more", || flushes(metrics) == 4);
}

#[test]
fn what_is_acknowledged_goes_by_what_was_altered() {
    let mut cluster = Cluster::new();
    let client = cluster.client_of_all();
    create_on_all(&client, "t");
    let promise = |line: &[u8]| client.run_with_input(&["produce", "t", "-v"], line).ok().stderr;
    // The leader hears of it at its own time: it is asked until it does.
    let promises = |line: &[u8], what: &str| wait_until(what, || promise(line).contains(what));
    assert!(promise(b"1\n").contains("replicas 3, flushed"));
    alter(&client, "t", &["write.caching=true", &format!("flush.ms={NEVER_MS}")]);
    promises(b"2\n", "not flushed");
    alter(&client, "t", &["write.caching=false"]);
    promises(b"3\n", "replicas 3, flushed");

    let away = (0..3).find(|node| *node != leader(&partition(&client, "t", 0))).unwrap();
    cluster.nodes[away].stop().ok();
    wait_for_partition(&client, "t", "two are in sync", |state| state["isr"].as_array().unwrap().len() == 2);
    assert!(promise(b"4\n").contains("replicas 2, flushed"));
    alter(&client, "t", &["min.insync.replicas=3"]);
    // acks=1 is stored, and cannot be read.
    wait_until("nothing more is committed", || {
        client.run_with_input(&["produce", "t", "--acks", "1"], b"5\n").ok();
        let state = partition(&client, "t", 0);
        let ends = state["replica_states"].as_array().unwrap().iter();
        ends.filter_map(|one| one["log_end_offset"].as_u64()).max() > state["high_watermark"].as_u64()
    });
    let (input, mut lines) = std::io::pipe().unwrap();
    let producer = client.spawn_with(&["produce", "t", "-v"], Stdio::from(input));
    std::io::Write::write_all(&mut lines, b"6\n").unwrap();
    drop(lines);
    alter(&client, "t", &["min.insync.replicas=2"]);
    let said = producer.finish().ok();
    assert!(said.stderr.contains("replicas 2, flushed"), "{said}");
    let stored = client.run(&["consume", "t", "--from-beginning", "--until-end"]).ok().text();
    let mut stored: Vec<&str> = stored.lines().collect();
    stored.dedup();
    assert_eq!(stored, ["1", "2", "3", "4", "5", "6"]);
}

/// One cleaner for all: what waits, waits for the same rounds.
#[test]
fn what_is_compacted_goes_by_what_was_altered() {
    let place = tidy_place();
    let small = "segment.bytes=1024";
    let (eager, compacted) = ("min.cleanable.dirty.ratio=0", "cleanup.policy=compact");
    create(&place, "policy", &[small, eager]);
    create(&place, "both", &[small, eager]);
    create(&place, "young", &[small, eager, compacted, &format!("min.compaction.lag.ms={NEVER_MS}")]);
    create(&place, "quiet", &[eager, compacted]);
    create(&place, "ratio", &[small, compacted]);
    create(&place, "short", &[small, eager, compacted]);
    create(&place, "long", &[small, eager, compacted, "delete.retention.ms=0"]);
    // Five keys, each ten times, and others behind them, so that those lie in closed segments.
    let often = [records((0..50).map(|number| number % 5)), records(100..110)].concat();
    for topic in ["policy", "both", "young", "quiet"] {
        produce(&place.weir, topic, &often);
    }
    produce(&place.weir, "ratio", &records(0..60));
    alter(&place.weir, "short", &["delete.retention.ms=0"]);
    alter(&place.weir, "long", &[&format!("delete.retention.ms={NEVER_MS}")]);
    let deleted = [records([1]), vec!["k1:NULL".to_owned()], records(100..110)].concat();
    for topic in ["short", "long"] {
        produce(&place.weir, topic, &deleted);
    }
    let is_clean = |topic: &str| {
        let keys = keys(&place, topic);
        keys.len() == keys.iter().collect::<BTreeSet<_>>().len()
    };
    let is_compacted = |topic: &str| {
        place.node.process().stderr().text().contains(&format!("the log was compacted partition={topic}-0"))
    };

    assert!(!is_clean("policy"));
    alter(&place.weir, "policy", &[compacted]);
    alter(&place.weir, "both", &["cleanup.policy=compact,delete"]);
    for topic in ["policy", "both", "short", "long"] {
        wait_until(topic, || is_clean(topic));
    }
    wait_until("ratio", || is_compacted("ratio"));
    assert!(!is_compacted("young") && !is_compacted("quiet"), "{:?}", place.node.process().stderr().text());
    assert_eq!(marks(&place, "both").0, 0, "nothing is old");

    alter(&place.weir, "both", &["retention.ms=1"]);
    alter(&place.weir, "young", &["min.compaction.lag.ms=0"]);
    // Its only segment is written to; nobody appends.
    alter(&place.weir, "quiet", &["max.compaction.lag.ms=1"]);
    produce(&place.weir, "ratio", &records((0..20).map(|_| 0)));
    for topic in ["young", "quiet", "short"] {
        wait_until(topic, || {
            is_clean(topic) && !(topic == "short" && keys(&place, "short").contains(&"k1".to_owned()))
        });
    }
    let (_, end) = marks(&place, "both");
    wait_until("both", || marks(&place, "both") == (end, end));
    assert!(keys(&place, "long").contains(&"k1".to_owned()), "its tombstone stays");
    assert!(!is_clean("ratio"), "a quarter is dirty, and half must be");
    alter(&place.weir, "ratio", &[eager]);
    wait_until("ratio", || keys(&place, "ratio").iter().filter(|key| *key == "k0").count() < 10);
}
