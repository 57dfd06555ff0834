//! What is due now and then: retention, segments that were written to for too long, indexes that are to be made anew.

use weir_core::partition::{Input, StorageFault};
use weir_wire::ids::Offset;

use super::{Done, Replica};
use crate::storage::StorageError;

impl Replica {
    /// What is due now and then: retention, rolling by time, indexes.
    pub(super) fn housekeep(&mut self) {
        if self.core.retired().is_some() {
            return;
        }
        self.handle(Input::Tick);
        if let Err(error) = self.retain() {
            tracing::warn!(partition = %self.name, %error, "retention could not be applied; trying again");
        }
        let now_ms = self.outside.clock.now().wall_ms;
        match self.log_mut().roll_if_overdue(now_ms) {
            Ok(None) => {}
            Ok(Some(_)) => {
                self.save_snapshot();
                // Compaction keeps off the segment up to which the log is durable.
                self.start_flush();
            }
            Err(error) => {
                tracing::warn!(partition = %self.name, %error, "a segment could not be ended; trying again");
            }
        }
        match self.log_mut().prepare_repair() {
            Ok(Some(job)) => self.start(move || Done::Repair(job.run())),
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(partition = %self.name, %error, "an index is to be made anew, and cannot yet");
            }
        }
    }

    /// The disk changed what stands at or behind an offset. Where others in sync have it as it was, they go on, and the
    /// next start cuts it off here and gets it from them. Who is the only one keeps serving what is whole: false.
    pub(super) fn give_up_damaged(&mut self, offset: Offset) -> bool {
        if self.core.retired().is_some() {
            return true;
        }
        let have_others = match self.core.isr() {
            Some(isr) => isr.len() > 1,
            None => self.core.following().is_some(),
        };
        if !have_others || self.log().is_compacting() {
            return false;
        }
        match self.log_mut().give_up_from(offset) {
            Ok(()) => tracing::error!(
                partition = %self.name, %offset,
                "the log is damaged: others lead, and what is damaged comes back from them once the node restarts"
            ),
            Err(error) => {
                tracing::error!(partition = %self.name, %offset, %error, "the log is damaged, and that cannot be noted");
                return false;
            }
        }
        self.state.is_broken = true;
        self.handle(Input::StorageFailed(StorageFault::Damage));
        true
    }

    /// Lets go of what is older or more than the topic keeps.
    fn retain(&mut self) -> Result<(), StorageError> {
        let now_ms = self.outside.clock.now().wall_ms;
        let (high_watermark, retention) = (self.view.high_watermark(), self.settings.retention);
        let due = self.log_mut().retention(now_ms, high_watermark, &retention)?;
        if let Some(job) = due.job {
            self.handle(Input::MoveLogStart { to: self.log().start() });
            self.start(move || Done::Removal(job.run()));
        } else if self.view.log_start() > self.log().start() {
            self.raise_log_start(self.view.log_start());
        }
        if due.last_segment_expired && self.log_mut().roll()?.is_some() {
            self.save_snapshot();
        }
        Ok(())
    }

    /// Lets go of what the leader does not have any more either. Retention of this replica's own has moved the log's
    /// start before the core was told.
    pub(super) fn raise_log_start(&mut self, to: Offset) {
        self.view.set_log_start(to);
        // What could not go now goes with the next retention; until then readers are held back by the view.
        let is_busy = self.log().is_removing() || self.log().is_compacting();
        if to <= self.log().start() || to > self.log().end() || is_busy {
            return;
        }
        if let Some(job) = self.log_mut().set_log_start(to) {
            self.start(move || Done::Removal(job.run()));
        }
    }
}
