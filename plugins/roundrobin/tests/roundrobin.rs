//! Kafka's worked examples, and how evenly it deals.

use weir_plugin::testing::{Group, golden};
use weir_plugin_roundrobin::RoundRobin;

fn assigned(group: &Group) -> String {
    group.assign::<RoundRobin>().expect("the plugin answers").to_string()
}

#[test]
fn the_turn_goes_on_from_topic_to_topic() {
    let group = Group::of(&[("t0", 3), ("t1", 3)]);
    let group = group.member("C0", &["t0", "t1"]).member("C1", &["t0", "t1"]);
    assert_eq!(assigned(&group), "C0: t0p0 t0p2 t1p1\nC1: t0p1 t1p0 t1p2\n");
}

#[test]
fn members_are_passed_over_for_topics_that_are_not_theirs() {
    let group = Group::of(&[("t0", 1), ("t1", 2), ("t2", 3)]);
    let group = group.member("C0", &["t0"]).member("C1", &["t0", "t1"]).member("C2", &["t0", "t1", "t2"]);
    assert_eq!(assigned(&group), "C0: t0p0\nC1: t1p0\nC2: t1p1 t2p0 t2p1 t2p2\n");
}

/// A client that merges the partition numbers of all topics into one set gives partitions that are not there.
#[test]
fn unequal_counts_are_dealt_out_exactly() {
    let group = Group::of(&[("a", 1), ("b", 5), ("c", 2)]);
    let group = group.member("C0", &["a", "b", "c"]).member("C1", &["a", "b", "c"]);
    assert_eq!(assigned(&group), "C0: ap0 bp1 bp3 cp0\nC1: bp0 bp2 bp4 cp1\n");
}

#[test]
fn equal_subscriptions_differ_by_one_at_most() {
    let names: Vec<_> = (0..20).map(|topic| format!("t{topic:02}")).collect();
    let counted: Vec<_> = names.iter().map(|name| (name.as_str(), 10)).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let join = |group: Group, member| group.member(&format!("C{member}"), &names);
    let group = (0..3).fold(Group::of(&counted), join);
    assert_eq!(group.assign::<RoundRobin>().unwrap().sizes(), [67, 67, 66]);
}

#[test]
fn static_members_stand_first_and_keep_their_place() {
    let group = Group::of(&[("t", 3)]).member("a", &["t"]);
    let before = group.clone().static_member("z-1", "stable", &["t"]);
    assert_eq!(assigned(&before), "a: tp1\nz-1: tp0 tp2\n");
    let after = group.static_member("0-restarted", "stable", &["t"]);
    assert_eq!(assigned(&after), "0-restarted: tp0 tp2\na: tp1\n");
}

/// Groups of every shape: the harness checks that each partition is given once, to a subscriber, and that the
/// answer is the same again.
#[test]
fn every_group_gets_a_whole_answer() {
    let mut random = fastrand::Rng::with_seed(6);
    let topics = ["a", "b", "c", "d"];
    for _ in 0..500 {
        let counted: Vec<_> = topics.iter().map(|topic| (*topic, random.u32(..7))).collect();
        let mut group = Group::of(&counted);
        for member in 0..random.usize(1..6) {
            let subscribed: Vec<_> = topics.into_iter().filter(|_| random.bool()).collect();
            group = group.member(&format!("C{member}"), &subscribed);
        }
        let _ = group.assign::<RoundRobin>().unwrap();
    }
}

#[test]
fn golden() {
    let answers = golden::assignor::<RoundRobin>(include_str!("../golden/groups.ndjson"));
    expect_test::expect_file!["../golden/groups.out"].assert_eq(&answers);
}
