//! What the core costs per batch, the check of its producer included: `cargo bench -p weir-core --bench appends`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on fails where it stands")]

use std::collections::BTreeSet;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use weir_core::partition::{
    Append, AppendCheck, Assigned, BatchMeta, Effect, Input, Member, Partition, PartitionConfig,
    ProducerStamp, Reign, RequestId,
};
use weir_core::time::Now;
use weir_wire::ids::{Incarnation, LeaderEpoch, NodeId, PartitionEpoch, ProducerEpoch, ProducerId, Sequence};
use weir_wire::lane::Acks;

const EPOCH: LeaderEpoch = LeaderEpoch(1);
const RECORDS: u32 = 1000;

/// A leader without followers, and who sends to it.
struct Leader {
    partition: Partition,
    effects: Vec<Effect>,
    producers: u64,
    appended: u64,
}

impl Leader {
    fn new(producers: u64) -> Leader {
        let config = PartitionConfig { write_caching: true, ..PartitionConfig::default() };
        let mut partition = Partition::new(config);
        let me = Member { node: NodeId(0), incarnation: Incarnation(1) };
        let reign = Reign {
            leader_epoch: EPOCH,
            partition_epoch: PartitionEpoch(1),
            me,
            replicas: [Assigned { member: me, is_eligible: true }].into_iter().collect(),
            replication_factor: 1,
            isr: BTreeSet::from([NodeId(0)]),
            unflushed: BTreeSet::new(),
        };
        let mut effects = Vec::new();
        partition.handle(now(), Input::BecomeLeader(reign), &mut effects);
        Leader { partition, effects, producers, appended: 0 }
    }

    /// One batch, from the question to the answer.
    fn append(&mut self) -> usize {
        let append = self.batch(self.appended);
        self.appended += 1;
        self.effects.clear();
        self.partition.handle(now(), Input::Append(append), &mut self.effects);
        let end = self.partition.log_end();
        self.partition.handle(now(), Input::Written { end }, &mut self.effects);
        self.effects.len()
    }

    /// The newest batch of a producer once more, as after a lost answer: the memory of producers is asked, and answers it.
    /// Nothing is appended.
    fn ask_again(&mut self, producer: u64) -> usize {
        let newest = (self.appended - 1 - producer) / self.producers * self.producers + producer;
        let append = self.batch(newest);
        self.effects.clear();
        self.partition.handle(now(), Input::Append(append), &mut self.effects);
        assert!(
            !self.effects.iter().any(|effect| matches!(effect, Effect::Write { .. })),
            "it is stored already"
        );
        self.effects.len()
    }

    /// The batch of this number: producers send in turn.
    fn batch(&self, number: u64) -> Append {
        let round = number / self.producers;
        let sequence = |round: u64| Sequence(u32::try_from(round).unwrap() * RECORDS);
        let batch = BatchMeta {
            bytes: 1_000_000,
            record_count: RECORDS,
            last_offset_delta: RECORDS - 1,
            max_timestamp_ms: 0,
            is_control: false,
            revision: None,
            producer: Some(ProducerStamp {
                id: ProducerId(number % self.producers),
                epoch: ProducerEpoch(0),
                base_sequence: sequence(round),
            }),
        };
        Append {
            request: RequestId(number),
            leader_epoch: EPOCH,
            batch,
            check: AppendCheck::Lane { after: round.checked_sub(1).map(sequence) },
            acks: Acks::Leader,
            revision: None,
        }
    }
}

fn now() -> Now {
    Now { monotonic_ns: 0, wall_ms: 0 }
}

fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    for producers in [1, 100, 10_000] {
        let mut leader = Leader::new(producers);
        group.bench_function(BenchmarkId::new("producers", producers), |bencher| {
            bencher.iter(|| {
                // Lane sequences end at 2^30.
                if leader.appended / producers > 1_000_000 {
                    leader = Leader::new(producers);
                }
                leader.append()
            });
        });
    }
    group.finish();
}

fn checks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("producer state");
    for producers in [1, 100, 10_000] {
        let mut leader = Leader::new(producers);
        for _ in 0..2 * producers {
            leader.append();
        }
        let mut producer = 0;
        group.bench_function(BenchmarkId::new("check alone, producers", producers), |bencher| {
            bencher.iter(|| {
                // Far apart, so that neighbours in memory are not asked one after the other.
                producer = (producer + 7919) % producers;
                leader.ask_again(producer)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, appends, checks);
criterion_main!(benches);
