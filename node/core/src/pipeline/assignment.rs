//! Who reads what: what an assignor is asked, and whether its answer may be used.

use std::collections::BTreeSet;

/// A topic that somebody subscribes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
    /// The racks of the nodes that hold each partition, sorted; empty where nodes have none.
    pub racks: Vec<Vec<String>>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its own name.
    pub member_id: String,
    /// The lasting name of a static member.
    pub instance_id: Option<String>,
    /// Where it runs.
    pub rack: Option<String>,
    /// What it subscribes to: indexes into the topics, rising.
    pub topics: Vec<u32>,
    /// What it owns now.
    pub owned: Vec<TopicPartitions>,
}

/// Partitions of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartitions {
    /// The topic, by index.
    pub topic: u32,
    /// The partitions, rising.
    pub partitions: Vec<u32>,
}

/// Why an assignment is not used. Each sentence goes behind "the assignment is wrong:".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAssignment {
    /// Not one entry per member.
    #[error("it has {answered} entries for {members} members")]
    Members {
        /// How many entries.
        answered: usize,
        /// How many members.
        members: usize,
    },
    /// A topic that is not there.
    #[error("member '{member}' is given topic number {topic}, but there are topics 0 to {last}", last = .topics.saturating_sub(1))]
    NoSuchTopic {
        /// Who got it.
        member: String,
        /// Which.
        topic: u32,
        /// How many there are.
        topics: usize,
    },
    /// A topic that the member did not ask for.
    #[error("member '{member}' is given partitions of topic '{topic}', which it does not subscribe to")]
    NotSubscribed {
        /// Who got it.
        member: String,
        /// Which.
        topic: String,
    },
    /// A partition that is not there.
    #[error("member '{member}' is given partition {partition} of topic '{topic}', which has partitions 0 to {last}", last = .partitions.saturating_sub(1))]
    NoSuchPartition {
        /// Who got it.
        member: String,
        /// Of which topic.
        topic: String,
        /// Which.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// A partition that two get, or one gets twice.
    #[error("partition {partition} of topic '{topic}' is given to '{member}', but has been given already")]
    Twice {
        /// Who got it the second time.
        member: String,
        /// Of which topic.
        topic: String,
        /// Which.
        partition: u32,
    },
    /// A partition that nobody gets.
    #[error("partition {partition} of topic '{topic}' is given to nobody")]
    Missing {
        /// Of which topic.
        topic: String,
        /// Which.
        partition: u32,
    },
}

/// Checks that an answer gives each partition of each topic that somebody subscribes to to exactly one member, and
/// to one that subscribes to it.
///
/// # Errors
/// The first rule that it breaks.
pub fn check(
    members: &[Member],
    topics: &[Topic],
    answer: &[Vec<TopicPartitions>],
) -> Result<(), BadAssignment> {
    if answer.len() != members.len() {
        return Err(BadAssignment::Members { answered: answer.len(), members: members.len() });
    }
    let mut given: BTreeSet<(u32, u32)> = BTreeSet::new();
    for (member, shares) in members.iter().zip(answer) {
        for share in shares {
            let name = || member.member_id.clone();
            let Some(topic) = topics.get(share.topic as usize) else {
                let topics = topics.len();
                return Err(BadAssignment::NoSuchTopic { member: name(), topic: share.topic, topics });
            };
            if !member.topics.contains(&share.topic) {
                return Err(BadAssignment::NotSubscribed { member: name(), topic: topic.name.clone() });
            }
            for partition in share.partitions.iter().copied() {
                let of_topic = topic.name.clone();
                if partition >= topic.partitions {
                    return Err(BadAssignment::NoSuchPartition {
                        member: name(),
                        topic: of_topic,
                        partition,
                        partitions: topic.partitions,
                    });
                }
                if !given.insert((share.topic, partition)) {
                    return Err(BadAssignment::Twice { member: name(), topic: of_topic, partition });
                }
            }
        }
    }
    let subscribed: BTreeSet<u32> = members.iter().flat_map(|member| member.topics.iter().copied()).collect();
    for index in subscribed {
        let Some(topic) = topics.get(index as usize) else { continue };
        let missing = (0..topic.partitions).find(|partition| !given.contains(&(index, *partition)));
        if let Some(partition) = missing {
            return Err(BadAssignment::Missing { topic: topic.name.clone(), partition });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::*;

    fn topic(name: &str, partitions: u32) -> Topic {
        Topic { name: name.to_owned(), partitions, racks: Vec::new() }
    }

    fn member(name: &str, topics: &[u32]) -> Member {
        Member {
            member_id: name.to_owned(),
            instance_id: None,
            rack: None,
            topics: topics.to_vec(),
            owned: Vec::new(),
        }
    }

    /// `0: 0 1, 1: 2` is partitions 0 and 1 of topic 0 and partition 2 of topic 1; members stand behind each other
    /// with `|` between them.
    fn answer(text: &str) -> Vec<Vec<TopicPartitions>> {
        let share = |text: &str| {
            let (topic, partitions) = text.split_once(':').expect("topic: partitions");
            let partitions = partitions.split_whitespace().map(|number| number.parse().unwrap()).collect();
            TopicPartitions { topic: topic.trim().parse().unwrap(), partitions }
        };
        let member = |text: &str| text.split(',').filter(|text| !text.trim().is_empty()).map(share).collect();
        text.split('|').map(member).collect()
    }

    #[test]
    fn answers_that_may_be_used_and_answers_that_may_not() {
        let topics = [topic("a", 2), topic("b", 3), topic("nobody", 9)];
        let members = [member("m0", &[0, 1]), member("m1", &[1])];
        let mut table = String::new();
        for text in [
            "0: 0 1, 1: 0 | 1: 1 2",
            "0: 0 1, 1: 0 1 2 |",
            "0: 0 1, 1: 0 1 2",
            "0: 0 1, 1: 0 1 | 1: 1 2",
            "0: 0 1 1, 1: 0 1 2 |",
            "0: 0, 1: 0 1 2 |",
            "0: 0 1, 1: 0 2 |",
            "1: 0 1 2 | 0: 0 1",
            "0: 0 1, 1: 0 1 2, 2: 0 |",
            "0: 0 1 2, 1: 0 1 2 |",
            "0: 0 1, 1: 0 1 2 | 3: 0",
        ] {
            let said = check(&members, &topics, &answer(text))
                .map_or_else(|bad| bad.to_string(), |()| "ok".to_owned());
            table += &format!("{text:<28} {said}\n");
        }
        expect![[r#"
            0: 0 1, 1: 0 | 1: 1 2        ok
            0: 0 1, 1: 0 1 2 |           ok
            0: 0 1, 1: 0 1 2             it has 1 entries for 2 members
            0: 0 1, 1: 0 1 | 1: 1 2      partition 1 of topic 'b' is given to 'm1', but has been given already
            0: 0 1 1, 1: 0 1 2 |         partition 1 of topic 'a' is given to 'm0', but has been given already
            0: 0, 1: 0 1 2 |             partition 1 of topic 'a' is given to nobody
            0: 0 1, 1: 0 2 |             partition 1 of topic 'b' is given to nobody
            1: 0 1 2 | 0: 0 1            member 'm1' is given partitions of topic 'a', which it does not subscribe to
            0: 0 1, 1: 0 1 2, 2: 0 |     member 'm0' is given partitions of topic 'nobody', which it does not subscribe to
            0: 0 1 2, 1: 0 1 2 |         member 'm0' is given partition 2 of topic 'a', which has partitions 0 to 1
            0: 0 1, 1: 0 1 2 | 3: 0      member 'm1' is given topic number 3, but there are topics 0 to 2
        "#]].assert_eq(&table);
    }

    proptest! {
        /// Any way to deal the partitions out is fine; taking one away, or giving one twice, is not.
        #[test]
        fn dealing_out_is_complete_and_any_slip_is_found(
            partitions in proptest::collection::vec(1_u32..5, 1..4),
            count in 1_usize..4,
            choices in proptest::collection::vec(0_usize..100, 16),
            slip in 0_usize..100,
        ) {
            let topics: Vec<_> = partitions.iter().map(|partitions| topic("t", *partitions)).collect();
            let all: Vec<u32> = (0..u32::try_from(topics.len()).unwrap()).collect();
            let members: Vec<_> = (0..count).map(|n| member(&n.to_string(), &all)).collect();
            let mut dealt = vec![Vec::new(); count];
            let places = (0_u32..).zip(&partitions).flat_map(|(topic, of)| (0..*of).map(move |p| (topic, p)));
            let places: Vec<_> = places.collect();
            for (choice, (topic, partition)) in choices.iter().cycle().zip(&places) {
                let share = TopicPartitions { topic: *topic, partitions: vec![*partition] };
                dealt[choice % count].push(share);
            }
            prop_assert_eq!(check(&members, &topics, &dealt), Ok(()));

            let (topic, partition) = places[slip % places.len()];
            let mut doubled = dealt.clone();
            doubled[slip % count].push(TopicPartitions { topic, partitions: vec![partition] });
            prop_assert!(matches!(check(&members, &topics, &doubled), Err(BadAssignment::Twice { .. })), "given twice");
            for shares in &mut dealt {
                shares.retain(|share| (share.topic, share.partitions[0]) != (topic, partition));
            }
            let is_missing = matches!(check(&members, &topics, &dealt), Err(BadAssignment::Missing { .. }));
            prop_assert!(is_missing, "given to nobody");
        }
    }
}
