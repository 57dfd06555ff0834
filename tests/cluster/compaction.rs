//! Compaction by key, seen from outside: what a reader finds, what lies on the disk, what a crash leaves.

use std::collections::BTreeMap;

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
