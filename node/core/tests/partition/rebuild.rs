//! From checkpoints and headers back to the same replica, and what cannot be put together.

use proptest::prelude::*;
use weir_core::partition::{
    Append, AppendCheck, BatchMeta, Checkpoints, Effect, EpochCheckpoint, EpochStart, Input, Partition,
    PartitionConfig, ProducerCheckpoint, ProducerSnapshot, ProducerStamp, RememberedBatch, RequestId,
    Restore, RestoreError, StoredBatch,
};
use weir_core::time::Now;
use weir_wire::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};
use weir_wire::lane::Acks;
use weir_wire::stored;

use crate::history::History;
use crate::invariants;
use crate::replica::leads_alone;

const PRODUCERS_MAX: usize = 4;

/// One append that a partition may take or refuse; what it takes is in the log.
#[derive(Clone, Debug)]
struct Step {
    producer: u64,
    epoch: u16,
    sequence: u32,
    records: u32,
    lane: bool,
    timestamp_ms: i64,
    new_reign: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let stamp = (0u64..6, 0u16..3, 0u32..400);
    (stamp, 1u32..4, any::<bool>(), -1_000i64..200_000_000, prop::bool::weighted(0.05)).prop_map(
        |((producer, epoch, sequence), records, lane, timestamp_ms, new_reign)| Step {
            producer,
            epoch,
            sequence,
            records,
            lane,
            timestamp_ms,
            new_reign,
        },
    )
}

fn config() -> PartitionConfig {
    PartitionConfig { producers_max: PRODUCERS_MAX, ..PartitionConfig::default() }
}

/// A partition with its log, and both as they were after every step.
struct Run {
    partition: Partition,
    history: History,
    epoch: LeaderEpoch,
    snapshots: Vec<ProducerCheckpoint>,
}

impl Run {
    fn new() -> Run {
        let mut run = Run {
            partition: Partition::new(config()),
            history: History::default(),
            epoch: LeaderEpoch(0),
            snapshots: Vec::new(),
        };
        run.lead();
        run
    }

    fn lead(&mut self) {
        self.epoch = self.epoch.next();
        self.input(Input::BecomeLeader(leads_alone(self.epoch, 1)));
    }

    fn input(&mut self, input: Input) {
        let mut effects: Vec<Effect> = Vec::new();
        self.partition.handle(Now::default(), input, &mut effects);
        effects.iter().for_each(|effect| {
            self.history.take_note(effect);
        });
    }

    fn take(&mut self, number: usize, step: &Step) {
        if step.new_reign {
            self.lead();
        }
        let batch = BatchMeta {
            bytes: 100,
            record_count: step.records,
            last_offset_delta: step.records - 1,
            max_timestamp_ms: step.timestamp_ms,
            is_control: false,
            revision: None,
            producer: (step.producer > 0).then_some(ProducerStamp {
                id: ProducerId(step.producer),
                epoch: ProducerEpoch(step.epoch),
                base_sequence: Sequence(step.sequence),
            }),
        };
        let check = match batch.producer {
            None => AppendCheck::Unchecked,
            Some(_) if step.lane => AppendCheck::Lane { after: None },
            Some(_) => AppendCheck::Contiguous { after: None },
        };
        let request = RequestId(number.try_into().unwrap());
        self.history.offer(request, batch);
        self.input(Input::Append(Append {
            request,
            leader_epoch: self.epoch,
            batch,
            check,
            acks: Acks::None,
            revision: None,
        }));
        self.snapshots.push(self.partition.producer_checkpoint());
    }
}

fn restore(found: Checkpoints, batches: &[StoredBatch]) -> Result<Partition, RestoreError> {
    let mut restore = Restore::new(Now::default(), config(), found)?;
    let from = restore.replay_from();
    batches.iter().filter(|batch| batch.end() > from).try_for_each(|batch| restore.replay(batch))?;
    restore.finish()
}

fn found_nothing(log_end: Offset) -> Checkpoints {
    Checkpoints {
        log_start: Offset::ZERO,
        log_end,
        flushed_end: Offset::ZERO,
        high_watermark: Offset::ZERO,
        epochs: None,
        producers: None,
    }
}

proptest! {
    #[test]
    fn a_snapshot_and_the_batches_behind_it_give_the_live_state(
        steps in prop::collection::vec(step(), 1..300),
        snapshot in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut run = Run::new();
        let mut live = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            run.take(number, step);
            live.push((run.history.clone(), run.partition.clone()));
        }
        let (history, partition) = cut.get(&live);
        let snapshot = snapshot.get(&run.snapshots);
        let usable = snapshot.end <= history.end();
        let found = Checkpoints {
            // Both checkpoints go through their stored bytes.
            epochs: Some(stored::decode(&stored::encode(&partition.epoch_checkpoint())).unwrap()),
            producers: usable.then(|| stored::decode(&stored::encode(snapshot)).unwrap()),
            ..found_nothing(history.end())
        };
        let restored = restore(found, &history.batches).unwrap();
        prop_assert_eq!(restored.producer_checkpoint(), partition.producer_checkpoint());
        prop_assert_eq!(restored.epoch_checkpoint(), partition.epoch_checkpoint());
        prop_assert_eq!(restored.log_end(), partition.log_end());
        let by_log_alone = invariants::epoch_cache_is_a_function_of_the_log(history, &restored);
        prop_assert!(by_log_alone.is_ok(), "{by_log_alone:?}");
    }
}

#[test]
fn snapshots_keep_every_remembered_batch() {
    let mut run = Run::new();
    for number in 0..100u32 {
        let step = Step {
            producer: 7,
            epoch: 0,
            sequence: number,
            records: 1,
            lane: true,
            timestamp_ms: 0,
            new_reign: false,
        };
        run.take(usize::try_from(number).unwrap(), &step);
    }
    let snapshot = &run.partition.producer_checkpoint().producers[0];
    assert_eq!(snapshot.batches.len(), weir_core::partition::REMEMBERED_MAX);
    assert!(snapshot.overflowed);
    assert_eq!(snapshot.batches[0].base_sequence, Sequence(36));
}

fn stored_batch(base_offset: u64, epoch: u32, records: u32) -> StoredBatch {
    let batch = BatchMeta {
        bytes: 100,
        record_count: records,
        last_offset_delta: records - 1,
        max_timestamp_ms: 0,
        is_control: false,
        revision: None,
        producer: None,
    };
    StoredBatch { base_offset: Offset(base_offset), leader_epoch: LeaderEpoch(epoch), batch }
}

#[test]
fn what_contradicts_itself_is_refused() {
    let refused = |found: Checkpoints, batches: &[StoredBatch]| restore(found, batches).err();
    let epochs = |entries: &[(u32, u64)]| {
        let entry =
            |(epoch, start): &(u32, u64)| EpochStart { epoch: LeaderEpoch(*epoch), start: Offset(*start) };
        Some(EpochCheckpoint { entries: entries.iter().map(entry).collect() })
    };
    let end = Offset(10);
    let before_start = Checkpoints { log_start: Offset(11), ..found_nothing(end) };
    assert_eq!(
        refused(before_start, &[]),
        Some(RestoreError::EndsBeforeStart { log_start: Offset(11), log_end: end })
    );
    let disordered = Checkpoints { epochs: epochs(&[(2, 0), (1, 5)]), ..found_nothing(end) };
    assert_eq!(refused(disordered, &[]), Some(RestoreError::EpochsOutOfOrder));
    assert_eq!(
        refused(found_nothing(end), &[stored_batch(0, 1, 5), stored_batch(4, 1, 6)]),
        Some(RestoreError::OffsetsWentBack { expected: Offset(5), base_offset: Offset(4) })
    );
    assert_eq!(
        refused(found_nothing(end), &[stored_batch(0, 2, 5), stored_batch(5, 1, 5)]),
        Some(RestoreError::EpochWentBack {
            base_offset: Offset(5),
            found: LeaderEpoch(1),
            newest: LeaderEpoch(2)
        })
    );
    let contradicted = Checkpoints { epochs: epochs(&[(1, 0), (2, 3)]), ..found_nothing(end) };
    assert_eq!(
        refused(contradicted, &[stored_batch(0, 1, 5), stored_batch(5, 1, 5)]),
        Some(RestoreError::EpochWentBack {
            base_offset: Offset(5),
            found: LeaderEpoch(1),
            newest: LeaderEpoch(2)
        })
    );
    assert_eq!(
        refused(found_nothing(end), &[stored_batch(0, 1, 11)]),
        Some(RestoreError::WrongEnd { reached: Offset(11), log_end: end })
    );
}

#[test]
fn a_gap_that_compaction_left_is_no_contradiction() {
    let restored =
        restore(found_nothing(Offset(10)), &[stored_batch(0, 1, 2), stored_batch(8, 3, 2)]).unwrap();
    assert_eq!(restored.log_end(), Offset(10));
    assert_eq!(restored.end_offset_for(LeaderEpoch(1)).map(|end| end.end), Some(Offset(8)));
}

#[test]
fn an_unsound_snapshot_is_refused() {
    let remembered = |base_offset: u64, last_offset_delta: u32| RememberedBatch {
        base_sequence: Sequence(0),
        last_offset_delta,
        record_count: 1,
        base_offset: Offset(base_offset),
    };
    let producer = |id: u64, log_time_ms: i64, batches: Vec<RememberedBatch>| ProducerSnapshot {
        id: ProducerId(id),
        epoch: ProducerEpoch(0),
        log_time_ms,
        overflowed: false,
        batches,
    };
    let load = |producers: Vec<ProducerSnapshot>| {
        let snapshot =
            ProducerCheckpoint { end: Offset(10), log_time_ms: 100, producers, revisions: Vec::new() };
        let epochs = Some(EpochCheckpoint::default());
        restore(Checkpoints { epochs, producers: Some(snapshot), ..found_nothing(Offset(10)) }, &[]).err()
    };
    let sound = producer(1, 50, vec![remembered(0, 4), remembered(5, 4)]);
    assert_eq!(load(vec![sound.clone()]), None);
    let unsound = [
        ("no batches", vec![producer(1, 50, vec![])]),
        ("a batch behind the end", vec![producer(1, 50, vec![remembered(10, 0)])]),
        ("a batch across the end", vec![producer(1, 50, vec![remembered(9, 1)])]),
        ("a batch far across the end", vec![producer(1, 50, vec![remembered(9, u32::MAX)])]),
        ("batches that overlap", vec![producer(1, 50, vec![remembered(0, 5), remembered(5, 0)])]),
        ("too many batches", vec![producer(1, 50, vec![remembered(0, 0); 65])]),
        ("newer than the log", vec![producer(1, 101, vec![remembered(0, 0)])]),
        ("the same producer twice", vec![sound.clone(), producer(1, 50, vec![remembered(7, 0)])]),
        ("one batch of two producers", vec![sound.clone(), producer(2, 50, vec![remembered(5, 0)])]),
        ("ages against offsets", vec![sound, producer(2, 49, vec![remembered(7, 0)])]),
    ];
    for (what, producers) in unsound {
        assert_eq!(load(producers), Some(RestoreError::SnapshotUnsound), "{what}");
    }
}

#[test]
fn a_log_without_offsets_left_takes_no_more() {
    let end = Offset(Offset::MAX.0 - 2);
    let found =
        Checkpoints { log_start: end, epochs: Some(EpochCheckpoint::default()), ..found_nothing(end) };
    let mut partition = restore(found, &[]).unwrap();
    let mut effects = Vec::new();
    let leader_epoch = LeaderEpoch(1);
    partition.handle(Now::default(), Input::BecomeLeader(leads_alone(leader_epoch, 1)), &mut effects);
    let mut append = |number: u64, records: u32| {
        let batch = stored_batch(0, 1, records).batch;
        let (request, check, acks) = (RequestId(number), AppendCheck::Unchecked, Acks::None);
        effects.clear();
        partition.handle(
            Now::default(),
            Input::Append(Append { request, leader_epoch, batch, check, acks, revision: None }),
            &mut effects,
        );
        format!("{effects:?}")
    };
    assert!(append(1, 3).contains("LogFull"));
    assert!(append(2, 2).contains("Write"));
    assert!(append(3, 1).contains("LogFull"));
}
