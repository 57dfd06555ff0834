//! Watches over pipelines: one in force whose plugin fails too often is rolled back, superseded ones are closed when their
//! grace is over.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_core::metadata::{Command, Image, Origin, RollbackCause};
use weir_core::pipeline::failing::Cause;
use weir_core::pipeline::relapse::FailureRate;

use super::{Key, Pipelines, Slot};
use crate::plugins::{Pipeline, Snapshot};

/// How often the figures are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Looks until the node stops.
pub(super) async fn run(pipelines: Pipelines) {
    let mut rates: BTreeMap<Key, FailureRate> = BTreeMap::new();
    loop {
        tokio::time::sleep(LOOK).await;
        let image = pipelines.0.controller.image();
        if pipelines.0.controller.is_active() {
            close_revisions(&pipelines, &image).await;
        }
        let activated = image
            .topics
            .iter()
            .filter(|(_, topic)| matches!(topic.current_pipeline().origin, Origin::Activated { .. }));
        let mut seen = BTreeMap::new();
        for (name, topic) in activated {
            let key = (topic.id, topic.revision);
            let Some(Slot::Ready(pipeline)) = pipelines.slot(key) else { continue };
            let mut rate = rates.remove(&key).unwrap_or_default();
            let (calls, failures) = figures(&pipeline);
            if rate.is_too_high(calls, failures) {
                tracing::error!(topic = name, revision = %key.1, calls, failures,
                    "a plugin fails too often; going back to the revision before");
                roll_back(&pipelines, key);
            }
            seen.insert(key, rate);
        }
        rates = seen;
    }
}

/// How many calls of the plugin that failed most there were, and how many of them failed by its own fault.
fn figures(pipeline: &Pipeline) -> (u64, u64) {
    let by_its_fault = |cause: &str| cause != Cause::Refused.name() && cause != Cause::Busy.name();
    let of_plugin = |figures: &Snapshot| {
        let failures = figures.failures.iter().filter(|(cause, _)| by_its_fault(cause));
        (figures.calls, failures.map(|(_, count)| count).sum())
    };
    pipeline.snapshots().iter().map(of_plugin).max_by_key(|(_, failed)| *failed).unwrap_or_default()
}

/// Closes revisions whose grace is over. One node does it: the active controller.
async fn close_revisions(pipelines: &Pipelines, image: &Image) {
    let now_ms = u64::try_from(pipelines.0.outside.clock.now().wall_ms).unwrap_or(0);
    let Some(command) = image.retirement(now_ms) else { return };
    if let Err(error) = pipelines.0.controller.submit(command).await {
        tracing::warn!(%error, "superseded revisions could not be closed; trying on");
    }
}

fn roll_back(pipelines: &Pipelines, (topic, expected): Key) {
    let controller = pipelines.0.controller.clone();
    tokio::spawn(async move {
        let command = Command::RollbackPipeline { topic, expected, cause: RollbackCause::Traps };
        if let Err(error) = controller.submit(command).await {
            // Another node may have been first; else the next look tries again.
            tracing::warn!(%topic, revision = %expected, %error, "a pipeline was not rolled back");
        }
    });
}
