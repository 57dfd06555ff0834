//! `weir groups`, command by command.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weir_tests::process::{DEADLINE, Signal};

use super::group_support::{describe, member, shares, wait_for_group};
use super::{Place, any_port, text, weir};

/// How many records each of the two partitions has.
const RECORDS: u64 = 10;

/// A topic with records in two partitions, and a group that has read all of them.
fn place() -> Place {
    let place = Place::new();
    place.create("t", &["--partitions", "2"]);
    let lines: String = (0..RECORDS).map(|number| format!("{number}\n")).collect();
    for partition in ["0", "1"] {
        place.weir.run_with_input(&["produce", "t", "--partition", partition], lines.as_bytes()).ok();
    }
    member(&place.weir, "g", &["--until-end"]).finish().ok();
    place
}

/// What the group has committed, by partition.
fn committed(place: &Place) -> Vec<Option<u64>> {
    let group = describe(&place.weir, "g");
    let partitions = group["partitions"].as_array().unwrap();
    partitions.iter().map(|partition| partition["committed_offset"].as_u64()).collect()
}

fn reset(place: &Place, flags: &[&str]) -> Value {
    let arguments = [&["groups", "reset-offsets", "g", "--output", "json"], flags].concat();
    place.weir.run(&arguments).ok().json()
}

#[test]
fn offsets_go_where_they_are_told_to_and_a_dry_run_moves_none() {
    let place = place();
    assert_eq!(committed(&place), [Some(RECORDS); 2]);
    let shown = reset(&place, &["--to-earliest", "--dry-run"]);
    assert_eq!(shown["dry_run"], true);
    assert_eq!(
        shown["offsets"][1],
        json!({ "topic": "t", "partition": 1, "before": RECORDS, "offset": 0, "error": null })
    );
    assert_eq!(committed(&place), [Some(RECORDS); 2], "it was a dry run");

    let file = place.file("offsets", b"t,0,2\nt,1,3\n");
    for (flags, expected) in [
        (&["--to-earliest"][..], [0, 0]),
        (&["--to-offset", "4"], [4, 4]),
        (&["--shift-by", "3"], [7, 7]),
        (&["--shift-by", "-5", "--topic", "t", "--partition", "1"], [7, 2]),
        (&["--shift-by", "-5"], [2, 0]),
        (&["--to-latest"], [RECORDS, RECORDS]),
        (&["--to-time", "1970-01-01T00:00:01Z"], [0, 0]),
        (&["--to-time", "2100-01-01T00:00:00Z"], [RECORDS, RECORDS]),
        (&["--from-file", &file], [2, 3]),
        (&["--to-offset", "1000000"], [RECORDS, RECORDS]),
    ] {
        let moved = reset(&place, flags);
        assert_eq!(committed(&place), expected.map(Some), "{flags:?}: {moved}");
    }
    reset(&place, &["--from-file", &file]);
    let read = member(&place.weir, "g", &["--until-end"]).finish().ok();
    assert_eq!(read.lines().count(), 8 + 7, "it goes on where it was told to: {read}");

    let refused = |flags: &[&str], words: &[&str]| {
        place.weir.run(&[&["groups", "reset-offsets", "g"], flags].concat()).refused(words);
    };
    refused(&[], &["--to-earliest"]);
    refused(&["--to-earliest", "--to-latest"], &["cannot be used"]);
    refused(&["--to-earliest", "--partition", "0"], &["--topic"]);
    refused(&["--to-earliest", "--topic", "nope"], &["nope"]);
    refused(&["--to-earliest", "--topic", "t", "--partition", "7"], &["partition", "2"]);
    refused(&["--from-file", "/nonexistent"], &["/nonexistent"]);
    refused(&["--from-file", &place.file("bad", b"t,0,1\nt;0;1\n")], &["line 2"]);
    refused(&["--from-file", &place.file("beyond", b"t,0,11\n")], &["beyond", "10"]);
}

#[test]
fn groups_are_listed_described_explained_and_deleted() {
    let place = place();
    let reader = member(&place.weir, "g", &["--instance", "one"]);
    wait_for_group(&place.weir, "g", "it reads", |group| shares(group) == [2]);
    let group = describe(&place.weir, "g");
    let member = &group["members"][0];
    for name in ["id", "epoch", "host", "partitions", "instance", "state", "client", "revoking"] {
        assert!(!member[name].is_null(), "{name}: {group}");
    }
    assert_eq!(member["partitions"][1], json!({ "topic": "t", "partition": 1 }));
    assert_eq!(
        group["partitions"][0],
        json!({
            "topic": "t", "partition": 0, "member": member["id"],
            "committed_offset": RECORDS, "log_end_offset": RECORDS, "lag": 0,
        })
    );
    let shown = place.weir.run(&["groups", "describe", "g"]).ok().text();
    assert!(shown.contains("g: stable") && shown.contains("LAG"), "{shown}");

    let run = |arguments: &[&str]| place.weir.run(&[&["groups"], arguments].concat());
    run(&["reset-offsets", "g", "--to-earliest"]).refused(&["active member", "stop"]);
    run(&["delete-offsets", "g", "--topic", "t"]).refused(&["'t'", "stop"]);
    run(&["delete", "g"]).refused(&["active member", "stop"]);
    run(&["set-assignor", "g", "fair"]).refused(&["'fair'", "range", "roundrobin"]);
    for command in ["describe", "explain", "delete"] {
        run(&[command, "nobody"]).refused(&["no group 'nobody'", "groups list"]);
    }
    run(&["delete-offsets", "nobody", "--topic", "t"]).refused(&["no group 'nobody'", "groups list"]);
    run(&["delete-offsets", "g", "--topic", "nope"]).refused(&["'nope'", "topics create"]);
    place.weir.run(&["consume", "nope", "--group", "g"]).refused(&["'nope'", "topics create"]);
    assert_eq!(
        describe(&place.weir, "g")["members"].as_array().unwrap().len(),
        1,
        "who mistypes joins nothing"
    );
    let explained = run(&["explain", "g", "--assignor", "range", "--output", "json"]).ok().json();
    assert_eq!((&explained["assignor"], &explained["moves"]), (&json!("range"), &json!([])), "{explained}");
    assert_eq!(explained["members"][0]["after"], 2, "{explained}");
    assert_eq!((&explained["fewest"], &explained["most"]), (&json!(2), &json!(2)), "{explained}");
    let set = run(&["set-assignor", "g", "range", "--output", "json"]).ok().json();
    assert!(set["epoch"].as_u64() > group["epoch"].as_u64(), "{set}");
    wait_for_group(&place.weir, "g", "range assigns", |group| {
        group["assigned_by"] == "range" && shares(group) == [2]
    });
    run(&["set-assignor", "g"]).ok();
    assert_eq!(describe(&place.weir, "g")["assignor"], "roundrobin", "the default again");

    reader.signal(Signal::Kill);
    let listed = run(&["list", "--output", "json"]).ok().json();
    assert_eq!(listed["groups"][0]["group"], "g", "{listed}");
    wait_for_group(&place.weir, "g", "its session is over", |group| group["state"] == "empty");
    let deleted =
        run(&["delete-offsets", "g", "--topic", "t", "--partition", "1", "--output", "json"]).ok().json();
    assert_eq!(deleted["deleted"], 1, "{deleted}");
    let group = describe(&place.weir, "g");
    assert_eq!(group["partitions"].as_array().unwrap().len(), 1, "{group}");
    run(&["delete", "g"]).ok();
    run(&["describe", "g"]).refused(&["no group 'g'"]);
    assert_eq!(run(&["list", "--output", "json"]).ok().json()["groups"], json!([]));
}

#[test]
fn how_groups_are_looked_after_is_configured_for_the_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("weir.toml");
    let settings = "group.consumer.assignor = \"range\"\ngroup.consumer.session.timeout.ms = 6000\n";
    std::fs::write(&config, settings).unwrap();
    let node = weir().node_with(&folder.path().join("data"), any_port(), &["--config", &text(&config)]);
    let weir = node.client();
    weir.run(&["topics", "create", "t", "--partitions", "2"]).ok();
    let started = Instant::now();
    let reader = member(&weir, "g", &[]);
    let group = wait_for_group(&weir, "g", "it reads", |group| shares(group) == [2]);
    assert_eq!((&group["assignor"], &group["assigned_by"]), (&json!("range"), &json!("range")));
    weir.run(&["groups", "set-assignor", "g", "roundrobin"]).ok();
    assert_eq!(describe(&weir, "g")["assignor"], "roundrobin", "the group's own choice goes first");
    reader.signal(Signal::Kill);
    wait_for_group(&weir, "g", "its session is over", |group| group["state"] == "empty");
    assert!(started.elapsed() > Duration::from_secs(6), "not before that");

    std::fs::write(&config, "group.consumer.assignor = \"best\"\n").unwrap();
    let refused = weir.run(&["node", "--data", "x", "--config", &text(&config)]);
    refused.refused(&["group.consumer.assignor", "roundrobin"]);
}

#[test]
fn how_even_a_group_would_be_is_explained_before_anything_moves() {
    let place = Place::new();
    place.create("t", &["--partitions", "3"]);
    let members = [(); 2].map(|()| member(&place.weir, "g", &[]));
    let before = wait_for_group(&place.weir, "g", "two share", |group| shares(group) == [1, 2]);
    let explain = |flags: &[&str]| place.weir.run(&[&["groups", "explain", "g"], flags].concat()).ok();
    let explained = explain(&["--assignor", "range", "--output", "json"]).json();
    assert_eq!((&explained["fewest"], &explained["most"]), (&json!(1), &json!(2)), "{explained}");
    // Dealt out as 0 and 2 to one and 1 to the other, they would be runs: 0 and 1, and 2.
    assert_eq!(explained["moves"].as_array().unwrap().len(), 2, "{explained}");
    let shown = explain(&["--assignor", "range"]).text();
    assert!(shown.contains("g by range: 2 partitions would move; members would have 1 to 2 each"), "{shown}");
    assert_eq!(describe(&place.weir, "g")["epoch"], before["epoch"], "nothing was changed by asking");
    for member in members {
        member.signal(Signal::Term);
        member.finish().ok();
    }
}

/// A minute is the shortest time that offsets may be kept.
#[test]
fn offsets_of_a_group_that_is_empty_for_long_are_forgotten() {
    let place = Place::new();
    for (key, value) in [("offsets.retention.minutes", "1"), ("offsets.retention.check.interval.ms", "1000")]
    {
        place.weir.run(&["cluster", "configs", "--config", &format!("{key}={value}")]).ok();
    }
    place.create("t", &[]);
    place.weir.run_with_input(&["produce", "t"], b"a\nb\n").ok();
    let stays = member(&place.weir, "stays", &[]);
    stays.wait_for_lines(2);
    let started = Instant::now();
    member(&place.weir, "leaves", &["--until-end"]).finish().ok();
    assert_eq!(describe(&place.weir, "leaves")["partitions"][0]["committed_offset"], 2);
    // One record a second is how this test waits without doing anything.
    let lines: String = (0..50).map(|number| format!("{number}\n")).collect();
    place.weir.run_with_input(&["produce", "t", "--rate", "1"], lines.as_bytes()).ok();
    place.weir.run(&["groups", "describe", "leaves"]).ok();
    assert!(started.elapsed() < Duration::from_secs(60), "that was too slow to say anything");
    let deadline = started + Duration::from_secs(60) + DEADLINE;
    while place.weir.run(&["groups", "describe", "leaves"]).status.success() {
        assert!(Instant::now() < deadline, "it is not forgotten");
    }
    assert!(started.elapsed() > Duration::from_secs(60), "not before that");
    place.weir.run(&["groups", "describe", "leaves"]).refused(&["no group 'leaves'"]);
    // A group with a member keeps what it committed, however long ago.
    let listed = place.weir.run(&["groups", "list", "--output", "json"]).ok().json();
    assert_eq!(listed["groups"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(listed["groups"][0]["group"], "stays");
}
