//! Random schedules over Kafka's check: one producer that names its partition, at most five batches in flight, messages
//! reordered and duplicated, leaders that change. (The client is `KafkaProducer`'s: it numbers its records without
//! gaps and sends again, from the oldest unsettled batch, whatever was not answered "stored".)
//!
//! What must hold: the log holds the batches in order, each once, and what was acknowledged stays where it was said to
//! lie. `WEIR_SEED=N` plays one schedule alone.

use std::collections::BTreeMap;

use weir_core::partition::{
    Append, AppendCheck, AppendOutcome, BatchMeta, PartitionConfig, ProducerStamp, REMEMBERED_CONTIGUOUS_MAX,
    RequestId, Rule,
};
use weir_core::time::Now;
use weir_wire::ids::{Offset, ProducerEpoch, ProducerId, Sequence};
use weir_wire::lane::Acks;

use crate::random::Random;
use crate::replica::{Answered, Fault, Replica};

const SCHEDULES: u64 = 2_000;
const SCHEDULES_UNTIL_NOTICED_MAX: u64 = 2_000;
const STEPS: usize = 300;
const BATCHES: usize = 20;
/// The first sequence: a few batches on it wraps to 0.
const FIRST_SEQUENCE: u32 = (1 << 31) - 12;

#[derive(Clone, Copy)]
struct Message {
    batch: usize,
    try_number: u32,
    /// The base sequence of the batch that this try sent before.
    after: Option<Sequence>,
}

struct Schedule {
    random: Random,
    replica: Replica,
    now: Now,
    /// How many batches are settled: the client goes on in order.
    settled: usize,
    /// Where each acknowledged batch is said to lie.
    offsets: Vec<Offset>,
    next: usize,
    try_number: u32,
    after: Option<Sequence>,
    answered: BTreeMap<usize, Offset>,
    flight: Vec<Message>,
    asked: BTreeMap<RequestId, Message>,
    requests: u64,
    healing: bool,
    wrapped: bool,
    duplicates: u64,
    out_of_order: u64,
}

impl Schedule {
    fn new(seed: u64, fault: Fault) -> Schedule {
        let config = PartitionConfig { min_insync_replicas: Some(1), ..PartitionConfig::default() };
        Schedule {
            random: Random::new(seed),
            replica: Replica::new(config, 1, fault),
            now: Now::default(),
            settled: 0,
            offsets: Vec::new(),
            next: 0,
            try_number: 0,
            after: None,
            answered: BTreeMap::new(),
            flight: Vec::new(),
            asked: BTreeMap::new(),
            requests: 0,
            healing: false,
            wrapped: false,
            duplicates: 0,
            out_of_order: 0,
        }
    }

    fn play(&mut self) -> Result<(), String> {
        self.replica.elect(self.now);
        for _ in 0..STEPS {
            match self.random.below(100) {
                0..30 => self.send(),
                30..65 => self.deliver(),
                65..85 => {
                    let answered = self.replica.finish_flush(self.now);
                    self.take(answered);
                }
                85..90 => self.resend(),
                90..93 => self.replica.take_snapshot(),
                93..96 => {
                    self.replica.lose_leader(self.now, &mut self.random);
                    self.asked.clear();
                    self.replica.elect(self.now);
                }
                _ => {}
            }
            self.check()?;
        }
        self.heal()
    }

    fn heal(&mut self) -> Result<(), String> {
        self.healing = true;
        for _ in 0..3 * BATCHES {
            self.resend();
            while self.next < BATCHES && self.next < self.settled + REMEMBERED_CONTIGUOUS_MAX {
                self.send();
            }
            // In order now, the oldest tries first.
            self.flight.reverse();
            while !self.flight.is_empty() {
                self.deliver();
            }
            let answered = self.replica.finish_flush(self.now);
            self.take(answered);
            self.check()?;
            if self.settled == BATCHES {
                return Ok(());
            }
        }
        Err(format!("healed, and only {} batches are settled", self.settled))
    }

    fn send(&mut self) {
        if self.next < BATCHES && self.next < self.settled + REMEMBERED_CONTIGUOUS_MAX {
            let (batch, try_number, after) = (self.next, self.try_number, self.after);
            self.flight.push(Message { batch, try_number, after });
            self.after = meta(batch).producer.map(|stamp| stamp.base_sequence);
            self.next += 1;
        }
    }

    fn resend(&mut self) {
        self.next = self.settled;
        self.answered.clear();
        self.try_number += 1;
        self.after = None;
    }

    fn deliver(&mut self) {
        let last = match self.flight.len() {
            0 => return,
            len if self.healing => len - 1,
            len => self.random.below(len),
        };
        let message = self.flight.remove(last);
        if !self.healing && self.random.percent(20) {
            self.flight.push(message);
        }
        self.requests += 1;
        let request = RequestId(self.requests);
        self.asked.insert(request, message);
        let batch = meta(message.batch);
        self.wrapped |= batch.producer.is_some_and(|stamp| stamp.base_sequence.0 < FIRST_SEQUENCE);
        let (leader_epoch, check) = (self.replica.epoch, AppendCheck::Contiguous { after: message.after });
        let append = Append { request, leader_epoch, batch, check, acks: Acks::All, revision: None };
        let answered = self.replica.append(self.now, append);
        self.take(answered);
    }

    fn take(&mut self, answered: Vec<Answered>) {
        for (request, outcome) in answered {
            let Some(Message { batch, try_number, .. }) = self.asked.remove(&request) else { continue };
            match outcome {
                AppendOutcome::Stored { base_offset: Some(offset), duplicate, .. } => {
                    self.duplicates += u64::from(duplicate);
                    if try_number == self.try_number && batch >= self.settled {
                        self.answered.insert(batch, offset);
                    }
                }
                AppendOutcome::Retry(_) => self.out_of_order += 1,
                // Older than the five: only an old message may be.
                AppendOutcome::Unknown(_) if batch < self.settled => {}
                other => panic!("batch {batch} of {} settled was answered {other:?}", self.settled),
            }
        }
        while let Some(offset) = self.answered.remove(&self.settled) {
            self.offsets.push(offset);
            self.settled += 1;
        }
        self.next = self.next.max(self.settled);
    }

    fn check(&mut self) -> Result<(), String> {
        let Replica { committed, history, partition, .. } = &mut self.replica;
        committed.observe(history, partition.high_watermark())?;
        let stored: Vec<u32> = history.batches.iter().map(|stored| stored.batch.bytes).collect();
        let whole: Vec<u32> = (0..stored.len()).map(|batch| meta(batch).bytes).collect();
        if stored != whole {
            return Err(format!("the log holds {stored:?}"));
        }
        for (batch, offset) in self.offsets.iter().enumerate() {
            let found = history.batches.iter().find(|stored| stored.base_offset == *offset);
            if found
                .is_none_or(|found| found.batch.bytes != meta(batch).bytes || found.end() > committed.end())
            {
                return Err(format!("batch {batch} was acknowledged at {offset}, where {found:?} lies"));
            }
        }
        Ok(())
    }
}

/// The batch of that number: of one to three records.
fn meta(batch: usize) -> BatchMeta {
    let records = |batch: usize| 1 + u32::try_from(batch % 3).unwrap();
    let before: u32 = (0..batch).map(records).sum();
    let base_sequence = Sequence((FIRST_SEQUENCE + before) % (1 << 31));
    BatchMeta {
        bytes: 1000 + u32::try_from(batch).unwrap(),
        record_count: records(batch),
        last_offset_delta: records(batch) - 1,
        max_timestamp_ms: 0,
        is_control: false,
        revision: None,
        producer: Some(ProducerStamp { id: ProducerId(8), epoch: ProducerEpoch(0), base_sequence }),
    }
}

#[test]
fn contiguous_batches_are_stored_once_in_order_and_what_is_acknowledged_stays() {
    let one: Option<u64> =
        std::env::var("WEIR_SEED").ok().map(|seed| seed.parse().expect("WEIR_SEED is a number"));
    let seeds = one.map_or(0..SCHEDULES, |seed| seed..seed + 1);
    println!("seeds {seeds:?}");
    let (mut wrapped, mut duplicates, mut out_of_order) = (0, 0, 0);
    for seed in seeds.clone() {
        let mut schedule = Schedule::new(seed, Fault::Nothing);
        schedule
            .play()
            .unwrap_or_else(|broken| panic!("seed {seed}: {broken} (replay with WEIR_SEED={seed})"));
        wrapped += u64::from(schedule.wrapped);
        duplicates += schedule.duplicates;
        out_of_order += schedule.out_of_order;
    }
    println!("{wrapped} wrapped, {duplicates} duplicates, {out_of_order} out of order");
    let schedules = seeds.end - seeds.start;
    assert!(wrapped.min(duplicates).min(out_of_order) >= schedules, "every schedule tries everything");
}

#[test]
fn a_missing_rule_is_noticed_for_contiguous_producers_too() {
    let faults = [
        Fault::Partition(Rule::UnknownProducerStartsOver),
        Fault::Partition(Rule::DuplicateWaits),
        Fault::Partition(Rule::AcknowledgedIsCommitted),
        Fault::Partition(Rule::OnlyFlushedCounts),
        Fault::ProducersLostAtRestart,
    ];
    for fault in faults {
        let noticed = (0..SCHEDULES_UNTIL_NOTICED_MAX)
            .find_map(|seed| Schedule::new(seed, fault).play().err().map(|why| (seed, why)));
        let (seed, why) = noticed.unwrap_or_else(|| panic!("{fault:?}: nobody noticed"));
        println!("{fault:?}: noticed at seed {seed}: {why}");
    }
}
