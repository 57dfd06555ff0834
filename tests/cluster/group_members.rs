//! Members of groups that are killed, frozen, stopped and started, and coordinators that are killed: as real processes.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use weir_tests::process::{Running, Signal};
use weir_wire::placement;

use super::Place;
use super::group_support::{describe, lag, member, memberships, numbers, produce, shares, wait_for_group};
use super::three_nodes::{Cluster, create_on_all, leader, partition};

const PARTITIONS: usize = 6;

/// The numbers that a member has printed in whole lines: one that was killed may have been in the middle of another.
fn printed(member: &Running) -> BTreeSet<u32> {
    let text = member.stdout().text();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    numbers(whole).into_iter().collect()
}

fn place() -> Place {
    let place = Place::new();
    place.create("t", &["--partitions", &PARTITIONS.to_string()]);
    place
}

/// The partitions of the member with this instance id.
fn partitions_of(group: &Value, instance: &str) -> Value {
    let members = group["members"].as_array().unwrap();
    let found = members.iter().find(|member| member["instance"] == instance);
    found.map_or(Value::Null, |member| member["partitions"].clone())
}

#[test]
fn what_killed_and_frozen_members_had_goes_to_others_and_a_thawed_one_prints_nothing_of_it() {
    let place = place();
    let [killed, frozen, left] = [(); 3].map(|()| member(&place.weir, "g", &[]));
    wait_for_group(&place.weir, "g", "three share", |group| shares(group) == [2, 2, 2]);
    produce(&place.weir, 0..300);
    wait_for_group(&place.weir, "g", "all is read", |group| lag(group) == 0);
    killed.signal(Signal::Kill);
    frozen.signal(Signal::Stop);
    produce(&place.weir, 300..600);
    wait_for_group(&place.weir, "g", "one has all", |group| shares(group) == [PARTITIONS] && lag(group) == 0);
    let taken_over: BTreeSet<u32> = (300..600).collect();
    assert!(printed(&left).is_superset(&taken_over), "the one that is left read what came meanwhile");

    frozen.signal(Signal::Continue);
    wait_for_group(&place.weir, "g", "it is back", |group| shares(group) == [3, 3]);
    produce(&place.weir, 600..900);
    wait_for_group(&place.weir, "g", "all is read again", |group| lag(group) == 0);
    [&frozen, &left].iter().for_each(|member| member.signal(Signal::Term));
    let [frozen, left] = [frozen, left].map(|member| numbers(&member.finish().ok().text()));
    let frozen: BTreeSet<u32> = frozen.into_iter().collect();
    assert!(frozen.is_disjoint(&taken_over), "its session was over: {:?}", &frozen & &taken_over);
    let news = frozen.iter().chain(&left).filter(|number| **number >= 600);
    let news: Vec<u32> = news.copied().collect();
    assert_eq!(news.len(), 300, "each once");
    assert_eq!(news.into_iter().collect::<BTreeSet<_>>(), (600..900).collect());
}

#[test]
fn a_member_with_an_instance_id_that_is_restarted_has_what_it_had_and_nobody_notices() {
    let place = place();
    let instance = |name: &str| member(&place.weir, "g", &["--instance", name]);
    let [one, two] = ["one", "two"].map(instance);
    let before = wait_for_group(&place.weir, "g", "two share", |group| shares(group) == [3, 3]);
    // Another one of that name has to wait for it, and says so.
    let again = instance("one");
    again.wait_for_stderr("another member with group.instance.id 'one' is alive");
    assert_eq!(memberships(&describe(&place.weir, "g")), memberships(&before));

    one.signal(Signal::Term);
    one.finish().ok();
    let after = wait_for_group(&place.weir, "g", "it is back", |group| {
        shares(group) == [3, 3] && memberships(group) != memberships(&before)
    });
    assert_eq!(partitions_of(&after, "one"), partitions_of(&before, "one"));
    assert_eq!(after["epoch"], before["epoch"], "no new target was made");
    let still = memberships(&after).intersection(&memberships(&before)).count();
    assert_eq!(still, 1, "the other one did not notice: {after}");
    produce(&place.weir, 0..100);
    wait_for_group(&place.weir, "g", "all is read", |group| lag(group) == 0);
    [&again, &two].iter().for_each(|member| member.signal(Signal::Term));
    let read = [again, two].map(|member| numbers(&member.finish().ok().text())).concat();
    assert_eq!(read.len(), 100);
}

#[test]
fn a_coordinator_that_is_killed_takes_no_assignment_and_no_offset_along() {
    let mut cluster = Cluster::new();
    let client = cluster.client_of_all();
    create_on_all(&client, "t");
    client.run(&["topics", "alter", "t", "--partitions", &PARTITIONS.to_string()]).ok();
    let members = [(); 3].map(|()| member(&client, "g", &[]));
    wait_for_group(&client, "g", "three share", |group| shares(group) == [2, 2, 2]);
    produce(&client, 0..300);
    let before = wait_for_group(&client, "g", "all is read", |group| lag(group) == 0);
    let of_group = placement::coordinator_of("g", weir_wire::group_log::PARTITIONS);
    let coordinator =
        leader(&partition(&client, weir_wire::group_log::TOPIC, usize::try_from(of_group.0).unwrap()));
    for round in 1..3 {
        cluster.nodes[coordinator].kill();
        produce(&client, round * 300..(round + 1) * 300);
        let after = wait_for_group(&client, "g", "all is read", |group| lag(group) == 0);
        assert_eq!(memberships(&after), memberships(&before), "nobody noticed");
        assert_eq!(after["epoch"], before["epoch"]);
        cluster.nodes[coordinator].start();
    }
    let mut times: BTreeMap<u32, u32> = BTreeMap::new();
    for member in members {
        member.signal(Signal::Term);
        let finished = member.finish().ok();
        assert!(!finished.stderr.contains("lost"), "{finished}");
        for number in numbers(&finished.text()) {
            *times.entry(number).or_default() += 1;
        }
    }
    assert_eq!(times.keys().copied().collect::<Vec<_>>(), (0..900).collect::<Vec<_>>());
    assert!(times.values().all(|times| *times == 1), "nobody read what another had read");
}

/// `__consumer_offsets` has as many replicas as there were nodes when the first group was made, until an operator gives it
/// more.
#[test]
fn a_group_that_began_on_one_node_outlives_it_once_its_log_has_replicas() {
    let mut cluster = Cluster::grown_from_one(|weir| {
        weir.run(&["topics", "create", "t", "--partitions", "1"]).ok();
        produce(weir, 0..100);
        member(weir, "g", &["--until-end"]).finish().ok();
    });
    let client = cluster.client_of_all();
    assert_eq!(cluster.voters(&[0, 1, 2]), 3);
    let of_group = placement::coordinator_of("g", weir_wire::group_log::PARTITIONS).to_string();
    let alone = partition(&client, weir_wire::group_log::TOPIC, of_group.parse().unwrap());
    assert_eq!(alone["replicas"], serde_json::json!([1]), "nothing adds replicas by itself");
    for (topic, partition) in [("t", "0"), (weir_wire::group_log::TOPIC, &of_group)] {
        let place = ["--topic", topic, "--partition", partition, "--replicas", "1,2,3", "--wait"];
        client.run(&[&["cluster", "reassign"], &place[..]].concat()).ok();
    }
    cluster.nodes[0].kill();
    produce(&client, 100..200);
    let group = describe(&client, "g");
    assert_eq!(group["partitions"][0]["committed_offset"], 100, "{group}");
    let read = numbers(&member(&client, "g", &["--until-end"]).finish().ok().text());
    assert_eq!(read, (100..200).collect::<Vec<_>>(), "it goes on where it was");
}
