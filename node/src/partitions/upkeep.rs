//! What is due now and then, for all replicas together: ticks, retention, checkpoints, compaction. One timer for all, so
//! that an idle replica costs none.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};
use weir_wire::ids::Offset;

use super::Partitions;
use super::handle::Message;
use super::mailbox::Ticking;

/// How often the high watermarks are checkpointed (Kafka's `replica.high.watermark.checkpoint.interval.ms`). A stale
/// one is legal: it only hides records from consumers until the log is flushed again after a restart.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);

/// How long the cleaner rests when it has gone round (Kafka's `log.cleaner.backoff.ms`, which is longer).
const COMPACT_EVERY: Duration = Duration::from_secs(5);

/// How often replicas hear that time passed to which that matters, with others that lag behind or something to flush in time:
/// who lags for too long is noticed within this.
const TICK_EVERY: Duration = Duration::from_millis(250);

/// Ticks for the replicas of one thread, until the runtime ends.
pub(super) async fn tick(replicas: Arc<Ticking>) {
    let mut ticks = interval_at(Instant::now() + TICK_EVERY, TICK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        replicas.tick();
    }
}

/// Saves checkpoints until the runtime ends.
pub(super) async fn checkpoints(partitions: Partitions) {
    let mut ticks = interval_at(Instant::now() + CHECKPOINT_EVERY, CHECKPOINT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        checkpoint(&partitions).await;
    }
}

/// Keeps house every `log.retention.check.interval.ms`, until the runtime ends. A new interval holds for the round that
/// is waited for.
pub(super) async fn housekeeping(partitions: Partitions) {
    let mut last = Instant::now();
    let mut image = partitions.shared.controller.image();
    loop {
        let interval_ms = partitions.node_config(&image).log_retention_check_interval_ms;
        tokio::select! {
            biased;
            () = sleep_until(last + Duration::from_millis(interval_ms)) => {
                housekeep(&partitions).await;
                last = Instant::now();
            }
            newer = partitions.shared.controller.newer_than(image.index) => image = newer,
        }
    }
}

/// Has the replicas of compacted topics compacted, one at a time, so that the keys of one log take memory at a time;
/// until the runtime ends.
pub(super) async fn compact(partitions: Partitions) {
    let mut rounds = interval_at(Instant::now() + COMPACT_EVERY, COMPACT_EVERY);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        let handles: Vec<_> = {
            let hosted = partitions.hosted();
            let compacted = hosted.values().filter(|hosted| hosted.compacts);
            compacted.filter_map(|hosted| hosted.handle.clone()).collect()
        };
        for handle in handles {
            let (reply, done) = oneshot::channel();
            // A replica that is gone needs no compaction.
            if handle.inbox.send(Message::Compact(reply)).await.is_ok() {
                let _ = done.await;
            }
        }
    }
}

async fn housekeep(partitions: &Partitions) {
    // Where nothing was ever written there is nothing to keep: to wake ten thousand such replicas costs a core's second.
    let handles: Vec<_> = {
        let hosted = partitions.hosted();
        let handles = hosted.values().filter_map(|hosted| hosted.handle.as_ref());
        handles.filter(|handle| handle.view.log_end() > Offset(0)).cloned().collect()
    };
    for handle in handles {
        // A replica that is gone needs no upkeep.
        let _ = handle.inbox.send(Message::Housekeep).await;
    }
}

/// Saves what has moved since the last time.
async fn checkpoint(partitions: &Partitions) {
    let views: Vec<_> = {
        let (moved, hosted) = (partitions.shared.moved.take(), partitions.hosted());
        let here = moved.iter().filter_map(|key| hosted.get(key)?.handle.as_ref());
        here.map(|handle| (handle.key(), Arc::clone(&handle.view))).collect()
    };
    if views.is_empty() {
        return;
    }
    let (mut high_watermarks, mut recovery_points) = (Vec::new(), Vec::new());
    for (key, view) in &views {
        high_watermarks.push((*key, view.high_watermark()));
        recovery_points.extend(view.recovery_point().map(|point| (*key, point)));
    }
    let data = Arc::clone(&partitions.shared.data);
    let save = move || {
        data.save_high_watermarks(high_watermarks)?;
        data.save_recovery_points(recovery_points)
    };
    if let Err(error) = partitions.shared.outside.on_worker(save).await {
        tracing::warn!(%error, "checkpoints could not be saved; a start after a crash would look at more of the logs");
        views.iter().for_each(|(_, view)| view.note_marks());
    }
}
