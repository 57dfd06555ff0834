//! Taking back the end of a follower's log, as one unit (INVARIANTS of KIP-101 and KIP-279): batches, indexes,
//! snapshots, the high-watermark checkpoint, and what the core knows of producers and reigns.

use std::sync::Arc;

use weir_core::partition::{Input, Rebuilt, StorageFault};
use weir_wire::ids::Offset;

use super::super::open::{self, OpenFailure};
use super::Replica;
use crate::outside::Clock;
use crate::storage::{DataFolder, Log, PartitionKey};

/// What the core wants cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum CutOrder {
    /// No offset from here on is left.
    Truncate { to: Offset },
    /// Nothing is left, and the log goes on here.
    StartOver { at: Offset },
}

impl Replica {
    /// Cuts the log, if the core asked for it. The task does nothing else meanwhile; the disk is waited for on a worker.
    pub(super) async fn cut_if_due(&mut self) {
        let Some(order) = self.state.cut.take() else { return };
        self.write();
        if self.core.retired().is_some() {
            return;
        }
        self.end_compaction().await;
        while self.log().is_removing() || self.log().is_repairing() {
            // Files of the old log must not be taken away from under the new one.
            self.wait_for_work().await;
        }
        tracing::info!(partition = %self.name, ?order, end = %self.core.log_end(), "cutting the log");
        let mut log = self.log.take().expect("the log is here between two cuts");
        let (data, clock) = (Arc::clone(&self.data), Arc::clone(&self.outside.clock));
        let (key, settings) = (self.key, self.settings.clone());
        let high_watermark = self.core.high_watermark();
        let job = move || {
            let cut = cut(&mut log, &data, &*clock, key, &settings, high_watermark, order);
            (log, cut)
        };
        let (log, cut) = self.outside.on_worker(job).await;
        self.view.set_log_end(log.end());
        self.log = Some(log);
        self.state.flush_is_stale = self.state.flushing != super::Flushing::No;
        match cut {
            Ok(rebuilt) => {
                self.handle(Input::Truncated(rebuilt));
                // Late or never is legal (what lies beyond the log's end is dropped when it is loaded), but tidy.
                self.save_epochs(&self.core.epoch_checkpoint());
            }
            Err(error) => {
                tracing::error!(partition = %self.name, %error, "the replica is offline until the node restarts");
                metrics::counter!("weir_storage_failures_total").increment(1);
                self.handle(Input::StorageFailed(StorageFault::Write));
            }
        }
        self.view.set_log_start(self.core.log_start());
        self.view.set_high_watermark(self.core.high_watermark());
    }
}

fn cut(
    log: &mut Log,
    data: &DataFolder,
    clock: &dyn Clock,
    key: PartitionKey,
    settings: &super::super::handle::TopicSettings,
    high_watermark: Offset,
    order: CutOrder,
) -> Result<Rebuilt, OpenFailure> {
    let (CutOrder::Truncate { to: lowest } | CutOrder::StartOver { at: lowest }) = order;
    // First, so that a crash in between does not look like a log that lost what was committed. The end may come to
    // lie below: batches go whole.
    if data.high_watermark(key).is_some_and(|checkpoint| checkpoint > lowest) {
        data.save_high_watermarks([(key, high_watermark.min(lowest))])?;
    }
    let end = match order {
        CutOrder::Truncate { to } => log.truncate_to(to)?,
        CutOrder::StartOver { at } => log.restart_at(at)?,
    };
    if data.high_watermark(key).is_some_and(|checkpoint| checkpoint > end) {
        data.save_high_watermarks([(key, end)])?;
    }
    open::rebuild(clock, key, log, settings, high_watermark)
}
