//! Replicas of this node that take nothing more while the node lives on: their disk failed, or their log could not be
//! opened. The controller hears of them, so that others lead, and who asks is told that they are offline.

use std::collections::BTreeSet;
use std::time::Duration;

use weir_core::metadata::{Command, Image};
use weir_wire::ids::{NodeId, PartitionIndex, TopicId};

use super::Partitions;
use crate::watched::Watched;

/// The pause before the controller is told again.
const TRY_PAUSE: Duration = Duration::from_millis(500);

type Replica = (TopicId, PartitionIndex);

/// The replicas that failed since the process began.
pub(super) struct Failures(Watched<BTreeSet<Replica>>);

impl Failures {
    pub(super) fn none() -> Failures {
        Failures(Watched::new(BTreeSet::new()))
    }

    pub(super) fn note(&self, replica: Replica) {
        self.0.change(|failed| _ = failed.insert(replica));
    }
}

/// Tells the controller what it does not know yet, until the runtime ends: also after a new registration, and when
/// another controller forgot it.
pub(super) async fn report(partitions: Partitions) {
    let shared = &partitions.shared;
    loop {
        let failed = shared.failures.0.wait_until(|failed| !failed.is_empty()).await;
        let image = shared.controller.image();
        let replicas = untold(&image, shared.node, &failed);
        let me = partitions.myself(&image).filter(|_| !replicas.is_empty());
        let Some(me) = me else {
            let known = failed.len();
            tokio::select! {
                biased;
                _ = shared.failures.0.wait_until(|failed| failed.len() > known) => {}
                _ = shared.controller.newer_than(image.index) => {}
            }
            continue;
        };
        let command = Command::FailReplicas { node: me.node, incarnation: me.incarnation, replicas };
        match shared.controller.submit(command).await {
            Ok(_) => tracing::warn!("the cluster knows of replicas here that failed: others lead them"),
            Err(error) => {
                tracing::warn!(%error, "the cluster does not know yet of replicas here that failed");
                tokio::time::sleep(TRY_PAUSE).await;
            }
        }
    }
}

/// The replicas that the metadata takes to be sound.
fn untold(image: &Image, node: NodeId, failed: &BTreeSet<Replica>) -> Vec<Replica> {
    let hosted = image.hosted(node).filter(|hosted| !hosted.state.failed.contains(&node));
    hosted
        .map(|hosted| (hosted.topic.id, hosted.partition))
        .filter(|replica| failed.contains(replica))
        .collect()
}
