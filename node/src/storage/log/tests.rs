//! One log, one thread, no crash.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use weir_wire::batch::{BatchHeader, gap};
use weir_wire::ids::{LeaderEpoch, Offset};

use super::super::testing::{
    FOLDER, all_bytes, batch, key, open_folder, open_log, read_all, run, small, try_open,
};
use super::super::{
    CompactionLimits, DataFolder, Disk, FileKind, Log, LogConfig, OnDamage, ReadError, ReadPlan,
    RetentionLimits, SimDisk, StampedBatch, StorageError, file_name, verify_partition,
};

fn new_log() -> (SimDisk, DataFolder, Log) {
    let disk = SimDisk::new(1);
    let folder = open_folder(&disk);
    let (log, recovery) = open_log(&folder);
    assert_eq!((recovery.start, recovery.end), (Offset::ZERO, Offset::ZERO));
    assert!(recovery.keeps_its_place());
    (disk, folder, log)
}

fn path(base: u64, kind: FileKind) -> String {
    format!("{FOLDER}/{}", file_name(Offset(base), kind))
}

/// Offsets 0 to 79 in several segments, each batch one offset, timestamps equal to offsets; flushed.
fn filled() -> (SimDisk, DataFolder, Log) {
    let (disk, folder, mut log) = new_log();
    for base in (0..80).step_by(4) {
        log.append(&run(base, 4, 39)).expect("append");
    }
    log.flush().expect("flush");
    assert!(log.segments().len() > 3, "{:?}", log.segments());
    (disk, folder, log)
}

fn reads_at(log: &Log, from: u64, below: u64, bytes_max: usize) -> (Vec<u8>, u64) {
    let slice = log.reader().read(Offset(from), Offset(below), bytes_max, true).expect("readable");
    let next = slice.next_offset.0;
    (slice.into_bytes().to_vec(), next)
}

#[test]
fn what_is_appended_is_read_back_byte_for_byte() {
    let (disk, _folder, mut log) = filled();
    assert_eq!(read_all(&log), all_bytes(&run(0, 80, 39)));
    for from in 0..80 {
        let (bytes, next) = reads_at(&log, from, 80, 1);
        assert_eq!((bytes, next), (all_bytes(&run(from, 1, 39)), from + 1), "one batch from {from}");
    }
    let two = log.append(&[batch(80, 5, 0, 80, 10), batch(85, 7, 3, 81, 20)]).expect("append");
    assert_eq!(two.end, Offset(92));
    let (bytes, next) = reads_at(&log, 83, 92, 10_000);
    assert_eq!(
        bytes,
        all_bytes(&[batch(80, 5, 0, 80, 10), batch(85, 7, 3, 81, 20)]),
        "the batch that holds 83"
    );
    assert_eq!(next, 92);
    assert_eq!(reads_at(&log, 83, 91, 10_000).1, 85, "a batch that reaches beyond the limit is not served");
    assert_eq!(reads_at(&log, 86, 91, 10_000), (Vec::new(), 86));
    assert!(verify_partition(&disk, Path::new(FOLDER)).expect("readable").problems.is_empty());
}

#[test]
fn a_log_that_nobody_appends_to_rolls_by_the_clock() {
    let (disk, folder, mut log) = new_log();
    assert_eq!(log.roll_if_overdue(i64::MAX).expect("looked at"), None, "there is nothing to end");
    log.append(&run(0, 10, 39)).expect("append");
    assert_eq!(log.roll_if_overdue(1_000_000).expect("looked at"), None, "exactly segment.ms");
    assert_eq!(log.roll_if_overdue(1_000_001).expect("rolled"), Some(Offset(10)));
    assert_eq!(log.segments(), [0, 10].map(Offset));
    assert_eq!(log.roll_if_overdue(9_000_000).expect("looked at"), None, "the new one is empty");
    log.append(&run(10, 1, 39)).expect("append");
    assert_eq!(log.segments(), [0, 10].map(Offset), "it is taken for what comes next");
    assert_eq!(log.roll_if_overdue(2_000_001).expect("looked at"), None, "batches of long ago share one");
    assert_eq!(log.roll_if_overdue(2_000_002).expect("rolled"), Some(Offset(11)));

    let point = log.close().expect("close");
    folder.save_recovery_points([(key(), point)]).expect("save");
    let (mut log, recovery) = open_log(&folder);
    assert_eq!((recovery.end, log.segments()), (Offset(11), vec![Offset(0), Offset(10), Offset(11)]));
    log.append(&run(11, 1, 39)).expect("append");
    log.flush().expect("flush");
    assert_eq!(read_all(&log), all_bytes(&run(0, 12, 39)));
    drop(log);
    let (mut log, _) = open_log(&folder);
    let rolled = log.roll_if_overdue(1_000_012).expect("rolled");
    assert_eq!(rolled, Some(Offset(12)), "also one that has not been looked at since the log was opened");
    assert!(verify_partition(&disk, Path::new(FOLDER)).expect("readable").problems.is_empty());
}

/// Without anything to append a round of compaction would never reach the last records.
#[test]
fn what_was_rolled_by_the_clock_is_compacted() {
    let (_disk, _folder, mut log) = new_log();
    log.append(&run(0, 10, 39)).expect("append");
    log.flush().expect("flush");
    let limits = CompactionLimits {
        min_dirty_per_mille: 1000,
        min_lag_ms: 0,
        max_lag_ms: Some(1_000_000),
        delete_retention_ms: 0,
    };
    let now_ms = 1_000_001;
    let is_due = |log: &mut Log| {
        let job = log.prepare_compaction(now_ms, Offset(10), &limits, BTreeSet::new).expect("readable");
        job.is_some()
    };
    assert!(!is_due(&mut log), "the segment is written to");
    log.roll_if_overdue(now_ms).expect("rolled");
    assert!(!is_due(&mut log), "what is durable reaches into it");
    log.flush().expect("flush");
    assert!(is_due(&mut log));
}

/// As a replica is begun that is added behind deleted records: batches come whole.
#[test]
fn a_log_may_start_within_its_first_batch() {
    let (disk, folder, mut log) = new_log();
    log.append(&run(0, 4, 39)).expect("append");
    log.flush().expect("flush");
    assert_eq!(log.restart_at(Offset(15)), Ok(Offset(15)));
    let point = log.recovery_point();
    folder.save_recovery_points([(key(), point)]).expect("save");
    let batches = [batch(10, 10, 3, 50, 39), batch(20, 2, 3, 60, 39)];
    log.append(&batches).expect("append");
    assert_eq!((log.start(), log.end(), log.segments()), (Offset(15), Offset(22), vec![Offset(10)]));
    assert_eq!(reads_at(&log, 15, 22, 10_000), (all_bytes(&batches), 22));
    let below = ReadError::OutOfRange { start: Offset(15), end: Offset(22) };
    assert_eq!(log.reader().read(Offset(14), Offset::MAX, 100, true), Err(below));
    log.flush().expect("flush");
    drop(log);
    // The recovery point that was written down names no file that is there.
    let (log, recovery) = open_log(&folder);
    assert_eq!((recovery.start, recovery.end, recovery.damage), (Offset(15), Offset(22), None));
    assert_eq!(reads_at(&log, 15, 22, 10_000), (all_bytes(&batches), 22));
    let verified = verify_partition(&disk, Path::new(FOLDER)).expect("readable");
    assert_eq!((verified.start, verified.log_start, verified.end), (Offset(10), Offset(15), Offset(22)));
    assert!(verified.problems.is_empty());
}

#[test]
#[should_panic(expected = "offset 4 is due, not 3")]
fn a_batch_that_overlaps_the_log_is_nobodys() {
    let (_disk, _folder, mut log) = new_log();
    log.append(&run(0, 4, 39)).expect("append");
    // It is a log that is empty, and holds files.
    let job = log.set_log_start(Offset(4)).expect("it moves");
    log.removal_done(job.run()).expect("removed");
    let _ = log.append(&[batch(3, 10, 3, 50, 39)]);
}

/// What compaction left out is one batch without records. Whoever asks for what lies within gets the rest of it, from memory
/// as from the disk, so that it fits behind a log that ends there.
#[test]
fn a_gap_is_read_from_within() {
    let (_disk, _folder, mut log) = new_log();
    let stamped = |bytes: Bytes| StampedBatch { header: BatchHeader::parse(&bytes).expect("whole"), bytes };
    let rest = |from: u64| gap(Offset(from), Offset(9), LeaderEpoch(3), 70);
    let batches = [batch(0, 2, 3, 50, 39), stamped(rest(2)), batch(9, 1, 3, 80, 39)];
    log.append(&batches).expect("append");
    for tail_bytes_max in [10_000, 0] {
        log.set_config(LogConfig { tail_bytes_max, ..small() });
        let is_hot = matches!(log.reader().plan(Offset(5), Offset(10), 1, true), Ok(ReadPlan::Ready(_)));
        assert_eq!(is_hot, tail_bytes_max > 0);
        for from in 2..9 {
            let both = [&rest(from)[..], &batches[2].bytes[..]].concat();
            assert_eq!(reads_at(&log, from, 10, 10_000), (both, 10), "from {from}");
            assert_eq!(reads_at(&log, from, 10, 1), (rest(from).to_vec(), 9), "alone from {from}");
        }
        assert_eq!(reads_at(&log, 1, 10, 1), (batches[0].bytes.to_vec(), 2), "records are never cut");
        assert_eq!(reads_at(&log, 9, 10, 1), (batches[2].bytes.to_vec(), 10));
    }
}

#[test]
fn reads_outside_the_log_say_where_it_is() {
    let (_disk, _folder, mut log) = filled();
    let reader = log.reader();
    assert_eq!(reader.read(Offset(80), Offset::MAX, 100, true).expect("the end").len(), 0);
    let beyond = ReadError::OutOfRange { start: Offset(0), end: Offset(80) };
    assert_eq!(reader.read(Offset(81), Offset::MAX, 100, true), Err(beyond));
    let job = log.set_log_start(Offset(30)).expect("it moves");
    let below = ReadError::OutOfRange { start: Offset(30), end: Offset(80) };
    assert_eq!(reader.read(Offset(29), Offset::MAX, 100, true), Err(below.clone()), "at once");
    assert_eq!(log.removal_done(job.run()).expect("removed").0, log_segments_below(30));
    assert_eq!(reader.read(Offset(0), Offset::MAX, 100, true), Err(below));
    assert_eq!(reads_at(&log, 30, 80, 1).1, 31);
    assert!(log.set_log_start(Offset(30)).is_none());
}

/// How many of the segments of [`filled`] end at or below an offset.
fn log_segments_below(offset: u64) -> usize {
    let (_disk, _folder, log) = filled();
    log.segments().windows(2).filter(|pair| pair[1] <= Offset(offset)).count()
}

#[test]
fn the_tail_is_served_from_memory_and_the_rest_from_disk() {
    let (_disk, folder, log) = filled();
    let reader = log.reader();
    let is_hot = |from| matches!(reader.plan(Offset(from), Offset(80), 100, true), Ok(ReadPlan::Ready(_)));
    assert!(is_hot(79) && is_hot(80) && !is_hot(0));
    assert!(folder.tail_bytes() > 0 && folder.tail_bytes() <= small().tail_bytes_max);
    let Ok(ReadPlan::Cold(read)) = reader.plan(Offset(3), Offset(80), 100, true) else {
        panic!("on disk only")
    };
    assert_eq!(read.run().expect("readable").into_bytes(), all_bytes(&run(3, 1, 39)));
    drop((log, reader));
    assert_eq!(folder.tail_bytes(), 0, "a log that is gone gives its memory back");
}

#[test]
fn without_a_tail_everything_is_read_from_disk() {
    let (_disk, _folder, mut log) = filled();
    log.set_config(LogConfig { tail_bytes_max: 0, ..small() });
    log.append(&run(80, 3, 39)).expect("append");
    assert!(matches!(log.reader().plan(Offset(82), Offset::MAX, 100, true), Ok(ReadPlan::Cold(_))));
    assert_eq!(read_all(&log), all_bytes(&run(0, 83, 39)));
}

#[test]
fn a_batch_larger_than_the_read_comes_only_if_asked_for() {
    let (_disk, _folder, mut log) = new_log();
    log.append(&[batch(0, 1, 0, 0, 5000)]).expect("append");
    log.append(&run(1, 20, 100)).expect("append");
    let reader = log.reader();
    assert!(matches!(reader.plan(Offset(0), Offset::MAX, 100, true), Ok(ReadPlan::Cold(_))));
    assert_eq!(reader.read(Offset(0), Offset::MAX, 100, true).expect("readable").len(), 5061);
    let none = reader.read(Offset(0), Offset::MAX, 100, false).expect("readable");
    assert_eq!((none.len(), none.next_offset), (0, Offset(0)));
}

#[test]
fn segments_roll_by_size_and_by_log_time() {
    let (disk, _folder, mut log) = new_log();
    log.append(&run(0, 10, 39)).expect("append");
    assert_eq!(log.append(&run(10, 10, 39)).expect("append").rolled_at, None);
    assert_eq!(log.append(&run(20, 10, 39)).expect("append").rolled_at, Some(Offset(20)), "above 2000 bytes");
    assert_eq!(log.append(&[batch(30, 1, 0, 1_000_020, 0)]).expect("append").rolled_at, None);
    let late = log.append(&[batch(31, 1, 0, 1_000_021, 0)]).expect("append");
    assert_eq!(
        late.rolled_at,
        Some(Offset(31)),
        "more than a million milliseconds after the segment's first"
    );
    assert_eq!(log.roll().expect("roll"), Some(Offset(32)));
    assert_eq!(log.roll().expect("roll"), None, "there is nothing to end");
    assert_eq!(log.segments(), [0, 20, 31].map(Offset));
    log.append(&run(32, 1, 0)).expect("append");
    assert_eq!(log.segments(), [0, 20, 31, 32].map(Offset));
    assert_eq!(disk.content(path(20, FileKind::Log)).len(), 1000 + 61);
}

#[test]
fn an_idle_log_costs_no_file_and_no_handle() {
    let (disk, _folder, mut log) = new_log();
    let entries = disk.list(Path::new(FOLDER)).expect("list");
    assert_eq!(entries.len(), 1, "{entries:?}");
    let before = disk.open_files();
    log.append(&run(0, 1, 39)).expect("append");
    assert_eq!(disk.open_files(), before + 1);
    log.flush().expect("flush");
    let Some(active) = log.active.open_segment() else { panic!("it was appended to") };
    assert!(active.file.is_none(), "the handle is only in the shared cache");
    assert!(size_of::<Log>() < 1000, "{}", size_of::<Log>());
}

impl super::Active {
    fn open_segment(&self) -> Option<&super::ActiveSegment> {
        if let super::Active::Open(active) = self { Some(active) } else { None }
    }
}

#[test]
fn a_flush_covers_what_was_there_when_it_was_prepared() {
    let (_disk, _folder, mut log) = new_log();
    assert!(log.prepare_flush().is_none() && !log.needs_flush());
    log.append(&run(0, 3, 39)).expect("append");
    let job = log.prepare_flush().expect("dirty");
    assert_eq!(job.target(), Offset(3));
    log.append(&run(3, 60, 39)).expect("append");
    assert!(log.prepare_flush().is_none(), "one at a time");
    assert_eq!(log.flush_done(job.run()), Ok(Offset(3)));
    assert_eq!((log.flushed_end(), log.end()), (Offset(3), Offset(63)));
    assert_eq!(log.flush(), Ok(Offset(63)), "over several segments");
    assert!(!log.needs_flush());
}

#[test]
fn a_failed_flush_retires_the_log_for_good() {
    let (disk, _folder, mut log) = new_log();
    log.append(&run(0, 3, 39)).expect("append");
    disk.fail_syncs(1);
    let error = log.flush().expect_err("the disk failed");
    assert!(matches!(error, StorageError::Failed { .. }) && !error.is_retryable(), "{error}");
    assert_eq!(log.flushed_end(), Offset(0));
    assert!(log.prepare_flush().is_none(), "it is not tried again");
    for refused in [log.append(&run(3, 1, 39)).err(), log.flush().err(), log.roll().err()] {
        assert!(matches!(refused, Some(StorageError::Retired { .. })), "{refused:?}");
    }
    assert!(log.retired().is_some());
    assert_eq!(read_all(&log), all_bytes(&run(0, 3, 39)), "reading goes on");
}

#[test]
fn a_full_disk_leaves_the_log_as_it_was() {
    let (disk, folder, mut log) = new_log();
    log.append(&run(0, 3, 39)).expect("append");
    let used = disk.content(path(0, FileKind::Log)).len() as u64;
    disk.set_space(Some(folder_bytes(&disk) + 150));
    let error = log.append(&run(3, 10, 39)).expect_err("no room");
    assert!(error.is_retryable() && error.to_string().contains("free some space"), "{error}");
    assert_eq!(disk.content(path(0, FileKind::Log)).len() as u64, used, "nothing half written is left");
    log.append(&run(3, 1, 39)).expect("this fits");
    disk.set_space(None);
    log.append(&run(4, 30, 39)).expect("there is room again");
    assert_eq!(read_all(&log), all_bytes(&run(0, 34, 39)));
    log.close().expect("close");
    let (log, _) = open_log(&folder);
    assert_eq!(read_all(&log), all_bytes(&run(0, 34, 39)));
}

fn folder_bytes(disk: &SimDisk) -> u64 {
    u64::MAX - {
        disk.set_space(Some(u64::MAX));
        disk.available_bytes(Path::new("/")).expect("space")
    }
}

#[test]
fn a_failing_write_retires_and_too_many_open_files_does_not() {
    let (disk, _folder, mut log) = new_log();
    disk.set_open_files_max(Some(disk.open_files()));
    let error = log.append(&run(0, 1, 39)).expect_err("no handle");
    assert!(matches!(error, StorageError::TooManyOpenFiles { .. }), "{error}");
    disk.set_open_files_max(None);
    log.append(&run(0, 1, 39)).expect("append");
    disk.fail_writes(1);
    log.append(&run(1, 1, 39)).expect_err("the disk failed");
    assert!(matches!(log.append(&run(1, 1, 39)), Err(StorageError::Retired { .. })));
    assert_eq!(disk.content(path(0, FileKind::Log)).len(), 100, "what was half written is taken back");
}

#[test]
#[should_panic(expected = "offset 1 is due, not 2")]
fn a_gap_is_our_own_mistake() {
    let (_disk, _folder, mut log) = new_log();
    log.append(&run(0, 1, 39)).expect("append");
    let _ = log.append(&run(2, 1, 39));
}

#[test]
#[should_panic(expected = "epochs never fall")]
fn a_falling_epoch_is_our_own_mistake() {
    let (_disk, _folder, mut log) = new_log();
    log.append(&[batch(0, 1, 5, 0, 39)]).expect("append");
    let _ = log.append(&[batch(1, 1, 4, 0, 39)]);
}

#[test]
fn timestamps_find_the_first_batch_that_reaches_them() {
    let (_disk, _folder, mut log) = new_log();
    // Timestamps that rise, fall back, and rise again over several segments.
    let timestamps: Vec<i64> = (0..120).map(|i| (i * 37 % 50) + i / 10 * 20).collect();
    for (offset, timestamp) in timestamps.iter().enumerate() {
        log.append(&[batch(offset as u64, 1, 0, *timestamp, 39)]).expect("append");
    }
    for start in [0_u64, 33] {
        if let Some(job) = log.set_log_start(Offset(start)) {
            log.removal_done(job.run()).expect("removed");
        }
        for wanted in 0..320 {
            let naive = timestamps.iter().skip(usize::try_from(start).unwrap()).position(|t| *t >= wanted);
            let naive = naive.map(|at| Offset(at as u64 + start));
            let reader = log.reader();
            let found = reader.find_timestamp(wanted, Offset::MAX).expect("readable");
            assert_eq!(found.map(|hit| hit.offset), naive, "timestamp {wanted} from {start}");
            let limited = reader.find_timestamp(wanted, Offset(60)).expect("readable");
            assert_eq!(limited.map(|hit| hit.offset), naive.filter(|at| *at < Offset(60)), "below 60");
        }
    }
}

#[test]
fn headers_go_over_the_whole_log() {
    let (_disk, _folder, log) = filled();
    for from in [0, 1, 17, 79, 80] {
        let bases: Vec<u64> = log
            .reader()
            .headers(Offset(from))
            .map(|header| header.expect("readable").base_offset.0)
            .collect();
        assert_eq!(bases, (from..80).collect::<Vec<_>>());
    }
    assert!(log.reader().headers(Offset(81)).next().expect("an error").is_err());
}

#[test]
fn a_truncated_log_goes_on_with_other_batches() {
    for target in (1..80).step_by(3) {
        let (disk, folder, mut log) = filled();
        let reader = log.reader();
        assert_eq!(log.truncate_to(Offset(target)), Ok(Offset(target)));
        assert_eq!((log.end(), log.flushed_end()), (Offset(target), Offset(target)));
        assert!(reader.read(Offset(target + 1), Offset::MAX, 10, true).is_err());
        let other: Vec<_> = (target..target + 30).map(|offset| batch(offset, 1, 1, 500, 39)).collect();
        for batch in &other {
            log.append(std::slice::from_ref(batch)).expect("append");
        }
        let expected = [all_bytes(&run(0, target, 39)), all_bytes(&other)].concat();
        assert_eq!(read_all(&log), expected, "cut at {target}");
        assert_eq!(
            reader.find_timestamp(400, Offset::MAX).expect("readable").expect("there").offset,
            Offset(target)
        );
        log.close().expect("close");
        assert!(verify_partition(&disk, Path::new(FOLDER)).expect("readable").problems.is_empty());
        let (log, recovery) = open_log(&folder);
        assert_eq!(read_all(&log), expected);
        // The checkpoint of before the cut is not there, so all is looked at, and nothing is cut.
        assert!(recovery.keeps_its_place(), "{recovery:?}");
    }
}

#[test]
fn truncation_takes_whole_batches() {
    let (_disk, _folder, mut log) = new_log();
    log.append(&[batch(0, 10, 0, 0, 20), batch(10, 10, 0, 0, 20)]).expect("append");
    assert_eq!(log.truncate_to(Offset(20)), Ok(Offset(20)), "nothing to cut");
    assert_eq!(log.truncate_to(Offset(15)), Ok(Offset(10)));
    assert_eq!(log.truncate_to(Offset(5)), Ok(Offset(0)));
    assert_eq!((log.start(), log.end(), log.bytes()), (Offset(0), Offset(0), 0));
    log.append(&run(0, 1, 5)).expect("append");
    assert_eq!(read_all(&log), all_bytes(&run(0, 1, 5)));
}

#[test]
fn a_flush_that_was_under_way_during_a_cut_counts_for_nothing() {
    let (_disk, _folder, mut log) = new_log();
    log.append(&run(0, 5, 39)).expect("append");
    log.flush().expect("flush");
    log.append(&run(5, 5, 39)).expect("append");
    let job = log.prepare_flush().expect("dirty");
    log.truncate_to(Offset(7)).expect("cut");
    log.append(&[batch(7, 1, 1, 0, 39), batch(8, 1, 1, 0, 39)]).expect("append");
    assert_eq!(log.flush_done(job.run()), Ok(Offset(5)), "7 and 8 are other batches now");
    assert_eq!(log.flush(), Ok(Offset(9)));
}

#[test]
fn a_log_can_be_restarted_at_any_offset() {
    for offset in [0, 40, 80, 500] {
        let (disk, folder, mut log) = filled();
        assert_eq!(log.restart_at(Offset(offset)), Ok(Offset(offset)));
        assert_eq!(
            (log.start(), log.end(), log.flushed_end()),
            (Offset(offset), Offset(offset), Offset(offset))
        );
        drop(log);
        let (mut log, recovery) = open_log(&folder);
        assert_eq!((recovery.start, recovery.end), (Offset(offset), Offset(offset)));
        log.append(&run(offset, 2, 39)).expect("append");
        assert_eq!(read_all(&log), all_bytes(&run(offset, 2, 39)));
        assert_eq!(log.segments(), [Offset(offset)]);
        assert!(disk.stat(Path::new(&path(20, FileKind::Log))).expect("stat").is_none());
    }
}

#[test]
fn retention_removes_old_segments_below_the_high_watermark() {
    let by_time = RetentionLimits { retention_ms: Some(100), retention_bytes: None };
    let by_size = RetentionLimits { retention_ms: None, retention_bytes: Some(3000) };
    let (_disk, folder, mut log) = filled();
    let segments = log.segments();
    let second = segments[1].0;

    let nothing = log.retention(150, Offset(80), &RetentionLimits::default()).expect("readable");
    assert!(nothing.job.is_none() && !nothing.last_segment_expired);
    assert!(
        log.retention(10_000, Offset(second - 1), &by_time).expect("readable").job.is_none(),
        "not committed"
    );
    let now = i64::try_from(second).unwrap() + 100;
    let job = log.retention(now, Offset(80), &by_time).expect("readable").job.expect("the first is too old");
    assert_eq!(log.start(), segments[1]);
    assert!(log.retention(10_000, Offset(80), &by_time).expect("readable").job.is_none(), "one at a time");
    assert_eq!(log.removal_done(job.run()).expect("removed").0, 1);

    let before = log.bytes();
    let job = log.retention(0, Offset(80), &by_size).expect("readable").job.expect("too much");
    let (_, bytes) = log.removal_done(job.run()).expect("removed");
    assert!(log.bytes() == before - bytes && log.bytes() >= 3000, "{before} - {bytes}");

    let all = log.retention(10_000, Offset(80), &by_time).expect("readable");
    assert!(all.last_segment_expired);
    log.removal_done(all.job.expect("the closed ones").run()).expect("removed");
    assert_eq!(log.segments().len(), 1, "the last segment stays until it is rolled");
    log.roll().expect("roll");
    let last = log.retention(10_000, Offset(80), &by_time).expect("readable").job.expect("now it goes");
    log.removal_done(last.run()).expect("removed");
    assert_eq!((log.start(), log.end(), log.bytes()), (Offset(80), Offset(80), 0));
    let point = log.close().expect("close");
    folder.save_recovery_points([(key(), point)]).expect("save");
    let (mut log, recovery) = open_log(&folder);
    assert_eq!((recovery.start, recovery.end), (Offset(80), Offset(80)), "the end is not forgotten");
    log.append(&run(80, 1, 0)).expect("append");
}

#[test]
fn retention_frees_a_disk_that_is_full_to_the_last_byte() {
    let (disk, _folder, mut log) = filled();
    disk.set_space(Some(folder_bytes(&disk)));
    let limits = RetentionLimits { retention_ms: None, retention_bytes: Some(1) };
    let job = log.retention(0, Offset(80), &limits).expect("readable").job.expect("too much");
    log.removal_done(job.run()).expect("room is made before it is needed");
    assert!(log.start() > Offset(0));
}

/// A client that vanished without a word kept 2 GB of a deleted topic until its connection timed out; then the network
/// thread stood still for 150 ms while they were freed.
#[test]
fn a_log_that_is_given_up_keeps_no_file_open_whoever_holds_a_reader() {
    let (disk, _folder, mut log) = new_log();
    let before = disk.open_files();
    for base in (0..80).step_by(4) {
        log.append(&run(base, 4, 39)).expect("append");
    }
    assert_eq!(read_all(&log), all_bytes(&run(0, 80, 39)));
    let reader = log.reader();
    assert!(disk.open_files() > before + 3, "{} and {before}", disk.open_files());
    log.give_up();
    assert_eq!(disk.open_files(), before);
    drop(reader);
}

#[test]
fn readers_keep_what_they_hold_while_the_log_changes_under_them() {
    let (_disk, _folder, mut log) = filled();
    let reader = log.reader();
    let plan = |from| match reader.plan(Offset(from), Offset(80), 100_000, true).expect("in range") {
        ReadPlan::Cold(read) => read,
        ReadPlan::Ready(_) => panic!("on disk only"),
    };
    let (removed, cut) = (plan(0), plan(30));
    let mut headers = reader.headers(Offset(20));
    assert_eq!(headers.next().expect("there").expect("readable").base_offset, Offset(20));
    let job = log.set_log_start(Offset(22)).expect("it moves");
    log.removal_done(job.run()).expect("removed");
    log.truncate_to(Offset(31)).expect("cut");
    let other: Vec<_> = (31..60).map(|offset| batch(offset, 1, 9, 0, 39)).collect();
    for batch in &other {
        log.append(std::slice::from_ref(batch)).expect("append");
    }

    assert!(matches!(removed.run(), Err(ReadError::OutOfRange { .. })));
    let slice = cut.run().expect("readable").into_bytes();
    let now = [all_bytes(&run(30, 1, 39)), all_bytes(&other)].concat();
    assert!(!slice.is_empty() && now.starts_with(&slice), "what is there now, and nothing else");
    let bases: Vec<_> = headers.map(|header| header.map(|header| header.base_offset)).take(1).collect();
    assert!(matches!(bases[0], Err(ReadError::OutOfRange { .. })), "21 is gone: {bases:?}");
}

#[test]
fn damaged_bytes_are_noticed_when_they_are_read() {
    for byte in [0, 8, 12, 16, 17, 30, 60, 70, 99] {
        let (disk, _folder, log) = filled();
        disk.flip_bit(path(0, FileKind::Log), 300 + byte, 3);
        let reader = log.reader();
        assert!(reader.read(Offset(0), Offset::MAX, 300, true).is_ok(), "before the damage");
        let found = reader.read(Offset(3), Offset::MAX, 1, true);
        if byte == 12 {
            // The epoch lies outside the checksum, as in Kafka; only its order along the log is checked.
            assert!(found.is_ok());
        } else {
            assert!(matches!(found, Err(ReadError::Corrupt { .. })), "byte {byte}: {found:?}");
        }
    }
}

type Vandal = fn(&mut Vec<u8>);
const VANDALS: [(&str, Vandal); 6] = [
    ("zeroed", |content| content.fill(0)),
    ("emptied", |content| content.clear()),
    ("cut", |content| content.truncate(content.len() / 2 + 3)),
    ("extended with zeros", |content| content.extend([0; 64])),
    ("reversed", |content| content.reverse()),
    ("off by some bytes", |content| {
        content.iter_mut().skip(7).step_by(8).for_each(|byte| *byte = byte.wrapping_add(1));
    }),
];

#[test]
fn damaged_indexes_change_no_answer_and_are_rebuilt() {
    for kind in [FileKind::Index, FileKind::TimeIndex] {
        for (name, vandal) in VANDALS {
            let (disk, folder, log) = filled();
            let (segments, sound) = (log.segments(), disk.content(path(0, kind)));
            let point = log.close().expect("close");
            folder.save_recovery_points([(key(), point)]).expect("save");
            segments.iter().for_each(|base| disk.vandalise(path(base.0, kind), vandal));

            let (mut log, recovery) = open_log(&folder);
            assert_eq!(recovery.scanned_bytes, 0, "a clean start");
            assert_eq!(read_all(&log), all_bytes(&run(0, 80, 39)), "{name} {kind:?}");
            for wanted in 0..85 {
                let found = log.reader().find_timestamp(wanted, Offset::MAX).expect("readable");
                let expected = (wanted < 80).then(|| Offset(wanted.unsigned_abs()));
                assert_eq!(found.map(|hit| hit.offset), expected, "{name} {kind:?}, timestamp {wanted}");
            }
            let limits = RetentionLimits { retention_ms: Some(1000), retention_bytes: None };
            assert!(
                log.retention(1000, Offset(80), &limits).expect("readable").job.is_none(),
                "nothing is old"
            );
            for offset in 0..80 {
                assert_eq!(reads_at(&log, offset, 80, 1).1, offset + 1);
            }
            while let Some(job) = log.prepare_repair().expect("possible") {
                assert!(log.prepare_repair().expect("possible").is_none(), "one at a time");
                log.repair_done(job.run()).expect("repaired");
            }
            assert_eq!(disk.content(path(0, kind)), sound, "{name} {kind:?} is rebuilt as it was");
            for offset in 80..90 {
                log.append(&run(offset, 1, 39)).expect("append");
            }
            assert_eq!(read_all(&log), all_bytes(&run(0, 90, 39)));
            log.close().expect("close");
            let verified = verify_partition(&disk, Path::new(FOLDER)).expect("readable");
            assert!(verified.problems.is_empty(), "{name} {kind:?}: {:?}", verified.problems);
        }
    }
}

#[test]
fn an_index_entry_that_points_elsewhere_is_not_believed() {
    let (disk, folder, log) = filled();
    let point = log.close().expect("close");
    folder.save_recovery_points([(key(), point)]).expect("save");
    // The first entry is (3, 300). 3 -> 2: the batch at 300 is not 2. 300 -> 301: no batch begins there.
    for byte in [3, 7] {
        let sound = disk.content(path(0, FileKind::Index));
        disk.flip_bit(path(0, FileKind::Index), byte, 0);
        let (mut log, _) = open_log(&folder);
        assert_eq!(reads_at(&log, 3, 80, 1).0, all_bytes(&run(3, 1, 39)));
        let job = log.prepare_repair().expect("possible").expect("noticed");
        log.repair_done(job.run()).expect("repaired");
        assert_eq!(disk.content(path(0, FileKind::Index)), sound);
    }
}

#[test]
fn what_is_given_up_is_cut_off_at_the_next_start_although_it_was_flushed() {
    for is_closed in [false, true] {
        let (disk, folder, mut log) = filled();
        log.flush().expect("flush");
        let (before, second) = (log.recovery_point(), log.segments()[1]);
        folder.save_recovery_points([(key(), before)]).expect("save");
        disk.flip_bit(path(second.0, FileKind::Log), 70, 0);
        log.give_up_from(second).expect("noted");
        assert!(log.append(&run(80, 1, 39)).is_err(), "it takes nothing more");
        assert!(log.recovery_point().point.offset <= second);
        if is_closed {
            let told = log.recovery_point();
            log.close().expect_err("what is left is open");
            folder.save_recovery_points([(key(), told)]).expect("save");
        } else {
            drop(log);
        }
        let (log, recovery) = try_open(&folder, OnDamage::Cut).expect("it opens");
        assert_eq!((log.end(), recovery.keeps_its_place()), (second, false), "closed: {is_closed}");
    }
}
