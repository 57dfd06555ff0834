//! What a node does by itself, what it says of itself, and what it finds when it comes back.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;

use weir_tests::process::{DEADLINE, free_address};

use super::three_nodes::{Cluster, create_on_all, leader, partition};
use super::{Place, text, weir};

/// Retention works on closed segments, every half minute.
#[test]
fn retention_by_bytes_deletes_the_oldest_segments() {
    let mut place = Place::that_restarts();
    place.create("t", &["--config", "segment.bytes=65536", "--config", "retention.bytes=200000"]);
    let lines: Vec<String> = (0..10_000).map(|number| format!("{number:0100}\n")).collect();
    place.weir.run_with_input(&["produce", "t", "--batch-size", "16000"], lines.concat().as_bytes()).ok();
    let segments = |place: &Place| {
        let folder = std::fs::read_dir(place.node.data().join("topics/t-0")).unwrap();
        folder
            .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "log"))
            .count()
    };
    assert!(segments(&place) > 10);
    place.node.process().wait_for_stderr("old segments were deleted");
    assert!(!place.node.process().stderr().text().contains('\u{1b}'), "a log in a pipe has no colours");
    let log_start = |place: &Place| {
        let described = place.weir.run(&["topics", "describe", "t", "--output", "json"]).ok().json();
        usize::try_from(described["partitions"][0]["log_start"].as_u64().unwrap()).unwrap()
    };
    let start = log_start(&place);
    assert!(start > 0 && segments(&place) <= 5, "log start {start}, {} segments", segments(&place));
    let left = place.stored("t");
    assert!(left == lines[start..].concat().as_bytes(), "what is left begins at the log start");

    place.node.kill();
    place.node.start();
    assert_eq!(log_start(&place), start, "what was deleted stays deleted");
    assert!(place.stored("t") == left);
}

#[test]
fn metrics_are_served() {
    let (folder, listen) = (tempfile::tempdir().unwrap(), free_address());
    let flags = ["--metrics-listen", &listen.to_string()];
    let node = weir().node_with(&folder.path().join("data"), free_address(), &flags);
    node.client().run(&["topics", "create", "t"]).ok();
    node.client().run_with_input(&["produce", "t"], b"a\nb\n").ok();
    let page = get(listen, "/metrics");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    for expected in ["weir_produce_records_total 2", "weir_partitions 1", "# HELP weir_produce_bytes_total"] {
        assert!(page.contains(expected), "no '{expected}' in {page}");
    }
}

/// What plugins do is seen per plugin, version and topic, and so is what they count themselves.
#[test]
fn metrics_of_plugins_are_served() {
    let (folder, listen) = (tempfile::tempdir().unwrap(), free_address());
    let flags = ["--metrics-listen", &listen.to_string()];
    let node = weir().node_with(&folder.path().join("data"), free_address(), &flags);
    let client = node.client();
    client.run(&["topics", "create", "t"]).ok();
    let guest = concat!(env!("CARGO_MANIFEST_DIR"), "/guests/hostile-producer/hostile-producer.wasm");
    client.run(&["plugins", "push", guest, "--name", "noisy", "--version", "1"]).ok();
    client.run(&["plugins", "bind", "t", "--interceptor", "noisy", "--option", "mode=floods-metrics"]).ok();
    client.run_with_input(&["produce", "t"], b"a\nb\n").ok();
    let page = get(listen, "/metrics");
    let labels = "plugin=\"noisy\",version=\"1\",topic=\"t\"";
    for series in [
        "weir_plugins_revision{LABELS,role=\"live\"} 2",
        "weir_plugins_calls_total{LABELS,role=\"live\"} 1",
        "weir_plugins_busy_nanoseconds_total{LABELS,role=\"live\"} ",
        "weir_plugins_throttled_nanoseconds_total{LABELS,role=\"live\",share=\"time\"} 0",
        "weir_plugins_records_total{LABELS,role=\"live\",outcome=\"kept\"} 2",
        "weir_plugins_records_total{LABELS,role=\"live\",outcome=\"rejected\"} 0",
        "weir_plugins_failures_total{LABELS,role=\"live\",cause=\"trap\"} 0",
        "weir_plugins_failures_total{LABELS,role=\"live\",cause=\"impure\"} 0",
        "weir_plugins_call_seconds_bucket{LABELS,role=\"live\",le=\"",
        "weir_plugins_memory_high_bytes{LABELS,role=\"live\"} ",
        "weir_plugins_instances{LABELS,role=\"live\"} ",
        "weir_plugins_observations_left_out_total{LABELS,role=\"live\"} 0",
        "weir_plugins_figures_refused_total{LABELS} ",
        "weir_plugin_name_0{LABELS} ",
        "# HELP weir_plugins_calls_total Calls",
    ] {
        let series = series.replace("LABELS", labels);
        assert!(page.contains(&series), "no '{series}' in {page}");
    }
}

pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

/// The smallest promise there is, kept each time; and a node knows how it ended.
#[test]
fn what_was_just_acknowledged_is_there_after_kill9() {
    let mut place = Place::that_restarts();
    place.create("t", &[]);
    let mark = place.node.data().join("clean-shutdown");
    let mut sent = String::new();
    for round in 0..3 {
        let line = format!("round {round}\n");
        place.weir.run_with_input(&["produce", "t"], line.as_bytes()).ok();
        sent.push_str(&line);
        place.node.kill();
        assert!(!mark.exists(), "a killed node leaves no mark of a polite stop");
        place.node.start();
        assert_eq!(place.stored("t"), sent.as_bytes());
    }
    place.node.stop().ok();
    assert!(mark.exists());
}

/// A changed byte in a stored batch is found offline, and by the node that serves it.
#[test]
fn damage_is_found() {
    let mut place = Place::that_restarts();
    place.create("t", &[]);
    for line in [&b"first\n"[..], b"second\n", b"third\n"] {
        place.weir.run_with_input(&["produce", "t"], line).ok();
    }
    place.node.stop().ok();
    let folder = text(&place.node.data().join("topics/t-0"));
    weir().run(&["log", "verify", &folder]).ok();
    let segment = place.node.data().join("topics/t-0/00000000000000000000.log");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(6).position(|window| window == b"second").unwrap();
    bytes[at] ^= 0x20;
    std::fs::write(&segment, &bytes).unwrap();
    let found = weir().run(&["log", "verify", &folder]);
    assert!(found.status.code() == Some(1) && found.text().contains("DAMAGED"), "{found}");

    place.node.start();
    let read = place.weir.run(&["consume", "t", "--from-beginning", "--until-end"]);
    assert!("first\n".starts_with(&read.text()), "nothing behind the damage is printed: {read}");
    read.refused(&["checksum"]);
    place.assert_serves();
}

#[test]
fn a_data_folder_keeps_to_its_nodes_number() {
    let mut place = Place::that_restarts();
    place.node.stop().ok();
    let (data, listen) = (text(place.node.data()), place.node.address().to_string());
    let stranger = weir().run(&["node", "--data", &data, "--listen", &listen, "--node-id", "7"]);
    stranger.refused(&["belongs to node 1", "--node-id"]);
    place.node.start();
    place.assert_serves();
}

/// The port of a running node is taken for another node too, and neither folder nor node suffers from the attempt.
#[test]
fn nodes_do_not_share_a_port() {
    let place = Place::new();
    let (taken, data) = (place.node.address().to_string(), place.path("other"));
    weir().run(&["node", "--data", &text(&data), "--listen", &taken]).refused(&["is taken", &taken]);
    place.assert_serves();
    // Not even root makes folders here.
    let listen = free_address().to_string();
    weir().run(&["node", "--data", "/proc/weir-data", "--listen", &listen]).refused(&["/proc/weir-data"]);
}

/// Changes a word of the only segment of a partition, and puts the checksum of its batch right: what no check of the file
/// alone can notice.
fn forge(segment: &Path, word: &[u8], other: &[u8]) {
    let mut bytes = std::fs::read(segment).unwrap();
    let at =
        bytes.windows(word.len()).position(|window| window == word).expect("the word is stored as it is");
    bytes[at..at + other.len()].copy_from_slice(other);
    let mut batch = 0;
    loop {
        let length = u32::from_be_bytes(bytes[batch + 8..batch + 12].try_into().unwrap());
        let end = batch + 12 + usize::try_from(length).unwrap();
        if end > at {
            let crc = crc_fast::crc32_iscsi(&bytes[batch + 21..end]);
            bytes[batch + 17..batch + 21].copy_from_slice(&crc.to_be_bytes());
            return std::fs::write(segment, &bytes).unwrap();
        }
        batch = end;
    }
}

#[test]
fn a_folder_is_held_against_what_the_cluster_has() {
    let mut cluster = Cluster::new();
    let client = cluster.client_of_all();
    create_on_all(&client, "t");
    for line in ["first\n", "second\n"] {
        client.run_with_input(&["produce", "t", "--acks", "all"], line.as_bytes()).ok();
    }
    let away = (0..3).find(|node| *node != leader(&partition(&client, "t", 0))).unwrap();
    cluster.nodes[away].stop();
    // What it has not is no difference.
    client.run_with_input(&["produce", "t"], b"third\n").ok();
    let folder = cluster.nodes[away].data().join("topics/t-0");
    let (name, other) = (super::text(&folder), cluster.nodes[(away + 1) % 3].address().to_string());
    let verify = ["log", "verify", &name, "--against", &other, "--output", "json"];
    let said = client.run(&verify).ok();
    let against = said.json()["partitions"][0]["against"].clone();
    assert_eq!((&against["from"], &against["to"]), (&0.into(), &2.into()), "{said}");
    assert_eq!((&against["equal"], &against["different"]), (&2.into(), &0.into()), "{said}");
    // All that the node has, the internal topics too.
    let data = super::text(cluster.nodes[away].data());
    client.run(&["log", "verify", &data, "--against", &other]).ok();

    forge(&folder.join("00000000000000000000.log"), b"second", b"sekond");
    client.run(&["log", "verify", &name]).ok();
    let said = client.run(&verify);
    assert_eq!(said.status.code(), Some(1), "{said}");
    let against = said.json()["partitions"][0]["against"].clone();
    assert_eq!((&against["equal"], &against["different"]), (&1.into(), &1.into()), "{said}");
    assert_eq!(against["differences"][0]["what"], "another value", "{said}");
    assert!(said.stderr.contains("offset 1: another value") || said.text().contains("offset 1"), "{said}");

    client.run(&["topics", "delete", "t"]).ok();
    client.run(&verify).refused(&["'t'"]);
    client.run(&["topics", "create", "t", "--replication-factor", "2"]).ok();
    client.run(&verify).refused(&["an earlier topic"]);
}
