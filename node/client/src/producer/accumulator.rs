//! Where records of one lane become batches. Senders push, the lane's task takes; neither waits for the other.
//!
//! ```text
//!  push ──▶ open batch ──full──▶ sealed batches ──▶ the lane's task
//!               └──── linger is over, a flush, ... ──────▲
//! ```
//!
//! A batch that would only wait in the lane's queue stays open and grows instead.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use weir_wire::batch::{BatchBuilder, Compression, Limits};

use super::config::ProducerConfig;
use super::delivery::{Completion, Delivery};
use super::lane::BatchKey;
use super::record::Record;
use crate::backoff::Moment;

/// The records of one lane that its task has not taken yet.
pub(super) struct Accumulator {
    state: Mutex<State>,
    /// Rung when the task has something to do or a timer to set.
    pub(super) wake: Notify,
    builders: Arc<Builders>,
}

/// The batch builders of a producer. One that is not at work keeps its memory for the next batch of any lane.
pub(super) struct Builders {
    compression: Compression,
    level: Option<i32>,
    spare: Mutex<Vec<BatchBuilder>>,
    spare_max: usize,
}

#[derive(Default)]
struct State {
    open: Option<Filling>,
    sealed: VecDeque<Filling>,
    next_key: u64,
    /// Every batch whose records have no result yet, also those that the task has taken.
    unsettled: BTreeMap<BatchKey, Arc<Completion>>,
    /// The open batch is to be taken as it is.
    flushing: bool,
}

/// A batch that is being filled, or is full.
pub(super) struct Filling {
    pub(super) key: BatchKey,
    pub(super) builder: BatchBuilder,
    pub(super) completion: Arc<Completion>,
    /// When its first record came.
    pub(super) since: Moment,
    /// What its records hold of the buffer, in bytes.
    pub(super) memory: usize,
}

/// When the task may take a batch that is not full.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    pub(super) linger: Duration,
    pub(super) delivery_timeout: Duration,
}

impl Builders {
    /// The most spare builders, whatever they hold.
    const SPARE_MAX: usize = 64;

    /// Spare builders hold a quarter of the producer's buffer at most, beyond what that counts.
    pub(super) fn new(config: &ProducerConfig) -> Builders {
        let batches = usize::try_from(config.buffer_bytes / 4 / config.batch_bytes).unwrap_or(usize::MAX);
        Builders {
            compression: config.compression,
            level: config.compression_level,
            spare: Mutex::default(),
            spare_max: batches.clamp(1, Builders::SPARE_MAX),
        }
    }

    fn take(&self) -> BatchBuilder {
        let spare = self.lock().pop();
        spare.unwrap_or_else(|| match self.level {
            Some(level) => BatchBuilder::with_level(self.compression, level),
            None => BatchBuilder::new(self.compression),
        })
    }

    /// Takes a builder back that has finished its batch.
    pub(super) fn reuse(&self, builder: BatchBuilder) {
        let mut spare = self.lock();
        if spare.len() < self.spare_max {
            spare.push(builder);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<BatchBuilder>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accumulator {
    pub(super) fn new(builders: Arc<Builders>) -> Accumulator {
        Accumulator { state: Mutex::default(), wake: Notify::new(), builders }
    }

    /// Adds a record that holds `memory` bytes of the buffer. `now` is asked only for the first record of a batch.
    pub(super) fn push(
        &self,
        record: &Record<'_>,
        timestamp_ms: i64,
        memory: usize,
        batch_bytes: usize,
        now: impl FnOnce() -> Moment,
    ) -> Delivery {
        let mut state = self.lock();
        let mut wake = state.seal_if_full(memory, batch_bytes);
        if state.open.is_none() {
            state.begin(self.builders.take(), now());
            wake = true;
        }
        let open = state.open.as_mut().expect("a batch was just begun if there was none");
        let index = open.builder.record_count();
        open.builder.push(timestamp_ms, record.key, record.value, record.headers);
        open.memory += memory;
        let delivery = Delivery::new(Arc::clone(&open.completion), index);
        if open.builder.uncompressed_bytes() >= batch_bytes {
            state.seal();
            wake = true;
        }
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        delivery
    }

    /// The batches that the task is to send now. `may_take` says whether one that is not full would be sent at once.
    pub(super) fn take(&self, now: Moment, may_take: bool, patience: Patience) -> Vec<Filling> {
        let mut state = self.lock();
        let due = state.open.as_ref().is_some_and(|open| {
            state.flushing
                || (may_take && state.sealed.is_empty() && open.since + patience.linger <= now)
                || open.since + patience.delivery_timeout <= now
        });
        if due {
            state.seal();
        }
        if state.open.is_none() {
            state.flushing = false;
        }
        std::mem::take(&mut state.sealed).into()
    }

    /// When [`take`](Accumulator::take) has something that it does not have now.
    pub(super) fn next_take(&self, may_take: bool, patience: Patience) -> Option<Moment> {
        let state = self.lock();
        let open = state.open.as_ref()?;
        Some(open.since + if may_take { patience.linger } else { patience.delivery_timeout })
    }

    /// Has the open batch taken soon, as it is. Returns all batches without a result.
    pub(super) fn flush(&self) -> Vec<Arc<Completion>> {
        let mut state = self.lock();
        state.flushing = state.open.is_some();
        let unsettled = state.unsettled.values().cloned().collect();
        drop(state);
        self.wake.notify_one();
        unsettled
    }

    /// The batch has its result.
    pub(super) fn settled(&self, key: BatchKey) {
        self.lock().unsettled.remove(&key);
    }

    /// Whether a record of this size would start a batch. The one that has no room for it is full: it may go.
    pub(super) fn is_between_batches(&self, memory: usize, batch_bytes: usize) -> bool {
        let mut state = self.lock();
        let sealed = state.seal_if_full(memory, batch_bytes);
        let is_between = state.open.is_none();
        drop(state);
        if sealed {
            self.wake.notify_one();
        }
        is_between
    }

    /// How many batches have no result yet.
    pub(super) fn backlog(&self) -> usize {
        self.lock().unsettled.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin(&mut self, builder: BatchBuilder, since: Moment) {
        let key = BatchKey(self.next_key);
        self.next_key += 1;
        let completion = Arc::new(Completion::default());
        self.unsettled.insert(key, Arc::clone(&completion));
        self.open = Some(Filling { key, builder, completion, since, memory: 0 });
    }

    fn seal(&mut self) {
        self.sealed.extend(self.open.take());
    }

    /// Seals the open batch if it has no room for a record of this size.
    fn seal_if_full(&mut self, memory: usize, batch_bytes: usize) -> bool {
        let full = self.open.as_ref().is_some_and(|open| {
            open.builder.uncompressed_bytes() + memory > batch_bytes
                || open.builder.record_count() >= Limits::RECORDS_MAX_DEFAULT
        });
        if full {
            self.seal();
        }
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { linger: Duration::from_millis(5), delivery_timeout: Duration::from_millis(100) };

    fn accumulator() -> Accumulator {
        Accumulator::new(Arc::new(Builders::new(&ProducerConfig::default())))
    }

    fn at(ms: u64) -> Moment {
        Duration::from_millis(ms)
    }

    /// Pushes a record of about 100 bytes, into batches of about 250.
    fn push(accumulator: &Accumulator, now_ms: u64) -> Delivery {
        let value = [b'x'; 64];
        accumulator.push(&Record::to("t").value(&value), 0, 100, 250, || at(now_ms))
    }

    fn counts(taken: &[Filling]) -> Vec<u32> {
        taken.iter().map(|filling| filling.builder.record_count()).collect()
    }

    #[test]
    fn a_batch_is_taken_when_linger_is_over_and_not_before() {
        let accumulator = accumulator();
        drop(push(&accumulator, 10));
        assert_eq!(accumulator.next_take(true, PATIENCE), Some(at(15)));
        assert!(accumulator.take(at(14), true, PATIENCE).is_empty());
        assert_eq!(counts(&accumulator.take(at(15), true, PATIENCE)), [1]);
        assert_eq!(accumulator.next_take(true, PATIENCE), None);
    }

    #[test]
    fn full_batches_are_taken_at_once_and_the_rest_grows_while_the_lane_is_busy() {
        let accumulator = accumulator();
        for _ in 0..5 {
            drop(push(&accumulator, 0));
        }
        // 61 bytes of header and 72 to 73 per record: the third record no longer fits by its upper bound.
        assert_eq!(counts(&accumulator.take(at(50), false, PATIENCE)), [2, 2]);
        assert_eq!(accumulator.next_take(false, PATIENCE), Some(at(100)));
        drop(push(&accumulator, 50));
        assert_eq!(counts(&accumulator.take(at(50), true, PATIENCE)), [2]);
    }

    #[test]
    fn a_batch_that_waits_too_long_is_taken_to_be_given_up() {
        let accumulator = accumulator();
        drop(push(&accumulator, 0));
        assert!(accumulator.take(at(99), false, PATIENCE).is_empty());
        assert_eq!(counts(&accumulator.take(at(100), false, PATIENCE)), [1]);
    }

    #[test]
    fn a_batch_without_room_for_the_next_record_is_full() {
        let accumulator = accumulator();
        assert!(accumulator.is_between_batches(100, 250));
        drop(push(&accumulator, 0));
        assert!(!accumulator.is_between_batches(100, 250));
        assert!(accumulator.take(at(0), false, PATIENCE).is_empty());
        drop(push(&accumulator, 0));
        assert!(accumulator.is_between_batches(100, 250));
        assert_eq!(counts(&accumulator.take(at(0), false, PATIENCE)), [2]);
    }

    #[test]
    fn spare_builders_are_few_where_batches_are_large() {
        for (batch_bytes, kept) in [(1 << 20, 8), (64 * 1024, 64), (1, 64), (32 << 20, 1)] {
            let config = ProducerConfig { batch_bytes, ..ProducerConfig::default() };
            let builders = Builders::new(&config);
            (0..100).for_each(|_| builders.reuse(BatchBuilder::new(Compression::None)));
            assert_eq!(builders.lock().len(), kept, "{batch_bytes}");
        }
    }

    #[test]
    fn a_flush_takes_what_is_there_and_names_what_has_no_result() {
        let accumulator = accumulator();
        assert!(accumulator.flush().is_empty());
        for _ in 0..3 {
            drop(push(&accumulator, 0));
        }
        assert_eq!(accumulator.flush().len(), 2);
        let taken = accumulator.take(at(0), false, PATIENCE);
        assert_eq!(counts(&taken), [2, 1]);
        accumulator.settled(taken[0].key);
        assert_eq!(accumulator.backlog(), 1);
        drop(push(&accumulator, 0));
        assert!(
            accumulator.take(at(0), false, PATIENCE).is_empty(),
            "a flush is over once it took something"
        );
    }
}
