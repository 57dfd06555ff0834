//! What a producer counts.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::delivery::{DeliveryResult, SettledRun};
use super::lane::Opening;

/// What a producer has done so far. Counts only rise.
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
}

impl ProducerMetrics {
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

    pub(super) fn read(&self) -> ProducerMetrics {
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
        }
    }
}
