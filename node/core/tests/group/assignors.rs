//! The two rules that every node knows, against Kafka's documented examples, and the check of answers.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use expect_test::expect;
use weir_core::group::assignors::{self, AssignInput, AssignMember, AssignTopic, Target};
use weir_wire::ids::TopicId;

/// `topics`: partition counts of t0, t1...; `members`: for each, which of them it wants.
fn input(topics: &[u32], members: &[(&str, &[u8])]) -> AssignInput {
    let id = |number: u8| TopicId([number; 16]);
    let topics = (0..).zip(topics).map(|(number, partitions)| AssignTopic {
        id: id(number),
        name: format!("t{number}"),
        partitions: *partitions,
    });
    let members = members.iter().map(|(name, wants)| AssignMember {
        id: (*name).to_owned(),
        instance: None,
        subscribed: wants.iter().map(|number| id(*number)).collect(),
        holds: BTreeSet::new(),
    });
    AssignInput { topics: topics.collect(), members: members.collect() }.ordered()
}

fn show(target: &Target) -> String {
    let mut out = String::new();
    for (member, holds) in target {
        let holds: Vec<_> = holds.iter().map(|(topic, at)| format!("t{}p{at}", topic.0[0])).collect();
        writeln!(out, "{member}: {}", holds.join(" ")).unwrap();
    }
    out
}

#[test]
fn range_gives_runs_topic_by_topic() {
    let both = input(&[3, 3], &[("c0", &[0, 1]), ("c1", &[0, 1])]);
    expect![[r#"
        c0: t0p0 t0p1 t1p0 t1p1
        c1: t0p2 t1p2
    "#]]
    .assert_eq(&show(&assignors::range(&both)));
    // The first ones get the remainder of every topic.
    let skewed = assignors::range(&input(
        &[3; 10],
        &[("c0", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]), ("c1", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])],
    ));
    assert_eq!(skewed.values().map(BTreeSet::len).collect::<Vec<_>>(), [20, 10]);
    let uneven = input(&[7, 1], &[("c0", &[0]), ("c1", &[0, 1]), ("c2", &[0])]);
    expect![[r#"
        c0: t0p0 t0p1 t0p2
        c1: t0p3 t0p4 t1p0
        c2: t0p5 t0p6
    "#]]
    .assert_eq(&show(&assignors::range(&uneven)));
}

#[test]
fn roundrobin_goes_on_from_topic_to_topic() {
    let both = input(&[3, 3], &[("c0", &[0, 1]), ("c1", &[0, 1])]);
    expect![[r#"
        c0: t0p0 t0p2 t1p1
        c1: t0p1 t1p0 t1p2
    "#]]
    .assert_eq(&show(&assignors::roundrobin(&both)));
    let mixed = input(&[1, 2, 3], &[("c0", &[0]), ("c1", &[0, 1]), ("c2", &[0, 1, 2])]);
    expect![[r#"
        c0: t0p0
        c1: t1p0
        c2: t1p1 t2p0 t2p1 t2p2
    "#]]
    .assert_eq(&show(&assignors::roundrobin(&mixed)));
}

#[test]
fn members_with_an_instance_id_come_first() {
    let mut question = input(&[2], &[("c0", &[0]), ("c1", &[0])]);
    question.members[1].instance = Some("z".to_owned());
    expect![[r#"
        c0: t0p1
        c1: t0p0
    "#]]
    .assert_eq(&show(&assignors::range(&question.ordered())));
}

/// Whatever the question, both rules answer it completely.
#[test]
fn both_rules_pass_the_check() {
    let mut random = crate::random::Random::new(1);
    for _ in 0..2_000 {
        let topics: Vec<u32> =
            (0..random.below(5)).map(|_| u32::try_from(1 + random.below(9)).unwrap()).collect();
        let names = ["a", "b", "c", "d", "e"];
        let wants: Vec<Vec<u8>> = names
            .iter()
            .map(|_| (0..u8::try_from(topics.len()).unwrap()).filter(|_| random.percent(60)).collect())
            .collect();
        let mut members: Vec<(&str, &[u8])> =
            names.iter().copied().zip(wants.iter().map(Vec::as_slice)).collect();
        members.truncate(1 + random.below(5));
        let mut question = input(&topics, &members);
        // Only topics that somebody wants are asked about.
        question
            .topics
            .retain(|topic| question.members.iter().any(|member| member.subscribed.contains(&topic.id)));
        for target in [assignors::range(&question), assignors::roundrobin(&question)] {
            let members = target.clone().into_iter();
            let answer = assignors::Assignment {
                members: members
                    .map(|(member, holds)| (member, weir_wire::request::TopicPartitions::gather(holds)))
                    .collect(),
            };
            assert_eq!(assignors::check(&question, &answer), Ok(target));
        }
    }
}
