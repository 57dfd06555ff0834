//! Rounds of compaction: this replica hands the steps to the cleaner's thread and takes their outcome into its log. What
//! the core knows stays true all the while: no offset and no reign changes.

use tokio::sync::oneshot;
use weir_core::partition::StorageFault;

use super::{Done, Replica};
use crate::storage::{Compacted, CompactionError, CompactionJob, CompactionProgress};

impl Replica {
    /// Begins a round if one is due; says to `reply` when there is nothing to do any more.
    pub(super) fn begin_compaction(&mut self, reply: oneshot::Sender<()>) {
        let Some(limits) = self.settings.compaction else { return };
        if self.core.retired().is_some() {
            return;
        }
        let now_ms = self.outside.clock.now().wall_ms;
        let high_watermark = self.core.high_watermark();
        let core = &self.core;
        let log = self.log.as_mut().expect("the log is here between two cuts");
        match log.prepare_compaction(now_ms, high_watermark, &limits, || core.remembered_producers()) {
            Ok(Some(job)) => {
                self.state.compaction = Some(reply);
                self.start_compaction(job);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(partition = %self.name, %error, "the log could not be compacted; trying again");
            }
        }
    }

    fn start_compaction(&self, job: CompactionJob) {
        let done = self.state.done.0.clone();
        self.outside.cleaners.run(Box::new(move || {
            // The task ends only when the node stops or the topic is gone.
            let _ = done.send(Done::Compaction(Box::new(job.run())));
        }));
    }

    pub(super) fn step_compacted(&mut self, compacted: Compacted) {
        match self.log_mut().compaction_done(compacted) {
            Ok(CompactionProgress::More(job)) => return self.start_compaction(*job),
            Ok(CompactionProgress::Done(done)) => {
                // Places in files that are gone were written down before.
                self.view.set_recovery_point(self.log().recovery_point());
                tracing::info!(
                    partition = %self.name, cleaned_to = %done.cleaned_to, kept = done.records_kept,
                    gone = done.records_gone, bytes_before = done.bytes_before, bytes_after = done.bytes_after,
                    "the log was compacted"
                );
            }
            Ok(CompactionProgress::Cancelled) => {}
            Err(CompactionError::Io(error)) if self.log().retired().is_some() => {
                self.storage_failed(StorageFault::Write, &error);
            }
            Err(error) => {
                tracing::warn!(partition = %self.name, %error, "the log could not be compacted");
            }
        }
        // Who asked goes on to the next log.
        self.state.compaction = None;
    }

    /// Ends the round that is under way: the log is about to be cut, or its folder to go.
    pub(super) async fn end_compaction(&mut self) {
        self.log().cancel_compaction();
        while self.log().is_compacting() {
            self.wait_for_work().await;
        }
    }
}
