//! Equal numbers meet, shares are even, and little moves.

use weir_example_assignor::Colocated;
use weir_plugin::testing::{Assigned, Group};

const BOTH: [&str; 2] = ["orders", "payments"];

fn assigned(group: &Group) -> Assigned {
    group.assign::<Colocated>().expect("the plugin answers")
}

/// The group in which every member owns what it was assigned.
fn settled(group: Group) -> Group {
    let settle = |group: Group, (id, topics): (String, std::collections::BTreeMap<String, Vec<u32>>)| {
        topics.iter().fold(group, |group, (topic, partitions)| group.owns(&id, topic, partitions))
    };
    assigned(&group).0.into_iter().fold(group, settle)
}

#[test]
fn equal_numbers_of_several_topics_meet() {
    let group = Group::of(&[("orders", 3), ("payments", 3)]).member("A", &BOTH).member("B", &BOTH);
    assert_eq!(
        assigned(&group).to_string(),
        "A: ordersp0 ordersp2 paymentsp0 paymentsp2\nB: ordersp1 paymentsp1\n"
    );
}

#[test]
fn they_meet_where_one_topic_has_more_partitions() {
    let group = Group::of(&[("orders", 2), ("payments", 5)]).member("A", &BOTH).member("B", &BOTH);
    assert_eq!(
        assigned(&group).to_string(),
        "A: ordersp0 paymentsp0 paymentsp2 paymentsp4\nB: ordersp1 paymentsp1 paymentsp3\n"
    );
}

#[test]
fn only_subscribers_get_something() {
    let group = Group::of(&[("logs", 2), ("orders", 2), ("payments", 2)]);
    let group = group.member("A", &BOTH).member("B", &["logs", "orders", "payments"]);
    assert_eq!(
        assigned(&group).to_string(),
        "A: ordersp0 paymentsp0\nB: logsp0 logsp1 ordersp1 paymentsp1\n"
    );
}

#[test]
fn a_member_that_comes_takes_what_it_needs_and_no_more() {
    let two = Group::of(&[("orders", 6), ("payments", 6)]).member("B", &BOTH).member("C", &BOTH);
    let three = settled(two).member("A", &BOTH);
    // B had 0, 2, 4 and C 1, 3, 5: each gives up one.
    let now = assigned(&three);
    assert_eq!(now.0["B"]["orders"], [0, 2]);
    assert_eq!(now.0["C"]["orders"], [1, 3]);
    assert_eq!(now.0["A"]["orders"], [4, 5]);
    assert_eq!(now.0["A"]["payments"], [4, 5]);
}

#[test]
fn what_a_member_leaves_behind_is_all_that_moves() {
    let three = Group::of(&[("orders", 6), ("payments", 6)]);
    let three = settled(three.member("A", &BOTH).member("B", &BOTH).member("C", &BOTH));
    let now = assigned(&three.without("A"));
    assert_eq!(now.0["B"]["payments"], [0, 1, 4]);
    assert_eq!(now.0["C"]["payments"], [2, 3, 5]);
}

/// Groups of every shape: the harness checks that each partition is given once, to a subscriber, and that the answer is
/// the same again.
#[test]
fn numbers_meet_and_shares_are_even_whatever_was_before() {
    let mut random = fastrand::Rng::with_seed(11);
    for round in 0..500 {
        let counts: Vec<u32> = BOTH.iter().map(|_| random.u32(1..9)).collect();
        let mut group = Group::of(&[(BOTH[0], counts[0]), (BOTH[1], counts[1])]);
        let members = random.usize(1..6);
        for member in 0..members {
            group = group.member(&format!("C{member}"), &BOTH);
        }
        for _ in 0..random.usize(0..4) {
            group = group.owns(
                &format!("C{}", random.usize(..members)),
                BOTH[random.usize(..2)],
                &[random.u32(..counts.iter().copied().min().unwrap())],
            );
        }
        let answer = assigned(&group);
        let numbers = |id: &str, topic: &str| answer.0[id].get(topic).cloned().unwrap_or_default();
        let mut sizes = Vec::new();
        for id in answer.0.keys() {
            let [orders, payments] = BOTH.map(|topic| numbers(id, topic));
            let (longer, shorter, count) = if counts[0] > counts[1] {
                (orders, payments, counts[1])
            } else {
                (payments, orders, counts[0])
            };
            let common: Vec<u32> = longer.iter().copied().filter(|number| *number < count).collect();
            assert_eq!(common, shorter, "round {round}: {group:?}\n{answer}");
            sizes.push(longer.len());
        }
        let spread = sizes.iter().max().unwrap() - sizes.iter().min().unwrap();
        assert!(spread <= 1, "round {round}: {group:?}\n{answer}");
    }
}
