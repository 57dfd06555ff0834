//! The stored form of what a log remembers of its producers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_wire::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use weir_wire::stored::Stored;

use super::{ProducerState, Producers, REMEMBERED_MAX};
use crate::partition::revisions::RevisionStart;
use crate::time::Now;

/// The producers of a log up to one offset. Kafka stores only the newest batch of each producer, which shrinks what
/// is recognised after a restart; this stores every remembered one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerCheckpoint {
    /// Every batch below this is accounted for and none at or above it; a batch boundary.
    pub end: Offset,
    /// Log time there.
    pub log_time_ms: i64,
    /// In the order of their ids.
    pub producers: Vec<ProducerSnapshot>,
    /// The markers of the pipeline's revisions, in the order of the log.
    pub revisions: Vec<RevisionStart>,
}

impl Stored for ProducerCheckpoint {
    const NAME: &'static str = "producer snapshot";
    const VERSION: u8 = 2;
}

/// One producer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerSnapshot {
    /// Who.
    pub id: ProducerId,
    /// In which of its lives.
    pub epoch: ProducerEpoch,
    /// Log time at its newest batch.
    pub log_time_ms: i64,
    /// Whether a batch of this epoch is no longer among `batches`.
    pub overflowed: bool,
    /// Its newest batches, oldest first; at least one.
    pub batches: Vec<RememberedBatch>,
}

/// One stored batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedBatch {
    /// Its base sequence.
    pub base_sequence: Sequence,
    /// The distance from its first to its last offset.
    pub last_offset_delta: u32,
    /// How many records it holds.
    pub record_count: u32,
    /// Where it lies.
    pub base_offset: Offset,
}

impl Producers {
    /// The stored form, where the log ends at `end` and has these markers.
    pub(crate) fn checkpoint(&self, end: Offset, revisions: Vec<RevisionStart>) -> ProducerCheckpoint {
        let snapshot = |(id, state): (&ProducerId, &ProducerState)| ProducerSnapshot {
            id: *id,
            epoch: state.epoch,
            log_time_ms: state.log_time_ms,
            overflowed: state.overflowed,
            batches: state.batches.iter().copied().collect(),
        };
        ProducerCheckpoint {
            end,
            log_time_ms: self.log_time_ms,
            producers: self.states.iter().map(snapshot).collect(),
            revisions,
        }
    }

    /// The producers out of their stored form; `None` if it contradicts itself. Everyone in it counts as heard of
    /// right now, so nobody is forgotten early.
    pub(crate) fn load(now: Now, checkpoint: ProducerCheckpoint) -> Option<Producers> {
        let mut producers = Producers { log_time_ms: checkpoint.log_time_ms, ..Producers::new() };
        for snapshot in checkpoint.producers {
            if !is_sound(&snapshot, checkpoint.end, checkpoint.log_time_ms) {
                return None;
            }
            let newest = snapshot.batches.last()?.base_offset;
            let state = ProducerState {
                epoch: snapshot.epoch,
                batches: snapshot.batches.into(),
                overflowed: snapshot.overflowed,
                log_time_ms: snapshot.log_time_ms,
                learned_ns: now.monotonic_ns,
            };
            let twice = producers.states.insert(snapshot.id, state).is_some()
                || producers.by_newest.insert(newest, snapshot.id).is_some();
            if twice {
                return None;
            }
        }
        ages_fall_with_offsets(&producers.by_newest, &producers.states).then_some(producers)
    }
}

fn is_sound(snapshot: &ProducerSnapshot, end: Offset, log_time_ms: i64) -> bool {
    let batches = &snapshot.batches;
    !batches.is_empty()
        && batches.len() <= REMEMBERED_MAX
        && snapshot.log_time_ms <= log_time_ms
        && batches.iter().all(|batch| {
            batch.base_offset < end && end.since(batch.base_offset) > u64::from(batch.last_offset_delta)
        })
        && batches.windows(2).all(|pair| pair[0].end() <= pair[1].base_offset)
}

fn ages_fall_with_offsets(
    by_newest: &BTreeMap<Offset, ProducerId>,
    states: &BTreeMap<ProducerId, ProducerState>,
) -> bool {
    by_newest.values().map(|id| states[id].log_time_ms).is_sorted()
}
