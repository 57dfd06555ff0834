//! Random schedules of a log that is appended to, compacted, shortened at either end and restarted, with crashes between
//! any two operations of the disk, against a model that knows every record that was ever appended.
//!
//! `WEIR_SEED=N` replays one schedule and prints its steps; `WEIR_SEEDS=N` runs that many.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::{Bytes, BytesMut};
use weir_wire::batch::{self, BatchBuilder, BatchHeader, Compression, ProducerFields};
use weir_wire::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

use super::super::testing::{FOLDER, key, try_open_folder};
use super::super::{
    CompactionJob, CompactionLimits, CompactionProgress, DataFolder, FlushJob, Log, LogConfig, OnDamage,
    RemovalJob, RetentionLimits, STORED_LIMITS, SimDisk, SimRandom, StampedBatch, verify_partition,
};

const SEEDS_DEFAULT: u64 = 100;
const CANARY_SEEDS: u64 = 120;
const STEPS: usize = 300;
const DELETE_RETENTION_MS: u64 = 400;
const LIMITS: CompactionLimits = CompactionLimits {
    min_dirty_per_mille: 0,
    min_lag_ms: 0,
    max_lag_ms: None,
    delete_retention_ms: DELETE_RETENTION_MS,
};

/// So small that many segments come together, of which memory keeps several.
fn config() -> LogConfig {
    LogConfig { segment_bytes: 600, segment_ms: 80, index_interval_bytes: 100, tail_bytes_max: 2000 }
}

/// What the harness does wrong on purpose.
#[derive(Clone, Copy, PartialEq)]
enum Canary {
    None,
    /// The disk forgets to make names durable.
    FolderSyncsIgnored,
    /// Nobody says which producers are remembered.
    ProducersForgotten,
    /// Tombstones stay no time at all.
    TombstonesHurried,
    /// Where the log starts is taken to be durable before it is.
    RemovalsHurried,
}

#[derive(Clone, Debug, PartialEq)]
struct ModelRecord {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp_ms: i64,
}

struct World {
    random: SimRandom,
    disk: SimDisk,
    node: Option<(DataFolder, Log)>,
    flush: Option<FlushJob>,
    round: Option<CompactionJob>,
    removal: Option<RemovalJob>,
    canary: Canary,
    now_ms: i64,
    records: BTreeMap<u64, ModelRecord>,
    /// The headers of all batches as they were appended, by base offset.
    batches: BTreeMap<u64, BatchHeader>,
    /// When a round first could meet a tombstone.
    met: BTreeMap<u64, i64>,
    /// The first offset that may be read.
    start: u64,
    /// It is that or a later one after a crash too.
    durable_start: u64,
    end: u64,
    flushed: u64,
    high_watermark: u64,
    /// What a round that ended said of the log; nothing is said of a log that was cut below.
    cleaned_to: u64,
    epoch: u32,
    sequence: u32,
    steps: Vec<String>,
    reached: Reached,
}

/// What schedules are made for, counted.
#[derive(Default)]
struct Reached {
    rounds: u64,
    records_gone: u64,
    /// Segments that went from the beginning of the log.
    segments_removed: usize,
    /// How often a log began within a batch.
    cut_batches: u64,
    /// Segments that the clock alone ended.
    rolled_by_clock: u64,
}

impl World {
    fn new(seed: u64, canary: Canary) -> World {
        World {
            random: SimRandom::new(seed),
            disk: SimDisk::new(seed),
            node: None,
            flush: None,
            round: None,
            removal: None,
            canary,
            now_ms: 1_000,
            records: BTreeMap::new(),
            batches: BTreeMap::new(),
            met: BTreeMap::new(),
            start: 0,
            durable_start: 0,
            end: 0,
            flushed: 0,
            high_watermark: 0,
            cleaned_to: 0,
            epoch: 1,
            sequence: 0,
            steps: Vec::new(),
            reached: Reached::default(),
        }
    }

    fn run(&mut self) -> Result<(), String> {
        self.boot()?;
        for _ in 0..STEPS {
            self.step()?;
            if self.has_failed() {
                self.crash()?;
            }
        }
        self.finish_flush()?;
        self.finish_removal()?;
        self.finish_round()?;
        if self.has_failed() {
            self.crash()?;
        }
        self.compare()?;
        self.crash()
    }

    fn log(&mut self) -> &mut Log {
        &mut self.node.as_mut().expect("a node runs between crashes").1
    }

    fn note(&mut self, step: impl std::fmt::Display) {
        let World { now_ms, start, flushed, high_watermark, end, .. } = self;
        self.steps.push(format!(
            "{step} (at {now_ms}, start {start}, committed {high_watermark}, flushed {flushed}, end {end})"
        ));
    }

    fn step(&mut self) -> Result<(), String> {
        self.now_ms += i64::try_from(self.random.below(10)).expect("small");
        match self.random.below(28) {
            0..=7 => self.append(),
            8 => self.prepare_flush(),
            9..=11 => self.finish_flush(),
            12 if self.random.chance(2) => self.roll_by_clock(),
            12 => {
                self.note("roll");
                let rolled = self.log().roll();
                self.tolerate(rolled).map(|_| ())
            }
            24 => self.retain(),
            25 => self.delete_records(),
            26 | 27 => self.finish_removal(),
            13 | 14 => self.begin_round(),
            15..=18 => self.go_on(),
            19 => self.finish_round(),
            20 => self.truncate(),
            21 => {
                self.note("save checkpoints");
                let (point, high_watermark) = (self.log().recovery_point(), Offset(self.high_watermark));
                let (folder, _) = self.node.as_ref().expect("a node runs between crashes");
                let saved = folder
                    .save_recovery_points([(key(), point)])
                    .and_then(|()| folder.save_high_watermarks([(key(), high_watermark)]));
                self.tolerate(saved).map(|_| ())
            }
            22 => {
                let after = self.random.below(20) as u64;
                self.note(format!("stop after {after} operations"));
                self.disk.stop_after(after);
                Ok(())
            }
            _ if self.random.chance(2) => self.crash(),
            _ => self.compare(),
        }
    }

    fn has_failed(&self) -> bool {
        self.disk.has_stopped() || self.disk.failed_syncs() > 0
    }

    fn tolerate<T>(&self, result: Result<T, impl std::fmt::Display>) -> Result<Option<T>, String> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.has_failed() => Ok(None),
            Err(error) => Err(format!("on a sound disk: {error}")),
        }
    }

    fn append(&mut self) -> Result<(), String> {
        let base = self.end;
        let mut builder =
            BatchBuilder::new(if self.random.chance(3) { Compression::Lz4 } else { Compression::None });
        let mut records = Vec::new();
        for _ in 0..1 + self.random.below(4) {
            let record = ModelRecord {
                key: (!self.random.chance(12)).then(|| vec![self.rare(7); 3]),
                value: (!self.random.chance(5))
                    .then(|| vec![u8::try_from(records.len()).expect("small"); 1 + self.random.below(60)]),
                timestamp_ms: self.now_ms,
            };
            builder.push(record.timestamp_ms, record.key.as_deref(), record.value.as_deref(), &[]);
            records.push(record);
        }
        self.sequence += 1;
        let producer = (!self.random.chance(3)).then(|| ProducerFields {
            id: ProducerId(u64::from(self.rare(3))),
            epoch: ProducerEpoch(0),
            base_sequence: Sequence(self.sequence),
        });
        let mut bytes = BytesMut::from(&builder.finish(producer)[..]);
        batch::stamp(&mut bytes, Offset(base), LeaderEpoch(self.epoch));
        let bytes = bytes.freeze();
        let header = BatchHeader::parse(&bytes).expect("made just now");
        self.note(format!(
            "append {} records of {:?}",
            records.len(),
            producer.map(|producer| producer.id.0)
        ));
        let appended = self.log().append(&[StampedBatch { header, bytes }]);
        // Also of an append that failed any part may be on the disk.
        self.batches.insert(base, header);
        self.records.extend((base..).zip(records));
        if let Some(appended) = self.tolerate(appended)? {
            self.end = appended.end.0;
        }
        Ok(())
    }

    /// A number below `count`, each half as often as the one before: some keys and producers must come seldom.
    fn rare(&mut self, count: u8) -> u8 {
        (0..count - 1).find(|_| self.random.chance(2)).unwrap_or(count - 1)
    }

    fn prepare_flush(&mut self) -> Result<(), String> {
        self.note("prepare a flush");
        if let Some(job) = self.log().prepare_flush() {
            self.flush = Some(job);
        }
        Ok(())
    }

    fn finish_flush(&mut self) -> Result<(), String> {
        if self.flush.is_none() {
            self.prepare_flush()?;
        }
        let Some(job) = self.flush.take() else { return Ok(()) };
        let outcome = job.run();
        let flushed = self.log().flush_done(outcome);
        if let Some(flushed) = self.tolerate(flushed)? {
            self.flushed = flushed.0;
            let committed =
                self.random.below(usize::try_from(self.flushed - self.high_watermark).expect("small") + 1);
            self.high_watermark =
                self.batch_start(self.high_watermark + committed as u64).max(self.high_watermark);
        }
        Ok(())
    }

    fn roll_by_clock(&mut self) -> Result<(), String> {
        self.note("roll by the clock");
        let now_ms = self.now_ms;
        let rolled = self.log().roll_if_overdue(now_ms);
        let rolled = self.tolerate(rolled)?;
        self.reached.rolled_by_clock += u64::from(rolled.flatten().is_some());
        Ok(())
    }

    /// What is old or too much goes from the beginning.
    fn retain(&mut self) -> Result<(), String> {
        let by_time = self.random.chance(3);
        let limits = RetentionLimits {
            retention_ms: by_time.then(|| 400 + self.random.below(800) as u64),
            retention_bytes: (!by_time).then(|| 2000 + self.random.below(6000) as u64),
        };
        let (now_ms, high_watermark) = (self.now_ms, Offset(self.high_watermark));
        let found = self.log().retention(now_ms, high_watermark, &limits);
        let Some(found) = self.tolerate(found)? else { return Ok(()) };
        if let Some(job) = found.job {
            self.starts_later(job);
        }
        if found.last_segment_expired {
            let rolled = self.log().roll();
            self.tolerate(rolled)?;
        }
        self.note(format!("retain: {limits:?}"));
        Ok(())
    }

    /// An operator deletes some of what is committed.
    fn delete_records(&mut self) -> Result<(), String> {
        if self.log().is_removing() || self.log().is_compacting() {
            return Ok(());
        }
        let committed = usize::try_from(self.high_watermark - self.start).expect("small");
        let to = self.start + self.random.below(committed.min(20) + 1) as u64;
        if let Some(job) = self.log().set_log_start(Offset(to)) {
            self.starts_later(job);
            self.note("delete records");
        }
        Ok(())
    }

    fn starts_later(&mut self, job: RemovalJob) {
        self.removal = Some(job);
        self.start = self.log().start().0;
        self.reached.cut_batches +=
            u64::from(!self.batches.contains_key(&self.start) && self.start < self.end);
        if self.canary == Canary::RemovalsHurried {
            self.durable_start = self.start;
        }
    }

    fn finish_removal(&mut self) -> Result<(), String> {
        let Some(job) = self.removal.take() else { return Ok(()) };
        let outcome = job.run();
        let done = self.log().removal_done(outcome);
        if let Some((segments, _)) = self.tolerate(done)? {
            self.reached.segments_removed += segments;
            self.durable_start = self.start;
            self.note(format!("removed {segments} segments"));
        }
        Ok(())
    }

    /// The batch boundary at or below an offset.
    fn batch_start(&self, offset: u64) -> u64 {
        self.batches.range(..=offset).next_back().map_or(0, |(base, header)| {
            if header.next_offset().0 <= offset { header.next_offset().0 } else { *base }
        })
    }

    fn begin_round(&mut self) -> Result<(), String> {
        if self.round.is_some() {
            return Ok(());
        }
        let (now_ms, high_watermark) = (self.now_ms, Offset(self.high_watermark));
        let live: BTreeSet<ProducerId> = match self.canary {
            Canary::ProducersForgotten => BTreeSet::new(),
            _ => [ProducerId(1), ProducerId(2)].into(),
        };
        let mut limits = LIMITS;
        if self.canary == Canary::TombstonesHurried {
            limits.delete_retention_ms = 0;
        }
        let prepared = self.log().prepare_compaction(now_ms, high_watermark, &limits, || live);
        let Some(Some(job)) = self.tolerate(prepared)? else { return Ok(()) };
        self.note("begin a round");
        let tombstones =
            self.records.iter().filter(|(_, record)| record.key.is_some() && record.value.is_none());
        for (offset, _) in tombstones {
            self.met.entry(*offset).or_insert(now_ms);
        }
        self.round = Some(if self.random.chance(2) {
            job.with_keys_bytes_max(1 + self.random.below(600))
        } else {
            job
        });
        Ok(())
    }

    fn go_on(&mut self) -> Result<(), String> {
        let Some(job) = self.round.take() else { return self.begin_round() };
        if self.random.chance(15) {
            self.log().cancel_compaction();
        }
        let outcome = job.run();
        let progress = self.log().compaction_done(outcome);
        match self.tolerate(progress)? {
            Some(CompactionProgress::More(job)) => self.round = Some(*job),
            Some(CompactionProgress::Done(done)) => {
                self.reached.rounds += 1;
                self.reached.records_gone += done.records_gone;
                self.cleaned_to = done.cleaned_to.0;
                self.note(format!("{done:?}"));
            }
            Some(CompactionProgress::Cancelled) => self.note("cancelled"),
            None => {}
        }
        Ok(())
    }

    fn finish_round(&mut self) -> Result<(), String> {
        while self.round.is_some() && !self.has_failed() {
            self.go_on()?;
        }
        Ok(())
    }

    fn truncate(&mut self) -> Result<(), String> {
        self.log().cancel_compaction();
        self.finish_round()?;
        self.finish_removal()?;
        let lowest = self.high_watermark.max(1);
        if self.has_failed() || self.end <= lowest {
            return Ok(());
        }
        let target = lowest + self.random.below(usize::try_from(self.end - lowest).expect("small")) as u64;
        self.note(format!("cut to {target}"));
        let cut = self.log().truncate_to(Offset(target));
        let end = self.batch_start(target);
        self.flushed = self.flushed.min(end);
        if let Some(found) = self.tolerate(cut)? {
            if found.0 != end {
                return Err(format!("a cut to {target} ended at {found}, not {end}"));
            }
            self.forget_from(end);
            self.flushed = self.log().flushed_end().0;
        }
        self.epoch += 1;
        Ok(())
    }

    fn forget_from(&mut self, end: u64) {
        self.records.split_off(&end);
        self.batches.split_off(&end);
        self.met.split_off(&end);
        self.end = end;
    }

    fn crash(&mut self) -> Result<(), String> {
        self.end_of_disk();
        (self.node, self.flush, self.round, self.removal) = (None, None, None, None);
        self.boot()
    }

    fn end_of_disk(&mut self) {
        let power = self.random.chance(2) || self.disk.has_shut_down();
        self.note(if power { "the power goes" } else { "the process dies" });
        self.disk = if power { self.disk.power_loss() } else { self.disk.process_crash() };
    }

    fn boot(&mut self) -> Result<(), String> {
        let ignores = self.canary == Canary::FolderSyncsIgnored;
        if ignores {
            self.disk.ignore_folder_syncs();
        }
        while self.random.chance(3) {
            let after = self.random.below(30) as u64;
            self.note(format!("opened, until {after} operations later"));
            self.disk.stop_after(after);
            if let Ok(folder) = try_open_folder(&self.disk) {
                drop(folder.open_log("t", key(), config(), true, OnDamage::Refuse));
            }
            self.end_of_disk();
            if ignores {
                self.disk.ignore_folder_syncs();
            }
        }
        let folder =
            try_open_folder(&self.disk).map_err(|error| format!("the data folder does not open: {error}"))?;
        let opened = folder.open_log("t", key(), config(), true, OnDamage::Refuse);
        let (log, recovery) = opened.map_err(|error| format!("the log does not open: {error}"))?;
        let (start, end) = (recovery.start.0, recovery.end.0);
        self.note(format!("found {start} to {end}"));
        if !(self.durable_start..=self.start).contains(&start) {
            return Err(format!("{} was deleted, and the log starts at {start}", self.durable_start));
        }
        (self.start, self.durable_start) = (start, start);
        if end < self.flushed {
            return Err(format!("{} was promised, and the log ends at {end}", self.flushed));
        }
        self.forget_from(end);
        self.flushed = end;
        self.epoch += 1;
        self.node = Some((folder, log));
        let verified = verify_partition(&self.disk, Path::new(FOLDER)).map_err(|error| error.to_string())?;
        if let Some(problem) = verified.problems.iter().find(|problem| problem.is_damage) {
            return Err(format!("{problem:?}"));
        }
        self.compare()
    }

    /// Reads all of the log, in small pieces, and holds it against what was appended.
    fn compare(&mut self) -> Result<(), String> {
        if self.has_failed() {
            return Ok(());
        }
        let reader = self.log().reader();
        let (mut found, mut headers) = (BTreeMap::new(), Vec::new());
        let mut from = Offset(self.start);
        while from.0 < self.end {
            let read = reader.read(from, Offset::MAX, 400, true);
            let Some(slice) = self.tolerate(read)? else { return Ok(()) };
            let mut bytes = slice.clone().into_bytes();
            while !bytes.is_empty() {
                let total =
                    usize::try_from(batch::total_bytes(&bytes).expect("whole batches")).expect("short");
                let one: Bytes = bytes.split_to(total);
                let records =
                    batch::records(&one, &STORED_LIMITS).map_err(|error| format!("from {from}: {error}"))?;
                let base = records.header().base_offset.0;
                for record in &records {
                    found.insert(
                        base + u64::from(record.offset_delta),
                        ModelRecord {
                            key: record.key.map(<[u8]>::to_vec),
                            value: record.value.map(<[u8]>::to_vec),
                            timestamp_ms: record.timestamp_ms,
                        },
                    );
                }
                headers.push(*records.header());
            }
            if slice.next_offset <= from {
                return Err(format!("reading does not go on at {from}"));
            }
            from = slice.next_offset;
        }
        self.compare_records(&found.split_off(&self.start))?;
        self.compare_batches(&headers)
    }

    fn compare_records(&self, found: &BTreeMap<u64, ModelRecord>) -> Result<(), String> {
        if let Some((offset, record)) =
            found.iter().find(|(offset, record)| self.records.get(offset) != Some(record))
        {
            return Err(format!("at {offset} lies {record:?}, not {:?}", self.records.get(offset)));
        }
        let mut newest: BTreeMap<&[u8], u64> = BTreeMap::new();
        let mut newest_cleaned: BTreeMap<&[u8], u64> = BTreeMap::new();
        for (offset, record) in self.records.range(self.start..) {
            match &record.key {
                None if !found.contains_key(offset) => {
                    return Err(format!("{offset}, without a key, is gone"));
                }
                None => {}
                Some(key) => {
                    newest.insert(key, *offset);
                    if *offset < self.cleaned_to {
                        newest_cleaned.insert(key, *offset);
                    }
                }
            }
        }
        for (key, offset) in &newest {
            if found.contains_key(offset) {
                continue;
            }
            let record = &self.records[offset];
            let met = self.met.get(offset);
            let may_go = met
                .is_some_and(|met| met + i64::try_from(DELETE_RETENTION_MS).expect("small") <= self.now_ms);
            if record.value.is_some() || !may_go {
                return Err(format!(
                    "{offset}, the newest of key {key:?}, is gone: {record:?}, met at {met:?}"
                ));
            }
            if let Some((older, _)) = found.iter().find(|(_, record)| record.key.as_deref() == Some(*key)) {
                return Err(format!("{older} has come back to life: the tombstone at {offset} is gone"));
            }
        }
        for (offset, record) in found.range(..self.cleaned_to) {
            let Some(key) = &record.key else { continue };
            if newest_cleaned.get(&key[..]).is_some_and(|newest| newest > offset) {
                return Err(format!("{offset} stayed in a log that was cleaned up to {}", self.cleaned_to));
            }
        }
        Ok(())
    }

    /// Batches keep their places, gaps tell of the right reigns, and producers are remembered.
    fn compare_batches(&self, headers: &[BatchHeader]) -> Result<(), String> {
        // The log may start within its first batch.
        let first = headers.first().map_or(Offset(self.start), |first| first.base_offset);
        let mut next = first.min(Offset(self.start));
        for header in headers {
            if header.base_offset != next {
                return Err(format!("{next} is due, and {} comes", header.base_offset));
            }
            next = header.next_offset();
            let replaced = self.batches.range(header.base_offset.0..next.0);
            let of_other_reign = replaced.clone().find(|(_, one)| one.leader_epoch != header.leader_epoch);
            if let Some((base, one)) = of_other_reign {
                return Err(format!("{base} is of reign {}, not {}", one.leader_epoch, header.leader_epoch));
            }
            let original = self.batches.get(&header.base_offset.0);
            let keeps_its_place = original.is_some_and(|original| {
                (original.last_offset_delta, original.producer) == (header.last_offset_delta, header.producer)
            });
            if !header.is_gap() && !keeps_its_place {
                return Err(format!("{header:?} stands for {original:?}"));
            }
        }
        for id in [ProducerId(1), ProducerId(2)] {
            let newest =
                self.batches.values().rfind(|header| header.producer.is_some_and(|one| one.id == id));
            if let Some(newest) = newest
                && newest.next_offset().0 > self.start
                && headers.iter().all(|header| header.base_offset != newest.base_offset || header.is_gap())
            {
                return Err(format!("producer {} is forgotten: {newest:?}", id.0));
            }
        }
        Ok(())
    }
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("WEIR_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WEIR_SEEDS").unwrap_or(SEEDS_DEFAULT),
    }
}

#[test]
fn the_newest_record_of_each_key_stays_whatever_happens() {
    let mut reached = Reached::default();
    let seeds = seeds();
    for seed in seeds.clone() {
        let mut world = World::new(seed, Canary::None);
        let outcome = world.run();
        reached.rounds += world.reached.rounds;
        reached.records_gone += world.reached.records_gone;
        reached.segments_removed += world.reached.segments_removed;
        reached.cut_batches += world.reached.cut_batches;
        reached.rolled_by_clock += world.reached.rolled_by_clock;
        if seeds.end - seeds.start == 1 || outcome.is_err() {
            eprintln!("{}", world.steps.join("\n"));
        }
        if let Err(reason) = outcome {
            panic!("seed {seed}: {reason}; replay with WEIR_SEED={seed}");
        }
    }
    if seeds.end - seeds.start >= 100 {
        let Reached { rounds, records_gone, segments_removed, cut_batches, rolled_by_clock } = reached;
        assert!(
            rounds > 200 && records_gone > 1000,
            "schedules that clean nothing show nothing: {rounds} rounds, {records_gone} records"
        );
        assert!(
            segments_removed > 200 && cut_batches > 100 && rolled_by_clock > 50,
            "{segments_removed} segments were removed, {cut_batches} batches cut, {rolled_by_clock} rolled by the clock"
        );
    }
}

fn noticed(canary: Canary) -> usize {
    (0..CANARY_SEEDS).filter(|seed| World::new(*seed, canary).run().is_err()).count()
}

#[test]
fn this_harness_notices_a_disk_that_ignores_folder_syncs() {
    let noticed = noticed(Canary::FolderSyncsIgnored);
    assert!(noticed > 20, "{noticed} of {CANARY_SEEDS}");
}

#[test]
fn this_harness_notices_forgotten_producers() {
    let noticed = noticed(Canary::ProducersForgotten);
    assert!(noticed > 12, "{noticed} of {CANARY_SEEDS}");
}

#[test]
fn this_harness_notices_tombstones_that_go_too_soon() {
    let noticed = noticed(Canary::TombstonesHurried);
    assert!(noticed > 4, "{noticed} of {CANARY_SEEDS}");
}

#[test]
fn this_harness_notices_a_log_start_that_comes_back() {
    let noticed = noticed(Canary::RemovalsHurried);
    assert!(noticed > 4, "{noticed} of {CANARY_SEEDS}");
}
