//! Leaderships go back to the preferred replicas by themselves, so that a node which was away carries its part again.

use std::time::Duration;

use tokio::time::Instant;
use weir_core::metadata::Applied;

use super::Controller;

/// How often it is looked whether it is time.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The active controller's look for leaderships that are away, every `leader.imbalance.check.interval.seconds`.
pub(super) async fn watch(controller: Controller) {
    let mut last: Option<Instant> = None;
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        if !controller.is_active() {
            last = None;
            continue;
        }
        let (now, settings) = (Instant::now(), controller.settings());
        let interval = Duration::from_secs(settings.leader_imbalance_check_interval_s);
        if now.duration_since(*last.get_or_insert(now)) < interval {
            continue;
        }
        last = Some(now);
        let Some(command) = controller.image().rebalance(&settings) else { continue };
        match controller.decide(command).await {
            Ok((_, Ok(Applied::LeadersElected { changed, .. }))) => {
                tracing::info!(changed, "leaderships went back to the preferred replicas");
            }
            outcome => tracing::warn!(?outcome, "leaderships did not go back yet"),
        }
    }
}
