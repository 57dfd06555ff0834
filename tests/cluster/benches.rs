//! `weir bench`: every kind runs, says all that is promised, and leaves nothing behind.

use std::process::Stdio;

use super::{Place, text, weir};

/// Figures that scripts read.
const FIGURES: [&str; 8] = [
    "records_per_second",
    "megabytes_per_second",
    "p50_ms",
    "p99_ms",
    "p999_ms",
    "cpu_seconds_client",
    "cpu_seconds_node",
    "other_cores",
];

/// Short runs: what they measure does not matter here.
const SHORT: [&str; 6] = ["--seconds", "0.3", "--warmup-seconds", "0.2", "--output", "json"];

#[test]
fn every_kind_says_its_figures() {
    let folder = tempfile::tempdir().unwrap();
    let place = text(folder.path());
    for (kind, flags) in [
        ("transport", &["--batch-size", "100000"][..]),
        ("produce", &["--acks", "1", "--config", "write.caching=true", "--batch-records", "100"]),
        ("produce", &["--window", "1", "--record-size", "100", "--producers", "2"]),
        ("consume", &["--records", "20000", "--partitions", "2", "--compression", "zstd"]),
        (
            "produce",
            &[
                "--interceptor",
                "stamp:prefix=by-",
                "--partitioner",
                "hash",
                "--partitions",
                "2",
                "--keys",
                "9",
            ],
        ),
        ("end-to-end", &["--rate", "2000", "--keys", "10", "--partitions", "3", "--consumers", "2"]),
    ] {
        let short = if flags.contains(&"--records") { &SHORT[2..] } else { &SHORT[..] };
        let said = weir().run(&[&["bench", kind, "--folder", &place], flags, short].concat()).ok();
        let figures = said.json();
        for name in FIGURES {
            assert!(figures[name].is_number(), "{kind} does not say {name}: {said}");
        }
        assert!(figures["records_per_second"].as_u64() > Some(0), "{said}");
        assert!(figures["megabytes_per_second"].as_f64() > Some(0.0), "{said}");
        assert!(figures["p50_ms"].as_f64() <= figures["p999_ms"].as_f64(), "{said}");
        assert_eq!(figures["failed"], 0, "{said}");
        let takes_acks = ["produce", "end-to-end"].contains(&kind);
        assert!(if takes_acks { figures["acks"].is_string() } else { figures["acks"].is_null() }, "{said}");
        let has_topic = kind != "transport";
        assert_eq!(figures["replication_factor"].as_u64(), has_topic.then_some(1), "{said}");
        // What was asked for can be told from what came of it.
        let given = |flag: &str| {
            let at = flags.iter().position(|given| *given == flag)?;
            Some(flags[at + 1])
        };
        assert_eq!(figures["compression"], given("--compression").unwrap_or("none"), "{said}");
        let number = |flag| given(flag).map(|text| text.parse::<u64>().unwrap());
        assert_eq!(figures["rate"].as_u64(), number("--rate"), "{said}");
        assert_eq!(figures["window"].as_u64(), number("--window"), "{said}");
        let configs = given("--config").map_or(serde_json::json!({}), |pair| {
            let (key, value) = pair.split_once('=').unwrap();
            serde_json::json!({ key: value })
        });
        assert_eq!(figures["configs"], configs, "{said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a folder was left behind");
}

#[test]
fn what_plugins_cost_is_measured_in_turn() {
    let folder = tempfile::tempdir().unwrap();
    let place = text(folder.path());
    let chain = ["--interceptor", "stamp:prefix=by-", "--acks", "1", "--config", "write.caching=true"];
    let said = weir().run(&[&["bench", "plugins", "--folder", &place], &chain[..], &SHORT].concat()).ok();
    let figures = said.json();
    assert!(figures["pairs"].as_u64() > Some(0), "{said}");
    let of = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("no {name}: {said}"));
    assert!(
        of("megabytes_per_second_plain") > 0.0 && of("megabytes_per_second_with_plugins") > 0.0,
        "{said}"
    );
    let quarters = ["ratio_lower_quarter", "ratio", "ratio_upper_quarter"].map(of);
    assert!(quarters[0] > 0.0 && quarters.is_sorted(), "{said}");
    assert_eq!(figures["interceptors"][0], "stamp:prefix=by-", "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a folder was left behind");

    weir().run(&["bench", "plugins", "--folder", &place, "--rate", "5"]).refused(&["--rate"]);
    weir().run(&["bench", "plugins", "--folder", &place]).refused(&["--interceptor"]);
}

#[test]
fn groups_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let place = text(folder.path());
    let small =
        ["--members", "3", "--partitions", "8", "--joins", "2", "--kills", "1", "--commit-seconds", "0.3"];
    // With `roundrobin` nothing stays where it is when the one that comes or goes is the first of all.
    let small = [&small[..], &["--assignor", "range"]].concat();
    let many = ["--groups", "150", "--connections", "2", "--idle-seconds", "0.3"];
    let nodes = ["--nodes", "3", "--failovers", "1"];
    let rest = ["--folder", &place, "--output", "json"];
    let said = weir().run(&[&["bench", "groups"], &small[..], &many, &nodes, &rest].concat()).ok();
    let figures = said.json();
    for what in ["join", "leave", "kill", "kept", "commit", "failover"] {
        assert!(figures[what]["count"].as_u64() > Some(0), "nothing of {what}: {said}");
        assert!(figures[what]["p50_ms"].as_f64() <= figures[what]["p99_ms"].as_f64(), "{said}");
    }
    assert!(
        figures["kill"]["p50_ms"].as_f64() > figures["leave"]["p50_ms"].as_f64(),
        "a session is in it: {said}"
    );
    for what in ["commits_per_second", "groups_joined_seconds", "groups_node_cpu_percent", "other_cores"] {
        assert!(figures[what].is_number(), "{what}: {said}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a folder was left behind");
}

#[test]
fn gaps_between_acknowledgements_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let short = ["--seconds", "0.5", "--rate", "100", "--partitions", "2", "--output", "json"];
    let bench = ["bench", "gaps", "--folder", &text(folder.path())];
    // Two partitions at this rate: a record each every 20 ms.
    let said = weir().run(&[&bench[..], &short, &["--gap-ms", "5"]].concat()).ok();
    let figures = said.json();
    assert!(figures["stored"].as_u64() > Some(10) && figures["failed"] == 0, "{said}");
    assert!(figures["records"]["p50_ms"].as_f64() > Some(0.0), "{said}");
    let gaps = figures["gaps"].as_array().unwrap();
    assert!(gaps.iter().any(|gap| gap["partition"] == 1 && gap["ended"] == true), "{said}");
    assert!(gaps.iter().all(|gap| gap["from_unix_ms"].as_i64() > Some(1_500_000_000_000)), "{said}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "a folder was left behind");
}

#[test]
fn a_node_that_goes_and_comes_is_a_gap() {
    let mut place = Place::new();
    place.weir.run(&["topics", "create", "watched"]).ok();
    let (address, certs) = (place.node.address().to_string(), text(&place.path("data/certs")));
    let at = ["--node", &address, "--certs", &certs, "--topic", "watched"];
    // The node is back after some 25 ms.
    let endless = ["--stop-with-stdin", "--seconds", "600", "--gap-ms", "1", "--output", "json"];
    let (input, open) = std::io::pipe().unwrap();
    let watching =
        place.weir.spawn_with(&[&["bench", "gaps"], &at[..], &endless].concat(), Stdio::from(input));
    watching.wait_for_stderr("records flow to all partitions");
    place.node.kill();
    place.node.start();
    drop(open);
    let said = watching.finish().ok();
    let figures = said.json();
    assert!(figures["longest_gap_ms"].as_u64() > Some(0), "{said}");
    assert_eq!(figures["failed"], 0, "{said}");
    let topics = place.weir.run(&["topics", "list"]).ok();
    assert!(topics.text().contains("watched"), "the topic stays: {topics}");
}

#[test]
fn a_running_node_is_measured_and_left_as_it_was() {
    let place = Place::new();
    let (address, certs) = (place.node.address().to_string(), text(&place.path("data/certs")));
    let at = ["--node", &address, "--certs", &certs];
    let said = place.weir.run(&[&["bench", "produce"], &at[..], &SHORT].concat()).ok();
    let figures = said.json();
    assert!(figures["cpu_seconds_node"].is_null(), "its process was not named: {said}");
    let pid = place.node.process().id().to_string();
    let with_pid = [&["bench", "produce", "--node-pid", &pid], &at[..], &SHORT].concat();
    assert!(place.weir.run(&with_pid).ok().json()["cpu_seconds_node"].is_number());
    let topics = place.weir.run(&["topics", "list"]).ok();
    assert!(!topics.text().contains("weir-bench"), "{topics}");
    place.weir.run(&["topics", "create", "mine", "--partitions", "2"]).ok();
    let said = place.weir.run(&[&["bench", "produce", "--topic", "mine"], &at[..], &SHORT].concat()).ok();
    assert_eq!(
        (said.json()["partitions"].as_u64(), said.json()["failed"].as_u64()),
        (Some(2), Some(0)),
        "{said}"
    );
    assert!(place.weir.run(&["topics", "list"]).ok().text().contains("mine"), "a topic that was there stays");
    place.assert_serves();
}

#[test]
fn what_cannot_be_measured_is_refused() {
    weir().run(&["bench", "produce", "--record-size", "3"]).refused(&["--record-size", "16"]);
    weir().run(&["bench", "produce", "--config", "write.caching"]).refused(&["KEY=VALUE"]);
    weir().run(&["bench", "produce", "--seconds", "1", "--records", "1"]).refused(&["cannot be used"]);
    weir().run(&["bench", "produce", "--interceptor", "nosuch"]).refused(&["nosuch"]);
    weir().run(&["bench", "groups", "--groups", "1", "--failovers", "1"]).refused(&["--nodes 3"]);
    weir().run(&["bench", "gaps", "--acks", "0"]).refused(&["acknowledged"]);
    weir().run(&["bench", "gaps", "--topic", "t", "--partitions", "2"]).refused(&["cannot be used"]);
    weir().run(&["bench", "produce", "--topic", "t", "--partitions", "2"]).refused(&["cannot be used"]);
    weir().run(&["bench", "produce", "--folder", "/nonexistent"]).refused(&["/nonexistent"]);
}

/// A flag that changes nothing is no flag: each kind names those that it does not go by.
#[test]
fn flags_that_a_kind_does_not_go_by_are_refused() {
    let of_topics: [&[&str]; 7] = [
        &["--topic", "t"],
        &["--acks", "1"],
        &["--partitions", "2"],
        &["--replication-factor", "1"],
        &["--config", "write.caching=true"],
        &["--interceptor", "stamp"],
        &["--partitioner", "hash"],
    ];
    let of_pace: [&[&str]; 3] = [&["--rate", "9"], &["--window", "1"], &["--linger-ms", "0"]];
    let of_readers: [&[&str]; 2] = [&["--consumers", "1"], &["--consumer-interceptor", "stamp"]];
    let of_senders: [&[&str]; 4] =
        [&["--topic", "t"], &["--acks", "all"], &["--producers", "1"], &["--in-flight-batches", "5"]];
    for (kind, refused) in [
        ("transport", [&of_topics[..], &of_pace, &of_readers].concat()),
        ("produce", of_readers.to_vec()),
        ("consume", [&of_senders[..], &of_pace].concat()),
    ] {
        for flag in &refused {
            weir().run(&[&["bench", kind], *flag].concat()).refused(&[&format!("bench {kind}"), flag[0]]);
        }
        let all = weir().run(&[&["bench", kind], &refused.concat()[..]].concat());
        all.refused(&refused.iter().map(|flag| flag[0]).collect::<Vec<_>>());
    }
}
