//! Random schedules of a lane against a small model of entry nodes and partitions: nothing is lost that was
//! acknowledged, nothing is stored twice, nothing changes its order, whatever is refused, lost, delayed, reordered or
//! left behind by an overtaken opening.
//!
//! `WEIR_SEED=n` replays one schedule, `WEIR_SCHEDULES=n` plays more of them.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::time::Duration;

use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{
    LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId, Revision, Sequence,
};
use weir_wire::lane::{LaneAnswer, Outcome, Promise, Run};

use super::{Batch, BatchKey, Effect, Input, Lane, Opening, Settings, Stamp, View, Way};
use crate::backoff::{Backoff, Moment, Random};
use crate::producer::ProducerConfig;
use crate::producer::delivery::DeliveryResult;

const PARTITIONS: usize = 2;
const BATCHES: u64 = 12;
const STEPS: u32 = 400;
/// Longer than any schedule: nothing is given up.
const PATIENCE_LONG_MS: u64 = 100_000;
const SCHEDULES_DEFAULT: u64 = 3_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A lane that the partitioner spreads over both partitions; partitions check `after`.
    Lane,
    /// Kafka's contiguous check on one partition.
    Explicit,
}

/// Which batches end where is a pure function of the batch.
fn touches(kind: Kind, key: BatchKey) -> Vec<usize> {
    match (kind, key.0 % 3) {
        (Kind::Explicit, _) | (Kind::Lane, 0) => vec![0],
        (Kind::Lane, 1) => vec![1],
        _ => vec![0, 1],
    }
}

#[derive(Clone, Copy, Debug)]
struct Arrived {
    key: BatchKey,
    ordinal: u64,
    stamp: Stamp,
    records: u32,
    resent: bool,
}

/// One opening as the cluster sees it; it goes on after the client has left.
#[derive(Debug)]
struct Entry {
    asked: bool,
    open: bool,
    revision: Revision,
    next_ordinal: Option<u64>,
    inbox: VecDeque<Arrived>,
    after: [Option<Sequence>; PARTITIONS],
    /// A partition that answered retry gets nothing more from this opening.
    ended: [bool; PARTITIONS],
    /// Outcomes by batch, as its parts come back.
    parts: BTreeMap<u64, BTreeMap<usize, Outcome>>,
    /// How many parts each batch has.
    expected: BTreeMap<u64, Vec<usize>>,
}

#[derive(Debug)]
struct Part {
    opening: u64,
    arrived: Arrived,
    partition: usize,
    epoch: LeaderEpoch,
    after: Option<Sequence>,
}

#[derive(Clone, Copy, Debug)]
struct Stored {
    key: BatchKey,
    stamp: Stamp,
    records: u32,
}

#[derive(Debug, Default)]
struct Partition {
    log: Vec<Stored>,
    committed: usize,
    epoch: u32,
    /// Stored and answered once committed: (opening, ordinal, end of the log that must be committed, offset).
    waiting: Vec<(u64, u64, usize, usize, bool)>,
}

struct World {
    kind: Kind,
    random: Random,
    now: Moment,
    lane: Lane,
    entries: BTreeMap<u64, Entry>,
    flight: Vec<Part>,
    partitions: Vec<Partition>,
    revision: Revision,
    known_revision: Revision,
    asks_producer: bool,
    made: u64,
    records: BTreeMap<BatchKey, u32>,
    results: BTreeMap<BatchKey, Vec<DeliveryResult>>,
    released: BTreeSet<BatchKey>,
    faults: bool,
    patience_ms: u64,
    /// Batches that began with nothing before them and no faults behind them.
    unhurried: BTreeSet<BatchKey>,
    story: String,
}

#[test]
fn random_schedules_lose_repeat_and_reorder_nothing() {
    let from_env = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds = match from_env("WEIR_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..from_env("WEIR_SCHEDULES").unwrap_or(SCHEDULES_DEFAULT),
    };
    let single = seeds.end - seeds.start == 1;
    let (mut stored, mut unknown, mut failed) = (0, 0, 0);
    for seed in seeds {
        for kind in [Kind::Lane, Kind::Explicit] {
            let mut world = World::new(seed, kind);
            let broken = world.play();
            if single {
                println!("{}", world.story);
            }
            if let Some(broken) = broken {
                panic!("{kind:?}, WEIR_SEED={seed}: {broken}\n{}", world.story);
            }
            for result in world.results.values().flatten() {
                match result {
                    DeliveryResult::Stored { .. } => stored += 1,
                    DeliveryResult::Unknown(_) => unknown += 1,
                    DeliveryResult::Failed(_) => failed += 1,
                    other => panic!("the model knows no {other:?}"),
                }
            }
        }
    }
    if !single {
        // A model that never stores, or never gives up, proves nothing.
        assert!(
            stored > 100 * unknown.max(1) / 100 && unknown > 0 && failed > 0,
            "{stored} {unknown} {failed}"
        );
    }
}

impl World {
    fn new(seed: u64, kind: Kind) -> World {
        let mut random = Random::new(seed.wrapping_mul(2) + u64::from(kind == Kind::Explicit));
        let config = ProducerConfig { in_flight_batches: 3, ..ProducerConfig::default() };
        let way = match kind {
            Kind::Lane => Way::Guessed(PartitionIndex(0)),
            Kind::Explicit => Way::Explicit(PartitionIndex(0)),
        };
        let settings = Settings {
            // Sequences start over a few times in each schedule.
            sequence_max: Sequence(40 + u32::try_from(random.below(60)).unwrap()),
            request_timeout: Duration::from_millis(500),
            ..Settings::new(way, &config)
        };
        let backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(50), random.fork());
        World {
            kind,
            patience_ms: if random.below(3) == 0 { 150 } else { PATIENCE_LONG_MS },
            lane: Lane::new(settings, backoff),
            random,
            now: Duration::ZERO,
            entries: BTreeMap::new(),
            flight: Vec::new(),
            partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
            revision: Revision(1),
            known_revision: Revision(1),
            asks_producer: false,
            made: 0,
            records: BTreeMap::new(),
            results: BTreeMap::new(),
            released: BTreeSet::new(),
            faults: true,
            unhurried: BTreeSet::new(),
            story: String::new(),
        }
    }

    fn play(&mut self) -> Option<String> {
        self.tell_metadata();
        for _ in 0..STEPS {
            self.step();
            if let Some(broken) = self.broken() {
                return Some(broken);
            }
        }
        // The faults end: everything must get its result, and soon.
        self.faults = false;
        self.known_revision = self.revision;
        self.tell_metadata();
        for _ in 0..STEPS * 20 {
            if self.made == BATCHES && self.lane.is_idle() {
                break;
            }
            self.step();
        }
        if !self.lane.is_idle() {
            return Some("some batches never get a result".to_owned());
        }
        self.finish_zombies();
        self.broken().or_else(|| self.broken_at_end())
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.random.below(100) < percent
    }

    fn step(&mut self) {
        match self.random.below(100) {
            0..=4 => self.make_batch(),
            5..=19 => self.answer_open(),
            20..=39 => self.enter(),
            40..=62 => self.arrive(),
            63..=74 => self.commit(),
            75..=84 => self.answer(),
            85..=92 => self.pass_time(),
            93 if self.faults => self.change_leader(),
            94 if self.faults => self.lose_stream(),
            95 if self.faults => self.change_revision(),
            96..=97 => {
                self.known_revision = self.revision;
                self.tell_metadata();
            }
            _ => self.give_producer(),
        }
    }

    fn tell(&mut self, input: Input) {
        writeln!(self.story, "{:?} {input:?}", self.now).unwrap();
        let mut effects = Vec::new();
        self.lane.handle(self.now, input, &mut effects);
        for effect in effects {
            writeln!(self.story, "      {effect:?}").unwrap();
            self.carry_out(effect);
        }
        assert!(
            self.lane.next_wake().is_none_or(|wake| wake > self.now),
            "the lane would spin\n{}",
            self.story
        );
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::RefreshMetadata => {}
            Effect::AskProducer => self.asks_producer = true,
            Effect::Open { opening, revision, .. } => {
                let entry = Entry {
                    asked: true,
                    open: false,
                    revision,
                    next_ordinal: None,
                    inbox: VecDeque::new(),
                    after: [None; PARTITIONS],
                    ended: [false; PARTITIONS],
                    parts: BTreeMap::new(),
                    expected: BTreeMap::new(),
                };
                assert!(self.entries.insert(opening.0, entry).is_none(), "an opening's number is used once");
            }
            Effect::Close(opening) => {
                // What has arrived goes on being worked on; what has not may be lost.
                let keep = self.random.below(4);
                let entry = self.entries.get_mut(&opening.0).expect("only openings are closed");
                while u64::try_from(entry.inbox.len()).unwrap() > keep {
                    entry.inbox.pop_back();
                }
            }
            Effect::Send { opening, key, ordinal, stamp, resent } => {
                let entry = self.entries.get_mut(&opening.0).expect("batches are sent on openings");
                assert!(entry.open, "a batch was sent before the node agreed");
                let expected = entry.next_ordinal.replace(ordinal + 1);
                assert!(
                    expected.is_none_or(|expected| expected == ordinal),
                    "ordinals have a gap\n{}",
                    self.story
                );
                let stamp = stamp.expect("the lane is idempotent");
                let records = self.records[&key];
                entry.inbox.push_back(Arrived { key, ordinal, stamp, records, resent });
            }
            Effect::Settle { key, runs } => {
                let results: Vec<_> =
                    runs.iter().flat_map(|run| (0..run.records).map(|at| run.first.behind(at))).collect();
                assert_eq!(results.len(), usize::try_from(self.records[&key]).unwrap());
                assert!(self.results.insert(key, results).is_none(), "a batch has one result");
            }
            Effect::Release(key) => {
                assert!(self.results.contains_key(&key), "only what is settled is let go of");
                assert!(self.released.insert(key), "a batch is let go of once");
            }
        }
    }

    fn make_batch(&mut self) {
        if self.made == BATCHES {
            return;
        }
        let key = BatchKey(self.made);
        self.made += 1;
        let records = 1 + u32::try_from(self.random.below(20)).unwrap();
        if !self.faults && self.lane.is_idle() {
            self.unhurried.insert(key);
        }
        self.records.insert(key, records);
        // Some are given up soon; once the faults are over there is time enough. Deadlines rise, as in a producer.
        let patience_ms = if self.faults { self.patience_ms } else { PATIENCE_LONG_MS };
        let deadline = self.now + Duration::from_millis(patience_ms);
        self.tell(Input::Ready(Batch { key, records, deadline }));
    }

    fn tell_metadata(&mut self) {
        let leader = (NodeId(1 + self.partitions[0].epoch % 3), LeaderEpoch(self.partitions[0].epoch));
        self.tell(Input::Metadata(View { revision: self.known_revision, entries: vec![leader] }));
    }

    fn give_producer(&mut self) {
        if std::mem::take(&mut self.asks_producer) {
            let id = ProducerId(self.random.below(1_000_000));
            self.tell(Input::Producer(id, ProducerEpoch(0)));
        }
    }

    fn answer_open(&mut self) {
        let asked = self.entries.iter_mut().find(|(_, entry)| entry.asked);
        let Some((opening, entry)) = asked else { return };
        let opening = Opening(*opening);
        entry.asked = false;
        match self.random.below(if self.faults { 10 } else { 1 }) {
            8 => self.tell(Input::Lost(opening)),
            9 => self.tell(Input::Refused(opening, passing())),
            _ => {
                entry.open = true;
                self.tell(Input::Opened(opening));
            }
        }
    }

    /// An entry node takes the next batch of some opening, perhaps one that the client has left.
    fn enter(&mut self) {
        let waiting: Vec<_> =
            self.entries.iter().filter(|(_, entry)| !entry.inbox.is_empty()).map(|(id, _)| *id).collect();
        let Some(opening) = pick(&mut self.random, &waiting) else { return };
        let stale_metadata = self.faults && self.chance(20);
        let entry = self.entries.get_mut(&opening).unwrap();
        let arrived = entry.inbox.pop_front().unwrap();
        let touched = touches(self.kind, arrived.key);
        entry.expected.insert(arrived.ordinal, touched.clone());
        if entry.revision < self.revision && !arrived.resent {
            let outcome = Outcome::Retry(WireError::new(ErrorCode::StaleRevision, "stale"));
            let all = touched.iter().map(|partition| (*partition, outcome.clone())).collect();
            entry.parts.insert(arrived.ordinal, all);
            // Nothing behind it may pass it.
            entry.ended = [true; PARTITIONS];
            return;
        }
        for partition in touched {
            if entry.ended[partition] {
                entry.parts.entry(arrived.ordinal).or_default().insert(partition, Outcome::Retry(passing()));
                continue;
            }
            let epoch = self.partitions[partition].epoch;
            let epoch = if stale_metadata { epoch.saturating_sub(1) } else { epoch };
            let after = entry.after[partition].replace(arrived.stamp.sequence);
            self.flight.push(Part { opening, arrived, partition, epoch: LeaderEpoch(epoch), after });
        }
    }

    /// A part reaches its partition, in any order.
    fn arrive(&mut self) {
        if self.flight.is_empty() {
            return;
        }
        let at = usize::try_from(self.random.below(self.flight.len() as u64)).unwrap();
        let at = if self.kind == Kind::Explicit {
            // One stream to one leader keeps its order.
            let opening = self.flight[at].opening;
            self.flight.iter().position(|part| part.opening == opening).unwrap()
        } else {
            at
        };
        let part = self.flight.remove(at);
        let refused = self.faults && self.chance(8);
        let index = part.partition;
        let partition = &mut self.partitions[index];
        let outcome = if refused || part.epoch.0 != partition.epoch {
            Some(Outcome::Retry(passing()))
        } else {
            partition.take(self.kind, &part)
        };
        if let Some(outcome) = outcome {
            self.part_done(part.opening, part.arrived.ordinal, index, outcome);
        }
    }

    fn part_done(&mut self, opening: u64, ordinal: u64, partition: usize, outcome: Outcome) {
        let entry = self.entries.get_mut(&opening).unwrap();
        entry.ended[partition] |= matches!(outcome, Outcome::Retry(_));
        entry.parts.entry(ordinal).or_default().insert(partition, outcome);
    }

    fn commit(&mut self) {
        let index = usize::try_from(self.random.below(PARTITIONS as u64)).unwrap();
        let partition = &mut self.partitions[index];
        partition.committed = partition.log.len().min(partition.committed + 1 + usize::from(!self.faults));
        self.settle_committed(index);
    }

    fn settle_committed(&mut self, index: usize) {
        let partition = &mut self.partitions[index];
        let done: Vec<_> = partition.waiting.iter().copied().filter(|w| w.2 <= partition.committed).collect();
        partition.waiting.retain(|w| w.2 > partition.committed);
        for (opening, ordinal, _, offset, duplicate) in done {
            let outcome = Outcome::Stored {
                partition: PartitionIndex(u32::try_from(index).unwrap()),
                base_offset: Some(Offset(offset as u64 * 1000)),
                duplicate,
            };
            self.part_done(opening, ordinal, index, outcome);
        }
    }

    /// The entry node answers a batch of which it knows everything; the client may have left.
    fn answer(&mut self) {
        let mut complete = Vec::new();
        for (opening, entry) in &self.entries {
            for (ordinal, touched) in &entry.expected {
                if entry.parts.get(ordinal).is_some_and(|parts| parts.len() == touched.len()) {
                    complete.push((*opening, *ordinal));
                }
            }
        }
        let Some((opening, ordinal)) = pick(&mut self.random, &complete) else { return };
        let entry = self.entries.get_mut(&opening).unwrap();
        entry.expected.remove(&ordinal);
        let parts = entry.parts.remove(&ordinal).unwrap();
        let records = self.records_of(ordinal);
        let Some(records) = records else { return };
        let outcomes: Vec<_> = parts.into_values().collect();
        let mut runs = vec![Run { records: 1, outcome: 0 }; usize::try_from(records).unwrap()];
        for (at, run) in runs.iter_mut().enumerate() {
            run.outcome = u32::try_from(at % outcomes.len()).unwrap();
        }
        let promise = Promise { replicas: 1, flushed: true, revision: self.revision };
        self.tell(Input::Answer(Opening(opening), LaneAnswer { ordinal, promise, outcomes, runs }));
    }

    /// Ordinals are given in the order of keys, but batches that were never sent have none.
    fn records_of(&self, ordinal: u64) -> Option<u32> {
        let sent = self.lane.in_flight.iter().find(|sent| sent.ordinal == ordinal)?;
        Some(sent.batch.records)
    }

    fn pass_time(&mut self) {
        self.now += Duration::from_millis(1 + self.random.below(20));
        self.tell(Input::Tick);
    }

    /// A new leader: what was not committed may be gone.
    fn change_leader(&mut self) {
        let index = usize::try_from(self.random.below(PARTITIONS as u64)).unwrap();
        let partition = &mut self.partitions[index];
        let uncommitted = partition.log.len() - partition.committed;
        let kept = self.random.below(uncommitted as u64 + 1);
        partition.log.truncate(partition.committed + usize::try_from(kept).unwrap());
        partition.epoch += 1;
        let lost = std::mem::take(&mut partition.waiting);
        writeln!(self.story, "      partition {index} has a new leader and {} batches", partition.log.len())
            .unwrap();
        for (opening, ordinal, ..) in lost {
            self.part_done(opening, ordinal, index, Outcome::Retry(passing()));
        }
    }

    fn lose_stream(&mut self) {
        if let Some(opening) = self.lane.stream.as_ref().map(|stream| stream.opening) {
            if let Some(entry) = self.entries.get_mut(&opening.0) {
                entry.asked = false;
            }
            self.tell(Input::Lost(opening));
        }
    }

    fn change_revision(&mut self) {
        self.revision.0 += 1;
    }

    /// All that overtaken openings still hold arrives in the end.
    fn finish_zombies(&mut self) {
        for _ in 0..STEPS {
            self.enter();
            self.arrive();
        }
        for index in 0..PARTITIONS {
            self.partitions[index].committed = self.partitions[index].log.len();
        }
    }

    fn broken(&self) -> Option<String> {
        for (index, partition) in self.partitions.iter().enumerate() {
            let keys: Vec<_> = partition.log.iter().map(|stored| stored.key.0).collect();
            if !keys.is_sorted_by(|a, b| a < b) {
                return Some(format!("partition {index} holds {keys:?}: repeated or out of order"));
            }
        }
        for (key, results) in &self.results {
            if !results.iter().all(DeliveryResult::is_stored) {
                continue;
            }
            for index in touches(self.kind, *key) {
                let partition = &self.partitions[index];
                let place = partition.log.iter().position(|stored| stored.key == *key);
                if place.is_none_or(|place| place >= partition.committed) {
                    return Some(format!("{key:?} was acknowledged and is not safe in partition {index}"));
                }
                let offsets = results.iter().filter_map(|result| match result {
                    DeliveryResult::Stored { partition, offset, .. } if partition.0 as usize == index => {
                        *offset
                    }
                    _ => None,
                });
                if offsets.map(|offset| offset.0 / 1000).any(|at| Some(at) != place.map(|place| place as u64))
                {
                    return Some(format!("{key:?} was acknowledged at another offset than it has"));
                }
            }
        }
        None
    }

    fn broken_at_end(&self) -> Option<String> {
        let stored = |key: &BatchKey| {
            self.partitions.iter().any(|partition| partition.log.iter().any(|stored| stored.key == *key))
        };
        if self.released.len() != self.results.len() {
            return Some("some batches are never let go of".to_owned());
        }
        for (key, results) in &self.results {
            let patient = self.patience_ms == PATIENCE_LONG_MS || self.unhurried.contains(key);
            if patient && !results.iter().all(DeliveryResult::is_stored) {
                return Some(format!("{key:?} had all the time it needed and is {:?}", results[0]));
            }
            let failed = results.iter().any(|result| matches!(result, DeliveryResult::Failed(_)));
            if failed && stored(key) {
                return Some(format!("{key:?} was reported as failed and is stored"));
            }
        }
        None
    }
}

impl Partition {
    /// The rules of a partition (DESIGN section 7, INVARIANTS 47 and 37). `None`: stored, answered once committed.
    fn take(&mut self, kind: Kind, part: &Part) -> Option<Outcome> {
        let Arrived { key, ordinal, stamp, records, .. } = part.arrived;
        let last = self.log.iter().rfind(|stored| stored.stamp.producer == stamp.producer).copied();
        if last.is_some_and(|last| last.stamp.epoch > stamp.epoch) {
            return Some(Outcome::Failed(WireError::new(ErrorCode::InvalidProducerEpoch, "fenced")));
        }
        if let Some(place) = self.log.iter().position(|stored| stored.stamp == stamp) {
            self.waiting.push((part.opening, ordinal, place + 1, place, true));
            return None;
        }
        let refused = match kind {
            Kind::Lane => check_lane(last, stamp, part.after),
            Kind::Explicit => check_contiguous(last, stamp, part.after),
        };
        if let Err(outcome) = refused {
            return Some(outcome);
        }
        self.log.push(Stored { key, stamp, records });
        let end = self.log.len();
        self.waiting.push((part.opening, ordinal, end, end - 1, false));
        None
    }
}

fn check_lane(last: Option<Stored>, stamp: Stamp, after: Option<Sequence>) -> Result<(), Outcome> {
    let last = last.filter(|last| last.stamp.epoch == stamp.epoch).map(|last| last.stamp.sequence);
    if last.is_some_and(|last| stamp.sequence <= last) {
        // Only a batch that the client gave up can be below without being known.
        return Err(Outcome::Unknown(WireError::new(ErrorCode::OutcomeUnknown, "overtaken")));
    }
    if after.is_some_and(|after| last.is_none_or(|last| last < after)) {
        return Err(Outcome::Retry(WireError::new(ErrorCode::MissingPart, "missing")));
    }
    Ok(())
}

/// Kafka's.
fn check_contiguous(last: Option<Stored>, stamp: Stamp, after: Option<Sequence>) -> Result<(), Outcome> {
    let out_of_order = || Outcome::Retry(WireError::new(ErrorCode::OutOfOrderSequence, "a gap"));
    let Some(last) = last else {
        return match after {
            Some(_) => Err(Outcome::Retry(WireError::new(ErrorCode::MissingPart, "missing"))),
            None => Ok(()),
        };
    };
    if last.stamp.epoch < stamp.epoch {
        return if stamp.sequence == Sequence(0) { Ok(()) } else { Err(out_of_order()) };
    }
    let expected = last.stamp.sequence.0 + last.records;
    match stamp.sequence.0.cmp(&expected) {
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(out_of_order()),
        Ordering::Less => Err(Outcome::Unknown(WireError::new(ErrorCode::OutcomeUnknown, "forgotten"))),
    }
}

fn passing() -> WireError {
    WireError::new(ErrorCode::NotLeader, "try again")
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> Option<T> {
    let at = random.next().checked_rem(from.len() as u64)?;
    from.get(usize::try_from(at).ok()?).copied()
}
