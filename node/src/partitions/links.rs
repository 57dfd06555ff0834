//! What replicas have to say to their leaders on other nodes, by node: whoever keeps the connections takes it from here.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use weir_core::partition::{Report, Subscribe, SubscriptionNumber};
use weir_wire::ids::{NodeId, PartitionIndex, TopicId};
use weir_wire::replication::Subscription;

use super::mailbox::FollowerMail;
use crate::watched::Watched;

/// The links to all nodes that lead, or have led, what this node hosts.
#[derive(Debug)]
pub struct Links {
    links: Mutex<BTreeMap<NodeId, Arc<LeaderLink>>>,
    count: Watched<usize>,
}

impl Default for Links {
    fn default() -> Links {
        Links { links: Mutex::default(), count: Watched::new(0) }
    }
}

impl Links {
    /// The link to a node.
    #[must_use]
    pub fn to(&self, node: NodeId) -> Arc<LeaderLink> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(&node) {
            return Arc::clone(link);
        }
        let link = Arc::new(LeaderLink { node, waiting: Mutex::default(), arrived: Notify::new() });
        links.insert(node, Arc::clone(&link));
        let count = links.len();
        drop(links);
        self.count.set(count);
        link
    }

    /// Waits until there are more links than `known`, and returns all.
    pub async fn beyond(&self, known: usize) -> Vec<Arc<LeaderLink>> {
        self.count.wait_until(|count| *count > known).await;
        self.links.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// A replica of this node: which, and where what its leader says goes.
#[derive(Clone, Debug)]
pub struct FollowingReplica {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// Where what the leader says goes.
    pub mail: FollowerMail,
}

#[cfg(test)]
impl FollowingReplica {
    /// One whose mail nobody takes.
    pub(crate) fn unattended(topic: TopicId, partition: PartitionIndex) -> FollowingReplica {
        FollowingReplica { topic, partition, mail: FollowerMail(Arc::default()) }
    }
}

/// What a replica wants of its leader.
#[derive(Clone, Debug)]
pub enum FollowerOrder {
    /// To follow it.
    Subscribe {
        /// Who.
        replica: FollowingReplica,
        /// From where.
        subscribe: Subscribe,
    },
    /// To be sent no more.
    Unsubscribe {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionIndex,
        /// What ends.
        subscription: SubscriptionNumber,
    },
}

/// What waits to be said to one node.
#[derive(Debug, Default)]
pub struct Outgoing {
    /// In order.
    pub orders: VecDeque<FollowerOrder>,
    /// Subscriptions, by the numbers that travel, that cannot go on for reasons that their replicas were told.
    pub abandoned: Vec<Subscription>,
    /// The newest of each replica; they count behind the orders.
    pub reports: BTreeMap<(TopicId, PartitionIndex), Report>,
}

/// The link to one node.
#[derive(Debug)]
pub struct LeaderLink {
    /// The node.
    pub node: NodeId,
    waiting: Mutex<Outgoing>,
    arrived: Notify,
}

impl LeaderLink {
    pub(super) fn order(&self, order: FollowerOrder) {
        self.lock().orders.push_back(order);
        self.arrived.notify_one();
    }

    pub(super) fn report(&self, topic: TopicId, partition: PartitionIndex, report: Report) {
        self.lock().reports.insert((topic, partition), report);
        self.arrived.notify_one();
    }

    /// The leader need not send under this number any more.
    pub fn abandon(&self, subscription: Subscription) {
        self.lock().abandoned.push(subscription);
        self.arrived.notify_one();
    }

    /// Waits until there is something to take. Cancel safe.
    pub async fn wait(&self) {
        loop {
            {
                let waiting = self.lock();
                if !waiting.orders.is_empty() || !waiting.abandoned.is_empty() || !waiting.reports.is_empty()
                {
                    return;
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Takes all that waits.
    #[must_use]
    pub fn take(&self) -> Outgoing {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Outgoing> {
        // The guarded code pushes and takes whole values.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
