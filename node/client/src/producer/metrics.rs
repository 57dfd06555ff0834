//! What a producer counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::delivery::{DeliveryResult, SettledRun};
use super::lane::Opening;
use crate::backoff::Moment;
use crate::outside::Outside;

/// What a producer has done so far, and what its buffer holds. Counts only rise; Kafka's names stand in brackets where it
/// has the figure.
///
/// ```no_run
/// # fn example(producer: &weir_client::Producer) {
/// let metrics = producer.metrics();
/// println!("{} of {} records stored, {} pending", metrics.stored, metrics.records, metrics.pending());
/// if metrics.sends_waiting > 0 {
///     println!("the cluster is slower than we are: so far we waited {:?} for room", metrics.buffer_wait);
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerMetrics {
    /// Records that [`Producer::send`](super::Producer::send) took.
    pub records: u64,
    /// Bytes of their keys, values and headers.
    pub bytes: u64,
    /// Records stored.
    pub stored: u64,
    /// Of these, records that an earlier try had stored.
    pub duplicates: u64,
    /// Records that an interceptor dropped.
    pub dropped: u64,
    /// Records that an interceptor rejected.
    pub rejected: u64,
    /// Records not stored.
    pub failed: u64,
    /// Records that may or may not be stored.
    pub unknown: u64,
    /// Batches sent for the first time.
    pub batches: u64,
    /// Their bytes, after compression.
    pub batch_bytes: u64,
    /// Batches sent again.
    pub batches_resent: u64,
    /// Lane openings beyond the first of each lane.
    pub reopenings: u64,
    /// The most that records may hold of the buffer, in bytes before compression (`buffer-total-bytes`).
    pub buffer_total_bytes: u64,
    /// What is free of it at this moment (`buffer-available-bytes`). What a call of [`send`](super::Producer::send) that
    /// waits has gathered so far is not free.
    pub buffer_available_bytes: u64,
    /// Calls of [`send`](super::Producer::send) that wait for room in the buffer at this moment (`waiting-threads`).
    pub sends_waiting: u64,
    /// How long calls waited for room, all together (`bufferpool-wait-time-ns-total`): those that got it, those that
    /// failed and those that were dropped. A call counts once its wait is over.
    pub buffer_wait: Duration,
}

impl ProducerMetrics {
    /// What records hold of the buffer at this moment, in bytes before compression.
    #[must_use]
    pub fn buffer_used_bytes(&self) -> u64 {
        self.buffer_total_bytes.saturating_sub(self.buffer_available_bytes)
    }

    /// Records whose result is not known yet.
    #[must_use]
    pub fn pending(&self) -> u64 {
        let settled = self.stored + self.dropped + self.rejected + self.failed + self.unknown;
        self.records.saturating_sub(settled)
    }
}

#[derive(Default)]
pub(super) struct Counters {
    records: AtomicU64,
    bytes: AtomicU64,
    stored: AtomicU64,
    duplicates: AtomicU64,
    dropped: AtomicU64,
    rejected: AtomicU64,
    failed: AtomicU64,
    unknown: AtomicU64,
    batches: AtomicU64,
    batch_bytes: AtomicU64,
    batches_resent: AtomicU64,
    reopenings: AtomicU64,
    sends_waiting: AtomicU64,
    buffer_wait_ns: AtomicU64,
}

/// A call that waits for room in the buffer, until it is dropped: the caller may do that too.
pub(super) struct Waiting<'a> {
    counters: &'a Counters,
    outside: &'a Outside,
    since: Moment,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waited = self.outside.now().saturating_sub(self.since);
        // 584 years fit.
        let waited_ns = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.counters.buffer_wait_ns.fetch_add(waited_ns, Relaxed);
        self.counters.sends_waiting.fetch_sub(1, Relaxed);
    }
}

impl Counters {
    pub(super) fn taken(&self, bytes: usize) {
        self.records.fetch_add(1, Relaxed);
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn opened(&self, opening: Opening) {
        if opening > Opening(1) {
            self.reopenings.fetch_add(1, Relaxed);
        }
    }

    pub(super) fn sent(&self, bytes: usize, resent: bool) {
        if resent {
            self.batches_resent.fetch_add(1, Relaxed);
        } else {
            self.batches.fetch_add(1, Relaxed);
            self.batch_bytes.fetch_add(bytes as u64, Relaxed);
        }
    }

    pub(super) fn settled(&self, run: &SettledRun) {
        let counter = match &run.first {
            DeliveryResult::Stored { duplicate, .. } => {
                if *duplicate {
                    self.duplicates.fetch_add(u64::from(run.records), Relaxed);
                }
                &self.stored
            }
            DeliveryResult::Dropped => &self.dropped,
            DeliveryResult::Rejected(_) => &self.rejected,
            DeliveryResult::Failed(_) => &self.failed,
            DeliveryResult::Unknown(_) => &self.unknown,
        };
        counter.fetch_add(u64::from(run.records), Relaxed);
    }

    /// Counts as a wait for as long as it is held.
    pub(super) fn waiting<'a>(&'a self, outside: &'a Outside) -> Waiting<'a> {
        self.sends_waiting.fetch_add(1, Relaxed);
        Waiting { counters: self, outside, since: outside.now() }
    }

    /// With a buffer of so many bytes, of which so many are free.
    pub(super) fn read(&self, buffer_total_bytes: u64, buffer_available_bytes: u64) -> ProducerMetrics {
        let get = |counter: &AtomicU64| counter.load(Relaxed);
        ProducerMetrics {
            records: get(&self.records),
            bytes: get(&self.bytes),
            stored: get(&self.stored),
            duplicates: get(&self.duplicates),
            dropped: get(&self.dropped),
            rejected: get(&self.rejected),
            failed: get(&self.failed),
            unknown: get(&self.unknown),
            batches: get(&self.batches),
            batch_bytes: get(&self.batch_bytes),
            batches_resent: get(&self.batches_resent),
            reopenings: get(&self.reopenings),
            buffer_total_bytes,
            buffer_available_bytes,
            sends_waiting: get(&self.sends_waiting),
            buffer_wait: Duration::from_nanos(get(&self.buffer_wait_ns)),
        }
    }
}
