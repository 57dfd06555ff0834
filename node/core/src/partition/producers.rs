//! What a partition remembers of idempotent producers, so that a batch is stored once.
//!
//! **One memory serves both checks.** Per producer it holds the epoch and the last [`REMEMBERED_MAX`] batches, all of
//! it read from stored batch headers. A header does not say whether its batch came over a lane or from a producer
//! that names its partition, and it need not: a lane's highest sequence is the base sequence of the newest batch, a
//! contiguous producer's last sequence is where the newest batch ends, and the check that a live append asks for
//! reads the one or the other. So recovery and followers replay headers without knowing which check let them in.
//!
//! **It is a function of the log.** `record` takes nothing but headers in the order of the log, and is called at the
//! append, not at the commit: a batch that is not yet committed must be recognised too, its answer just waits.
//!
//! **Forgetting.** Log time is the highest batch timestamp so far. A producer may go when log time moved on by
//! `producer.id.expiration.ms` since its newest batch *and* this replica has known that batch for as long by its own
//! monotonic clock. Log time alone is not enough: a producer that replays last year's events moves it by months in a
//! second, and a forgotten producer's resend would be stored twice. The second condition only ever keeps a producer
//! longer, on some replicas, which is safe: who remembers answers "already stored", who does not answers "a part is
//! missing" or, after longer than any client resends, starts over.
//! (A batch stamped far in the future stops log time, and with it the forgetting; memory stays bounded all the same.)
//! Above `producers_max` the producer that wrote longest ago goes, counted.

mod check;
mod snapshot;

use std::collections::{BTreeMap, VecDeque};

use weir_wire::ids::{Offset, ProducerEpoch, ProducerId, Sequence};

pub(crate) use check::Verdict;
pub use snapshot::{ProducerCheckpoint, ProducerSnapshot, RememberedBatch};

use super::messages::BatchMeta;
use super::rules::{Rule, Rules};
use super::settings::PartitionConfig;
use crate::time::Now;

/// How many batches of each producer are remembered, for lanes.
pub const REMEMBERED_MAX: usize = 64;

/// How many of them Kafka's contiguous check looks at: a producer of that kind has at most five batches in flight.
pub const REMEMBERED_CONTIGUOUS_MAX: usize = 5;

/// Sequences of contiguous producers wrap to 0 here, as Kafka's signed 32-bit ones do.
pub const CONTIGUOUS_SEQUENCES: u32 = 1 << 31;

/// The producers of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Producers {
    states: BTreeMap<ProducerId, ProducerState>,
    /// The producers by the base offset of their newest batch: in the order in which they are forgotten.
    by_newest: BTreeMap<Offset, ProducerId>,
    /// The highest batch timestamp of the log so far.
    log_time_ms: i64,
    /// How many were forgotten because there were too many.
    evicted: u64,
    /// How many were forgotten because they were quiet.
    expired: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ProducerState {
    epoch: ProducerEpoch,
    /// The newest batches of this epoch, oldest first; never empty.
    batches: VecDeque<RememberedBatch>,
    /// Whether a batch of this epoch has left `batches`.
    overflowed: bool,
    /// Log time at the newest batch.
    log_time_ms: i64,
    /// When this replica learned of the newest batch, on its monotonic clock.
    learned_ns: u64,
}

impl ProducerState {
    fn newest(&self) -> RememberedBatch {
        *self.batches.back().expect("a remembered producer has a newest batch")
    }

    fn oldest(&self) -> RememberedBatch {
        *self.batches.front().expect("a remembered producer has an oldest batch")
    }
}

impl RememberedBatch {
    /// The offset after its last one.
    fn end(&self) -> Offset {
        self.base_offset + u64::from(self.last_offset_delta) + 1
    }

    /// The sequence of its last record for a contiguous producer.
    fn last_sequence(&self) -> Sequence {
        wrapping_sequence(self.base_sequence, self.last_offset_delta)
    }
}

/// `sequence + count`, wrapping as contiguous producers do.
fn wrapping_sequence(sequence: Sequence, count: u32) -> Sequence {
    Sequence(sequence.0.wrapping_add(count) % CONTIGUOUS_SEQUENCES)
}

impl Producers {
    pub(crate) fn new() -> Producers {
        Producers {
            states: BTreeMap::new(),
            by_newest: BTreeMap::new(),
            log_time_ms: i64::MIN,
            evicted: 0,
            expired: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = ProducerId> {
        self.states.keys().copied()
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(crate) fn expired(&self) -> u64 {
        self.expired
    }

    /// Goes on with the counts of the memory that this one replaces.
    pub(crate) fn go_on_counting(&mut self, replaced: &Producers) {
        (self.evicted, self.expired) = (replaced.evicted, replaced.expired);
    }

    /// Takes note of a batch that is in the log now: live, by a follower, or replayed. Nothing is checked.
    pub(crate) fn record(
        &mut self,
        now: Now,
        config: &PartitionConfig,
        rules: Rules,
        base_offset: Offset,
        batch: &BatchMeta,
    ) {
        if batch.is_control {
            return;
        }
        self.log_time_ms = self.log_time_ms.max(batch.max_timestamp_ms);
        let Some(stamp) = batch.producer else { return };
        let remembered = RememberedBatch {
            base_sequence: stamp.base_sequence,
            last_offset_delta: batch.last_offset_delta,
            record_count: batch.record_count,
            base_offset,
        };
        let state = self.states.entry(stamp.id).or_insert_with(|| ProducerState {
            epoch: stamp.epoch,
            batches: VecDeque::new(),
            overflowed: false,
            log_time_ms: self.log_time_ms,
            learned_ns: now.monotonic_ns,
        });
        if let Some(newest) = state.batches.back() {
            assert!(newest.end() <= base_offset, "batches are recorded in the order of the log");
            self.by_newest.remove(&newest.base_offset);
        }
        if state.epoch != stamp.epoch && rules.hold(Rule::NewerProducerEpochResets) {
            state.batches.clear();
            state.overflowed = false;
        }
        state.epoch = stamp.epoch;
        state.log_time_ms = self.log_time_ms;
        state.learned_ns = now.monotonic_ns;
        state.batches.push_back(remembered);
        if state.batches.len() > REMEMBERED_MAX {
            state.batches.pop_front();
            state.overflowed = true;
        }
        self.by_newest.insert(base_offset, stamp.id);
        while self.states.len() > config.producers_max {
            self.forget_oldest();
            self.evicted += 1;
        }
    }

    /// Forgets the producers that were quiet for longer than `producer.id.expiration.ms`, by log time and by this
    /// replica's clock.
    pub(crate) fn expire(&mut self, now: Now, config: &PartitionConfig, rules: Rules) {
        let expiration_ms = config.producer_id_expiration_ms;
        while let Some(id) = self.by_newest.values().next() {
            let state = &self.states[id];
            let log_quiet = self.is_quiet_by_log_time(state, expiration_ms);
            let quiet =
                now.ms_since(state.learned_ns) > expiration_ms || !rules.hold(Rule::ExpiryNeedsRealTime);
            // Both ages fall along `by_newest`, so nobody behind this one is due either.
            if !(log_quiet && quiet) {
                return;
            }
            self.forget_oldest();
            self.expired += 1;
        }
    }

    fn is_quiet_by_log_time(&self, state: &ProducerState, expiration_ms: u64) -> bool {
        self.log_time_ms.abs_diff(state.log_time_ms) > expiration_ms
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.by_newest.pop_first() {
            self.states.remove(&id);
        }
    }
}
