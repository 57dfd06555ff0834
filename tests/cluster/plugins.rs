//! Plugins on real nodes: pushed, bound while records flow, swapped, rolled back, still there after a kill, on three nodes
//! of which one is away.

use std::io::Write;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;
use weir_tests::process::DEADLINE;

use super::three_nodes::Cluster;
use super::{Place, text};

/// A guest of this repository.
macro_rules! guest {
    ($path:literal) => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/guests/", $path)
    };
}
const PASS: &str = guest!("pass-flat/pass-flat.wasm");
const PASS_CORE: &str = guest!("pass-flat/pass-flat.core.wasm");
const PASS_TYPED: &str = guest!("pass-typed/pass-typed.wasm");
const WASI: &str = guest!("wasi/wasi.wasm");
const HOSTILE: &str = guest!("hostile-producer/hostile-producer.wasm");
const RECORDS: usize = 20_000;
const STEP: usize = 500;

fn push<'a>(file: &'a str, name: &'a str, version: &'a str) -> Vec<&'a str> {
    vec!["plugins", "push", file, "--name", name, "--version", version]
}

fn status(place: &Place, topic: &str) -> Value {
    place.weir.run(&["plugins", "status", topic, "--output", "json"]).ok().json()
}

fn plugin_names(status: &Value) -> Vec<String> {
    let plugins = status["plugins"].as_array().unwrap();
    plugins
        .iter()
        .map(|plugin| format!("{}@{}", plugin["name"].as_str().unwrap(), plugin["version"].as_str().unwrap()))
        .collect()
}

/// Three swaps under one produce, each at some offset; nothing is lost or stored twice; a kill takes no pipeline away.
#[test]
fn plugins_are_swapped_while_records_flow_and_come_back_after_a_kill() {
    let mut place = Place::that_restarts();
    place.create("q", &["--partitions", "3"]);
    place.weir.run(&push(PASS, "pass", "1")).ok();
    place.weir.run(&push(PASS_TYPED, "pass", "2")).ok();
    let reader = place.weir.spawn(&["consume", "q", "--from-beginning", "--max", &RECORDS.to_string()]);
    let (input, mut lines) = std::io::pipe().unwrap();
    let produce = ["produce", "q", "--key-field", "k", "--output", "json"];
    let producer = place.weir.spawn_with(&produce, Stdio::from(input));
    // In small steps: what is under way at a swap is sent again under the revision before, what follows is not.
    let write = |lines: &mut std::io::PipeWriter, from: usize, to: usize| {
        for start in (from..to).step_by(STEP) {
            let of_step = start..start + STEP;
            let step: String = of_step.map(|n| format!("{{\"k\":\"{}\",\"n\":{n}}}\n", n % 7)).collect();
            lines.write_all(step.as_bytes()).unwrap();
            reader.wait_for_lines(start + STEP / 2);
        }
    };
    let quarter = RECORDS / 4;
    write(&mut lines, 0, quarter);
    place.weir.run(&["plugins", "bind", "q", "--interceptor", "pass@1"]).ok();
    write(&mut lines, quarter, 2 * quarter);
    place.weir.run(&["plugins", "bind", "q", "--interceptor", "pass", "--interceptor", "stamp"]).ok();
    write(&mut lines, 2 * quarter, 3 * quarter);
    let swapped = status(&place, "q");
    assert_eq!(
        (&swapped["revision"], plugin_names(&swapped)),
        (&3.into(), vec!["pass@2".into(), "stamp@0.1.0".into()])
    );
    let offsets: Vec<Option<u64>> = swapped["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|partition| partition["first_offset"].as_u64())
        .collect();
    assert!(offsets.iter().flatten().any(|offset| *offset > 0), "swapped in the middle: {swapped}");

    place.node.kill();
    place.node.start();
    write(&mut lines, 3 * quarter, RECORDS);
    drop(lines);
    let summary = producer.finish().ok().json();
    assert_eq!(summary["acknowledged"], RECORDS, "{summary}");
    let mut read: Vec<String> = reader.finish().ok().text().lines().map(str::to_owned).collect();
    assert_eq!(read.len(), RECORDS);
    read.sort_unstable();
    read.dedup();
    assert_eq!(read.len(), RECORDS, "a record is stored twice");
    let again = status(&place, "q");
    assert_eq!((&again["revision"], plugin_names(&again)), (&3.into(), plugin_names(&swapped)));
    let figures = again["figures"].as_array().unwrap().last().unwrap();
    assert!(figures["calls"].as_u64().unwrap() > 0, "the pipeline runs after the kill: {again}");

    let back = place.weir.run(&["plugins", "rollback", "q", "--output", "json"]).ok().json();
    assert_eq!((&back["revision"], &back["to"]), (&4.into(), &2.into()));
    assert_eq!(plugin_names(&status(&place, "q")), ["pass@1"]);
    place.weir.run_with_input(&["produce", "q"], b"one more\n").ok();
    place.weir.run(&["plugins", "bind", "q", "--no", "interceptor"]).ok();
    assert!(plugin_names(&status(&place, "q")).is_empty());
    place.weir.run_with_input(&["produce", "q"], b"and one\n").ok();
}

#[test]
fn what_cannot_be_is_answered_with_what_to_do() {
    let place = Place::new();
    place.create("q", &[]);
    place.weir.run(&push(PASS, "pass", "1")).ok();
    // Again, and as the core module that the component was made of: the same bytes.
    place.weir.run(&push(PASS, "pass", "1")).ok();
    place.weir.run(&push(PASS_CORE, "pass", "1")).ok();
    place.weir.run(&push(PASS_TYPED, "pass", "1")).refused(&["exists already", "another version"]);
    place.weir.run(&push(WASI, "runtime", "1")).refused(&["imports wasi:", "--allow wasi"]);
    let truncated = place.file("half.wasm", &std::fs::read(PASS).unwrap()[..4000]);
    place.weir.run(&push(&truncated, "half", "1")).refused(&["again"]);
    place.weir.run(&push(PASS, "../evil", "1")).refused(&["'/' is not allowed"]);

    let bind = |words: &[&str]| place.weir.run(&[&["plugins", "bind", "q"], words].concat());
    bind(&["--interceptor", "redcat"]).refused(&["no plugin 'redcat'", "did you mean 'redact'"]);
    bind(&["--interceptor", "pass@7"]).refused(&["no version 7", "it has 1"]);
    bind(&["--interceptor", "hash"]).refused(&["hash@0.1.0 is a partitioner", "--partitioner"]);
    bind(&["--partitioner", "range"]).refused(&["assignor", "set-assignor"]);
    bind(&["--interceptor", "redact", "--option", "nonsense=1"]).refused(&["redact@0.1.0", "nonsense"]);
    bind(&["--interceptor", "redact", "--limit", "memory=1"]).refused(&["memory.bytes"]);
    bind(&["--interceptor", "pass", "--on-failure", "explode"]).refused(&["reject, pass or dead-letter"]);
    bind(&["--interceptor", "pass", "--expected", "9"]).refused(&["at revision 1, not 9", "plugins status"]);
    bind(&[]).refused(&["nothing to bind"]);
    place.weir.run(&["plugins", "bind", "none", "--interceptor", "pass"]).refused(&["no topic 'none'"]);
    place.weir.run(&["plugins", "activate", "q"]).refused(&["nothing is staged", "plugins stage"]);
    place.weir.run(&["plugins", "rollback", "q"]).refused(&["nothing was in force before it"]);
    assert_eq!(status(&place, "q")["revision"], 1, "what is refused changes nothing");

    bind(&["--interceptor", "pass"]).ok();
    place.weir.run(&["plugins", "delete", "pass@1"]).refused(&["used by revision 2 of topic 'q'"]);
    place.weir.run(&["plugins", "delete", "pass"]).refused(&["which version"]);
    place.weir.run(&[&push(HOSTILE, "remembers", "1")[..], &["--reuse"]].concat()).ok();
    bind(&["--interceptor", "remembers", "--option", "mode=changes-its-mind"]).refused(&[
        "came out differently",
        "without --reuse",
        "weir plugins test --reuse",
    ]);
    bind(&["--interceptor", "remembers"]).ok();
    place.assert_serves();
}

#[test]
fn explain_says_where_a_key_goes_and_stores_nothing() {
    let place = Place::new();
    place.create("q", &["--partitions", "5"]);
    let explain = ["explain", "q", "--key", "k", "--output", "json"];
    let by_default = place.weir.run(&explain).ok().json();
    place.weir.run(&["plugins", "bind", "q", "--partitioner", "hash"]).ok();
    let by_plugin = place.weir.run(&explain).ok().json();
    assert_eq!(by_plugin["placement"]["partition"], by_default["placement"]["partition"]);
    assert_eq!((&by_plugin["revision"], &by_plugin["plugins"][0]["name"]), (&2.into(), &"hash".into()));
    assert_eq!(by_plugin["placement"]["leader"], 1);
    place.weir.run(&["plugins", "bind", "q", "--partitioner", "murmur2"]).ok();
    let murmur = place.weir.run(&explain).ok().json();
    assert!(place.stored("q").is_empty());
    let input = place.file("input", b"k:v\n");
    place.weir.run(&["produce", "q", "--input", &input, "--key-separator", ":"]).ok();
    let stored =
        place.weir.run(&["consume", "q", "--from-beginning", "--until-end", "--format", "json"]).ok();
    let record: Value = serde_json::from_str(stored.text().lines().next().unwrap()).unwrap();
    assert_eq!(record["partition"], murmur["placement"]["partition"]);
    place.weir.run(&["explain", "none"]).refused(&["no topic 'none'"]);
}

/// Before the grace of an hour is over: once every producer was seen at the new revision, nothing of the one before can
/// follow. One that went away with it may come back.
#[test]
fn what_is_settled_is_known_when_all_lanes_moved_on() {
    let cluster = Cluster::new();
    cluster.client(0).run(&["topics", "create", "q", "--partitions", "3", "--replication-factor", "3"]).ok();
    let settled = || {
        let status = cluster.client(1).run(&["plugins", "status", "q", "--output", "json"]).ok().json();
        let partitions = status["partitions"].as_array().unwrap().clone();
        partitions.iter().map(|partition| partition["settled_offset"].as_u64()).collect::<Vec<_>>()
    };
    let (input, mut lines) = std::io::pipe().unwrap();
    let produce = ["produce", "q", "--key-field", "k", "--output", "json"];
    let producer = cluster.client(0).spawn_with(&produce, Stdio::from(input));
    let reader = cluster.client(2).spawn(&["consume", "q", "--from-beginning", "--max", "180"]);
    let mut write = |from: usize| {
        for n in from..from + 60 {
            writeln!(lines, "{{\"k\":\"{}\",\"n\":{n}}}", n % 13).unwrap();
        }
        reader.wait_for_lines(from + 60);
    };
    write(0);
    cluster.client(0).run(&["plugins", "bind", "q", "--interceptor", "require-json"]).ok();
    assert_eq!(settled(), [None; 3], "the producer may send again what it sent before");
    // What a lane was about to send when it heard of the new revision goes under the earlier one; what follows does not.
    write(60);
    write(120);
    let deadline = Instant::now() + DEADLINE;
    let moved = loop {
        let moved = settled();
        if moved.iter().all(Option::is_some) {
            break moved;
        }
        assert!(Instant::now() < deadline, "it has moved on, and nobody else was there: {moved:?}");
    };
    let stored = cluster.client(0).run(&["plugins", "status", "q", "--output", "json"]).ok().json();
    for (partition, settled) in stored["partitions"].as_array().unwrap().iter().zip(&moved) {
        assert!(partition["first_offset"].as_u64() <= *settled, "{stored}");
    }
    cluster.client(1).run(&["plugins", "bind", "q", "--no", "interceptor"]).ok();
    drop(lines);
    producer.finish().ok();
    assert_eq!(settled(), [None; 3], "it ended under the revision before");
}

/// One of three nodes is away: the others activate without it, and it has everything when it is back.
#[test]
fn three_nodes_swap_as_one_and_one_that_was_away_catches_up() {
    let mut cluster = Cluster::new();
    cluster.client(0).run(&["topics", "create", "q", "--partitions", "3", "--replication-factor", "3"]).ok();
    let pushed = [&push(PASS, "pass", "1")[..], &["--output", "json"]].concat();
    let pushed = cluster.client(0).run(&pushed).ok().json();
    assert_eq!(pushed["nodes"], serde_json::json!([1, 2, 3]), "{pushed}");
    cluster.client(1).run(&["plugins", "bind", "q", "--interceptor", "pass"]).ok();
    for index in 0..3 {
        cluster.client(index).run_with_input(&["produce", "q"], b"a record\n").ok();
    }

    cluster.nodes[2].kill();
    cluster.client(0).run(&push(PASS_TYPED, "pass", "2")).ok();
    let staged =
        cluster.client(0).run(&["plugins", "stage", "q", "--interceptor", "pass@2", "--output", "json"]);
    assert_eq!(staged.ok().json()["staged"], 3);
    cluster.client(1).run(&["plugins", "activate", "q", "--without", "3"]).ok();
    for index in 0..2 {
        cluster.client(index).run_with_input(&["produce", "q"], b"a record\n").ok();
    }
    cluster.nodes[2].start();
    // Pulled from another node, compiled, in force.
    cluster.client(2).run_with_input(&["produce", "q"], b"a record\n").ok();
    let back = cluster.client(2).run(&["plugins", "status", "q", "--output", "json"]).ok().json();
    assert_eq!((&back["revision"], plugin_names(&back)), (&3.into(), vec!["pass@2".to_owned()]));
    let components = cluster.nodes[2].data().join("components");
    let held = std::fs::read_dir(&components).unwrap().count();
    assert_eq!(held, 2, "the returned node holds both components in {}", text(&components));
    let read = cluster.client(0).run(&["consume", "q", "--from-beginning", "--until-end"]).ok();
    assert_eq!(read.lines().count(), 6);
}

/// A large file is refused where it is read; nothing of it is sent.
#[test]
fn a_component_of_60_megabytes_is_refused_with_the_figure() {
    let place = Place::new();
    let large = place.path("large.wasm");
    std::fs::File::create(&large).unwrap().set_len(60_000_000).unwrap();
    let large = text(&large);
    for command in [push(&large, "large", "1"), vec!["plugins", "test", &large]] {
        place.weir.run(&command).refused(&["it has more than 33554432 bytes"]);
    }
    place.assert_serves();
}

/// Whoever follows sees the lines that it asked for: all, those about a topic, those of a plugin.
#[test]
fn what_plugins_write_can_be_followed() {
    let place = Place::new();
    for (topic, plugin) in [("q", "first"), ("r", "second")] {
        place.create(topic, &[]);
        place.weir.run(&push(HOSTILE, plugin, "1")).ok();
        let option = "mode=acknowledgement-tells";
        place.weir.run(&["plugins", "bind", topic, "--interceptor", plugin, "--option", option]).ok();
    }
    let follow = |words: &[&str]| place.weir.spawn(&[&["plugins", "logs", "-f"], words].concat());
    let followers =
        [follow(&[]), follow(&["q"]), follow(&["--plugin", "second"]), follow(&["q", "--plugin", "second"])];
    for follower in &followers {
        follower.wait_for_stderr("following; Ctrl-C ends");
    }
    let json = follow(&["r", "--output", "json"]);
    let of = |plugin: &str, topic: &str| {
        let line = format!(
            "node 1 info {topic}-0 {plugin}@1: batch 0 of 1: [Outcome::Stored(Stored {{ partition: 0, "
        );
        move |shown: &str| shown.lines().any(|shown| shown.starts_with(&line))
    };
    let (first, second) = (of("first", "q"), of("second", "r"));
    // When a node hears of a follower nobody is told: the lines of one of these rounds reach all of them.
    let deadline = Instant::now() + DEADLINE;
    let shown = loop {
        place.weir.run_with_input(&["produce", "r"], b"a record\n").ok();
        place.weir.run_with_input(&["produce", "q"], b"a record\n").ok();
        let shown: Vec<_> = followers.iter().map(|follower| follower.stdout().text()).collect();
        let all = first(&shown[0]) && second(&shown[0]) && first(&shown[1]) && second(&shown[2]);
        if all && json.stdout().text().contains('\n') {
            break shown;
        }
        assert!(Instant::now() < deadline, "{shown:#?}");
    };
    assert!(!shown[1].contains("second@1") && !shown[2].contains("first@1"), "{shown:#?}");
    assert_eq!(shown[3], "", "no plugin of that name is bound to that topic");
    let line: Value = serde_json::from_str(json.stdout().text().lines().next().unwrap()).unwrap();
    assert_eq!(
        (
            &line["node"],
            &line["level"],
            &line["topic"],
            &line["partition"],
            &line["plugin"],
            &line["version"]
        ),
        (&1.into(), &"info".into(), &"r".into(), &0.into(), &"second".into(), &"1".into()),
        "{line}"
    );
}

/// A rejected batch is no success, and its plugin's number travels with it to a hook that observes.
#[test]
fn a_hook_hears_of_rejected_records_with_their_number() {
    let place = Place::new();
    place.create("q", &[]);
    place.weir.run(&push(HOSTILE, "teller", "1")).ok();
    let bind = ["plugins", "bind", "q", "--interceptor", "require-json:required=id", "--interceptor"];
    place.weir.run(&[&bind[..], &["teller:mode=acknowledgement-tells"]].concat()).ok();
    let follower = place.weir.spawn(&["plugins", "logs", "-f", "--plugin", "teller"]);
    follower.wait_for_stderr("following; Ctrl-C ends");
    let beginning = "batch 0 of 3: [Outcome::Stored(Stored { partition: 0, base-offset: Some(";
    let end = "duplicate: false }), \
                Outcome::Rejected(Rejection { code: 2, reason: \"field id is missing\" }), \
                Outcome::Rejected(Rejection { code: 1, reason: \"not JSON: no value at byte 0\" })], \
                runs [(1, 0), (1, 1), (1, 2)]";
    // When a node hears of a follower nobody is told: a line of one of these rounds reaches it.
    let deadline = Instant::now() + DEADLINE;
    loop {
        let produced = place.weir.run_with_input(&["produce", "q"], b"{\"id\":1}\n{}\nnothing\n");
        assert_eq!(produced.status.code(), Some(1), "{produced}");
        let shown = follower.stdout().text();
        if shown.lines().any(|line| line.contains(beginning) && line.ends_with(end)) {
            break;
        }
        assert!(Instant::now() < deadline, "{shown}");
    }
}

/// Every topic and those to come; what stops it half-way says how far it came.
#[test]
fn all_topics_are_bound_at_once_and_an_error_says_how_far_it_came() {
    let place = Place::new();
    for topic in ["a", "b", "c"] {
        place.create(topic, &[]);
    }
    let all = |words: &[&str]| place.weir.run(&[&["plugins", "bind", "--all-topics"], words].concat());
    let bound = all(&["--interceptor", "stamp", "--output", "json"]).ok().json();
    let names: Vec<_> =
        bound["topics"].as_array().unwrap().iter().map(|topic| topic["topic"].clone()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    place.create("later", &[]);
    let in_force = |topic: &str| {
        let status = status(&place, topic);
        (status["revision"].as_u64().unwrap(), plugin_names(&status).concat())
    };
    for topic in ["a", "b", "c"] {
        assert_eq!(in_force(topic), (2, "stamp@0.1.0".to_owned()), "{topic}");
    }
    assert_eq!(in_force("later"), (1, "stamp@0.1.0".to_owned()), "it is created with it");

    place.weir.run(&["plugins", "bind", "b", "--no", "interceptor"]).ok();
    all(&["--interceptor", "require-json", "--expected", "2"]).refused(&[
        "topic 'b': ",
        "at revision 3, not 2",
        "done before it: a; the others are as they were",
    ]);
    assert_eq!(in_force("a"), (3, "require-json@0.1.0".to_owned()));
    assert_eq!(in_force("b"), (3, String::new()));
    assert_eq!(in_force("c"), (2, "stamp@0.1.0".to_owned()));
    place.create("last", &[]);
    assert_eq!(in_force("last"), (1, "stamp@0.1.0".to_owned()));
}
