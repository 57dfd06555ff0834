//! Who should read what: the question that an assignor is asked, the check of its answer, and the two rules that every
//! node knows by itself.
//!
//! An assignor is a pure function from members and topics to a target. Both rules here give what Kafka's assignors of
//! the same name give (`RangeAssignor`, `RoundRobinAssignor`); neither looks at what members have today.

use std::collections::{BTreeMap, BTreeSet};

use weir_wire::ids::{PartitionIndex, TopicId};
use weir_wire::request::TopicPartitions;

use super::messages::TopicPartition;

/// The assignor that answers when another one fails: it needs nothing from outside.
pub const FALLBACK: &str = "range";

/// What an assignor is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AssignInput {
    /// Every topic that somebody wants to read, by name.
    pub topics: Vec<AssignTopic>,
    /// Every member: those with an instance id by that id, then the others by their own.
    pub members: Vec<AssignMember>,
}

/// A topic to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignTopic {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: u32,
}

/// A member that wants to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignMember {
    /// Its id.
    pub id: String,
    /// Its `group.instance.id`.
    pub instance: Option<String>,
    /// Which topics it wants, all of them in the list above.
    pub subscribed: BTreeSet<TopicId>,
    /// What it should hold so far.
    pub holds: BTreeSet<TopicPartition>,
}

/// An assignor's answer: what each member should hold. Not to be believed before [`check`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Members, in any order; one that is not named gets nothing.
    pub members: Vec<(String, Vec<TopicPartitions>)>,
}

/// What each member should hold, every member named.
pub type Target = BTreeMap<String, BTreeSet<TopicPartition>>;

/// What is wrong with an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Nobody of that name was in the question.
    #[error("it gives partitions to '{member}', who is no member")]
    UnknownMember {
        /// Who.
        member: String,
    },
    /// No such partition was in the question.
    #[error("it gives away partition {partition} of topic {topic}, which does not exist")]
    UnknownPartition {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
    },
    /// The member does not want the topic.
    #[error("it gives a partition of '{topic}' to '{member}', who does not subscribe to it")]
    NotSubscribed {
        /// The topic's name.
        topic: String,
        /// Who.
        member: String,
    },
    /// Two members, or one twice.
    #[error("it gives partition {partition} of '{topic}' away twice")]
    Twice {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
    },
    /// Nobody.
    #[error("it gives partition {partition} of '{topic}' to nobody")]
    Missing {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
    },
}

/// Checks an answer against its question: each partition exactly once, each owner known and subscribed.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(input: &AssignInput, answer: &Assignment) -> Result<Target, AnswerError> {
    let topics: BTreeMap<TopicId, &AssignTopic> =
        input.topics.iter().map(|topic| (topic.id, topic)).collect();
    let members: BTreeMap<&str, &AssignMember> =
        input.members.iter().map(|member| (member.id.as_str(), member)).collect();
    let mut target = nobody(input);
    let mut given = BTreeSet::new();
    for (id, partitions) in &answer.members {
        let unknown = || AnswerError::UnknownMember { member: id.clone() };
        let member = members.get(id.as_str()).ok_or_else(unknown)?;
        let holds = target.entry(id.clone()).or_default();
        for (topic, partition) in TopicPartitions::each(partitions) {
            let shape = topics.get(&topic).filter(|shape| partition.0 < shape.partitions);
            let shape = shape.ok_or(AnswerError::UnknownPartition { topic, partition })?;
            if !member.subscribed.contains(&topic) {
                return Err(AnswerError::NotSubscribed { topic: shape.name.clone(), member: id.clone() });
            }
            if !given.insert((topic, partition)) {
                return Err(AnswerError::Twice { topic: shape.name.clone(), partition });
            }
            holds.insert((topic, partition));
        }
    }
    match input.partitions().find(|(topic, partition)| !given.contains(&(topic.id, *partition))) {
        Some((topic, partition)) => Err(AnswerError::Missing { topic: topic.name.clone(), partition }),
        None => Ok(target),
    }
}

impl AssignInput {
    /// Puts members and topics in the order that assignors count on.
    #[must_use]
    pub fn ordered(mut self) -> AssignInput {
        self.topics.sort_by(|a, b| a.name.cmp(&b.name));
        self.members.sort_by(|a, b| {
            let key = |m: &AssignMember| (m.instance.is_none(), m.instance.clone(), m.id.clone());
            key(a).cmp(&key(b))
        });
        self
    }

    /// Every partition, by topic name and index.
    fn partitions(&self) -> impl Iterator<Item = (&AssignTopic, PartitionIndex)> {
        self.topics
            .iter()
            .flat_map(|topic| (0..topic.partitions).map(move |index| (topic, PartitionIndex(index))))
    }
}

/// Kafka's range: per topic, on its own, each subscriber gets one run of partitions; the first ones get one more each
/// if the count does not divide. Equal counts and subscriptions put partition n of every topic on one member.
#[must_use]
pub fn range(input: &AssignInput) -> Target {
    let mut target = nobody(input);
    for topic in &input.topics {
        let subscribers: Vec<_> =
            input.members.iter().filter(|member| member.subscribed.contains(&topic.id)).collect();
        let count = u32::try_from(subscribers.len()).unwrap_or(u32::MAX);
        if count == 0 {
            continue;
        }
        let (each, more) = (topic.partitions / count, topic.partitions % count);
        let mut next = 0;
        for (position, member) in (0..count).zip(subscribers) {
            let end = next + each + u32::from(position < more);
            let run = (next..end).map(|index| (topic.id, PartitionIndex(index)));
            target.entry(member.id.clone()).or_default().extend(run);
            next = end;
        }
    }
    target
}

/// Kafka's round robin: all partitions of all topics in order, dealt out to the members in a circle that goes on from
/// topic to topic; who does not subscribe is passed over.
#[must_use]
pub fn roundrobin(input: &AssignInput) -> Target {
    let mut target = nobody(input);
    let mut turn = 0;
    for (topic, partition) in input.partitions() {
        let subscriber = (0..input.members.len())
            .map(|step| (turn + step) % input.members.len())
            .find(|at| input.members[*at].subscribed.contains(&topic.id));
        if let Some(at) = subscriber {
            target.entry(input.members[at].id.clone()).or_default().insert((topic.id, partition));
            turn = (at + 1) % input.members.len();
        }
    }
    target
}

fn nobody(input: &AssignInput) -> Target {
    input.members.iter().map(|member| (member.id.clone(), BTreeSet::new())).collect()
}
