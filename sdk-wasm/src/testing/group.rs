//! A consumer group for tests of assignors.

use std::collections::BTreeMap;
use std::fmt;

use super::binding::thrice;
use super::rules;
use crate::assignment::{Member, Topic, TopicPartitions};
use crate::context::Options;
use crate::error::Result;
use crate::hooks::Assignor;

/// Members and topics of a group, by name.
///
/// ```
/// use weir_plugin::{Assignment, Assignor, Error, Member, Options, Result, Topic, testing::Group};
///
/// /// Gives everything to the first member that subscribes.
/// struct First;
///
/// impl Assignor for First {
///     fn configure(_: &Options) -> Result<First> {
///         Ok(First)
///     }
///
///     fn assign(&mut self, members: &[Member], topics: &[Topic]) -> Result<Assignment> {
///         let mut assignment = Assignment::of(members.len());
///         for (index, topic) in (0..).zip(topics) {
///             let first = members.iter().position(|member| member.subscribes(index));
///             let first = first.ok_or_else(|| Error::new("nobody subscribes"))?;
///             (0..topic.partitions).for_each(|partition| assignment.give(first, index, partition));
///         }
///         Ok(assignment)
///     }
/// }
///
/// let group = Group::of(&[("t0", 2), ("t1", 1)]).member("b", &["t0", "t1"]).member("a", &["t1"]);
/// assert_eq!(group.assign::<First>()?.to_string(), "a: t1p0\nb: t0p0 t0p1\n");
/// # Ok::<(), weir_plugin::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Group {
    topics: BTreeMap<String, Topic>,
    members: BTreeMap<String, Joined>,
    options: Options,
}

/// A member, with topics by name.
#[derive(Clone, Debug)]
struct Joined {
    member: Member,
    subscribed: Vec<String>,
    owned: BTreeMap<String, Vec<u32>>,
}

impl Group {
    /// A group over topics with so many partitions each.
    #[must_use]
    pub fn of(topics: &[(&str, u32)]) -> Group {
        let topic = |(name, partitions): &(&str, u32)| {
            let topic = Topic { name: (*name).to_owned(), partitions: *partitions, racks: Vec::new() };
            ((*name).to_owned(), topic)
        };
        Group { topics: topics.iter().map(topic).collect(), ..Group::default() }
    }

    /// The group with these options.
    #[must_use]
    pub fn options(mut self, options: &[(&str, &str)]) -> Group {
        self.options = Options::from(options);
        self
    }

    /// The group with the racks of each partition of a topic.
    ///
    /// # Panics
    /// If there is no such topic.
    #[must_use]
    pub fn racks(mut self, topic: &str, racks: &[&[&str]]) -> Group {
        let topic = self.topics.get_mut(topic).expect("racks of a topic of the group");
        topic.racks = racks.iter().map(|of| of.iter().map(|rack| (*rack).to_owned()).collect()).collect();
        self
    }

    /// The group with one more member, who subscribes to these topics.
    #[must_use]
    pub fn member(self, id: &str, topics: &[&str]) -> Group {
        self.with(Member { member_id: id.to_owned(), ..Member::default() }, topics)
    }

    /// The group with one more static member.
    #[must_use]
    pub fn static_member(self, id: &str, instance: &str, topics: &[&str]) -> Group {
        let instance_id = Some(instance.to_owned());
        self.with(Member { member_id: id.to_owned(), instance_id, ..Member::default() }, topics)
    }

    /// The group with one more member, in a rack.
    #[must_use]
    pub fn member_in(self, id: &str, rack: &str, topics: &[&str]) -> Group {
        let rack = Some(rack.to_owned());
        self.with(Member { member_id: id.to_owned(), rack, ..Member::default() }, topics)
    }

    /// The group after a member got these partitions of a topic earlier.
    ///
    /// # Panics
    /// If there is no such member.
    #[must_use]
    pub fn owns(mut self, id: &str, topic: &str, partitions: &[u32]) -> Group {
        let joined = self.members.get_mut(id).expect("a member of the group");
        joined.owned.insert(topic.to_owned(), partitions.to_vec());
        self
    }

    /// The group without a member.
    #[must_use]
    pub fn without(mut self, id: &str) -> Group {
        self.members.remove(id);
        self
    }

    /// Who reads what.
    ///
    /// # Errors
    /// What the plugin answers.
    ///
    /// # Panics
    /// If the answer breaks a rule of the contract, or is another one the second time.
    pub fn assign<A: Assignor>(&self) -> Result<Assigned> {
        let (members, topics) = self.arguments();
        let answer = thrice(|| A::configure(&self.options), |assignor| assignor.assign(&members, &topics))?;
        let answer = answer.into_members();
        rules::check_assignment(&answer, &members, &topics);
        let mut assigned = BTreeMap::new();
        for (of_member, member) in answer.into_iter().zip(members) {
            let named = of_member.into_iter().map(|TopicPartitions { topic, partitions }| {
                let topic = usize::try_from(topic).expect("an index fits memory");
                (topics[topic].name.clone(), partitions)
            });
            assigned.insert(member.member_id, named.collect());
        }
        Ok(Assigned(assigned))
    }

    fn with(mut self, member: Member, topics: &[&str]) -> Group {
        let subscribed = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let joined = Joined { member, subscribed, owned: BTreeMap::new() };
        self.members.insert(joined.member.member_id.clone(), joined);
        self
    }

    /// As the node hands them over: members by id, topics by name, only topics that somebody subscribes to.
    fn arguments(&self) -> (Vec<Member>, Vec<Topic>) {
        let is_subscribed =
            |name: &String| self.members.values().any(|joined| joined.subscribed.contains(name));
        let topics: Vec<Topic> = self
            .topics
            .iter()
            .filter(|(name, _)| is_subscribed(name))
            .map(|(_, topic)| topic.clone())
            .collect();
        let index = |name: &String| {
            let at = topics.binary_search_by(|topic| topic.name.cmp(name)).ok()?;
            u32::try_from(at).ok()
        };
        let member = |Joined { member, subscribed, owned }: &Joined| {
            let mut topics: Vec<u32> = subscribed.iter().filter_map(index).collect();
            topics.sort_unstable();
            let owned = owned.iter().filter_map(|(name, partitions)| {
                Some(TopicPartitions { topic: index(name)?, partitions: partitions.clone() })
            });
            Member { topics, owned: owned.collect(), ..member.clone() }
        };
        (self.members.values().map(member).collect(), topics)
    }
}

/// Who reads what: partitions by topic by member. As text: a line per member, `a: t0p0 t1p2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned(pub BTreeMap<String, BTreeMap<String, Vec<u32>>>);

impl Assigned {
    /// How many partitions each member got, in the order of their ids.
    #[must_use]
    pub fn sizes(&self) -> Vec<usize> {
        self.0.values().map(|topics| topics.values().map(Vec::len).sum()).collect()
    }
}

impl fmt::Display for Assigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (member, topics) in &self.0 {
            write!(f, "{member}:")?;
            for (topic, partitions) in topics {
                partitions.iter().try_for_each(|partition| write!(f, " {topic}p{partition}"))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
