//! What must hold over a whole log: one check each, with its source. They look and change nothing.

use weir_core::partition::{
    Checkpoints, EpochStart, Partition, PartitionConfig, ProducerSnapshot, Restore, StoredBatch,
};
use weir_core::time::Now;
use weir_wire::ids::Offset;

use crate::history::History;

/// Committed-prefix immutability: once an offset could be read, no later leader has anything else there. (The safety
/// property of KIP-320's model, `StrongIsr` in the TLA+ modules by Hachikuji; Kafka's high watermark promises it.)
#[derive(Clone, Debug, Default)]
pub(crate) struct CommittedPrefix {
    batches: Vec<StoredBatch>,
}

impl CommittedPrefix {
    /// The end of what was ever committed.
    pub(crate) fn end(&self) -> Offset {
        self.batches.last().map_or(Offset::ZERO, StoredBatch::end)
    }

    /// Takes note of what is committed now, and compares all that ever was.
    pub(crate) fn observe(&mut self, history: &History, high_watermark: Offset) -> Result<(), String> {
        let kept = &history.batches[..history.batches.len().min(self.batches.len())];
        if kept != self.batches {
            return Err(format!("committed up to {} and then changed or lost", self.end()));
        }
        let new =
            history.batches[self.batches.len()..].iter().take_while(|batch| batch.end() <= high_watermark);
        self.batches.extend(new);
        Ok(())
    }
}

/// Leader epochs never decrease along a log, and offsets follow one another (Kafka's `UnifiedLog.append`).
pub(crate) fn log_is_in_order(history: &History) -> Result<(), String> {
    for pair in history.batches.windows(2) {
        if pair[0].end() != pair[1].base_offset || pair[0].leader_epoch > pair[1].leader_epoch {
            return Err(format!("{:?} is followed by {:?}", pair[0], pair[1]));
        }
    }
    Ok(())
}

/// The epoch cache is the (epoch, first offset) function of the log, plus at most one trailing entry for a reign that
/// has written nothing (Kafka's `LeaderEpochFileCache.assign`).
pub(crate) fn epoch_cache_is_a_function_of_the_log(
    history: &History,
    partition: &Partition,
) -> Result<(), String> {
    let mut expected: Vec<EpochStart> = Vec::new();
    for batch in &history.batches {
        if expected.last().is_none_or(|last| last.epoch != batch.leader_epoch) {
            expected.push(EpochStart { epoch: batch.leader_epoch, start: batch.base_offset });
        }
    }
    let mut cache = partition.epoch_checkpoint().entries;
    let trailing = cache.last().is_some_and(|last| last.start == history.end());
    if trailing && cache.len() == expected.len() + 1 {
        cache.pop();
    }
    if cache == expected {
        Ok(())
    } else {
        Err(format!("the epoch cache is {cache:?}, the log has {expected:?}"))
    }
}

/// Producer state is a function of the log prefix: what is replayed from nothing equals what was kept live (Kafka's
/// `ProducerStateManager`). A replica that `forgot` producers for being quiet may remember less of them: of a producer
/// that log time has let go nothing, of one that came back only what it wrote since.
pub(crate) fn producers_are_a_function_of_the_log(
    now: Now,
    config: PartitionConfig,
    history: &History,
    partition: &Partition,
    forgot: bool,
) -> Result<(), String> {
    let live = partition.producer_checkpoint();
    let rebuilt = replay_from_nothing(now, config, history).producer_checkpoint();
    let log_time_ms = rebuilt.log_time_ms;
    let is_kept = |producer: &&ProducerSnapshot| {
        log_time_ms.abs_diff(producer.log_time_ms) <= config.producer_id_expiration_ms
    };
    let agree = if forgot {
        rebuilt.producers.iter().filter(is_kept).all(|whole| {
            let known = live.producers.iter().find(|known| known.id == whole.id);
            known.is_some_and(|known| known.epoch == whole.epoch && whole.batches.ends_with(&known.batches))
        })
    } else {
        live == rebuilt
    };
    if agree { Ok(()) } else { Err(format!("producers are {live:?}, replayed they are {rebuilt:?}")) }
}

pub(crate) fn replay_from_nothing(now: Now, config: PartitionConfig, history: &History) -> Partition {
    let found = Checkpoints {
        log_start: Offset::ZERO,
        log_end: history.end(),
        flushed_end: Offset::ZERO,
        high_watermark: Offset::ZERO,
        epochs: None,
        producers: None,
    };
    let mut restore = Restore::new(now, config, found).expect("there is nothing to contradict");
    history.batches.iter().for_each(|batch| restore.replay(batch).expect("the log is in order"));
    restore.finish().expect("the log was replayed whole")
}
