//! The subscriptions of one session, by the numbers that travel and by the replicas that hold them. Values only.
//!
//! A replica counts its own subscriptions; on the wire each has a number that no other of this process has or had. So
//! whatever comes late, for another life of the subscription or for a replica that has moved on, finds nobody.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_core::partition::{EpochEnd, Subscribe, SubscribeAnswer, SubscriptionNumber};
use weir_wire::ids::{PartitionIndex, TopicId};
use weir_wire::replication::{LeaderFrame, Subscription};

use super::frames;
use crate::partitions::{Credit, FollowingReplica, ReplicaFrame};

/// See the module. Dropped, it tells every replica that its subscription ended.
#[derive(Default)]
pub(super) struct Table {
    entries: BTreeMap<Subscription, Entry>,
    by_replica: BTreeMap<(TopicId, PartitionIndex), Subscription>,
}

struct Entry {
    replica: FollowingReplica,
    /// The replica's own number.
    number: SubscriptionNumber,
}

/// A subscription that this side gives up, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GivenUp {
    pub(super) subscription: Subscription,
    pub(super) reason: String,
}

impl Table {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Notes a subscription; an earlier one of the same replica is over.
    pub(super) fn insert(
        &mut self,
        subscription: Subscription,
        replica: FollowingReplica,
        subscribe: &Subscribe,
    ) {
        let key = (replica.topic, replica.partition);
        if let Some(earlier) = self.by_replica.insert(key, subscription) {
            self.entries.remove(&earlier);
        }
        self.entries.insert(subscription, Entry { replica, number: subscribe.subscription });
    }

    /// The number that a replica's subscription travels under, if it is in force.
    pub(super) fn find(
        &self,
        topic: TopicId,
        partition: PartitionIndex,
        number: SubscriptionNumber,
    ) -> Option<Subscription> {
        let subscription = self.by_replica.get(&(topic, partition))?;
        self.entries.get(subscription).filter(|entry| entry.number == number)?;
        Some(*subscription)
    }

    /// Forgets a subscription that its replica gave up.
    pub(super) fn remove(&mut self, subscription: Subscription) -> bool {
        let Some(entry) = self.entries.remove(&subscription) else { return false };
        self.by_replica.remove(&(entry.replica.topic, entry.replica.partition));
        true
    }

    /// Passes on what the leader says. Returns the subscription, if it can not go on.
    pub(super) fn receive(
        &mut self,
        frame: LeaderFrame,
        payload: &Bytes,
        credit: Option<Credit>,
    ) -> Option<GivenUp> {
        let subscription = frame.subscription();
        let Entry { replica, number } = self.entries.get(&subscription)?;
        let (mail, number) = (replica.mail.clone(), *number);
        let (from, batches, high_watermark, log_start) = match frame {
            LeaderFrame::Subscribed { from, high_watermark, log_start, .. } => {
                mail.answered(number, SubscribeAnswer::Subscribed);
                (from, Vec::new(), high_watermark, log_start)
            }
            LeaderFrame::Marks { from, high_watermark, log_start, .. } => {
                (from, Vec::new(), high_watermark, log_start)
            }
            LeaderFrame::Data { from, high_watermark, log_start, .. } => {
                match frames::batches(payload, from) {
                    Ok(batches) => (from, batches, high_watermark, log_start),
                    Err(fault) => return Some(self.give_up(subscription, fault.to_string())),
                }
            }
            LeaderFrame::Diverged { epoch, end, .. } => {
                mail.answered(number, SubscribeAnswer::Diverged(EpochEnd { epoch, end }));
                return self.over(subscription);
            }
            LeaderFrame::OutOfRange { log_start, .. } => {
                mail.answered(number, SubscribeAnswer::OutOfRange { log_start });
                return self.over(subscription);
            }
            LeaderFrame::Ended { error, .. } => {
                tracing::debug!(%error, "a leader ended a subscription");
                mail.ended(number);
                return self.over(subscription);
            }
        };
        let frame = ReplicaFrame { subscription: number, from, batches, high_watermark, log_start, credit };
        if mail.replicated(frame) {
            return None;
        }
        Some(self.give_up(subscription, "the replica does not keep up".to_owned()))
    }

    fn over(&mut self, subscription: Subscription) -> Option<GivenUp> {
        self.remove(subscription);
        None
    }

    fn give_up(&mut self, subscription: Subscription, reason: String) -> GivenUp {
        if let Some(entry) = self.entries.get(&subscription) {
            entry.replica.mail.ended(entry.number);
        }
        self.remove(subscription);
        GivenUp { subscription, reason }
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        for entry in self.entries.values() {
            entry.replica.mail.ended(entry.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_core::partition::Member;
    use weir_wire::batch::{self, BatchBuilder, Compression};
    use weir_wire::ids::{Incarnation, LeaderEpoch, NodeId, Offset};

    use super::*;
    use crate::partitions::FRAME_BYTES_QUEUED_MAX;

    const TOPIC: TopicId = TopicId([7; 16]);

    fn replica(partition: u32) -> FollowingReplica {
        FollowingReplica::unattended(TOPIC, PartitionIndex(partition))
    }

    fn subscribe(number: u64) -> Subscribe {
        let member = |node| Member { node: NodeId(node), incarnation: Incarnation(1) };
        Subscribe {
            follower: member(2),
            leader: member(1),
            leader_epoch: LeaderEpoch(0),
            subscription: SubscriptionNumber(number),
            log_end: Offset(0),
            flushed_end: Offset(0),
            last_epoch: None,
        }
    }

    fn data(subscription: u64, from: u64, bytes: usize) -> (LeaderFrame, Bytes) {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(7, None, Some(&vec![7; bytes]), &[]);
        let mut payload = builder.finish(None).to_vec();
        batch::stamp(&mut payload, Offset(from), LeaderEpoch(0));
        let (subscription, from, zero) = (Subscription(subscription), Offset(from), Offset(0));
        let frame = LeaderFrame::Data { subscription, from, high_watermark: zero, log_start: zero };
        (frame, Bytes::from(payload))
    }

    #[test]
    fn a_replica_that_does_not_keep_up_is_given_up_and_no_other() {
        let mut table = Table::default();
        table.insert(Subscription(10), replica(0), &subscribe(1));
        table.insert(Subscription(11), replica(1), &subscribe(1));
        let mut given_up = None;
        for from in 0..(FRAME_BYTES_QUEUED_MAX as u64 / 500_000 + 2) {
            let (frame, payload) = data(10, from, 500_000);
            given_up = given_up.or(table.receive(frame, &payload, None));
        }
        assert_eq!(given_up.map(|given_up| given_up.subscription), Some(Subscription(10)));
        assert_eq!(table.find(TOPIC, PartitionIndex(0), SubscriptionNumber(1)), None);
        let (frame, payload) = data(11, 0, 10);
        assert_eq!(table.receive(frame, &payload, None), None);
        assert!(table.find(TOPIC, PartitionIndex(1), SubscriptionNumber(1)).is_some());
    }

    #[test]
    fn a_newer_subscription_of_a_replica_takes_the_place_of_the_older() {
        let mut table = Table::default();
        table.insert(Subscription(10), replica(0), &subscribe(1));
        table.insert(Subscription(12), replica(0), &subscribe(2));
        let find = |table: &Table, number| table.find(TOPIC, PartitionIndex(0), SubscriptionNumber(number));
        assert_eq!((find(&table, 1), find(&table, 2)), (None, Some(Subscription(12))));
        let (damaged, payload) = (data(10, 0, 10).0, Bytes::from_static(b"damaged"));
        assert_eq!(table.receive(damaged, &payload, None), None, "nobody looks at a late frame");
        assert!(!table.remove(Subscription(10)), "nor is it there to be given up");
        assert!(table.remove(Subscription(12)) && table.is_empty());
    }
}
