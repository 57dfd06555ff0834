//! Connections for what is asked of other nodes now and then: one per node, made when needed, made again when lost.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use weir_quic::Peer;
use weir_wire::ids::NodeId;

use super::Replication;

/// After an attempt that failed none is made for this long; who asks meanwhile gets the same answer.
const PAUSE: Duration = Duration::from_millis(200);

/// All of them.
#[derive(Default)]
pub(super) struct Connections {
    slots: Mutex<BTreeMap<NodeId, Arc<tokio::sync::Mutex<Slot>>>>,
}

#[derive(Default)]
struct Slot {
    peer: Option<Arc<Peer>>,
    failed: Option<(Instant, String)>,
}

impl Replication {
    /// The connection to a node: the one that there is, or a new one.
    ///
    /// # Errors
    /// Why there is none, for the log.
    pub(super) async fn connection(&self, node: NodeId) -> Result<Arc<Peer>, String> {
        let slot = {
            let mut slots = self.0.connections.slots.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(slots.entry(node).or_default())
        };
        let mut slot = slot.lock().await;
        if let Some(peer) = slot.peer.as_ref().filter(|peer| peer.connection.close_reason().is_none()) {
            return Ok(Arc::clone(peer));
        }
        slot.peer = None;
        if let Some((at, reason)) = slot.failed.as_ref().filter(|(at, _)| at.elapsed() < PAUSE) {
            return Err(format!("{reason} ({} ms ago)", at.elapsed().as_millis()));
        }
        match self.dial(node).await {
            Ok(peer) => {
                let peer = Arc::new(peer);
                *slot = Slot { peer: Some(Arc::clone(&peer)), failed: None };
                Ok(peer)
            }
            Err(reason) => {
                slot.failed = Some((Instant::now(), reason.clone()));
                Err(reason)
            }
        }
    }

    /// A new connection to a node, where the metadata says that it is.
    pub(super) async fn dial(&self, node: NodeId) -> Result<Peer, String> {
        let image = self.0.controller.image();
        let Some(state) = image.nodes.get(&node) else {
            return Err(format!("node {node} is not registered"));
        };
        self.0.dialler.dial(node, &state.address).await.map_err(|error| error.to_string())
    }
}
