//! Followers that ask for a reign which this replica has not heard of yet. Values only.
//!
//! The metadata reaches the follower's node first as often as the leader's. Who is sent away for that asks again at the next
//! tick, and holds up `acks=all` by up to a quarter of a second at every change of the leader; so it waits here instead.
//! (Kafka answers such a fetch `UNKNOWN_LEADER_EPOCH`, and the follower backs off.)

use std::collections::BTreeMap;

use weir_core::partition::{Subscribe, SubscriptionNumber};
use weir_wire::ids::{LeaderEpoch, NodeId};

/// See the module. At most one for each node: its newest.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// The newest reign that the metadata told this replica of.
    told: Option<LeaderEpoch>,
    waiting: BTreeMap<NodeId, Subscribe>,
}

impl Early {
    /// Keeps a request that is too early; gives back one that can be answered. The second value is the node's request before
    /// it, which is over.
    pub(super) fn take(&mut self, subscribe: Subscribe) -> (Option<Subscribe>, Option<SubscriptionNumber>) {
        let node = subscribe.follower.node;
        let before = self.waiting.remove(&node).map(|before| before.subscription);
        if self.told.is_some_and(|told| told >= subscribe.leader_epoch) {
            return (Some(subscribe), before);
        }
        self.waiting.insert(node, subscribe);
        (None, before)
    }

    /// The follower wants no more.
    pub(super) fn forget(&mut self, node: NodeId, subscription: SubscriptionNumber) {
        if self.waiting.get(&node).is_some_and(|waiting| waiting.subscription == subscription) {
            self.waiting.remove(&node);
        }
    }

    /// The metadata told of a reign. Returns whom to answer now: who waited for it, or for an earlier one.
    pub(super) fn told(&mut self, leader_epoch: LeaderEpoch) -> Vec<Subscribe> {
        self.told = self.told.max(Some(leader_epoch));
        let is_due = |_: &NodeId, subscribe: &mut Subscribe| Some(subscribe.leader_epoch) <= self.told;
        self.waiting.extract_if(.., is_due).map(|(_, subscribe)| subscribe).collect()
    }
}

#[cfg(test)]
mod tests {
    use weir_core::partition::Member;
    use weir_wire::ids::{Incarnation, Offset};

    use super::*;

    fn subscribe(node: u32, number: u64, epoch: u32) -> Subscribe {
        let member = |node| Member { node: NodeId(node), incarnation: Incarnation(1) };
        Subscribe {
            follower: member(node),
            leader: member(1),
            leader_epoch: LeaderEpoch(epoch),
            subscription: SubscriptionNumber(number),
            log_end: Offset(0),
            flushed_end: Offset(0),
            last_epoch: None,
        }
    }

    #[test]
    fn who_asks_before_the_reign_is_known_is_answered_as_soon_as_it_is() {
        let mut early = Early::default();
        assert_eq!(early.take(subscribe(2, 7, 0)), (None, None), "nothing is known yet");
        assert_eq!(early.take(subscribe(3, 9, 1)), (None, None));
        assert_eq!(early.told(LeaderEpoch(0)), [subscribe(2, 7, 0)]);
        assert_eq!(early.take(subscribe(2, 8, 0)), (Some(subscribe(2, 8, 0)), None));
        assert_eq!(early.told(LeaderEpoch(4)), [subscribe(3, 9, 1)], "it hears that the reign is over");
        assert_eq!(early.told(LeaderEpoch(4)), []);
        assert_eq!(
            early.take(subscribe(2, 9, 3)).0,
            Some(subscribe(2, 9, 3)),
            "a late one is refused at once"
        );
    }

    #[test]
    fn a_node_waits_with_its_newest_request_and_only_as_long_as_it_wants_to() {
        let mut early = Early::default();
        early.take(subscribe(2, 7, 1));
        assert_eq!(early.take(subscribe(2, 8, 2)), (None, Some(SubscriptionNumber(7))));
        early.forget(NodeId(2), SubscriptionNumber(7));
        assert_eq!(early.told(LeaderEpoch(2)), [subscribe(2, 8, 2)]);
        early.take(subscribe(2, 9, 3));
        early.forget(NodeId(2), SubscriptionNumber(9));
        assert_eq!(early.told(LeaderEpoch(3)), []);
    }
}
