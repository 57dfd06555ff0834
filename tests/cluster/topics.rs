//! Topics that come and go.

use std::io::Write;
use std::process::Stdio;

use weir_tests::process::Signal;

use super::Place;

#[test]
fn deleting_a_topic_ends_its_readers_with_a_word() {
    let place = Place::new();
    place.create("t", &["--partitions", "2"]);
    place.weir.run_with_input(&["produce", "t"], b"one\n").ok();
    let reader = place.weir.spawn(&["consume", "t", "--from-beginning"]);
    reader.wait_for_lines(1);
    place.weir.run(&["topics", "delete", "t"]).ok();
    let said = reader.finish().refused(&["'t'", "does not exist"]);
    assert_eq!(said.stdout, b"one\n", "what was read before is printed");
    place.assert_serves();
}

#[test]
fn a_name_used_again_is_a_new_topic() {
    let mut place = Place::that_restarts();
    place.create("t", &["--partitions", "2"]);
    place.weir.run_with_input(&["produce", "t"], b"of the first\n").ok();
    let id = |place: &Place| {
        place.weir.run(&["topics", "describe", "t", "--output", "json"]).ok().json()["id"].to_string()
    };
    let first = id(&place);
    place.weir.run(&["topics", "delete", "t"]).ok();
    place.weir.run(&["topics", "describe", "t"]).refused(&["'t'", "no topic"]);
    place.create("t", &[]);
    assert_ne!(id(&place), first);
    assert_eq!(place.stored("t"), b"");
    place.weir.run_with_input(&["produce", "t"], b"of the second\n").ok();

    place.node.kill();
    place.node.start();
    assert_eq!(place.stored("t"), b"of the second\n");
}

#[test]
fn settings_are_taken_and_described() {
    let place = Place::new();
    let settings = ["--config", "retention.bytes=1048576", "--config", "segment.bytes=65536"];
    place.create("t", &settings);
    let said = place.weir.run(&["topics", "describe", "t", "--output", "json"]).ok();
    let topic = said.json();
    assert_eq!(topic["configs"]["retention.bytes"], "1048576", "{said}");
    assert_eq!(topic["configs"]["segment.bytes"], "65536", "{said}");
    assert_eq!(topic["configs_set"], serde_json::json!(["retention.bytes", "segment.bytes"]), "{said}");
    let for_people = place.weir.run(&["topics", "describe", "t"]).ok();
    assert!(for_people.text().contains("  retention.bytes=1048576\n"), "{for_people}");

    let lines = "a line of a size that matters little\n".repeat(20_000);
    place.weir.run_with_input(&["produce", "t"], lines.as_bytes()).ok();
    assert!(place.stored("t") == lines.as_bytes(), "segments that roll change nothing");
    let verified =
        place.weir.run(&["log", "verify", &super::text(place.node.data()), "--output", "json"]).ok();
    assert!(verified.json()["partitions"][0]["segments"].as_u64().unwrap() > 5, "{verified}");
}

/// Whoever writes to a topic means that topic, not the next one of its name.
#[test]
fn a_producer_does_not_go_on_in_a_topic_created_again() {
    let place = Place::new();
    place.create("t", &[]);
    let reader = place.weir.spawn(&["consume", "t", "--from-beginning"]);
    let (input, mut lines) = std::io::pipe().unwrap();
    let producer = place.weir.spawn_with(&["produce", "t", "--output", "json"], Stdio::from(input));
    lines.write_all(b"one\n").unwrap();
    reader.wait_for_lines(1);
    place.weir.run(&["topics", "delete", "t"]).ok();
    place.create("t", &[]);
    // Its input pauses behind this line and does not end.
    lines.write_all(b"two\n").unwrap();
    let said = producer.finish().refused(&["line 2"]);
    let summary = said.json();
    // Whether the old topic took the line on its way out, nobody can say.
    let lost = summary["failed"].as_u64().unwrap() + summary["unknown"].as_u64().unwrap();
    assert_eq!((summary["acknowledged"].as_u64(), lost), (Some(1), 1), "{said}");
    drop(lines);
    assert_eq!(place.stored("t"), b"");
}

#[test]
fn settings_and_partitions_are_changed_while_a_producer_writes() {
    let place = Place::new();
    place.create("t", &["--config", "retention.bytes=1048576"]);
    let reader = place.weir.spawn(&["consume", "t", "--from-beginning"]);
    let (input, mut lines) = std::io::pipe().unwrap();
    let producer = place
        .weir
        .spawn_with(&["produce", "t", "--key-separator", ":", "--output", "json"], Stdio::from(input));
    lines.write_all(b"a:1\nb:1\nc:1\nd:1\n").unwrap();
    reader.wait_for_lines(4);
    let altered = place.weir.run(&[
        "topics",
        "alter",
        "t",
        "--partitions",
        "4",
        "--config",
        "retention.ms=86400000",
        "--delete-config",
        "retention.bytes",
        "--output",
        "json",
    ]);
    assert_eq!(altered.ok().json()["partitions"], 4);
    let described = place.weir.run(&["topics", "describe", "t", "--output", "json"]).ok().json();
    assert_eq!(described["configs"]["retention.ms"], "86400000", "{described}");
    assert_eq!(described["configs_set"], serde_json::json!(["retention.ms"]), "{described}");
    assert_eq!(described["partitions"].as_array().unwrap().len(), 4);
    lines.write_all(b"a:2\nb:2\nc:2\nd:2\n").unwrap();
    drop(lines);
    assert_eq!(producer.finish().ok().json()["acknowledged"], 8);
    let mut stored: Vec<u8> = place.stored("t");
    stored.retain(|byte| *byte != b'\n');
    stored.sort_unstable();
    assert_eq!(stored, b"11112222");
    let alter = |flags: &[&str]| place.weir.run(&[&["topics", "alter", "t"], flags].concat());
    alter(&[]).refused(&["nothing to change", "--partitions"]);
    alter(&["--partitions", "2"]).refused(&["4"]);
    alter(&["--config", "retnetion.ms=1"]).refused(&["retnetion.ms", "retention.ms"]);
    place.assert_serves();
}

/// Lines of the dump of a topic's only log, one per batch.
fn batches(place: &Place, topic: &str) -> Vec<String> {
    let folder = place.node.data().join("topics").join(format!("{topic}-0"));
    let mut segments: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "log"));
    segments.sort();
    let dump = |path: &std::path::PathBuf| place.weir.run(&["log", "dump", &super::text(path)]).ok().text();
    let lines: Vec<String> = segments.iter().map(dump).collect();
    lines.concat().lines().filter(|line| line.starts_with("position")).map(str::to_owned).collect()
}

/// Each line is acknowledged before the next setting: a producer that stays open goes by what is in force.
#[test]
fn a_running_producer_goes_by_what_was_altered() {
    let place = Place::new();
    place.create("t", &[]);
    let (input, mut lines) = std::io::pipe().unwrap();
    let reader = place.weir.spawn(&["consume", "t", "--from-beginning"]);
    let flags = ["produce", "t", "--compression", "lz4", "--output", "json"];
    let producer = place.weir.spawn_with(&flags, Stdio::from(input));
    let mut count = 0;
    let mut send = |settings: &[&str]| {
        for setting in settings {
            place.weir.run(&["topics", "alter", "t", "--config", setting]).ok();
        }
        lines.write_all(&[b"a line that packs well ".repeat(40), b"\n".to_vec()].concat()).unwrap();
        count += 1;
        reader.wait_for_lines(count);
        batches(&place, "t").pop().unwrap()
    };
    assert!(send(&[]).contains("  lz4  "));
    assert!(send(&["compression.type=zstd"]).contains("  zstd  "));
    assert!(send(&["compression.type=uncompressed"]).contains("  none  "));
    assert!(send(&["compression.type=producer"]).contains("  lz4  "));
    // Nothing on disk moves for that: only what is written from now on goes by it.
    assert!(send(&["segment.bytes=1024", "index.interval.bytes=0"]).contains("  lz4  "));
    for _ in 0..8 {
        send(&["compression.type=uncompressed"]);
    }
    let verified =
        place.weir.run(&["log", "verify", &super::text(place.node.data()), "--output", "json"]).ok();
    assert!(verified.json()["partitions"][0]["segments"].as_u64().unwrap() > 5, "{verified}");
    place.weir.run(&["topics", "alter", "t", "--config", "max.message.bytes=200"]).ok();
    let (refused, over) = (b"a line that does not fit into 200 bytes ".repeat(40), b"\n");
    lines.write_all(&[refused, over.to_vec()].concat()).unwrap();
    drop(lines);
    let said = producer.finish().refused(&["MESSAGE_TOO_LARGE"]);
    assert_eq!(said.json()["acknowledged"], count, "{said}");
    place.weir.run(&["topics", "alter", "t", "--config", "max.message.bytes=33554432"]).ok();
    let long = [b"x".repeat(2_000_000), b"\n".to_vec()].concat();
    place.weir.run_with_input(&["produce", "t"], &long).ok();
    assert_eq!(reader_lines(&place), count + 1);
}

fn reader_lines(place: &Place) -> usize {
    place.stored("t").iter().filter(|byte| **byte == b'\n').count()
}

/// Whoever reads a topic without a group reads all of it, also what did not exist when the reading began.
#[test]
fn a_reader_without_a_group_finds_the_partitions_that_are_added() {
    let mut place = Place::that_restarts();
    place.create("t", &[]);
    place.weir.run_with_input(&["produce", "t"], b"before\n").ok();
    let reader = place.weir.spawn(&["consume", "t", "--from-beginning"]);
    reader.wait_for_lines(1);
    place.weir.run(&["topics", "alter", "t", "--partitions", "2"]).ok();
    place.weir.run_with_input(&["produce", "t", "--partition", "1"], b"added\n").ok();
    // A connection that was lost makes it ask what is so now, as it does every few minutes anyway.
    place.node.kill();
    place.node.start();
    reader.wait_for_lines(2);
    reader.signal(Signal::Int);
    assert_eq!(reader.finish().ok().text(), "before\nadded\n");
}
