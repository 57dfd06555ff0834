//! Records that a plugin failed on: put aside, and sent again once it is mended.

use serde_json::Value;

use super::Place;
use super::three_nodes::Cluster;

const HOSTILE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/guests/hostile-producer/hostile-producer.wasm");
const PASS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/guests/pass-flat/pass-flat.wasm");

#[test]
fn dead_letters_are_stored_once_the_plugin_is_gone() {
    let place = Place::new();
    let run = |arguments: &[&str]| place.weir.run(arguments);
    place.create("t", &["--partitions", "2"]);
    run(&["plugins", "redrive", "t"]).refused(&["'t.dead-letter'", "--on-failure dead-letter"]);
    run(&["plugins", "push", HOSTILE, "--name", "hostile", "--version", "1"]).ok();
    let bind = ["plugins", "bind", "t", "--interceptor", "hostile", "--option", "mode=errs"];
    run(&[&bind[..], &["--on-failure", "dead-letter"]].concat()).ok();

    let anywhere = place.file("anywhere", b"k:a\nk:b\n");
    let named = place.file("named", b"k:c\n");
    let produce = ["produce", "t", "--key-separator", ":", "--output", "json", "--input"];
    assert_eq!(run(&[&produce[..], &[&anywhere]].concat()).json()["rejected"], 2);
    assert_eq!(run(&[&produce[..], &[&named, "--partition", "1"]].concat()).json()["rejected"], 1);
    assert_eq!(place.stored("t"), b"", "nothing of it is in the topic");

    // Still failing, they become dead letters again, and the command says so.
    let again = run(&["plugins", "redrive", "t", "--output", "json"]);
    assert_eq!(again.status.code(), Some(1), "{again}");
    assert_eq!(again.json()["dead_lettered"], 3);

    run(&["plugins", "bind", "t", "--no", "interceptor"]).ok();
    let next = again.json()["next"].clone();
    let from: Vec<String> = next
        .as_object()
        .unwrap()
        .iter()
        .map(|(partition, offset)| format!("--from={partition}:{offset}"))
        .collect();
    let flags: Vec<&str> = from.iter().map(String::as_str).collect();
    let redriven = run(&[&["plugins", "redrive", "t", "--output", "json"], &flags[..]].concat()).ok();
    assert_eq!(redriven.json()["stored"], 3, "what was put aside the second time, once: {redriven}");
    let consume = ["consume", "t", "--from-beginning", "--until-end", "--format", "json"];
    let shown = run(&consume).ok().text();
    let records: Vec<serde_json::Value> =
        shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 3, "{shown}");
    for record in &records {
        assert_eq!((&record["key"], &record["headers"]), (&"k".into(), &serde_json::json!([])), "{shown}");
    }
    let c = records.iter().find(|record| record["value"] == "c").unwrap();
    assert_eq!(c["partition"], 1, "the partition that its producer named");
    run(&["plugins", "redrive", "t", "--from", "9:0"]).refused(&["no partition 9"]);
}

/// On three nodes: each dead letter says why, where in the plugin, which bytes ran and where it stood; sent again once the
/// plugin is mended each record is stored once, whichever node is asked.
#[test]
fn dead_letters_of_a_cluster_say_why_and_are_stored_once() {
    let cluster = Cluster::new();
    let run = |index: usize, arguments: &[&str]| cluster.client(index).run(arguments);
    run(0, &["topics", "create", "t", "--partitions", "3", "--replication-factor", "3"]).ok();
    let pushed = run(0, &["plugins", "push", PASS, "--name", "pass", "--version", "1", "--output", "json"]);
    let digest = pushed.ok().json()["digest"].clone();
    // Enough memory for the trial, not for a batch of large records.
    let bind = ["plugins", "bind", "t", "--interceptor", "pass", "--limit", "memory.bytes=1500000"];
    run(0, &[&bind[..], &["--on-failure", "dead-letter"]].concat()).ok();
    let large = |name: &str| format!("{name}:{name}{}\n", "x".repeat(700_000));
    for (index, names) in [(0, ["a", "b"]), (1, ["c", "d"]), (2, ["e", "f"])] {
        let input = names.map(large).concat();
        let flags = ["produce", "t", "--key-separator", ":", "--output", "json"];
        let summary = cluster.client(index).run_with_input(&flags, input.as_bytes()).json();
        assert_eq!(summary["rejected"], 2, "{summary}");
    }
    let consume = |topic: &str| -> Vec<Value> {
        let read = run(1, &["consume", topic, "--from-beginning", "--until-end", "--format", "json"]).ok();
        read.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let letters = consume("t.dead-letter");
    assert_eq!(letters.len(), 6, "one for each record");
    for letter in &letters {
        let header = |name: &str| {
            let headers = letter["headers"].as_array().unwrap();
            let named = |header: &&Value| header["key"] == format!("weir.dead-letter.{name}");
            headers.iter().find(named).map_or(Value::Null, |header| header["value"].clone())
        };
        assert_eq!((header("digest"), header("plugin")), (digest.clone(), "pass@1".into()));
        assert_eq!((header("topic"), header("hook")), ("t".into(), "on-send".into()));
        assert!(header("reason").as_str().unwrap().contains("the limit memory.bytes is 1500000"), "{letter}");
        assert!(header("position").as_str().is_some_and(|position| position.parse::<u32>().is_ok()));
        let backtrace = header("backtrace");
        assert!(backtrace.as_str().is_some_and(|trace| trace.contains(" < ")), "where it was: {backtrace}");
    }

    // Mended: with enough memory.
    run(1, &["plugins", "bind", "t", "--interceptor", "pass", "--on-failure", "dead-letter"]).ok();
    let redriven = run(2, &["plugins", "redrive", "t", "--output", "json"]).ok().json();
    assert_eq!((&redriven["records"], &redriven["stored"]), (&6.into(), &6.into()), "{redriven}");
    let mut stored: Vec<_> = consume("t")
        .iter()
        .map(|record| {
            let (key, value) = (record["key"].as_str().unwrap(), record["value"].as_str().unwrap());
            assert_eq!(
                (value.len(), &value[..1], &record["headers"]),
                (700_001, key, &serde_json::json!([]))
            );
            key.to_owned()
        })
        .collect();
    stored.sort_unstable();
    assert_eq!(stored, ["a", "b", "c", "d", "e", "f"], "each once");

    // What was sent again already is passed over by who goes on where it was told.
    let next = redriven["next"].as_object().unwrap();
    let from: Vec<String> = next.iter().map(|(at, offset)| format!("--from={at}:{offset}")).collect();
    let flags: Vec<&str> = from.iter().map(String::as_str).collect();
    let rest = run(0, &[&["plugins", "redrive", "t", "--output", "json"], &flags[..]].concat()).ok().json();
    assert_eq!(rest["records"], 0, "{rest}");
    assert_eq!(consume("t").len(), 6);
}
