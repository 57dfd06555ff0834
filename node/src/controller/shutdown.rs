//! Leaving in order: leaderships go to others before the node stops.

use std::time::Duration;

use weir_core::metadata::{Command, Image};
use weir_wire::ids::NodeId;

use super::Controller;

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
                    tracing::info!("leaderships were handed over");
                }
                Err(error) => tracing::warn!(%error, "leaderships could not be handed over"),
            }
        };
        if tokio::time::timeout(HAND_OVER_TIMEOUT, handing_over).await.is_err() {
            tracing::warn!("not all leaderships were handed over in time");
        }
    }
}

/// Whether a node leads a partition that another one could lead.
fn leads_for_others(image: &Image, node: NodeId) -> bool {
    image.partitions().any(|(_, _, _, state)| state.leader == Some(node) && state.isr.len() > 1)
}
