//! Groups of consumers: who reads what, and how far they have come.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;
use weir_tests::process::{Finished, Running, Signal};

use super::Place;

const PARTITIONS: usize = 6;

/// Numbered lines, keyed so that they go to all partitions.
fn lines(range: std::ops::Range<u32>) -> String {
    range.fold(String::new(), |mut text, number| {
        writeln!(text, "key-{number}:{number}").unwrap();
        text
    })
}

fn numbers(text: &str) -> Vec<u32> {
    text.lines().map(|line| line.parse().unwrap()).collect()
}

impl Place {
    fn member(&self, group: &str, flags: &[&str]) -> Running {
        let arguments = [&["consume", "t", "--group", group, "--from-beginning", "-v"], flags].concat();
        self.weir.spawn(&arguments)
    }

    fn produce(&self, range: std::ops::Range<u32>) {
        self.weir.run_with_input(&["produce", "t", "--key-separator", ":"], lines(range).as_bytes()).ok();
    }

    fn describe(&self, group: &str) -> Value {
        self.weir.run(&["groups", "describe", group, "--output", "json"]).ok().json()
    }

    /// Asks again until the group is as wanted.
    fn wait_for_group(&self, group: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..200 {
            let finished = self.weir.run(&["groups", "describe", group, "--output", "json"]);
            if finished.status.success() && is_so(&finished.json()) {
                return finished.json();
            }
        }
        panic!("the group did not become as wanted: {}", self.describe(group));
    }
}

/// How many partitions each member has, when nobody waits for any.
fn shares(group: &Value) -> Vec<usize> {
    if group["state"] != "stable" {
        return Vec::new();
    }
    let members = group["members"].as_array().unwrap();
    members.iter().map(|member| member["partitions"].as_array().unwrap().len()).collect()
}

fn lag(group: &Value) -> u64 {
    let lags = group["partitions"].as_array().unwrap().iter().map(|one| one["lag"].as_u64());
    // Where nothing was committed yet nobody knows.
    lags.fold(0, |sum: u64, lag| sum.saturating_add(lag.unwrap_or(u64::MAX)))
}

fn politely(member: Running) -> Finished {
    member.signal(Signal::Term);
    member.finish().ok()
}

#[test]
fn members_share_the_partitions_and_go_on_after_a_restart_of_everything() {
    let mut place = Place::that_restarts();
    place.create("t", &["--partitions", &PARTITIONS.to_string()]);
    let one = place.member("g", &[]);
    place.wait_for_group("g", |group| shares(group) == [PARTITIONS]);
    let two = place.member("g", &[]);
    let group = place.wait_for_group("g", |group| shares(group) == [3, 3]);
    let owners: BTreeSet<_> =
        group["partitions"].as_array().unwrap().iter().map(|p| p["member"].as_str()).collect();
    assert_eq!(owners.len(), 2);
    assert_eq!(group["members"][0]["host"], "127.0.0.1");

    place.produce(0..500);
    one.wait_for_lines(1);
    two.wait_for_lines(1);
    place.wait_for_group("g", |group| lag(group) == 0);
    let (one, two) = (politely(one), politely(two));
    let mut read = [numbers(&one.text()), numbers(&two.text())].concat();
    read.sort_unstable();
    assert_eq!(read, (0..500).collect::<Vec<_>>(), "each record once, to one of the two");

    place.node.kill();
    place.node.start();
    assert_eq!(lag(&place.describe("g")), 0, "what was committed is there");
    place.produce(500..600);
    let three = place.member("g", &["--until-end"]).finish().ok();
    let mut read = numbers(&three.text());
    read.sort_unstable();
    assert_eq!(read, (500..600).collect::<Vec<_>>());

    let other = place.member("another", &["--until-end"]).finish().ok();
    assert_eq!(numbers(&other.text()).len(), 600, "another group sees everything");
    let listed = place.weir.run(&["groups", "list", "--output", "json"]).ok().json();
    let names: Vec<_> = listed["groups"].as_array().unwrap().iter().map(|group| &group["group"]).collect();
    assert_eq!(names, ["another", "g"]);
}

/// An assignor of this repository's guests: whole topics go to the first member that wants them.
const FIRST_TAKES_ALL: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/guests/hostile-assignor/hostile-assignor.wasm");

#[test]
fn an_assignor_that_was_pushed_takes_over_while_members_read_and_range_stands_in_when_it_is_gone() {
    let place = Place::new();
    place.create("t", &["--partitions", &PARTITIONS.to_string()]);
    let (one, two) = (place.member("g", &[]), place.member("g", &[]));
    place.wait_for_group("g", |group| shares(group) == [3, 3]);
    place.weir.run(&["plugins", "push", FIRST_TAKES_ALL, "--name", "first", "--version", "1"]).ok();

    place.weir.run(&["groups", "set-assignor", "g", "first@2"]).refused(&[
        "first@2",
        "first@1",
        "roundrobin",
    ]);
    let explain = ["groups", "explain", "g", "--assignor", "first@1", "--output", "json"];
    let explained = place.weir.run(&explain).ok().json();
    assert_eq!(explained["moves"].as_array().unwrap().len(), 3, "{explained}");
    assert_eq!(shares(&place.describe("g")), [3, 3], "nothing was changed by asking");

    place.weir.run(&["groups", "set-assignor", "g", "first@1"]).ok();
    let sorted = |group: &Value| {
        let mut shares = shares(group);
        shares.sort_unstable();
        shares
    };
    let group = place.wait_for_group("g", |group| sorted(group) == [0, 6]);
    assert_eq!(group["assignor"], "first@1");

    place.weir.run(&["plugins", "delete", "first@1"]).ok();
    let three = place.member("g", &[]);
    let group = place.wait_for_group("g", |group| sorted(group) == [2, 2, 2]);
    assert_eq!((&group["assignor"], &group["assigned_by"]), (&"first@1".into(), &"range".into()));
    for member in [one, two, three] {
        politely(member);
    }
}
