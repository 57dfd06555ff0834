//! Which lane a record goes to.
//!
//! A key stays in one lane, which is what keeps its order. When the number of partitions changes, and with it the lane
//! of a key, everything that the old lanes hold is settled before the first record goes by the new number.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_wire::batch::{BatchBuilder, HEADER_BYTES};
use weir_wire::ids::{PartitionIndex, TopicId};
use weir_wire::placement;
use weir_wire::request::TopicEntry;

use super::Shared;
use super::accumulator::Accumulator;
use super::config::Lanes;
use super::delivery::{Delivery, WholeBatch};
use super::lane::Way;
use super::lane_task::LaneTask;
use super::record::Record;
use crate::error::{ClientError, SendError};

/// Which topic, for good.
pub(super) struct TopicName {
    pub(super) name: String,
    pub(super) id: TopicId,
}

/// A topic of one producer.
pub(super) struct Topic {
    pub(super) name: Arc<TopicName>,
    /// The metadata that the state was last compared with.
    seen_version: AtomicU64,
    state: Mutex<State>,
}

struct State {
    partitions: u32,
    batch_bytes_max: u32,
    lanes: BTreeMap<Way, Arc<Accumulator>>,
    /// Where records without a key go until that lane's batch is full.
    sticky: u32,
    /// The partitions changed: nothing new until all that was taken is settled; then this many hold.
    draining_to: Option<u32>,
}

/// What became of an attempt to put a record into a batch.
pub(super) enum Pushed {
    /// It is in.
    In(Delivery),
    /// The topic's lanes are being drained: [`Topic::drain`], then try again.
    Draining,
}

impl Topic {
    pub(super) fn new(entry: &TopicEntry, version: u64, first_sticky: u64) -> Topic {
        let state = State {
            partitions: partitions_of(entry),
            batch_bytes_max: entry.batch_bytes_max,
            lanes: BTreeMap::new(),
            sticky: u32::try_from(first_sticky % u64::from(u32::MAX)).unwrap_or_default(),
            draining_to: None,
        };
        Topic {
            name: Arc::new(TopicName { name: entry.name.clone(), id: entry.id }),
            seen_version: AtomicU64::new(version),
            state: Mutex::new(state),
        }
    }

    /// Whether the state was compared with this version of the metadata.
    pub(super) fn is_at(&self, version: u64) -> bool {
        self.seen_version.load(Ordering::Acquire) == version
    }

    /// Compares the state with newer metadata of the same topic.
    pub(super) fn update(&self, entry: &TopicEntry, version: u64) {
        let mut state = self.lock();
        let partitions = partitions_of(entry);
        state.batch_bytes_max = entry.batch_bytes_max;
        if partitions != state.draining_to.unwrap_or(state.partitions) {
            state.draining_to = Some(partitions);
        }
        self.seen_version.store(version, Ordering::Release);
    }

    /// What a record takes of the buffer, in bytes; errs if it can never be sent.
    pub(super) fn measure(&self, shared: &Shared, record: &Record<'_>) -> Result<usize, SendError> {
        let memory = BatchBuilder::record_bytes_max(record.key, record.value, record.headers);
        let (limit, partitions) = {
            let state = self.lock();
            // Of partitions that are about to count, a record may name one already: it waits until they do.
            let partitions = state.draining_to.unwrap_or(state.partitions);
            (state.batch_bytes_max.min(shared.config.buffer_bytes), partitions)
        };
        let bytes = HEADER_BYTES + memory;
        if u32::try_from(bytes).map_or(true, |bytes| bytes > limit) {
            return Err(SendError::RecordTooLarge { topic: self.name.name.clone(), bytes, limit });
        }
        match record.partition {
            Some(partition) if partition.0 >= partitions => {
                let count = usize::try_from(partitions).unwrap_or(usize::MAX);
                let topic = self.name.name.clone();
                Err(ClientError::UnknownPartition { topic, partition, count }.into())
            }
            _ => Ok(memory),
        }
    }

    /// Puts a record into a batch of its lane.
    pub(super) fn push(&self, shared: &Arc<Shared>, record: &Record<'_>, memory: usize) -> Pushed {
        let outside = &shared.client.net.outside;
        let timestamp_ms = record.timestamp_ms.unwrap_or_else(|| outside.wall_ms());
        let mut state = self.lock();
        if state.draining_to.is_some() {
            return Pushed::Draining;
        }
        let batch_bytes = shared.config.batch_bytes.min(state.batch_bytes_max);
        let batch_bytes = usize::try_from(batch_bytes).unwrap_or(usize::MAX);
        let way = state.way(&shared.config.lanes, record, memory, batch_bytes);
        let lane = state.lanes.entry(way).or_insert_with(|| LaneTask::start(shared, &self.name, way));
        Pushed::In(lane.push(record, timestamp_ms, memory, batch_bytes, || outside.now()))
    }

    /// Waits until all that the lanes hold is settled, then lets the new number of partitions hold. Whoever finds the
    /// topic draining may call it; it does not matter who ends first, or gives up waiting.
    pub(super) async fn drain(&self) {
        loop {
            self.settle().await;
            let mut state = self.lock();
            let Some(partitions) = state.draining_to else { return };
            // Another call may have ended the draining that this one began with, and records were taken since.
            if state.lanes.values().any(|lane| lane.backlog() > 0) {
                continue;
            }
            tracing::info!(topic = self.name.name, partitions, "the number of partitions changed");
            state.partitions = partitions;
            state.draining_to = None;
            return;
        }
    }

    /// Waits until every record taken so far has its result.
    pub(super) async fn settle(&self) {
        for batch in self.flush() {
            batch.await;
        }
    }

    /// Has all lanes send what they hold, so that they work side by side; what is to be waited for.
    pub(super) fn flush(&self) -> Vec<WholeBatch> {
        let lanes: Vec<_> = self.lock().lanes.values().cloned().collect();
        lanes.iter().flat_map(|lane| lane.flush()).map(WholeBatch).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn way(&mut self, lanes: &Lanes, record: &Record<'_>, memory: usize, batch_bytes: usize) -> Way {
        if let Some(partition) = record.partition {
            return Way::Explicit(partition);
        }
        let (count, guessed) = match lanes {
            Lanes::Guessed if self.partitions <= Lanes::PER_TOPIC_MAX => (self.partitions, true),
            Lanes::Guessed => (Lanes::PER_TOPIC_MAX, false),
            Lanes::Unguessed(count) => (*count, false),
        };
        let way = |number: u32| match guessed {
            true => Way::Guessed(PartitionIndex(number)),
            false => Way::Unguessed(number),
        };
        match record.key {
            Some(key) => way(placement::of_key(key, self.partitions).0 % count),
            None => {
                let current = self.lanes.get(&way(self.sticky % count));
                if current.is_none_or(|lane| lane.is_between_batches(memory, batch_bytes)) {
                    self.sticky = self.next_sticky(count, way);
                }
                way(self.sticky % count)
            }
        }
    }

    /// The next lane in turn of those that have the least to do: a partition without a leader soon gets nothing more.
    fn next_sticky(&self, count: u32, way: impl Fn(u32) -> Way) -> u32 {
        let backlog = |number: &u32| self.lanes.get(&way(*number)).map_or(0, |lane| lane.backlog());
        (1..=count).map(|step| (self.sticky % count + step) % count).min_by_key(backlog).unwrap_or(0)
    }
}

fn partitions_of(entry: &TopicEntry) -> u32 {
    u32::try_from(entry.partitions.len()).unwrap_or(u32::MAX).max(1)
}
