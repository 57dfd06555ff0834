//! An assignor that keeps equal partition numbers of several topics together: who reads partition 3 of `orders` reads
//! partition 3 of `payments` too, so that what has one key meets in one place and can be joined there.
//!
//! Topics with the same subscribers are shared out as one: not partitions are given away but *numbers*, each with the
//! partition of that number of every such topic that has one. `range` does so only where the topics have equally many
//! partitions, and moves nearly everything when a member comes or goes. Here a number stays with the member that has it,
//! as long as no member has two numbers more than another.
//!
//! It has no options.

use weir_plugin::{Assignment, Assignor, Error, Member, Options, Result, Topic};

/// The assignor.
pub struct Colocated;

impl Assignor for Colocated {
    fn configure(options: &Options) -> Result<Colocated> {
        options.allow(&[])?;
        Ok(Colocated)
    }

    fn assign(&mut self, members: &[Member], topics: &[Topic]) -> Result<Assignment> {
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|&member| members[member].order());
        let mut assignment = Assignment::of(members.len());
        for alike in alike(members, topics, &order)? {
            for (number, member) in (0..).zip(alike.share_out(members)) {
                for &topic in alike.topics.iter().filter(|&&topic| number < partitions(topics, topic)) {
                    assignment.give(member, topic, number);
                }
            }
        }
        Ok(assignment)
    }
}

fn partitions(topics: &[Topic], topic: u32) -> u32 {
    topics[topic as usize].partitions
}

/// Topics that the same members subscribe to.
struct Alike {
    topics: Vec<u32>,
    /// Who subscribes, in the order in which they are served.
    subscribers: Vec<usize>,
    /// One more than the highest partition number.
    numbers: u32,
}

fn alike(members: &[Member], topics: &[Topic], order: &[usize]) -> Result<Vec<Alike>> {
    let mut groups: Vec<Alike> = Vec::new();
    for (index, topic) in (0..).zip(topics) {
        let subscribed = order.iter().copied().filter(|&member| members[member].subscribes(index));
        let subscribers: Vec<usize> = subscribed.collect();
        if subscribers.is_empty() {
            return Err(Error::new(format!("nobody subscribes to {}", topic.name)));
        }
        match groups.iter_mut().find(|group| group.subscribers == subscribers) {
            Some(group) => {
                group.topics.push(index);
                group.numbers = group.numbers.max(topic.partitions);
            }
            None => groups.push(Alike { topics: vec![index], subscribers, numbers: topic.partitions }),
        }
    }
    Ok(groups)
}

impl Alike {
    /// The member of each number.
    fn share_out(&self, members: &[Member]) -> Vec<usize> {
        let mut shares = Shares::of(self.numbers as usize, self.subscribers.len());
        let kept: Vec<Option<usize>> =
            (0..self.numbers).map(|number| shares.keep(self.owner(members, number)?)).collect();
        kept.into_iter().map(|kept| self.subscribers[kept.unwrap_or_else(|| shares.next())]).collect()
    }

    /// The subscriber, by its place, that reads most of a number's partitions; the first of several.
    fn owner(&self, members: &[Member], number: u32) -> Option<usize> {
        let owned = |&member: &usize| {
            let of_topics = members[member].owned.iter().filter(|owned| self.topics.contains(&owned.topic));
            of_topics.filter(|owned| owned.partitions.contains(&number)).count()
        };
        let owned: Vec<usize> = self.subscribers.iter().map(owned).collect();
        let most = owned.iter().copied().max().filter(|most| *most > 0)?;
        owned.iter().position(|owned| *owned == most)
    }
}

/// How many numbers each subscriber has got. None gets two more than another.
struct Shares {
    got: Vec<usize>,
    /// What each gets at least.
    quota: usize,
    /// How many may still get one more than that.
    extras: usize,
}

impl Shares {
    fn of(numbers: usize, subscribers: usize) -> Shares {
        let (quota, extras) = (numbers / subscribers, numbers % subscribers);
        Shares { got: vec![0; subscribers], quota, extras }
    }

    /// Gives a subscriber one more, if that is not too many.
    fn keep(&mut self, subscriber: usize) -> Option<usize> {
        let got = &mut self.got[subscriber];
        if *got >= self.quota + usize::from(self.extras > 0) {
            return None;
        }
        *got += 1;
        self.extras -= usize::from(*got > self.quota);
        Some(subscriber)
    }

    /// Gives one more to the first of those that have the fewest.
    fn next(&mut self) -> usize {
        let fewest = self.got.iter().copied().min().unwrap_or_default();
        let subscriber = self.got.iter().position(|got| *got == fewest).unwrap_or_default();
        self.got[subscriber] += 1;
        subscriber
    }
}

weir_plugin::export!(Colocated as assignor);
