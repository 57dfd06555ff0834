//! Random schedules of everything that a log does, with crashes and failing syncs anywhere, against a model that knows
//! what must be left: all that was flushed, and of the rest a beginning, byte for byte.
//!
//! `WEIR_SEED=N` replays one schedule and prints its steps; `WEIR_SEEDS=N` runs that many.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_wire::ids::{Incarnation, Offset};
use weir_wire::stored::Stored;

use super::testing::{FOLDER, batch, key, small, try_open_folder};
use super::{
    CleanShutdown, DataFolder, FlushJob, Log, OnDamage, RemovalJob, RetentionLimits, SimDisk, SimRandom,
    StampedBatch, StorageError, verify_partition,
};

const SEEDS_DEFAULT: u64 = 1500;
const STEPS: usize = 60;

/// A snapshot of the producers, as the model sees it: a checksum over the log before it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct PrefixSum {
    offset: Offset,
    sum: u64,
}

impl Stored for PrefixSum {
    const NAME: &'static str = "prefix sum";
    const VERSION: u8 = 1;
}

/// What the harness does wrong on purpose.
#[derive(Clone, Copy, PartialEq)]
enum Canary {
    None,
    /// The disk forgets to make names durable.
    FolderSyncsIgnored,
    /// What was appended counts as flushed.
    FlushesSkipped,
}

/// One node with one log, and what is known of it.
struct World {
    random: SimRandom,
    disk: SimDisk,
    node: Option<(DataFolder, Log)>,
    flush: Option<FlushJob>,
    removal: Option<(RemovalJob, u64)>,
    canary: Canary,
    /// All batches by base offset, also those that the log has let go.
    batches: BTreeMap<u64, Bytes>,
    end: u64,
    /// Everything below is promised.
    flushed: u64,
    start: u64,
    /// The log may not start below this any more.
    start_for_good: u64,
    /// Where the log may be empty instead, as a restart at this offset was interrupted.
    maybe_restarted_at: Option<u64>,
    /// The lowest and the highest that the high watermark may be which is written down.
    high_watermark: (u64, u64),
    epoch: u32,
    steps: Vec<String>,
    cuts: u64,
}

impl World {
    fn new(seed: u64, canary: Canary) -> World {
        World {
            random: SimRandom::new(seed),
            disk: SimDisk::new(seed),
            node: None,
            flush: None,
            removal: None,
            canary,
            batches: BTreeMap::new(),
            end: 0,
            flushed: 0,
            start: 0,
            start_for_good: 0,
            maybe_restarted_at: None,
            high_watermark: (0, 0),
            epoch: 0,
            steps: Vec::new(),
            cuts: 0,
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
        self.crash()
    }

    fn log(&mut self) -> &mut Log {
        &mut self.node.as_mut().expect("a node runs between crashes").1
    }

    fn note(&mut self, step: impl std::fmt::Display) {
        self.steps.push(format!("{step} (start {}, flushed {}, end {})", self.start, self.flushed, self.end));
    }

    fn step(&mut self) -> Result<(), String> {
        match self.random.below(21) {
            0..=6 => self.append(),
            7 | 8 => self.prepare_flush(),
            9 | 10 => self.finish_flush(),
            11 => self.roll(),
            12 => self.truncate(),
            13 => self.move_start(),
            14 => self.finish_removal(),
            15 => self.save_checkpoints(),
            16 => self.save_snapshot(),
            17 => {
                let after = self.random.below(12) as u64;
                self.note(format!("stop after {after} operations"));
                self.disk.stop_after(after);
                Ok(())
            }
            18 => self.stop_cleanly(),
            19 => {
                let after = self.random.below(4) as u64;
                self.note(format!("a sync fails after {after} more"));
                self.disk.fail_syncs_after(after, 1);
                Ok(())
            }
            _ if self.random.chance(4) => self.restart(),
            _ => self.crash(),
        }
    }

    /// Whether the disk has stopped, or a sync has failed: what follows is a crash.
    fn has_failed(&self) -> bool {
        self.disk.has_stopped() || self.disk.failed_syncs() > 0
    }

    /// Passes over errors of a disk that has failed, and of one that retired the log because of it.
    fn tolerate<T>(&self, result: Result<T, impl std::fmt::Display>) -> Result<Option<T>, String> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.has_failed() => Ok(None),
            Err(error) => Err(format!("on a sound disk: {error}")),
        }
    }

    fn append(&mut self) -> Result<(), String> {
        let mut batches: Vec<StampedBatch> = Vec::new();
        for _ in 0..1 + self.random.below(4) {
            let base = batches.last().map_or(self.end, |last| last.header.next_offset().0);
            let count = 1 + u32::try_from(self.random.below(5)).expect("small");
            let timestamp = i64::try_from(base + self.random.below(50) as u64).expect("small");
            let body_bytes = match self.random.below(10) {
                0 => 1500,
                _ => self.random.below(200),
            };
            batches.push(batch(base, count, self.epoch, timestamp, body_bytes));
        }
        self.note(format!("append {}", batches.len()));
        let appended = self.log().append(&batches);
        // Also of an append that failed any part may be on the disk.
        for batch in &batches {
            self.batches.insert(batch.header.base_offset.0, batch.bytes.clone());
        }
        if let Some(appended) = self.tolerate(appended)? {
            self.end = appended.end.0;
        }
        if self.canary == Canary::FlushesSkipped {
            self.flushed = self.end;
        }
        Ok(())
    }

    fn prepare_flush(&mut self) -> Result<(), String> {
        self.note("prepare a flush");
        if let Some(job) = self.log().prepare_flush() {
            self.flush = Some(job);
        }
        Ok(())
    }

    fn finish_flush(&mut self) -> Result<(), String> {
        let Some(job) = self.flush.take() else { return Ok(()) };
        let outcome = job.run();
        let flushed = self.log().flush_done(outcome);
        if let Some(flushed) = self.tolerate(flushed)? {
            self.flushed = flushed.0;
        }
        self.note("flushed");
        Ok(())
    }

    fn roll(&mut self) -> Result<(), String> {
        self.note("roll");
        let rolled = self.log().roll();
        self.tolerate(rolled).map(|_| ())
    }

    fn truncate(&mut self) -> Result<(), String> {
        if self.end == self.start || self.removal.is_some() {
            return Ok(());
        }
        let target =
            self.start + 1 + self.random.below(usize::try_from(self.end - self.start).expect("small")) as u64;
        self.note(format!("cut to {target}"));
        let cut = self.log().truncate_to(Offset(target));
        // The batch that holds the target goes as a whole, and may go as soon as this is under way.
        let end = self
            .batches
            .range(..target)
            .next_back()
            .map_or(0, |(base, bytes)| if batch_end(*base, bytes) > target { *base } else { target });
        let end = if target >= self.end { self.end } else { end };
        self.flushed = self.flushed.min(end);
        if end <= self.start {
            self.maybe_restarted_at = Some(end);
            self.start_for_good = self.start_for_good.min(end);
            self.flushed = 0;
        }
        if let Some(found) = self.tolerate(cut)? {
            if found.0 != end {
                return Err(format!("a cut to {target} ended at {found}, not {end}"));
            }
            self.forget_from(end);
            self.flushed = self.log().flushed_end().0;
            if end <= self.start {
                self.start = end;
            }
            self.maybe_restarted_at = None;
        }
        self.epoch += 1;
        Ok(())
    }

    fn restart(&mut self) -> Result<(), String> {
        if self.removal.is_some() {
            return Ok(());
        }
        let offset = self.random.below(usize::try_from(self.end).expect("small") + 20) as u64;
        self.note(format!("restart at {offset}"));
        let restarted = self.log().restart_at(Offset(offset));
        self.flushed = 0;
        self.maybe_restarted_at = Some(offset);
        if self.tolerate(restarted)?.is_some() {
            self.batches.clear();
            (self.start, self.end, self.flushed, self.start_for_good) = (offset, offset, offset, offset);
            self.maybe_restarted_at = None;
        }
        self.epoch += 1;
        Ok(())
    }

    fn move_start(&mut self) -> Result<(), String> {
        if self.removal.is_some() || self.flushed <= self.start {
            return Ok(());
        }
        let to = self.start
            + self.random.below(usize::try_from(self.flushed - self.start).expect("small") + 1) as u64;
        self.note(format!("start at {to}"));
        let job = if self.random.chance(2) {
            self.log().set_log_start(Offset(to))
        } else {
            let limits = RetentionLimits { retention_ms: Some(10), retention_bytes: Some(3000) };
            let (now, committed) = (i64::try_from(to).expect("small"), Offset(self.flushed));
            let retention = self.log().retention(now, committed, &limits);
            self.tolerate(retention)?.and_then(|retention| retention.job)
        };
        self.start = self.log().start().0;
        self.removal = job.map(|job| (job, self.start));
        Ok(())
    }

    fn finish_removal(&mut self) -> Result<(), String> {
        let Some((job, start)) = self.removal.take() else { return Ok(()) };
        let outcome = job.run();
        let removed = self.log().removal_done(outcome);
        if self.tolerate(removed)?.is_some() {
            self.start_for_good = start;
        }
        self.note("removed");
        Ok(())
    }

    fn save_checkpoints(&mut self) -> Result<(), String> {
        self.note("save checkpoints");
        let point = self.log().recovery_point();
        let high_watermark = self.flushed;
        let (folder, _) = self.node.as_ref().expect("a node runs between crashes");
        let saved = folder
            .save_recovery_points([(key(), point)])
            .and_then(|()| folder.save_high_watermarks([(key(), Offset(high_watermark))]));
        let (low, high) = self.high_watermark;
        self.high_watermark = (low.min(high_watermark), high.max(high_watermark));
        if self.tolerate(saved)?.is_some() {
            self.high_watermark = (high_watermark, high_watermark);
        }
        Ok(())
    }

    fn save_snapshot(&mut self) -> Result<(), String> {
        let value = self.prefix_sum(self.end);
        self.note("save a snapshot");
        let saved = self.log().side_files().save_snapshot(value.offset, &value);
        self.tolerate(saved).map(|_| ())
    }

    /// What a snapshot at this offset must hold.
    fn prefix_sum(&self, offset: u64) -> PrefixSum {
        // Batches that the log has let go are left out: after a crash it may have let go of more.
        let sum =
            self.batches.range(..offset).next_back().map_or(0, |(_, last)| xxhash_rust::xxh3::xxh3_64(last));
        PrefixSum { offset: Offset(offset), sum }
    }

    fn stop_cleanly(&mut self) -> Result<(), String> {
        self.finish_flush()?;
        self.finish_removal()?;
        if self.has_failed() {
            return Ok(());
        }
        self.note("stop");
        let (folder, log) = self.node.take().expect("a node runs between crashes");
        let end = self.end;
        let stopped = log.close().and_then(|point| {
            folder.save_recovery_points([(key(), point)])?;
            folder.mark_clean(CleanShutdown { incarnation: Some(Incarnation(3)) })?;
            Ok::<(), StorageError>(())
        });
        if self.tolerate(stopped)?.is_none() {
            return self.crash();
        }
        let verified = self.tolerate(verify_partition(&self.disk, Path::new(FOLDER)))?;
        if let Some(problem) =
            verified.and_then(|found| found.problems.into_iter().find(|found| found.is_damage))
        {
            return Err(format!("after a clean stop: {problem:?}"));
        }
        self.flushed = end;
        self.disk = if self.random.chance(2) { self.disk.power_loss() } else { self.disk.process_crash() };
        self.boot()?;
        if self.end != end {
            Err(format!("a clean stop at {end} came back with {}", self.end))
        } else {
            Ok(())
        }
    }

    fn crash(&mut self) -> Result<(), String> {
        self.end_of_disk();
        (self.node, self.flush, self.removal) = (None, None, None);
        self.boot()
    }

    /// The process dies, or the power goes; a file system that has shut down needs the latter.
    fn end_of_disk(&mut self) {
        let power = self.random.chance(2) || self.disk.has_shut_down();
        self.note(if power { "the power goes" } else { "the process dies" });
        self.disk = if power { self.disk.power_loss() } else { self.disk.process_crash() };
    }

    /// Opens what the last crash left, perhaps interrupted by the next one, and compares it with what must be left.
    fn boot(&mut self) -> Result<(), String> {
        if self.canary == Canary::FolderSyncsIgnored {
            self.disk.ignore_folder_syncs();
        }
        while self.random.chance(3) {
            let after = self.random.below(25) as u64;
            if self.random.chance(4) {
                self.note(format!("opened, until a sync fails after {after} more"));
                self.disk.fail_syncs_after(after, 1);
            } else {
                self.note(format!("opened, until {after} operations later"));
                self.disk.stop_after(after);
            }
            if let Ok(folder) = try_open_folder(&self.disk) {
                drop(folder.open_log("t", key(), small(), true, OnDamage::Refuse));
            }
            self.end_of_disk();
            if self.canary == Canary::FolderSyncsIgnored {
                self.disk.ignore_folder_syncs();
            }
        }
        let folder =
            try_open_folder(&self.disk).map_err(|error| format!("the data folder does not open: {error}"))?;
        let opened = folder.open_log("t", key(), small(), true, OnDamage::Refuse);
        let (log, recovery) = opened.map_err(|error| format!("the log does not open: {error}"))?;
        let (start, end) = (recovery.start.0, recovery.end.0);
        self.note(format!("found {start} to {end}"));
        let restarted = self.maybe_restarted_at.take().filter(|offset| (start, end) == (*offset, *offset));
        if restarted.is_some() {
            self.batches.clear();
            self.start_for_good = start;
        } else if end < self.flushed {
            return Err(format!("{} was promised, and the log ends at {end}", self.flushed));
        } else if start < self.start_for_good || start > self.start.max(self.start_for_good) {
            let (least, most) = (self.start_for_good, self.start);
            return Err(format!("the log starts at {start}, not between {least} and {most}"));
        }
        let (low, high) = self.high_watermark;
        if recovery.ended_below_high_watermark != (end < high)
            && recovery.ended_below_high_watermark != (end < low)
        {
            return Err(format!("the high watermark was {low} to {high}: {recovery:?}"));
        }
        self.cuts += u64::from(recovery.cut.is_some());
        self.forget_from(end);
        (self.start, self.flushed) = (start, end);
        self.epoch += 1;
        self.compare(&log)?;
        self.node = Some((folder, log));
        Ok(())
    }

    /// Compares every byte, and every snapshot.
    fn compare(&self, log: &Log) -> Result<(), String> {
        let reader = log.reader();
        let mut from = Offset(self.start);
        while from.0 < self.end {
            let slice =
                reader.read(from, Offset::MAX, 700, true).map_err(|error| format!("from {from}: {error}"))?;
            let mut bytes = slice.clone().into_bytes();
            while !bytes.is_empty() {
                let base = u64::from_be_bytes(*bytes.first_chunk().expect("whole batches"));
                let Some(expected) = self.batches.get(&base) else {
                    return Err(format!("{base} was never appended"));
                };
                if !bytes.starts_with(expected) {
                    return Err(format!("the batch at {base} has changed"));
                }
                let _ = bytes.split_to(expected.len());
            }
            if slice.next_offset <= from {
                return Err(format!("reading does not go on at {from}"));
            }
            from = slice.next_offset;
        }
        let snapshot = log.side_files().latest_snapshot::<PrefixSum>(Offset(self.end));
        if let Some((offset, value)) = snapshot.map_err(|error| error.to_string())?
            && offset.0 > self.start
            && value != self.prefix_sum(offset.0)
        {
            return Err(format!("the snapshot at {offset} is of another log"));
        }
        Ok(())
    }

    fn forget_from(&mut self, end: u64) {
        self.batches.split_off(&end);
        self.end = end;
    }
}

/// The offset after a batch.
fn batch_end(base: u64, bytes: &Bytes) -> u64 {
    base + u64::from(u32::from_be_bytes(*bytes[23..].first_chunk().expect("a whole batch"))) + 1
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    match number("WEIR_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("WEIR_SEEDS").unwrap_or(SEEDS_DEFAULT),
    }
}

#[test]
fn what_was_flushed_survives_and_what_survives_was_appended() {
    let mut cuts = 0;
    let seeds = seeds();
    for seed in seeds.clone() {
        let mut world = World::new(seed, Canary::None);
        let outcome = world.run();
        cuts += world.cuts;
        if seeds.end - seeds.start == 1 || outcome.is_err() {
            eprintln!("{}", world.steps.join("\n"));
        }
        if let Err(reason) = outcome {
            panic!("seed {seed}: {reason}; replay with WEIR_SEED={seed}");
        }
    }
    if seeds.end - seeds.start >= 100 {
        assert!(cuts > 50, "schedules that tear nothing show nothing: {cuts} cuts");
    }
}

#[test]
fn this_harness_notices_a_disk_that_ignores_folder_syncs() {
    let noticed =
        (0..100).filter(|seed| World::new(*seed, Canary::FolderSyncsIgnored).run().is_err()).count();
    assert!(noticed > 50, "{noticed} of 100");
}

#[test]
fn this_harness_notices_promises_without_a_flush() {
    let noticed = (0..100).filter(|seed| World::new(*seed, Canary::FlushesSkipped).run().is_err()).count();
    assert!(noticed > 50, "{noticed} of 100");
}
