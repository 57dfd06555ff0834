//! Sharing out one topic.

use std::collections::BTreeSet;

use weir_plugin::{Assignment, Error, Member, Result, Topic};

/// A topic that is being shared out.
pub(crate) struct Share<'a> {
    index: u32,
    topic: &'a Topic,
    /// Who subscribes to it, in the order in which they are served.
    subscribers: Vec<Subscriber<'a>>,
    /// What nobody has got yet.
    left: BTreeSet<u32>,
    /// What each subscriber gets at least.
    quota: usize,
    /// How many may still get one more than that.
    extras: usize,
}

struct Subscriber<'a> {
    /// Its place among the group's members.
    member: usize,
    rack: Option<&'a str>,
    got: usize,
}

impl<'a> Share<'a> {
    /// A topic of which nobody has got anything yet.
    ///
    /// # Errors
    /// If nobody subscribes to it.
    pub(crate) fn of(
        index: u32,
        topic: &'a Topic,
        members: &'a [Member],
        order: &[usize],
    ) -> Result<Share<'a>> {
        let subscribed = order.iter().filter(|&&member| members[member].subscribes(index));
        let subscribers: Vec<_> = subscribed
            .map(|&member| Subscriber { member, rack: members[member].rack.as_deref(), got: 0 })
            .collect();
        if subscribers.is_empty() {
            return Err(Error::new(format!("nobody subscribes to {}", topic.name)));
        }
        let left: BTreeSet<u32> = (0..topic.partitions).collect();
        let (quota, extras) = (left.len() / subscribers.len(), left.len() % subscribers.len());
        Ok(Share { index, topic, subscribers, left, quota, extras })
    }

    /// Whether it makes a difference who gets what: a subscriber's rack is among the racks of the partitions, and
    /// these are not the same for all of them.
    pub(crate) fn has_racks_to_match(&self) -> bool {
        let racks = self.topic.racks.iter().map(|of| of.iter().collect::<BTreeSet<_>>());
        let all: BTreeSet<&String> = self.topic.racks.iter().flatten().collect();
        let is_near = |subscriber: &Subscriber<'_>| {
            subscriber.rack.is_some_and(|rack| all.iter().any(|of| *of == rack))
        };
        self.subscribers.iter().any(is_near) && racks.into_iter().any(|of| of != all)
    }

    /// Whether another topic has the same subscribers and as many partitions.
    pub(crate) fn is_like(&self, other: &Share<'_>) -> bool {
        let members = |share: &Share<'_>| share.subscribers.iter().map(|of| of.member).collect::<Vec<_>>();
        self.topic.partitions == other.topic.partitions && members(self) == members(other)
    }

    /// Gives each subscriber in turn the first partitions that it may have, as many as it still can get.
    pub(crate) fn deal_out(
        &mut self,
        may_have: impl Fn(&Share<'a>, (usize, u32)) -> bool,
        assignment: &mut Assignment,
    ) {
        for at in 0..self.subscribers.len() {
            let may = self.left.iter().copied().filter(|&partition| may_have(self, (at, partition)));
            for partition in may.take(self.capacity(at)).collect::<Vec<_>>() {
                self.give(at, partition, assignment);
            }
        }
    }

    /// How much more a subscriber can get. The first ones to pass the quota get one more.
    fn capacity(&self, at: usize) -> usize {
        (self.quota + usize::from(self.extras > 0)).saturating_sub(self.subscribers[at].got)
    }

    fn give(&mut self, at: usize, partition: u32, assignment: &mut Assignment) {
        let subscriber = &mut self.subscribers[at];
        subscriber.got += 1;
        self.extras -= usize::from(subscriber.got > self.quota);
        self.left.remove(&partition);
        assignment.give(subscriber.member, self.index, partition);
    }

    /// Whether a subscriber is in a rack of the partition, or in none at all.
    fn is_near(&self, (at, partition): (usize, u32)) -> bool {
        let Some(rack) = self.subscribers[at].rack else { return true };
        let racks = usize::try_from(partition).ok().and_then(|partition| self.topic.racks.get(partition));
        racks.is_some_and(|racks| racks.iter().any(|of| of == rack))
    }
}

/// Gives partitions to members in their rack. Of topics that are alike each partition goes, in all of them, to the
/// first member that is near to all of them, or to nobody yet.
pub(crate) fn match_racks(mut alike: Vec<&mut Share<'_>>, assignment: &mut Assignment) {
    if let [only] = &mut alike[..] {
        if only.has_racks_to_match() {
            only.deal_out(Share::is_near, assignment);
        }
        return;
    }
    let (partitions, subscribers) = (alike[0].topic.partitions, alike[0].subscribers.len());
    for partition in 0..partitions {
        let is_right =
            |&at: &usize| alike.iter().all(|share| share.capacity(at) > 0 && share.is_near((at, partition)));
        if let Some(at) = (0..subscribers).find(is_right) {
            alike.iter_mut().for_each(|share| share.give(at, partition, assignment));
        }
    }
}
