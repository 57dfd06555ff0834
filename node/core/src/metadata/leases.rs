//! Leases: which nodes the active controller has heard from lately.
//!
//! ```text
//! heartbeat at t -> the lease runs until t + session -> then the controller proposes FenceNode
//! ```
//!
//! The table is the active controller's own and is not replicated: a new one begins with full leases, so that a
//! change of controller never fences a node that kept its heartbeats going. Safety does not depend on leases; epochs
//! fence whoever acts without one.

use std::collections::BTreeMap;

use weir_wire::ids::{Incarnation, NodeId};

use super::{Command, Image};
use crate::time::Now;

/// The leases of all live nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leases {
    held: BTreeMap<NodeId, Lease>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    incarnation: Incarnation,
    /// When the node was heard last, on the monotonic clock.
    heard_ns: u64,
}

/// What a node is told in answer to its heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeartbeatAnswer {
    /// Its lease begins anew.
    Kept {
        /// How long it runs, counted from when the heartbeat was sent.
        lease_ms: u64,
    },
    /// As `Kept`; and having asked to stop it may, as it leads nothing that another could lead.
    MayStop,
    /// It is fenced, or another life of it is registered: it must register again before it counts.
    RegisterAgain,
    /// The controller has not applied its registration yet.
    NotKnownYet,
}

impl Leases {
    /// Begins with a full lease for every node that is not fenced.
    #[must_use]
    pub fn begin(image: &Image, now: Now) -> Leases {
        let mut leases = Leases::default();
        leases.follow(image, now);
        leases
    }

    /// Follows the metadata: a new life has a full lease, a fenced node has none.
    pub fn follow(&mut self, image: &Image, now: Now) {
        self.held.retain(|node, _| image.nodes.get(node).is_some_and(|state| !state.fenced));
        for (node, state) in image.nodes.iter().filter(|(_, state)| !state.fenced) {
            let full = Lease { incarnation: state.incarnation, heard_ns: now.monotonic_ns };
            let lease = self.held.entry(*node).or_insert(full);
            if lease.incarnation != state.incarnation {
                *lease = full;
            }
        }
    }

    /// A heartbeat arrived.
    pub fn heartbeat(
        &mut self,
        image: &Image,
        node: NodeId,
        incarnation: Incarnation,
        now: Now,
    ) -> HeartbeatAnswer {
        let known = image.nodes.get(&node).filter(|state| incarnation <= state.incarnation);
        let Some(known) = known else { return HeartbeatAnswer::NotKnownYet };
        if known.fenced || known.incarnation != incarnation {
            return HeartbeatAnswer::RegisterAgain;
        }
        self.held.insert(node, Lease { incarnation, heard_ns: now.monotonic_ns });
        if known.stopping && image.may_stop(node) {
            return HeartbeatAnswer::MayStop;
        }
        HeartbeatAnswer::Kept { lease_ms: session_ms(image) }
    }

    /// What to propose since leases ran out, by node.
    #[must_use]
    pub fn lapsed(&self, image: &Image, now: Now) -> Vec<Command> {
        let session_ms = session_ms(image);
        self.held
            .iter()
            .filter(|(_, lease)| now.ms_since(lease.heard_ns) >= session_ms)
            .map(|(node, lease)| Command::FenceNode { node: *node, incarnation: lease.incarnation })
            .collect()
    }

    /// In how many milliseconds the next lease runs out, if no heartbeat comes; `None` without leases.
    #[must_use]
    pub fn next_lapse_ms(&self, image: &Image, now: Now) -> Option<u64> {
        let oldest_ns = self.held.values().map(|lease| lease.heard_ns).min()?;
        Some(session_ms(image).saturating_sub(now.ms_since(oldest_ns)))
    }
}

fn session_ms(image: &Image) -> u64 {
    image.cluster_config().session_timeout_ms
}
