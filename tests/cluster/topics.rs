//! Topics that come and go.

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
