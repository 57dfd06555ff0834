//! How far the replicas of a partition are, as its leader knows it.

use weir_wire::ids::Offset;

/// The replicas of one reign. The leader is the only one in sync: nobody follows yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Progress {
    /// How many replicas are assigned.
    replication_factor: u32,
}

impl Progress {
    pub(crate) fn leader_alone(replication_factor: u32) -> Progress {
        Progress { replication_factor }
    }

    pub(crate) fn replication_factor(self) -> u32 {
        self.replication_factor
    }

    /// How many replicas are in sync, the leader included.
    pub(crate) fn in_sync(self) -> u32 {
        1
    }

    /// The lowest end over the replicas in sync, where the leader's own is `leader_end`.
    pub(crate) fn lowest_end(self, leader_end: Offset) -> Offset {
        leader_end
    }
}
