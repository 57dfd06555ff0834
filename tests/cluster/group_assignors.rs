//! Assignors of a group: pushed ones that fail, and the cluster's own choice, swapped while members read.

use std::time::Instant;

use serde_json::{Value, json};
use weir_tests::process::{DEADLINE, Running, Signal, free_address};

use super::group_support::{describe, member, memberships, numbers, produce, shares, wait_for_group};
use super::upkeep::get;
use super::{Place, weir};

/// An assignor of this repository's guests. In a group it does what the name of the topic says; with another name, whole
/// topics go to the first member that wants them.
const HOSTILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/guests/hostile-assignor/hostile-assignor.wasm");

#[test]
fn an_assignor_that_fails_is_stood_in_for_and_the_operator_hears_why() {
    let (folder, listen) = (tempfile::tempdir().unwrap(), free_address());
    let flags = ["--metrics-listen", &listen.to_string()];
    let node = weir().node_with(&folder.path().join("data"), free_address(), &flags);
    let weir = node.client();
    weir.run(&["plugins", "push", HOSTILE, "--name", "hostile", "--version", "1"]).ok();
    let modes = [
        ("traps", "unreachable"),
        ("loops", "ran longer than the limit"),
        ("errs", "this group is beyond me"),
        ("assigns-twice", "twice"),
        ("assigns-nothing", "nobody"),
        ("invents-a-partition", "partition"),
    ];
    let readers = modes.map(|(mode, _)| {
        weir.run(&["topics", "create", mode, "--partitions", "2"]).ok();
        weir.run(&["groups", "set-assignor", mode, "hostile@1"]).ok();
        weir.spawn(&["consume", mode, "--group", mode, "--from-beginning", "-v"])
    });
    for (mode, why) in modes {
        let group = wait_for_group(&weir, mode, "range stands in", |group| shares(group) == [2]);
        assert_eq!((&group["assignor"], &group["assigned_by"]), (&json!("hostile@1"), &json!("range")));
        let failure = group["failure"].as_str().unwrap_or_else(|| panic!("no reason: {group}"));
        assert!(failure.contains(why) && !failure.is_empty(), "{mode}: {failure}");
        let shown = weir.run(&["groups", "describe", mode]).ok().text();
        let sentence = format!("hostile@1 failed ({failure}); range stood in for it");
        assert!(shown.contains(&sentence), "'{sentence}' is not in {shown}");
        let explained = weir.run(&["groups", "explain", mode, "--output", "json"]).ok().json();
        assert_eq!(explained["assignor"], "range", "{explained}");
        assert!(explained["failure"].as_str().is_some_and(|failure| failure.contains(why)), "{explained}");
        // Those who read are not held up.
        weir.run_with_input(&["produce", mode], b"a record\n").ok();
    }
    for reader in &readers {
        reader.wait_for_lines(1);
    }
    let page = get(listen, "/metrics");
    let failures = page.lines().find_map(|line| line.strip_prefix("weir_assignor_failures_total "));
    let failures: usize = failures.unwrap_or_else(|| panic!("no failures in {page}")).trim().parse().unwrap();
    assert!(failures >= modes.len(), "{failures} failures were counted");

    // It is asked anew with each change, and one that answers is believed again.
    weir.run(&["groups", "set-assignor", "traps", "roundrobin"]).ok();
    let group =
        wait_for_group(&weir, "traps", "roundrobin answers", |group| group["assigned_by"] == "roundrobin");
    assert_eq!(group["failure"], Value::Null, "{group}");
}

/// Swaps the assignor of every group that chose none.
fn choose(place: &Place, assignor: &str) {
    let config = format!("group.consumer.assignor={assignor}");
    place.weir.run(&["cluster", "configs", "--config", &config]).ok();
}

#[test]
fn the_assignor_of_the_cluster_is_swapped_while_members_read() {
    let place = Place::new();
    place.create("t", &["--partitions", "6"]);
    let members = [(); 3].map(|()| member(&place.weir, "g", &[]));
    let chose = member(&place.weir, "chose", &[]);
    place.weir.run(&["groups", "set-assignor", "chose", "roundrobin"]).ok();
    wait_for_group(&place.weir, "g", "three share", |group| shares(group) == [2, 2, 2]);
    let other = wait_for_group(&place.weir, "chose", "one has all", |group| shares(group) == [6]);
    produce(&place.weir, 0..300);

    choose(&place, "range");
    let group = wait_for_group(&place.weir, "g", "range assigns", |group| {
        group["assigned_by"] == "range" && shares(group) == [2, 2, 2]
    });
    assert_eq!(group["assignor"], "range");
    for member in group["members"].as_array().unwrap() {
        let indexes =
            member["partitions"].as_array().unwrap().iter().map(|one| one["partition"].as_u64().unwrap());
        let indexes: Vec<u64> = indexes.collect();
        assert_eq!(indexes[0] + 1, indexes[1], "a run of partitions: {member}");
    }
    produce(&place.weir, 300..600);

    place.weir.run(&["plugins", "push", HOSTILE, "--name", "first", "--version", "1"]).ok();
    choose(&place, "first@1");
    let group = wait_for_group(&place.weir, "g", "the first one has all", |group| {
        group["assigned_by"] == "first@1" && shares(group) == [0, 0, 6]
    });
    assert_eq!(group["assignor"], "first@1");
    produce(&place.weir, 600..900);
    let after = describe(&place.weir, "chose");
    assert_eq!(
        (memberships(&after), &after["epoch"]),
        (memberships(&other), &other["epoch"]),
        "it chose itself"
    );

    let printed = |members: &[Running]| {
        members.iter().map(|member| member.stdout().text().lines().count()).sum::<usize>()
    };
    let deadline = Instant::now() + DEADLINE;
    while printed(&members) < 900 {
        assert!(Instant::now() < deadline, "{} of 900 were read", printed(&members));
        describe(&place.weir, "g");
    }
    let mut all = members
        .into_iter()
        .flat_map(|member| {
            member.signal(Signal::Term);
            numbers(&member.finish().ok().text())
        })
        .collect::<Vec<_>>();
    all.sort_unstable();
    assert_eq!(all, (0..900).collect::<Vec<_>>(), "each once: nobody read what another had read");
    chose.signal(Signal::Term);
    chose.finish().ok();
}
