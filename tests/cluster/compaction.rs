//! Compaction by key, seen from outside: what a reader finds, what lies on the disk, what a crash leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use weir_tests::process::DEADLINE;

use super::three_nodes::{Cluster, create_on_all, leader, wait_for_partition};
use super::{Place, text, weir};

const KEYS: usize = 20;
const LINES: usize = 20_000;

/// The value of each record of a topic by its offset, with its key.
fn records(place: &Place, topic: &str) -> BTreeMap<u64, (String, String)> {
    let read =
        place.weir.run(&["consume", topic, "--from-beginning", "--until-end", "--format", "json"]).ok();
    let lines = String::from_utf8(read.stdout).unwrap();
    lines
        .lines()
        .map(|line| {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            let field = |name: &str| record[name].as_str().unwrap().to_owned();
            (record["offset"].as_u64().unwrap(), (field("key"), field("value")))
        })
        .collect()
}

#[test]
fn a_compacted_topic_keeps_the_newest_record_of_each_key() {
    let mut place = Place::that_restarts();
    let config = |pair| ["--config", pair];
    let configs = [
        config("cleanup.policy=compact"),
        config("segment.bytes=65536"),
        config("min.cleanable.dirty.ratio=0.5"),
    ];
    place.create("t", &configs.concat());
    let lines: Vec<String> = (0..LINES).map(|number| format!("k{}:{number:0100}\n", number % KEYS)).collect();
    let produce = ["produce", "t", "--key-separator", ":", "--batch-size", "8000"];
    place.weir.run_with_input(&produce, lines.concat().as_bytes()).ok();
    let bytes = |place: &Place| -> u64 {
        let folder = std::fs::read_dir(place.node.data().join("topics/t-0")).unwrap();
        folder.map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
    };
    // What was compacted while it came in, and while this process ran, is not counted.
    place.node.stop().ok();
    let before = bytes(&place);
    place.node.start();
    place.node.process().wait_for_stderr("the log was compacted");

    let left = records(&place, "t");
    assert!(left.len() < LINES / 10, "{} records are left", left.len());
    for (offset, (key, value)) in &left {
        let number = usize::try_from(*offset).unwrap();
        let expected = (format!("k{}", number % KEYS), format!("{number:0100}"));
        assert_eq!((key, value), (&expected.0, &expected.1), "no record moves and none changes");
    }
    for number in LINES - KEYS..LINES {
        assert!(left.contains_key(&(number as u64)), "{number} is the newest of its key");
    }
    assert!(bytes(&place) < before / 2, "{} bytes of {before} are left", bytes(&place));

    // A crash takes nothing of it back, offsets go on where they were, and the files are whole.
    place.node.kill();
    place.node.start();
    assert_eq!(records(&place, "t"), left);
    place.weir.run_with_input(&["produce", "t", "--key-separator", ":"], b"k3:new\n").ok();
    let after = records(&place, "t");
    assert_eq!(after.last_key_value(), Some((&(LINES as u64), &("k3".to_owned(), "new".to_owned()))));
    place.node.stop().ok();
    let folder = place.node.data().join("topics/t-0");
    weir().run(&["log", "verify", &text(&folder)]).ok();
    let dumped = weir().run(&["log", "dump", &text(&folder.join("00000000000000000000.log"))]).ok();
    assert!(dumped.text().contains("gap: the records of these offsets are gone"), "{dumped}");
}

/// The value of each record that a key has left: `None` is a tombstone.
fn left_of(place: &Place, topic: &str, key: &str) -> Vec<Option<String>> {
    let read = place.weir.run(&["consume", topic, "--from-beginning", "--until-end", "--format", "json"]);
    let records = read.ok().text();
    let records = records.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let of_key = records.filter(|record| record["key"] == key);
    of_key.map(|record| record["value"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_deleted_key_is_gone_once_its_tombstone_may_go() {
    let mut place = Place::that_restarts();
    let configs = [
        "cleanup.policy=compact",
        "segment.bytes=1024",
        "min.cleanable.dirty.ratio=0",
        "delete.retention.ms=1000",
    ];
    place.create("t", &configs.map(|config| ["--config", config]).concat());
    let produce = |place: &Place, flags: &[&str], lines: &str| {
        let produce = [&["produce", "t", "--key-separator", ":", "--batch-size", "150"], flags].concat();
        place.weir.run_with_input(&produce, lines.as_bytes()).ok()
    };
    produce(&place, &[], "gone:value\nkept:NULL\n");
    produce(&place, &["--null-marker", "NULL"], "gone:NULL\nNULL:without a key\n");
    assert_eq!(left_of(&place, "t", "gone"), [Some("value".to_owned()), None]);
    assert_eq!(left_of(&place, "t", "NULL"), [], "a key that is the marker is none");
    // Behind them lies what fills the segment.
    let others: String = (0..20).map(|number| format!("k{number}:{number:0100}\n")).collect();
    produce(&place, &[], &others);

    let wait_until = |what: &str, left: &[Option<String>]| {
        let deadline = Instant::now() + DEADLINE;
        while left_of(&place, "t", "gone") != left {
            assert!(Instant::now() < deadline, "{what}: not within {DEADLINE:?}");
        }
    };
    wait_until("the tombstone stays alone", &[None]);
    wait_until("the tombstone goes too", &[]);
    place.node.kill();
    place.node.start();
    assert_eq!(left_of(&place, "t", "gone"), []);
    assert_eq!(left_of(&place, "t", "kept"), [Some("NULL".to_owned())]);
    assert_eq!(left_of(&place, "t", "k19").len(), 1);
}

const CLUSTER_KEYS: usize = 10;

/// The lines of some numbers, each on the key of its turn. One producer alone writes them, so that a number is the offset
/// of its record.
fn numbered(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("k{}:{number:0100}\n", number % CLUSTER_KEYS)).collect()
}

/// What `weir log dump` says of all segments of a partition.
fn dumped(folder: &Path) -> String {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|end| end == "log")).collect();
    segments.sort();
    // A segment may go while it is looked at.
    let dump = |path: &PathBuf| weir().run(&["log", "dump", &text(path), "--records"]).text();
    segments.iter().map(dump).collect()
}

/// The word behind another in a line of a dump.
fn after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.split_whitespace().skip_while(|one| *one != word).nth(1)
}

/// The first and the last offset of each batch that stands for records that are gone.
fn gaps(dump: &str) -> Vec<(usize, usize)> {
    let gaps = dump.lines().filter(|line| line.contains("gap: the records of these offsets are gone"));
    gaps.filter_map(|line| {
        let (first, last) = after(line, "offsets")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    })
    .collect()
}

/// The keys of the records in a replica's files, by offset. Each record is the one that was sent there.
fn keys_by_offset(folder: &Path) -> BTreeMap<usize, String> {
    let dump = dumped(folder);
    let records = dump.lines().filter(|line| line.trim_start().starts_with("offset "));
    records
        .map(|line| {
            let offset: usize = after(line, "offset").unwrap().parse().unwrap();
            let (key, value) = (after(line, "key").unwrap(), after(line, "value").unwrap());
            assert_eq!(value, format!("\"{offset:0100}\""), "no record moves and none changes: {line}");
            assert_eq!(key, format!("\"k{}\"", offset % CLUSTER_KEYS), "{line}");
            (offset, key.to_owned())
        })
        .collect()
}

/// A replica is away while what it has not seen yet is compacted together with what it has, and then the leader dies.
#[test]
fn every_replica_keeps_the_newest_record_of_each_key() {
    let mut cluster = Cluster::new();
    let client = cluster.client_of_all();
    create_on_all(&client, "t");
    let configs = ["cleanup.policy=compact", "segment.bytes=2048", "min.cleanable.dirty.ratio=0"];
    client
        .run(&[&["topics", "alter", "t"][..], &configs.map(|config| ["--config", config]).concat()].concat())
        .ok();
    let (input, mut lines) = std::io::pipe().unwrap();
    let flags = ["produce", "t", "--key-separator", ":", "--batch-size", "150", "--output", "json"];
    let producer = client.spawn_with(&flags, Stdio::from(input));
    // Asked of a node that lives: a client that knows a dead one only by its address waits for it now and then.
    let is_at = |cluster: &Cluster, node: usize, end: usize, in_sync: usize| {
        wait_for_partition(
            &cluster.client(node % 3),
            "t",
            &format!("{in_sync} replicas have {end} records"),
            |state| {
                let isr = state["isr"].as_array().unwrap().len();
                isr == in_sync && state["high_watermark"] == end && state["leader"].is_number()
            },
        )
    };
    lines.write_all(numbered(0..105).as_bytes()).unwrap();
    let away = (leader(&is_at(&cluster, 0, 105, 3)) + 1) % 3;
    cluster.nodes[away].kill();
    lines.write_all(numbered(105..200).as_bytes()).unwrap();
    let first = leader(&is_at(&cluster, away + 1, 200, 2));
    let folder = |cluster: &Cluster, node: usize| cluster.nodes[node].data().join("topics/t-0");
    let deadline = Instant::now() + DEADLINE;
    loop {
        let gaps = gaps(&dumped(&folder(&cluster, first)));
        // Both sides of where the log of the replica ends that is away.
        if gaps.iter().any(|(first, last)| *first < 105 && 105 < *last) {
            break;
        }
        assert!(Instant::now() < deadline, "no gap around offset 105 within {DEADLINE:?}: {gaps:?}");
    }
    cluster.nodes[away].start();
    is_at(&cluster, 0, 200, 3);

    cluster.nodes[first].kill();
    lines.write_all(numbered(200..300).as_bytes()).unwrap();
    drop(lines);
    let summary = producer.finish().ok().json();
    assert_eq!((&summary["acknowledged"], &summary["unknown"]), (&300.into(), &0.into()), "{summary}");
    assert_ne!(leader(&is_at(&cluster, first + 1, 300, 2)), first);
    cluster.nodes[first].start();
    is_at(&cluster, 0, 300, 3);
    client.run_with_input(&flags, numbered(300..310).as_bytes()).ok();
    is_at(&cluster, 0, 310, 3);
    let is_cleaned = |said: &str| {
        let cleaned_to = said.split("the log was compacted partition=t-0 cleaned_to=").skip(1);
        let mut cleaned_to = cleaned_to.filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok());
        cleaned_to.any(|to| to > 250).then_some(())
    };
    for node in &cluster.nodes {
        assert!(node.process().stderr().wait_for(is_cleaned).is_some(), "one node does not compact its log");
    }
    let (stopped, other) = (away, cluster.nodes[(away + 1) % 3].address().to_string());
    cluster.nodes[stopped].stop().ok();
    let verify =
        ["log", "verify", &text(&folder(&cluster, stopped)), "--against", &other, "--output", "json"];
    let against = client.run(&verify).ok().json()["partitions"][0]["against"].clone();
    assert!(against["equal"].as_u64() >= Some(CLUSTER_KEYS as u64) && against["to"] == 310, "{against}");

    cluster
        .nodes
        .iter_mut()
        .enumerate()
        .filter(|(node, _)| *node != stopped)
        .for_each(|(_, node)| drop(node.stop()));
    for node in 0..3 {
        let left = keys_by_offset(&folder(&cluster, node));
        assert!(left.len() < 100, "{} records are left on node {}", left.len(), node + 1);
        assert!((300..310).all(|number| left.contains_key(&number)), "node {}: {left:?}", node + 1);
        let keys: BTreeSet<&String> = left.values().collect();
        assert_eq!(keys.len(), CLUSTER_KEYS, "node {}: {left:?}", node + 1);
    }
}
