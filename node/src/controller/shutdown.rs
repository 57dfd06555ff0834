//! Leaving in order: leaderships go to others before the node stops.

use std::time::Duration;

use openraft::LogIdOptionExt;
use weir_core::metadata::{Command, Image};
use weir_wire::ids::NodeId;

use super::Controller;
use super::types::raft_node;

/// How long a node that stops waits for others to take its leaderships.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(5);

impl Controller {
    /// Asks for this node's leaderships to be taken by others, and waits until they are, or for a while. On a node that
    /// nobody can take over from it does nothing.
    pub async fn hand_over(&self) {
        let (node, registered) = (self.node(), *self.0.registered.get());
        let image = self.image();
        let has_heirs = image.nodes.iter().any(|(other, state)| *other != node && state.is_active());
        let Some(incarnation) = registered.filter(|_| has_heirs) else { return };
        let handing_over = async {
            match self.submit(Command::BeginShutdown { node, incarnation }).await {
                Ok((index, _)) => {
                    self.0
                        .image
                        .wait_until(|image| image.index >= index && !leads_for_others(image, node))
                        .await;
                    self.tell_heirs(Command::BeginShutdown { node, incarnation }).await;
                    tracing::info!("leaderships were handed over");
                }
                Err(error) => tracing::warn!(%error, "leaderships could not be handed over"),
            }
        };
        if tokio::time::timeout(HAND_OVER_TIMEOUT, handing_over).await.is_err() {
            tracing::warn!("not all leaderships were handed over in time");
        }
    }

    /// Waits until the other nodes know what this one has decided last, if it is the active controller: once that is gone
    /// they hear of it from the next one only, which takes an election.
    ///
    /// An entry is in force elsewhere when the next one comes. So the command is given again, which changes nothing.
    async fn tell_heirs(&self, again: Command) {
        if !self.is_active() || self.submit(again).await.is_err() {
            return;
        }
        let is_heir = |node: u64| {
            let image = self.image();
            let heir = image.nodes.iter().find(|(other, _)| raft_node(**other) == node);
            heir.is_some_and(|(other, state)| *other != self.node() && state.is_active())
        };
        let mut metrics = self.0.raft.metrics();
        let last = metrics.borrow().last_log_index;
        loop {
            let all_know = {
                let metrics = metrics.borrow_and_update();
                // Who is not the active controller any more has told it to nobody, and is not asked.
                let Some(progress) = &metrics.replication else { return };
                progress
                    .iter()
                    .filter(|(node, _)| is_heir(**node))
                    .all(|(_, matched)| matched.index() >= last)
            };
            if all_know || metrics.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Whether a node leads a partition that another one could lead.
fn leads_for_others(image: &Image, node: NodeId) -> bool {
    image.partitions().any(|(_, _, _, state)| state.leader == Some(node) && state.isr.len() > 1)
}
