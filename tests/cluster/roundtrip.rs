//! What goes in comes out.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;
use weir_tests::process::Signal;

use super::{EARTHQUAKES, Place};

/// Lines that a careless program would change.
const AWKWARD: &[u8] = b"plain\n\n\r\n tab\tand space \n\xff\xfe\x00 no text\n\"quoted\\\"\nZ\xc3\xbcrich\n";

#[test]
fn real_events_survive_a_polite_restart() {
    let mut place = Place::that_restarts();
    place.create("quakes", &["--partitions", "3"]);
    let input = fs::read(EARTHQUAKES).unwrap();
    let mut sent: Vec<&[u8]> = input.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
    let produced = place.weir.run(&[
        "produce",
        "quakes",
        "--input",
        EARTHQUAKES,
        "--key-field",
        "net",
        "--output",
        "json",
    ]);
    let summary = produced.ok().json();
    assert_eq!(summary["records"], sent.len());
    assert_eq!(summary["acknowledged"], sent.len());
    for nothing in ["rejected", "dropped", "failed", "unknown"] {
        assert_eq!(summary[nothing], 0, "{summary}");
    }

    assert_eq!(place.node.stop().status.code(), Some(0));
    place.node.start();

    let said =
        place.weir.run(&["consume", "quakes", "--from-beginning", "--until-end", "--format", "json"]).ok();
    check_json(&said.text(), &sent);
    let stored = place.stored("quakes");
    let mut stored: Vec<&[u8]> = stored.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n').collect();
    stored.sort_unstable();
    sent.sort_unstable();
    assert!(stored == sent, "{} lines went in, {} came out, or not the same", sent.len(), stored.len());
}

/// Every field of the JSON form; and per key one partition and the order of the input.
fn check_json(text: &str, sent: &[&[u8]]) {
    let mut of_key: BTreeMap<String, Vec<&[u8]>> = BTreeMap::new();
    for line in sent {
        let event: Value = serde_json::from_slice(line).unwrap();
        of_key.entry(event["net"].as_str().unwrap().to_owned()).or_default().push(line);
    }
    let mut next_offset: BTreeMap<u64, u64> = BTreeMap::new();
    let mut partition_of: BTreeMap<String, u64> = BTreeMap::new();
    let mut read_of_key: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        assert_eq!(record["topic"], "quakes");
        assert!(record["timestamp"].as_i64().unwrap() > 1_500_000_000_000, "{line}");
        assert_eq!(record["headers"], serde_json::json!([]));
        let partition = record["partition"].as_u64().unwrap();
        assert!(partition < 3, "{line}");
        let expected = next_offset.entry(partition).or_default();
        assert_eq!(record["offset"].as_u64(), Some(*expected), "an offset is missing or twice");
        *expected += 1;
        let key = record["key"].as_str().unwrap();
        assert_eq!(*partition_of.entry(key.to_owned()).or_insert(partition), partition, "key {key}");
        let value = record["value"].as_str().unwrap().as_bytes().to_vec();
        read_of_key.entry(key.to_owned()).or_default().push(value);
    }
    assert!(read_of_key.keys().eq(of_key.keys()), "not the same keys");
    for (key, read) in &read_of_key {
        assert!(*read == of_key[key], "the records of key {key} are not those that were sent, in order");
    }
    assert_eq!(next_offset.values().sum::<u64>(), u64::try_from(sent.len()).unwrap());
}

#[test]
fn every_codec_keeps_every_byte() {
    let place = Place::new();
    let input = AWKWARD.repeat(500);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        place.create(codec, &[]);
        place.weir.run_with_input(&["produce", codec, "--compression", codec], &input).ok();
        assert!(place.stored(codec) == input, "{codec} changes bytes");
        let file = place.path(&format!("data/topics/{codec}-0/00000000000000000000.log"));
        let dump = place.weir.run(&["log", "dump", &super::text(&file)]).ok();
        let named = dump.text();
        assert!(named.contains(&format!("  {codec}  ")), "stored with another codec: {dump}");
    }
}

#[test]
fn every_level_of_acks_stores() {
    let place = Place::new();
    for acks in ["0", "1", "all"] {
        let topic = format!("acks-{acks}");
        place.create(&topic, &[]);
        let said =
            place.weir.run_with_input(&["produce", &topic, "--acks", acks, "--output", "json"], AWKWARD).ok();
        assert_eq!(said.json()["acknowledged"], 7, "{said}");
        // With acks=0 nobody says when they are stored, so the reader waits for as many as there are.
        let read = place.weir.run(&["consume", &topic, "--from-beginning", "--max", "7"]).ok();
        assert_eq!(read.stdout, AWKWARD);
    }
}

#[test]
fn empty_input_is_no_records() {
    let place = Place::new();
    place.create("t", &[]);
    let said = place.weir.run_with_input(&["produce", "t", "--output", "json"], b"").ok();
    assert_eq!(said.json()["records"], 0);
    assert_eq!(place.stored("t"), b"");
}

#[test]
fn a_last_line_without_newline_is_a_record() {
    let place = Place::new();
    place.create("t", &[]);
    let said = place.weir.run_with_input(&["produce", "t", "--output", "json"], b"one\ntwo").ok();
    assert_eq!(said.json()["acknowledged"], 2);
    assert_eq!(place.stored("t"), b"one\ntwo\n");
}

#[test]
fn a_reader_at_the_tail_gets_what_comes() {
    let place = Place::new();
    place.create("t", &[]);
    let reader = place.weir.spawn(&["consume", "t", "--from-beginning"]);
    for (number, line) in ["first\n", "second\n", "third\n"].into_iter().enumerate() {
        place.weir.run_with_input(&["produce", "t"], line.as_bytes()).ok();
        reader.wait_for_lines(number + 1);
    }
    reader.signal(Signal::Int);
    let said = reader.finish().ok();
    assert_eq!(said.stdout, b"first\nsecond\nthird\n");
}

#[test]
fn keys_are_cut_off_at_the_separator() {
    let place = Place::new();
    place.create("t", &[]);
    place.weir.run_with_input(&["produce", "t", "--key-separator", "::"], b"k::v::w\nno key\n").ok();
    let said = place.weir.run(&["consume", "t", "--from-beginning", "--until-end", "--format", "json"]).ok();
    let records: Vec<Value> = said.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&records[0]["key"], &records[0]["value"]), (&"k".into(), &"v::w".into()));
    assert_eq!((&records[1]["key"], &records[1]["value"]), (&Value::Null, &"no key".into()));
    assert_eq!(records.len(), 2);
}

#[test]
fn a_chosen_partition_is_written_and_read() {
    let place = Place::new();
    place.create("t", &["--partitions", "3"]);
    let produced = place.weir.run_with_input(&["produce", "t", "--partition", "2", "-v"], b"k\nl\n").ok();
    assert!(
        produced.stderr.contains("2 records in partition 2 from offset 0: replicas 1, flushed"),
        "{produced}"
    );
    let read = |partition: &str| {
        let flags = ["consume", "t", "--from-beginning", "--until-end", "-v", "--partition", partition];
        place.weir.run(&flags).ok().text()
    };
    assert_eq!((read("2"), read("1")), ("k\nl\n".to_owned(), String::new()));
    let reader = place.weir.spawn(&["consume", "t", "--from-beginning", "-v"]);
    reader.wait_for_stderr("read all of t-2, up to offset 2");
    place
        .weir
        .run_with_input(&["produce", "t", "--partition", "3"], b"m\n")
        .refused(&["no partition 3", "from 0"]);
}

#[test]
fn a_rate_is_kept() {
    let place = Place::new();
    place.create("t", &[]);
    let lines = "line\n".repeat(51);
    let flags = ["produce", "t", "--rate", "100", "--output", "json"];
    let said = place.weir.run_with_input(&flags, lines.as_bytes()).ok().json();
    // The first is due at once, the last after half a second; a busy machine may take longer.
    assert!(said["seconds"].as_f64().unwrap() >= 0.5, "{said}");
    assert_eq!(said["acknowledged"], 51);
}
