//! The log's part in its compaction: what may be cleaned, and taking what was cleaned into the log.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use weir_wire::ids::{Offset, ProducerId};

use super::super::compaction::{
    Cleaned, Closed, Compacted, Compaction, CompactionError, CompactionJob, CompactionLimits, Order, Outcome,
    plan,
};
use super::super::error::{ReadError, StorageError};
use super::super::lookup::{first_timestamp, max_timestamp};
use super::super::shared::{Segment, SegmentView};
use super::Log;

/// What the log remembers of its compaction.
#[derive(Debug, Default)]
pub(super) struct Compacting {
    /// What rounds before have done; `None` until it was read.
    cleaned: Option<Cleaned>,
    /// Ends the round that is under way.
    cancel: Option<Arc<AtomicBool>>,
    /// Why there are no more rounds until the log is opened anew.
    given_up: bool,
}

/// Where a round of compaction stands.
#[derive(Debug)]
pub enum CompactionProgress {
    /// The next step.
    More(Box<CompactionJob>),
    /// The round is over.
    Done(Compaction),
    /// The round was ended early, on request.
    Cancelled,
}

impl Log {
    /// The first step of a round of compaction, if one is due: over segments that take no appends any more, lie below
    /// `high_watermark` as a whole and are durable. `now_ms` is the wall clock's; of the producers in `live` the newest
    /// batch is kept. Does nothing while a removal, a repair or another round is under way.
    ///
    /// # Errors
    /// When the age of a segment, or what was done before, cannot be read.
    pub fn prepare_compaction(
        &mut self,
        now_ms: i64,
        high_watermark: Offset,
        limits: &CompactionLimits,
        live: impl FnOnce() -> BTreeSet<ProducerId>,
    ) -> Result<Option<CompactionJob>, StorageError> {
        let is_busy = self.removing || self.repairing || self.compacting.cancel.is_some();
        if is_busy || self.retired.is_some() || self.compacting.given_up || !self.unremoved.is_empty() {
            return Ok(None);
        }
        let views = self.cleanable(high_watermark);
        let Some(first) = views.first() else { return Ok(None) };
        let cleaned = self.cleaned()?;
        let mut closed = Vec::with_capacity(views.len());
        for view in &views {
            let dirty = view.end > cleaned.to;
            let newest = if dirty { max_timestamp(&self.shared, view)? } else { None };
            let may_be_due = dirty && limits.max_lag_ms.is_some();
            let oldest = if may_be_due { first_timestamp(&self.shared, view)? } else { None };
            closed.push(Closed {
                max_timestamp_ms: newest,
                first_timestamp_ms: oldest,
                ..Closed::from(view)
            });
        }
        let Some(plan) = plan(now_ms, &closed, &cleaned, limits) else { return Ok(None) };
        let order = Order {
            now_ms,
            limits: *limits,
            live: live(),
            segment_bytes: u64::from(self.config.segment_bytes),
            index_interval_bytes: self.config.index_interval_bytes,
            log_start: self.start().max(first.segment.base),
            dirty_from: plan.dirty_from,
            segments: views[..plan.segments].to_vec(),
        };
        let cancel = Arc::<AtomicBool>::default();
        self.compacting.cancel = Some(cancel.clone());
        Ok(Some(CompactionJob::new(self.shared.clone(), self.side.clone(), order, cancel)))
    }

    /// Whether a step was handed out whose outcome has not been reported yet.
    #[must_use]
    pub fn is_compacting(&self) -> bool {
        self.compacting.cancel.is_some()
    }

    /// Asks the round that is under way to end soon. Its steps still report.
    pub fn cancel_compaction(&self) {
        if let Some(cancel) = &self.compacting.cancel {
            cancel.store(true, Ordering::Relaxed);
        }
    }

    /// Takes the outcome of a step.
    ///
    /// # Errors
    /// What ended the round. If a segment is half in place the log is retired: a restart finishes that.
    pub fn compaction_done(&mut self, compacted: Compacted) -> Result<CompactionProgress, CompactionError> {
        assert!(self.compacting.cancel.is_some(), "a step of compaction is done that was never handed out");
        let Compacted { job, outcome } = compacted;
        match outcome {
            Outcome::More => Ok(CompactionProgress::More(Box::new(job))),
            Outcome::Committed { old, new } => {
                self.take_in(&old, new);
                Ok(CompactionProgress::More(Box::new(job)))
            }
            Outcome::InPlace { number } => {
                if let Some(segment) = self.shared.state().segment_mut(number) {
                    segment.swap_end = None;
                }
                Ok(CompactionProgress::More(Box::new(job)))
            }
            Outcome::Finished(cleaned) => {
                self.compacting.cancel = None;
                self.compacting.cleaned = Some(cleaned);
                Ok(CompactionProgress::Done(job.done()))
            }
            Outcome::Cancelled => {
                self.compacting.cancel = None;
                Ok(CompactionProgress::Cancelled)
            }
            Outcome::Failed(error) => {
                self.compacting.cancel = None;
                self.compacting.given_up |= matches!(error, CompactionError::Read(ReadError::Corrupt { .. }));
                Err(error)
            }
            Outcome::Halved(error) => {
                self.compacting.cancel = None;
                self.retire(&error);
                Err(error.into())
            }
        }
    }

    /// Nothing of the log from `end` on is what was cleaned.
    pub(super) fn uncleaned_from(&mut self, end: Offset) -> Result<(), StorageError> {
        self.compacting.cleaned = None;
        if self.side.load_cleaned()?.is_some_and(|cleaned| cleaned.to > end) {
            self.side.remove_cleaned()?;
        }
        Ok(())
    }

    /// The segments that may be cleaned. The one up to which the log is durable is none of them: a place in it is being
    /// written down.
    fn cleanable(&self, high_watermark: Offset) -> Vec<SegmentView> {
        let bound = high_watermark.min(self.flushed.segment);
        let state = self.shared.state();
        let views = (0..state.segments.len()).filter_map(|index| state.view(index));
        views.take_while(|view| !view.is_last && view.end <= bound).collect()
    }

    fn cleaned(&mut self) -> Result<Cleaned, StorageError> {
        if let Some(cleaned) = self.compacting.cleaned {
            return Ok(cleaned);
        }
        let cleaned = self.side.load_cleaned()?.unwrap_or_default();
        let cleaned = Cleaned { to: cleaned.to.min(self.end()), ..cleaned };
        self.compacting.cleaned = Some(cleaned);
        Ok(cleaned)
    }

    /// Puts a segment into the place of neighbours. Who is reading those starts over, and memory does not tell any more of
    /// what is gone.
    fn take_in(&mut self, old: &[u64], new: Segment) {
        let mut state = self.shared.state();
        state.generation += 1;
        let at = state.segments.iter().position(|segment| Some(&segment.number) == old.first());
        let at = at.expect("no segment leaves the log while it is compacted");
        let mut rest: VecDeque<Segment> = state.segments.split_off(at);
        for number in old {
            let replaced = rest.pop_front().expect("no segment leaves the log while it is compacted");
            assert!(replaced.number == *number, "compaction replaces neighbours");
        }
        state.segments.push_back(new);
        state.segments.append(&mut rest);
        let end = state.view(at).expect("it was put there just now").end;
        let before = state.tail.cost();
        state.tail.forget_below(end);
        self.shared.storage.tails.changed(before, state.tail.cost());
        state.check();
        drop(state);
        old.iter().for_each(|number| self.shared.storage.files.forget(*number));
    }
}
