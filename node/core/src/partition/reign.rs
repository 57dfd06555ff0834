//! What the metadata says of a partition, as one of its replicas hears it.

use std::collections::BTreeSet;

use weir_wire::ids::{Incarnation, LeaderEpoch, NodeId, PartitionEpoch};

/// One life of a node. A node that registers again is another member (KIP-903): it may have lost what the earlier one
/// had reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// Which node.
    pub node: NodeId,
    /// In which of its lives.
    pub incarnation: Incarnation,
}

/// One assigned replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The node as it is registered now.
    pub member: Member,
    /// Whether it may join the ISR: registered, not fenced, not stopping (KIP-841).
    pub is_eligible: bool,
}

/// What a leader is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reign {
    /// The number of the reign.
    pub leader_epoch: LeaderEpoch,
    /// The version of the partition's metadata that the rest was read from.
    pub partition_epoch: PartitionEpoch,
    /// This replica.
    pub me: Member,
    /// All assigned replicas, this one among them, in sync or not.
    pub replicas: Vec<Assigned>,
    /// How many replicas count for what the partition promises: those that are only being added do not.
    pub replication_factor: u32,
    /// The replicas in sync, as decided by the controller.
    pub isr: BTreeSet<NodeId>,
    /// The replicas of which the controller does not know yet that they flushed what was acknowledged while
    /// `write.caching` was on.
    pub unflushed: BTreeSet<NodeId>,
}

impl Reign {
    /// A reign of a replica that has no others beside it.
    #[must_use]
    pub fn alone(me: Member, leader_epoch: LeaderEpoch, partition_epoch: PartitionEpoch) -> Reign {
        let replicas = vec![Assigned { member: me, is_eligible: true }];
        let isr = BTreeSet::from([me.node]);
        let unflushed = BTreeSet::new();
        Reign { leader_epoch, partition_epoch, me, replicas, replication_factor: 1, isr, unflushed }
    }
}

/// What a replica that does not lead is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Following {
    /// The number of the reign.
    pub leader_epoch: LeaderEpoch,
    /// The version of the partition's metadata that the rest was read from.
    pub partition_epoch: PartitionEpoch,
    /// This replica.
    pub me: Member,
    /// Who leads; `None` while nobody does.
    pub leader: Option<Member>,
    /// Whether the reign, or one before it, was begun by a replica that may lack committed records, and not all replicas
    /// have followed it yet.
    pub unclean: bool,
}
