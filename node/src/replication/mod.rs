//! Replicas on several nodes follow their leaders: numbered subscriptions over long-lived streams.
//!
//! ```text
//!  follower's node                                          leader's node
//!  replica ──Links──▶ following/ ══live, catch-up══▶ leading/ ──PartitionHandle──▶ replica
//!          ◀─FollowerMail─                                   ◀──FollowerSink─────
//!                                                            ◀──view rings, log is read
//! ```
//!
//! Decides nothing about data: which subscription is accepted, what is committed and who is in sync is the business of
//! `weir_core::partition` on both sides. What is decided here is which bytes travel when, so that one slow replica or
//! follower holds up no other and memory stays bounded.
//!
//! | module | what it holds |
//! |---|---|
//! | [`following`] | the follower's end of the streams |
//! | [`leading`] | the leader's end |
//! | `forwarding`, `status` | what a node asks leaders elsewhere on behalf of clients |
//! | `components` | the components of plugins, asked of who has them |
//! | `connections` | the connections for that |

mod components;
mod connections;
pub mod following;
mod forwarding;
pub mod leading;
mod status;

pub use forwarding::{ForwardLane, Forwarded};

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use weir_wire::ids::{ClusterId, NodeId};

use crate::controller::Controller;
use crate::outside::Outside;
use crate::partitions::Partitions;
use crate::transport::Dialler;
use crate::watched::Watched;
use connections::Connections;
use leading::Sessions;

/// Replication between this node and the others.
#[derive(Clone)]
pub struct Replication(Arc<Shared>);

struct Shared {
    node: NodeId,
    cluster: ClusterId,
    outside: Outside,
    controller: Controller,
    partitions: Partitions,
    dialler: Dialler,
    connections: Connections,
    /// Followers that this node serves.
    sessions: Sessions,
    /// How fast replicas that are being added are sent what they lack.
    pace: Arc<Mutex<leading::Pace>>,
    /// Whether producers wait for what is sent live.
    live: leading::LiveSign,
    /// For subscriptions and sessions alike: numbers that this process has not used before.
    next_number: AtomicU64,
    /// Becomes true when the node begins to stop.
    stopping: Arc<Watched<bool>>,
}

impl Replication {
    /// Replication of what `partitions` host. It serves followers as they come; [`Replication::start`] lets this node
    /// follow others.
    #[must_use]
    pub fn new(
        node: NodeId,
        cluster: ClusterId,
        outside: Outside,
        controller: Controller,
        partitions: Partitions,
        dialler: Dialler,
        stopping: Arc<Watched<bool>>,
    ) -> Replication {
        Replication(Arc::new(Shared {
            node,
            cluster,
            outside,
            controller,
            partitions,
            dialler,
            connections: Connections::default(),
            sessions: Mutex::new(BTreeMap::new()),
            pace: Arc::default(),
            live: leading::LiveSign::new(),
            next_number: AtomicU64::new(1),
            stopping,
        }))
    }

    /// Follows the leaders of this node's replicas, until the node stops.
    pub fn start(&self) {
        tokio::spawn(following::run(self.clone()));
    }

    fn next_number(&self) -> u64 {
        self.0.next_number.fetch_add(1, Ordering::Relaxed)
    }
}
