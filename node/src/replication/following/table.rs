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
        let Some(Entry { replica, number }) = self.entries.get(&subscription) else { return None };
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
