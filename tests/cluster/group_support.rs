//! What the tests of groups share: lines that count, members that print them, and looking at a group.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::time::Instant;

use serde_json::Value;
use weir_tests::process::{DEADLINE, Running, Weir};

/// Numbered lines, keyed so that they go to all partitions.
pub(crate) fn lines(range: std::ops::Range<u32>) -> String {
    range.fold(String::new(), |mut text, number| {
        writeln!(text, "key-{number}:{number}").unwrap();
        text
    })
}

/// The numbers that a member printed, in order.
pub(crate) fn numbers(text: &str) -> Vec<u32> {
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// A member of a group that reads topic `t`.
pub(crate) fn member(weir: &Weir, group: &str, flags: &[&str]) -> Running {
    weir.spawn(&[&["consume", "t", "--group", group, "--from-beginning", "-v"], flags].concat())
}

pub(crate) fn produce(weir: &Weir, range: std::ops::Range<u32>) {
    weir.run_with_input(&["produce", "t", "--key-separator", ":"], lines(range).as_bytes()).ok();
}

pub(crate) fn describe(weir: &Weir, group: &str) -> Value {
    weir.run(&["groups", "describe", group, "--output", "json"]).ok().json()
}

/// Asks again until the group is as wanted.
pub(crate) fn wait_for_group(weir: &Weir, group: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let finished = weir.run(&["groups", "describe", group, "--output", "json"]);
        let late = Instant::now() > deadline;
        assert!(!late, "group {group} is not as wanted ({what}): {finished}");
        if finished.status.success() && is_so(&finished.json()) {
            return finished.json();
        }
    }
}

/// How many partitions each member has, in order, when nobody waits for any.
pub(crate) fn shares(group: &Value) -> Vec<usize> {
    if group["state"] != "stable" {
        return Vec::new();
    }
    let members = group["members"].as_array().unwrap();
    let mut shares: Vec<usize> =
        members.iter().map(|member| member["partitions"].as_array().unwrap().len()).collect();
    shares.sort_unstable();
    shares
}

/// Who reads what, as long as it stays the same: ids, epochs, partitions.
pub(crate) fn memberships(group: &Value) -> BTreeSet<String> {
    let members = group["members"].as_array().unwrap();
    let shown = |member: &Value| format!("{} {} {}", member["id"], member["epoch"], member["partitions"]);
    members.iter().map(shown).collect()
}

/// How many records nobody has committed yet.
pub(crate) fn lag(group: &Value) -> u64 {
    let lags = group["partitions"].as_array().unwrap().iter().map(|one| one["lag"].as_u64());
    // Where nothing was committed yet nobody knows.
    lags.fold(0, |sum: u64, lag| sum.saturating_add(lag.unwrap_or(u64::MAX)))
}
