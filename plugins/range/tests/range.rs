//! Kafka's worked examples, its skew, and racks.

use weir_plugin::testing::{Group, golden};
use weir_plugin_range::Range;

fn assigned(group: &Group) -> String {
    group.assign::<Range>().expect("the plugin answers").to_string()
}

/// As many topics with as many partitions, and as many members who subscribe to all of them.
fn even(topics: usize, partitions: u32, members: usize) -> Group {
    let names: Vec<_> = (0..topics).map(|topic| format!("t{topic:02}")).collect();
    let counted: Vec<_> = names.iter().map(|name| (name.as_str(), partitions)).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let join = |group: Group, member| group.member(&format!("C{member}"), &names);
    (0..members).fold(Group::of(&counted), join)
}

#[test]
fn two_topics_for_two_members() {
    assert_eq!(assigned(&even(2, 3, 2)), "C0: t00p0 t00p1 t01p0 t01p1\nC1: t00p2 t01p2\n");
}

#[test]
fn the_first_members_carry_the_rest_of_every_topic() {
    let sizes =
        |topics, partitions, members| even(topics, partitions, members).assign::<Range>().unwrap().sizes();
    assert_eq!(sizes(10, 3, 2), [20, 10]);
    assert_eq!(sizes(12, 1, 4), [12, 0, 0, 0]);
    assert_eq!(sizes(20, 10, 3), [80, 60, 60]);
    assert_eq!(sizes(1, 2, 3), [1, 1, 0]);
}

#[test]
fn equal_partitions_of_equal_topics_meet() {
    let assigned = even(3, 7, 3).assign::<Range>().unwrap();
    for topics in assigned.0.values() {
        assert!(topics.values().all(|partitions| *partitions == topics["t00"]), "{topics:?}");
    }
}

#[test]
fn unequal_counts_are_shared_out_each_on_its_own() {
    let group = Group::of(&[("a", 1), ("b", 5), ("c", 2)]);
    let group = group.member("C0", &["a", "b", "c"]).member("C1", &["a", "b", "c"]);
    assert_eq!(assigned(&group), "C0: ap0 bp0 bp1 bp2 cp0\nC1: bp3 bp4 cp1\n");
}

#[test]
fn only_subscribers_share_a_topic() {
    let group = Group::of(&[("t0", 3), ("t1", 4), ("t2", 2)]);
    let group = group.member("C0", &["t0"]).member("C1", &["t0", "t1"]).member("C2", &["t1", "t2"]);
    assert_eq!(assigned(&group), "C0: t0p0 t0p1\nC1: t0p2 t1p0 t1p1\nC2: t1p2 t1p3 t2p0 t2p1\n");
}

#[test]
fn static_members_stand_first_and_keep_their_place() {
    let group = Group::of(&[("t", 3)]).member("a", &["t"]);
    let before = group.clone().static_member("z-1", "stable", &["t"]);
    assert_eq!(assigned(&before), "a: tp2\nz-1: tp0 tp1\n");
    let after = group.static_member("0-restarted", "stable", &["t"]);
    assert_eq!(assigned(&after), "0-restarted: tp0 tp1\na: tp2\n");
}

#[test]
fn partitions_go_to_members_in_their_rack() {
    let group = Group::of(&[("t", 4)]).racks("t", &[&["r2"], &["r1"], &["r2"], &["r1"]]);
    let group = group.member_in("C0", "r1", &["t"]).member_in("C1", "r2", &["t"]);
    assert_eq!(assigned(&group), "C0: tp1 tp3\nC1: tp0 tp2\n");
}

#[test]
fn shares_are_as_large_as_without_racks() {
    let group = Group::of(&[("t", 4)]).racks("t", &[&["r1"], &["r1"], &["r1"], &["r2"]]);
    let group = group.member_in("C0", "r1", &["t"]).member_in("C1", "r3", &["t"]);
    assert_eq!(assigned(&group), "C0: tp0 tp1\nC1: tp2 tp3\n");
}

#[test]
fn racks_that_are_the_same_everywhere_change_nothing() {
    let group = Group::of(&[("t", 3)]).racks("t", &[&["r1", "r2"], &["r1", "r2"], &["r1", "r2"]]);
    let group = group.member_in("C0", "r2", &["t"]).member_in("C1", "r1", &["t"]);
    assert_eq!(assigned(&group), "C0: tp0 tp1\nC1: tp2\n");
}

#[test]
fn topics_that_are_shared_out_alike_stay_together_in_racks_too() {
    let racks: [&[&str]; 3] = [&["r2"], &["r1"], &["r1"]];
    let other: [&[&str]; 3] = [&["r2"], &["r1"], &["r2"]];
    let group = Group::of(&[("a", 3), ("b", 3)]).racks("a", &racks).racks("b", &other);
    let group = group.member_in("C0", "r1", &["a", "b"]).member_in("C1", "r2", &["a", "b"]);
    // Nobody is near to partition 2 of both, so it is shared out by the ranges of each, which are alike again.
    assert_eq!(assigned(&group), "C0: ap1 ap2 bp1 bp2\nC1: ap0 bp0\n");
}

/// Groups of every shape: the harness checks that each partition is given once, to a subscriber, and that the
/// answer is the same again.
#[test]
fn every_group_gets_a_whole_answer() {
    let mut random = fastrand::Rng::with_seed(5);
    let topics = ["a", "b", "c", "d"];
    for _ in 0..500 {
        let counted: Vec<_> = topics.iter().map(|topic| (*topic, random.u32(..7))).collect();
        let mut group = Group::of(&counted);
        for (topic, partitions) in &counted {
            let racks: Vec<&[&str]> = (0..*partitions)
                .map(|_| random.choice([&["r1"][..], &["r2"], &["r1", "r3"]]).unwrap())
                .collect();
            group = group.racks(topic, &racks);
        }
        for member in 0..random.usize(1..6) {
            let subscribed: Vec<_> = topics.into_iter().filter(|_| random.bool()).collect();
            let (id, rack) = (format!("C{member}"), random.choice(["r1", "r2", "r3", "r4"]).unwrap());
            group = if random.bool() {
                group.member(&id, &subscribed)
            } else {
                group.member_in(&id, rack, &subscribed)
            };
        }
        let _ = group.assign::<Range>().unwrap();
    }
}

#[test]
fn golden() {
    let answers = golden::assignor::<Range>(include_str!("../golden/groups.ndjson"));
    expect_test::expect_file!["../golden/groups.out"].assert_eq(&answers);
}
