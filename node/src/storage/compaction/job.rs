//! One round of compaction, step by step: each step is run on a thread that may be slow, and its outcome is given back
//! to the log, which hands out the next one. Between two steps the thread is free for another log.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use weir_wire::batch::{self, BatchHeader};
use weir_wire::ids::{Offset, ProducerId};

use super::super::error::{Doing, ReadError, StorageError};
use super::super::lookup::corrupt;
use super::super::names::FileKind;
use super::super::shared::{Segment, SegmentView, Shared};
use super::super::side_files::SideFiles;
use super::super::walk::{BatchFault, Expected, FAR_WINDOW_BYTES, STORED_LIMITS, Step as WalkStep, Walk};
use super::fate::{Counted, Fate, Rules};
use super::keys::{KEYS_BYTES_MAX, Keys};
use super::output::{self, Output};
use super::plan::{Closed, groups};
use super::{Cleaned, CompactionLimits, swap};

/// Why a round of compaction ended early. Nothing is lost: what it had put in place stays, the rest is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompactionError {
    /// The log is damaged; it is not compacted again until it was opened anew.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The disk failed; tried again later if that may help.
    #[error(transparent)]
    Io(#[from] StorageError),
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Below this every key has one record now.
    pub cleaned_to: Offset,
    /// How many segments were read.
    pub segments: usize,
    /// How many segments took their place.
    pub segments_written: usize,
    /// The bytes of the segments before.
    pub bytes_before: u64,
    /// The bytes of the segments after.
    pub bytes_after: u64,
    /// How many records stay.
    pub records_kept: u64,
    /// How many records went.
    pub records_gone: u64,
}

/// What a round is to do.
pub(in super::super) struct Order {
    pub(in super::super) now_ms: i64,
    pub(in super::super) limits: CompactionLimits,
    pub(in super::super) live: BTreeSet<ProducerId>,
    pub(in super::super) segment_bytes: u64,
    pub(in super::super) index_interval_bytes: u32,
    pub(in super::super) log_start: Offset,
    pub(in super::super) dirty_from: Offset,
    /// The segments to be cleaned, in order.
    pub(in super::super) segments: Vec<SegmentView>,
}

/// The next step of a round. Runs on any thread, once.
pub struct CompactionJob {
    shared: Arc<Shared>,
    side: SideFiles,
    order: Order,
    /// Set when nobody wants the rest any more.
    cancelled: Arc<AtomicBool>,
    step: Step,
    keys: Keys,
    groups: VecDeque<Vec<SegmentView>>,
    counted: Counted,
    has_forgotten_positions: bool,
    done: Compaction,
}

enum Step {
    /// Reads the dirty part.
    Look,
    /// Writes the next segment.
    Clean,
    /// Puts it in place.
    Swap { number: u64, base: Offset, end: Offset },
}

/// What became of a step; to be given to [`Log::compaction_done`](super::super::Log::compaction_done) in any case.
pub struct Compacted {
    pub(in super::super) job: CompactionJob,
    pub(in super::super) outcome: Outcome,
}

pub(in super::super) enum Outcome {
    /// There is more to do.
    More,
    /// This segment is to take the place of those, in memory first.
    Committed {
        old: Vec<u64>,
        new: Segment,
    },
    /// Its files are in place.
    InPlace {
        number: u64,
    },
    /// The round is over.
    Finished(Cleaned),
    Cancelled,
    Failed(CompactionError),
    /// A segment is half in place: a restart finishes that.
    Halved(StorageError),
}

impl std::fmt::Debug for CompactionJob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompactionJob")
            .field("folder", &self.shared.folder)
            .field("segments", &self.order.segments.len())
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Compacted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Compacted").field(&self.job).finish()
    }
}

impl CompactionJob {
    pub(in super::super) fn new(
        shared: Arc<Shared>,
        side: SideFiles,
        order: Order,
        cancelled: Arc<AtomicBool>,
    ) -> CompactionJob {
        CompactionJob {
            keys: Keys::new(order.dirty_from, KEYS_BYTES_MAX),
            done: Compaction { cleaned_to: order.dirty_from, ..Compaction::default() },
            shared,
            side,
            order,
            cancelled,
            step: Step::Look,
            groups: VecDeque::new(),
            counted: Counted::default(),
            has_forgotten_positions: false,
        }
    }

    /// Lets the keys of a round take less memory, for tests of what happens then.
    #[cfg(test)]
    pub(in super::super) fn with_keys_bytes_max(mut self, bytes_max: usize) -> CompactionJob {
        self.keys = Keys::new(self.order.dirty_from, bytes_max);
        self
    }

    /// Does one step.
    #[must_use]
    pub fn run(mut self) -> Compacted {
        let outcome = match self.step {
            Step::Swap { number, base, end } => {
                self.step = Step::Clean;
                match swap::finish(&*self.shared.storage.disk, &self.shared.folder, base, end) {
                    Ok(()) => Outcome::InPlace { number },
                    Err(error) => Outcome::Halved(error),
                }
            }
            _ if self.is_cancelled() => Outcome::Cancelled,
            Step::Look => {
                self.step = Step::Clean;
                self.look().map_or_else(Outcome::Failed, |()| self.outcome(Outcome::More))
            }
            Step::Clean => self.clean().unwrap_or_else(Outcome::Failed),
        };
        Compacted { job: self, outcome }
    }

    pub(in super::super) fn done(&self) -> Compaction {
        self.done
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    fn outcome(&self, outcome: Outcome) -> Outcome {
        if self.is_cancelled() { Outcome::Cancelled } else { outcome }
    }

    /// Takes in the dirty part, as far as memory allows, and decides which segments become one.
    fn look(&mut self) -> Result<(), CompactionError> {
        let Order { segments, dirty_from, .. } = &self.order;
        let dirty_from = *dirty_from;
        let keys = &mut self.keys;
        for view in segments.iter().filter(|view| view.end > dirty_from) {
            let cancelled = &self.cancelled;
            let mut more = true;
            for_each_batch(&self.shared, view, cancelled, |header, bytes| {
                if header.next_offset() <= dirty_from || !more {
                    return Ok(());
                }
                more = !keys.is_full();
                if more {
                    let has_keys = header.record_count > 0 && !header.attributes.is_control();
                    let bytes = Bytes::copy_from_slice(bytes);
                    let records = has_keys.then(|| batch::records(&bytes, &STORED_LIMITS)).transpose();
                    keys.take(header, records.map_err(|error| Fault::Bytes(error.into()))?.as_ref());
                }
                Ok(())
            })?;
            if !more {
                break;
            }
        }
        let touched: Vec<SegmentView> =
            segments.iter().take_while(|view| view.segment.base < keys.to()).copied().collect();
        let closed: Vec<Closed> = touched.iter().map(Closed::from).collect();
        let mut rest = touched.into_iter();
        for count in groups(&closed, self.order.segment_bytes) {
            self.groups.push_back(rest.by_ref().take(count).collect());
        }
        self.done.cleaned_to = keys.to();
        Ok(())
    }

    /// Writes the next segment that differs from what it replaces.
    fn clean(&mut self) -> Result<Outcome, CompactionError> {
        let Some(group) = self.groups.pop_front() else { return self.finish() };
        let (base, end) = (group[0].segment.base, group[group.len() - 1].end);
        let written = self.write(&group, base, end);
        let is_wanted = matches!(&written, Ok(Some(written)) if written.is_changed || group.len() > 1);
        if !is_wanted || self.is_cancelled() {
            // What a full disk keeps from being removed goes when the log is opened.
            let _ = output::discard(&self.shared, base, end);
        }
        let written = written?;
        self.done.segments += group.len();
        let before: u64 = group.iter().map(|view| view.segment.bytes).sum();
        self.done.bytes_before += before;
        let Some(written) = written.filter(|_| is_wanted) else {
            self.done.segments_written += group.len();
            self.done.bytes_after += before;
            return Ok(self.outcome(Outcome::More));
        };
        if self.is_cancelled() {
            return Ok(Outcome::Cancelled);
        }
        self.forget_positions()?;
        output::commit(&self.shared, base, end)?;
        self.done.segments_written += 1;
        self.done.bytes_after += written.bytes;
        let new = output::segment(&self.shared, base, end, &written);
        self.step = Step::Swap { number: new.number, base, end };
        Ok(Outcome::Committed { old: group.iter().map(|view| view.segment.number).collect(), new })
    }

    /// Recovery points that were written down before name places in files that will not be there any more.
    fn forget_positions(&mut self) -> Result<(), StorageError> {
        if !self.has_forgotten_positions {
            self.side.change_meta(|meta| meta.truncations += 1)?;
            self.has_forgotten_positions = true;
        }
        Ok(())
    }

    fn write(
        &mut self,
        group: &[SegmentView],
        base: Offset,
        end: Offset,
    ) -> Result<Option<output::Written>, CompactionError> {
        let rules = Rules {
            keys: &self.keys,
            live: &self.order.live,
            log_start: self.order.log_start,
            now_ms: self.order.now_ms,
            delete_retention_ms: self.order.limits.delete_retention_ms,
        };
        let counted = &mut self.counted;
        let before = *counted;
        let mut output = Output::begin(&self.shared, base, end, self.order.index_interval_bytes)?;
        for view in group {
            for_each_batch(&self.shared, view, &self.cancelled, |header, bytes| {
                let bytes = Bytes::copy_from_slice(bytes);
                let fate =
                    rules.decide(header, &bytes, counted).map_err(|error| Fault::Bytes(error.into()))?;
                match fate {
                    Fate::Kept => output.keep(header, &bytes)?,
                    Fate::Rewritten(new) => output.replace(&new)?,
                    Fate::Gone => output.leave_out(header)?,
                }
                Ok(())
            })?;
        }
        self.done.records_kept += counted.records_kept - before.records_kept;
        self.done.records_gone += counted.records_gone - before.records_gone;
        if self.is_cancelled() { Ok(None) } else { Ok(output.finish()?) }
    }

    fn finish(&mut self) -> Result<Outcome, CompactionError> {
        let cleaned = Cleaned { to: self.keys.to(), tombstones_due_ms: self.counted.tombstones_due_ms };
        self.side.save_cleaned(&cleaned)?;
        Ok(Outcome::Finished(cleaned))
    }
}

impl From<&SegmentView> for Closed {
    fn from(view: &SegmentView) -> Closed {
        let Segment { base, bytes, max_timestamp_ms, first_timestamp_ms, .. } = view.segment;
        Closed { base, end: view.end, bytes, max_timestamp_ms, first_timestamp_ms }
    }
}

/// Why a batch could not be taken.
enum Fault {
    Bytes(BatchFault),
    Io(StorageError),
}

impl From<StorageError> for Fault {
    fn from(error: StorageError) -> Fault {
        Fault::Io(error)
    }
}

/// Goes over the batches of a segment, checks each and its place, and lets others have the processor in between. Stops
/// without an error when nobody wants the rest.
fn for_each_batch(
    shared: &Shared,
    view: &SegmentView,
    cancelled: &AtomicBool,
    mut visit: impl FnMut(&BatchHeader, &[u8]) -> Result<(), Fault>,
) -> Result<(), CompactionError> {
    let path = shared.path(view.segment.base, FileKind::Log);
    let file = shared.file(&view.segment, FileKind::Log)?;
    let mut walk = Walk::new(file, 0, view.segment.bytes, FAR_WINDOW_BYTES);
    let mut expected = Expected::at(view.segment.base);
    let mut yielded_at = 0;
    while expected.offset < view.end && !cancelled.load(Ordering::Relaxed) {
        let position = walk.position();
        if position - yielded_at >= FAR_WINDOW_BYTES as u64 {
            yielded_at = position;
            std::thread::yield_now();
        }
        let here = expected.offset;
        let fault = match walk.next_batch().doing("reading", &path)? {
            WalkStep::Found((header, bytes)) => match expected.take(&header) {
                Ok(()) => match visit(&header, bytes) {
                    Ok(()) => continue,
                    Err(Fault::Io(error)) => return Err(error.into()),
                    Err(Fault::Bytes(fault)) => fault,
                },
                Err(fault) => fault,
            },
            WalkStep::End => BatchFault::Missing { expected: here },
            WalkStep::Fault(error) => BatchFault::Bytes(error),
        };
        return Err(corrupt(shared, view, position, here, &fault).into());
    }
    Ok(())
}
