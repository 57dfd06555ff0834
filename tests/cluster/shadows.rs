//! Staged plugins beside those in force, on live records: what they would do is told, and nothing of it is done.

use std::fmt::Write as _;
use std::time::Instant;

use serde_json::{Value, json};
use weir_guests::Guest;
use weir_tests::process::{DEADLINE, Weir};

use super::Place;
use super::three_nodes::Cluster;

fn lines(count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        writeln!(text, r#"{{"key":"k{number}","card":"4111","number":{number}}}"#).unwrap();
    }
    text
}

fn produce(weir: &Weir, topic: &str, input: &str) -> Value {
    let flags = ["produce", topic, "--key-field", "key", "--output", "json"];
    weir.run_with_input(&flags, input.as_bytes()).json()
}

fn seen(weir: &Weir, topic: &str) -> Value {
    weir.run(&["plugins", "shadow", topic, "--status", "--output", "json"]).ok().json()
}

/// What the run came to, once it has compared so many records.
fn seen_of(weir: &Weir, topic: &str, records: u64) -> Value {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let seen = seen(weir, topic);
        if seen["records"].as_u64() >= Some(records) {
            return seen;
        }
        assert!(Instant::now() < deadline, "fewer than {records} records were compared: {seen}");
    }
}

/// Each node compares what enters there; the command gathers it. What is stored is what the pipeline in force makes.
#[test]
fn three_nodes_tell_what_a_staged_pipeline_would_do_and_do_none_of_it() {
    const EACH: usize = 40;
    let cluster = Cluster::new();
    let first = cluster.client(0);
    first.run(&["topics", "create", "q", "--partitions", "6", "--replication-factor", "3"]).ok();
    first.run(&["plugins", "shadow", "q"]).refused(&["nothing is staged", "plugins stage"]);
    let stage = ["plugins", "stage", "q", "--interceptor", "redact:mask=card", "--partitioner", "murmur2"];
    first.run(&stage).ok();
    // Every node must be ready for it before all can run it.
    let started = first.run(&["plugins", "shadow", "q", "--output", "json"]).ok().json();
    assert_eq!(started["nodes"].as_array().unwrap().len(), 3, "{started}");
    for index in 0..3 {
        let summary = produce(&cluster.client(index), "q", &lines(EACH));
        assert_eq!(summary["acknowledged"], EACH, "{summary}");
    }
    let count = 3 * EACH as u64;
    let seen = seen_of(&first, "q", count);
    // What is sent again is compared again.
    let compared = &seen["records"];
    assert_eq!(seen["same"], 0, "every card is masked: {seen}");
    let different = &seen["different"];
    assert_eq!((&different["content"], &different["decision"]), (compared, &json!(0)), "{seen}");
    assert!(different["partition"].as_u64() > Some(0), "murmur2 is another rule: {seen}");
    assert_eq!((&different["failure"], &seen["dropped_batches"]), (&json!(0), &json!(0)), "{seen}");
    let busy = seen["nodes"].as_array().unwrap().iter().filter(|on| on["batches"].as_u64() > Some(0));
    for on in busy {
        assert!(on["memory_high_bytes"].as_u64() > Some(0) && on["running"] == true, "{on}");
        assert_eq!(on["figures"].as_array().unwrap().len(), 2, "{on}");
    }

    // Nothing of it is done, and the examples are about what is stored.
    let read = first.run(&["consume", "q", "--from-beginning", "--until-end", "--format", "json"]).ok();
    let stored: Vec<Value> = read.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(stored.len() as u64, count);
    for record in &stored {
        assert!(record["value"].as_str().unwrap().contains("4111"), "redacted: {record}");
    }
    let samples = seen["samples"].as_array().unwrap();
    assert!(!samples.is_empty() && samples.len() <= 3 * 4 * 3, "{samples:?}");
    for sample in samples {
        let is_it = |record: &&Value| {
            record["partition"] == sample["partition"] && record["offset"] == sample["offset"]
        };
        let record = stored.iter().find(is_it).unwrap_or_else(|| panic!("no record at {sample}"));
        assert_eq!(sample["key"], json!(format!("'{}'", record["key"].as_str().unwrap())), "{sample}");
        assert!(sample["in_force"].as_str().unwrap().contains("4111"), "{sample}");
        assert!(sample["staged"].as_str().unwrap().contains("***"), "{sample}");
    }

    // Put in force, it does it, and there is nothing left to compare.
    first.run(&["plugins", "activate", "q"]).ok();
    let deadline = Instant::now() + DEADLINE;
    let over = loop {
        let over = self::seen(&first, "q");
        if over["nodes"].as_array().unwrap().iter().all(|on| on["running"] == false) {
            break over;
        }
        assert!(Instant::now() < deadline, "it runs on: {over}");
    };
    assert_eq!(over["nodes"][0]["why"], "its revision is in force now", "{over}");
    assert_eq!(&over["records"], compared, "its report stays");
}

/// Whatever a guest does in shadow: each record is stored as if it were not there, and the report says what it did.
#[test]
fn a_hostile_guest_in_shadow_harms_nobody() {
    let place = Place::new();
    place.create("orders", &["--partitions", "1"]);
    let push = |file: &str, name: &str| {
        place.weir.run(&["plugins", "push", file, "--name", name, "--version", "1"]).ok();
    };
    push(&place.file("pass.wasm", weir_guests::PASS_TYPED), "pass");
    let shadow = |flags: &[&str]| {
        place.weir.run(&[&["plugins", "stage", "orders", "--interceptor"], flags].concat()).ok();
        place.weir.run(&["plugins", "shadow", "orders"]).ok();
    };
    let mut stored = 0;
    for (name, is_failure) in
        [("errs_in_on_send", true), ("floods_the_log", false), ("loops_in_on_acknowledgement", false)]
    {
        let guest = Guest::named(name);
        push(&place.file(&format!("{name}.wasm"), &guest.component()), &name.replace('_', "-"));
        let mode = format!("mode={}", guest.mode);
        // Time enough for a machine that does other things too.
        shadow(&[&name.replace('_', "-"), "--option", &mode, "--limit", "call.time.ms=10000"]);
        let summary = produce(&place.weir, "orders", &lines(20));
        assert_eq!(summary["acknowledged"], 20, "{name}: {summary}");
        stored += 20;
        let seen = seen_of(&place.weir, "orders", 20);
        let expected = if is_failure { (0, 20) } else { (20, 0) };
        assert_eq!(
            (&seen["same"], &seen["different"]["failure"]),
            (&json!(expected.0), &json!(expected.1)),
            "{name}: {seen}"
        );
    }
    // Enough memory for the trial, not for a batch of 700 kB.
    shadow(&["pass", "--limit", "memory.bytes=1500000"]);
    let large = place.file("large", ("x".repeat(700_000) + "\n").repeat(3).as_bytes());
    let summary = place.weir.run(&["produce", "orders", "--input", &large, "--output", "json"]).ok().json();
    assert_eq!(summary["acknowledged"], 3, "{summary}");
    let deadline = Instant::now() + DEADLINE;
    let seen = loop {
        let seen = seen(&place.weir, "orders");
        let done = seen["batches"].as_u64().unwrap() + seen["dropped_batches"].as_u64().unwrap();
        if done >= 3 {
            break seen;
        }
        assert!(Instant::now() < deadline, "{seen}");
    };
    let failures = &seen["nodes"][0]["figures"][0]["failures"];
    assert!(failures.to_string().contains("memory"), "{seen}");
    let shown = place.weir.run(&["plugins", "shadow", "orders", "--stop"]).ok().text();
    assert!(shown.contains("failure at partition 0, offset ") && shown.contains("it was stopped"), "{shown}");
    // The topic has no plugin, and all its records.
    assert_eq!(place.stored("orders").split(|byte| *byte == b'\n').count() - 1, stored + 3);
    let status = place.weir.run(&["plugins", "status", "orders", "--output", "json"]).ok().json();
    let mut calls = status["figures"].as_array().unwrap().iter().map(|figures| &figures["calls"]);
    assert!(status["revision"] == 1 && calls.all(|calls| *calls == 0), "{status}");
}

/// A plugin that takes more than its share of time waits for it; who stands beside it does not, and the figures say so.
#[test]
fn a_plugin_above_its_share_is_throttled_and_its_neighbour_is_not() {
    let place = Place::new();
    for topic in ["slow", "others"] {
        place.create(topic, &["--partitions", "1"]);
    }
    let guest = Guest::named("starts_slowly");
    let file = place.file("slow.wasm", &guest.component());
    place.weir.run(&["plugins", "push", &file, "--name", "slow", "--version", "1"]).ok();
    let mode = format!("mode={}", guest.mode);
    let flags = ["--option", &mode, "--limit", "call.time.ms=10000", "--limit", "time.share.percent=3"];
    let bind = ["plugins", "bind", "slow", "--interceptor", "slow@1"];
    place.weir.run(&[&bind[..], &flags].concat()).ok();
    place.weir.run(&["plugins", "bind", "others", "--interceptor", "require-json"]).ok();
    let figures = |topic: &str| {
        let status = place.weir.run(&["plugins", "status", topic, "--output", "json"]).ok().json();
        status["figures"][0].clone()
    };
    // How much of its share a call takes is a matter of the machine.
    let throttled = (0..60).find_map(|_| {
        let summary = produce(&place.weir, "slow", &lines(1));
        assert_eq!(summary["acknowledged"], 1, "it is slow, and loses nothing: {summary}");
        let summary = produce(&place.weir, "others", &lines(100));
        assert_eq!(summary["acknowledged"], 100, "{summary}");
        Some(figures("slow")).filter(|slow| slow["throttled_us"] != json!([]))
    });
    let slow = throttled.expect("it takes more than its share");
    assert_eq!(slow["throttled_us"][0][0], "time", "{slow}");
    // A fifth of a second is owed before anybody waits. What only observes is owed too, and not counted here: with an instance
    // for each, it takes as long.
    assert!(slow["busy_us"].as_u64() > Some(50_000), "{slow}");
    assert_eq!(figures("others")["throttled_us"], json!([]));
    let shown = place.weir.run(&["plugins", "status", "slow"]).ok().text();
    assert!(shown.contains(" ms (time)"), "{shown}");
}
