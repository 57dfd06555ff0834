//! Records that a plugin failed on: put aside, and sent again once it is mended.

use super::Place;

const HOSTILE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/guests/hostile-producer/hostile-producer.wasm");

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
