//! Opening a log after stops that were made by hand, one at a time.

#![allow(clippy::type_complexity, reason = "a table of cases is read where it stands")]

use std::path::Path;

use weir_wire::ids::{Offset, PartitionIndex, TopicId};

use super::disk::{Disk, OpenMode};
use super::testing::{
    FOLDER, ROOT, all_bytes, batch, key, open_folder, open_log, read_all, run, small, try_open,
};
use super::{
    BatchFault, DataFolder, FileKind, Log, OnDamage, OpenError, PartitionKey, ReadError, SimDisk, file_name,
    verify_partition,
};

fn path(base: u64, kind: FileKind) -> String {
    format!("{FOLDER}/{}", file_name(Offset(base), kind))
}

/// Offsets 0 to 79 on disk, 80 to 84 in the page cache, the recovery point written down at 80.
fn crashed() -> (SimDisk, Vec<Offset>) {
    let disk = SimDisk::new(1);
    let folder = open_folder(&disk);
    let (mut log, _) = open_log(&folder);
    for base in (0..80).step_by(4) {
        log.append(&run(base, 4, 39)).expect("append");
    }
    log.flush().expect("flush");
    folder.save_recovery_points([(key(), log.recovery_point())]).expect("save");
    folder.save_high_watermarks([(key(), Offset(78))]).expect("save");
    log.append(&run(80, 5, 39)).expect("append");
    let segments = log.segments();
    assert!(segments.len() >= 4 && segments.last() == Some(&Offset(80)), "{segments:?}");
    (disk.process_crash(), segments)
}

fn reopen(disk: &SimDisk) -> (DataFolder, Log, super::Recovery) {
    let folder = open_folder(disk);
    let (log, recovery) = open_log(&folder);
    (folder, log, recovery)
}

#[test]
fn only_what_lies_behind_the_recovery_point_is_looked_at() {
    let (disk, _) = crashed();
    let (_folder, log, recovery) = reopen(&disk);
    assert_eq!((recovery.scanned_from, recovery.scanned_bytes), (Some(Offset(80)), 500));
    assert!(recovery.keeps_its_place() && recovery.is_at_most_a_torn_tail());
    assert_eq!((log.end(), log.flushed_end()), (Offset(85), Offset(85)));
    let after = disk.power_loss();
    drop(log);
    let (_folder, log, _) = reopen(&after);
    assert_eq!(read_all(&log), all_bytes(&run(0, 85, 39)), "what was found is durable before it is used");
}

/// The disk says once that it failed; after that the page cache calls bytes clean that are nowhere else.
#[test]
fn what_a_failed_sync_left_is_written_again_before_it_is_trusted() {
    let mut all_kept = 0;
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        let folder = open_folder(&disk);
        let (mut log, _) = open_log(&folder);
        log.append(&run(0, 3, 39)).expect("append");
        log.flush().expect("flush");
        folder.save_recovery_points([(key(), log.recovery_point())]).expect("save");
        log.append(&run(3, 5, 39)).expect("append");
        disk.fail_syncs(1);
        log.flush().expect_err("the disk failed");
        // The process starts again, and not the machine. What it finds may be all, or what memory did not let go of.
        let disk = disk.process_crash();
        let (_folder, log, _) = reopen(&disk);
        let found = read_all(&log);
        assert_eq!(log.flushed_end(), log.end(), "what was found is relied on");
        all_kept += u32::from(log.end() == Offset(8));

        let (_folder, log, _) = reopen(&disk.power_loss());
        assert_eq!(read_all(&log), found, "seed {seed}: what was relied on survives");
    }
    assert!((10..50).contains(&all_kept), "{all_kept} of 60 times the page cache had kept all");
}

#[test]
fn where_the_disk_still_fails_the_log_does_not_open_and_the_next_start_tries_again() {
    let (disk, _) = crashed();
    let folder = open_folder(&disk);
    // The folder's names can be synced, the segment cannot.
    disk.fail_syncs_after(1, 1);
    let refused = try_open(&folder, OnDamage::Refuse).map(|_| ()).expect_err("the disk failed");
    assert!(
        matches!(refused, OpenError::Io(_)) && refused.to_string().contains("check the disk"),
        "{refused}"
    );
    let (log, _) = open_log(&folder);
    let found = read_all(&log);
    assert_eq!(found, all_bytes(&run(0, 85, 39)));
    let (_folder, log, _) = reopen(&disk.power_loss());
    assert_eq!(read_all(&log), found);
}

#[test]
fn a_clean_stop_leaves_nothing_to_look_at() {
    let (disk, _) = crashed();
    let (folder, log, _) = reopen(&disk);
    let point = log.close().expect("close");
    folder.save_recovery_points([(key(), point)]).expect("save");
    folder.mark_clean(super::CleanShutdown { incarnation: None }).expect("mark");
    folder.release();
    let folder = open_folder(&disk);
    let opened_at = disk.syncs();
    let (log, recovery) = open_log(&folder);
    assert_eq!((recovery.scanned_from, recovery.scanned_bytes), (None, 0));
    assert_eq!(disk.syncs(), opened_at, "and nothing to sync");
    assert_eq!(log.end(), Offset(85));
}

#[test]
fn a_torn_tail_is_cut_wherever_it_tears() {
    for torn in 1..500 {
        let (disk, _) = crashed();
        disk.vandalise(path(80, FileKind::Log), |content| content.truncate(torn));
        let (_folder, log, recovery) = reopen(&disk);
        let whole = torn / 100;
        assert_eq!(log.end(), Offset(80 + whole as u64));
        assert_eq!(recovery.cut.is_some(), torn % 100 != 0, "{torn}");
        assert!(recovery.is_at_most_a_torn_tail(), "{recovery:?}");
        if let Some(cut) = recovery.cut {
            assert_eq!(
                (cut.offset, cut.position, cut.bytes),
                (log.end(), whole as u64 * 100, torn as u64 % 100)
            );
        }
        assert_eq!(read_all(&log), all_bytes(&run(0, 80 + whole as u64, 39)));
    }
}

#[test]
fn zeros_at_the_end_are_a_torn_tail() {
    let (disk, _) = crashed();
    disk.vandalise(path(80, FileKind::Log), |content| content.extend([0; 3000]));
    let (_folder, log, recovery) = reopen(&disk);
    assert_eq!(log.end(), Offset(85));
    assert!(recovery.is_at_most_a_torn_tail() && !recovery.keeps_its_place());
    assert_eq!(disk.content(path(80, FileKind::Log)).len(), 500);
}

/// A process that cut its log and died before it told the cluster left a log that looks whole.
#[test]
fn what_a_start_cut_is_not_forgotten_before_it_was_told() {
    let (disk, _) = crashed();
    disk.flip_bit(path(80, FileKind::Log), 150, 1);
    let (_, _, first) = reopen(&disk);
    assert!(first.cut.is_some());
    let disk = disk.power_loss();
    let (_, log, second) = reopen(&disk);
    assert_eq!((second.end, second.cut.as_ref()), (Offset(81), None), "the log looks whole");
    assert!(!second.keeps_its_place());
    log.side_files().loss_is_told().expect("save");
    let (_, _, third) = reopen(&disk.power_loss());
    assert!(third.keeps_its_place());
}

#[test]
fn a_good_batch_behind_a_bad_one_is_told_from_a_torn_tail() {
    let (disk, _) = crashed();
    disk.flip_bit(path(80, FileKind::Log), 150, 1);
    let (_folder, log, recovery) = reopen(&disk);
    assert_eq!(log.end(), Offset(81));
    assert!(!recovery.is_at_most_a_torn_tail() && !recovery.keeps_its_place());
    let cut = recovery.cut.expect("it was cut");
    assert_eq!((cut.good_batch_behind, cut.bytes), (Some(Offset(82)), 400));
}

#[test]
fn what_follows_a_bad_batch_goes_over_segments() {
    let (disk, _) = crashed();
    let (_folder, mut log, _) = reopen(&disk);
    log.append(&run(85, 60, 39)).expect("append");
    let disk = disk.process_crash();
    disk.vandalise(path(80, FileKind::Log), |content| content.truncate(250));
    let (_folder, log, recovery) = reopen(&disk);
    let cut = recovery.cut.expect("it was cut");
    assert_eq!((log.end(), cut.segments > 0, cut.good_batch_behind.is_some()), (Offset(82), true, true));
    assert_eq!(log.segments().last(), Some(&Offset(80)));
    assert!(verify_partition(&disk, Path::new(FOLDER)).expect("readable").problems.is_empty());
}

#[test]
fn epochs_and_offsets_must_go_on_behind_the_recovery_point() {
    let next = [batch(85, 1, 0, 0, 39), batch(84, 1, 5, 0, 39), batch(86, 1, 5, 0, 39)];
    for (number, wrong) in next.iter().enumerate() {
        let (disk, _) = crashed();
        let good = batch(85, 1, 4, 0, 39);
        disk.vandalise(path(80, FileKind::Log), |content| {
            if number == 0 {
                content.extend_from_slice(&good.bytes);
                content.extend_from_slice(&batch(86, 1, 3, 0, 39).bytes);
            } else {
                content.extend_from_slice(&wrong.bytes);
            }
        });
        let (_folder, _log, recovery) = reopen(&disk);
        let reason = recovery.cut.expect("it was cut").reason;
        match number {
            0 => assert!(matches!(reason, BatchFault::Epoch { .. }), "{reason}"),
            _ => assert!(matches!(reason, BatchFault::Offset { .. }), "{reason}"),
        }
    }
}

/// No checksum covers a batch's epoch. A bit of it that flipped left the log with an epoch above its leader's, and no leader
/// took the replica as a follower again (torture, seed 9718).
#[test]
fn of_epochs_that_fall_the_batch_that_stands_out_goes() {
    let tails: [(&[(u64, u32)], u64); 5] = [
        // One batch of too high an epoch, and one among others.
        (&[(85, 12), (86, 4)], 85),
        (&[(85, 4), (86, 4), (87, 12), (88, 4)], 87),
        // Several of one epoch are not all damaged: what falls is.
        (&[(85, 4), (86, 5), (87, 5), (88, 4)], 88),
        (&[(85, 4), (86, 4), (87, 3)], 87),
        // What is below both of its neighbours goes itself, whatever stands before it.
        (&[(85, 4), (86, 5), (87, 3), (88, 5)], 87),
    ];
    for (tail, end) in tails {
        let (disk, _) = crashed();
        disk.vandalise(path(80, FileKind::Log), |content| {
            for (offset, epoch) in tail {
                content.extend_from_slice(&batch(*offset, 1, *epoch, 0, 39).bytes);
            }
        });
        let (_folder, log, recovery) = reopen(&disk);
        let cut = recovery.cut.expect("it was cut");
        assert!(matches!(cut.reason, BatchFault::Epoch { .. }), "{tail:?}: {}", cut.reason);
        assert_eq!((log.end(), cut.offset), (Offset(end), Offset(end)), "{tail:?}");
    }
}

#[test]
fn a_batch_that_stands_out_at_the_end_of_its_segment_goes_with_the_segments_behind_it() {
    let (disk, _) = crashed();
    let (_folder, mut log, _) = reopen(&disk);
    log.append(&run(85, 60, 39)).expect("append");
    assert_eq!(log.segments()[4..6], [Offset(80), Offset(85)]);
    let disk = disk.process_crash();
    // The last byte of the epoch of offset 84.
    disk.vandalise(path(80, FileKind::Log), |content| content[400 + 15] = 8);
    let (_folder, log, recovery) = reopen(&disk);
    let cut = recovery.cut.expect("it was cut");
    assert_eq!((log.end(), cut.position, cut.good_batch_behind), (Offset(84), 400, Some(Offset(85))));
    assert_eq!((log.segments().last(), cut.segments > 0), (Some(&Offset(80)), true));
    assert!(verify_partition(&disk, Path::new(FOLDER)).expect("readable").problems.is_empty());
}

#[test]
fn damage_below_the_recovery_point_is_never_cut_silently() {
    let shorten = |disk: &SimDisk| disk.vandalise(path(60, FileKind::Log), |content| content.truncate(1950));
    let remove_last = |disk: &SimDisk| {
        disk.remove_file(Path::new(&path(60, FileKind::Log))).expect("remove");
        disk.remove_file(Path::new(&path(80, FileKind::Log))).expect("remove");
    };
    let remove_first = |disk: &SimDisk| disk.remove_file(Path::new(&path(0, FileKind::Log))).expect("remove");
    let remove_all = |disk: &SimDisk| {
        for base in [0, 20, 40, 60, 80] {
            disk.remove_file(Path::new(&path(base, FileKind::Log))).expect("remove");
        }
    };
    let cases: [(&str, &dyn Fn(&SimDisk), u64); 4] = [
        (
            "shortened",
            &|disk| {
                shorten(disk);
                disk.remove_file(Path::new(&path(80, FileKind::Log))).expect("remove");
            },
            79,
        ),
        ("last segments gone", &remove_last, 60),
        ("first segment gone", &remove_first, 0),
        ("all segments gone", &remove_all, 0),
    ];
    for (name, vandal, lost_from) in cases {
        let (disk, _) = crashed();
        vandal(&disk);
        let before = disk.list(Path::new(FOLDER)).expect("list");
        let folder = open_folder(&disk);
        let error = try_open(&folder, OnDamage::Refuse).expect_err(name);
        let OpenError::Damaged(damage) = &error else { panic!("{name}: {error}") };
        assert_eq!((damage.offset, damage.recovery_point), (Offset(lost_from), Offset(80)), "{name}");
        assert!(error.to_string().contains("had been on disk"), "{error}");
        assert_eq!(disk.list(Path::new(FOLDER)).expect("list"), before, "{name}: nothing is touched");

        let (log, recovery) = try_open(&folder, OnDamage::Cut).expect(name);
        assert_eq!(recovery.damage.as_ref(), Some(damage));
        assert!(!recovery.keeps_its_place() && !recovery.is_at_most_a_torn_tail());
        let end = log.end();
        drop(log);
        let (log, again) =
            try_open(&folder, OnDamage::Refuse).expect("what was decided once is not asked again");
        assert_eq!((log.end(), again.damage), (end, None), "{name}");
        read_all(&log);
    }
}

#[test]
fn a_flipped_bit_below_the_recovery_point_is_found_by_a_scan_and_by_readers() {
    for (base, byte) in [(0_u64, 350_usize), (60, 10), (60, 1990)] {
        let (disk, _) = crashed();
        disk.flip_bit(path(base, FileKind::Log), byte, 4);
        let (_folder, log, recovery) = reopen(&disk);
        assert!(recovery.keeps_its_place(), "what is known to be on disk is not read again");
        let damaged = Offset(base + byte as u64 / 100);
        let read = log.reader().read(damaged, Offset::MAX, 1, true);
        assert!(matches!(&read, Err(ReadError::Corrupt { .. })), "{read:?}");
        drop(log);
        let found = verify_partition(&disk, Path::new(FOLDER)).expect("readable");
        assert!(!found.is_whole());
    }
}

#[test]
fn a_recovery_point_that_is_not_known_to_the_byte_makes_the_scan_begin_with_its_segment() {
    for damaged in [false, true] {
        let disk = SimDisk::new(1);
        let folder = open_folder(&disk);
        let (mut log, _) = open_log(&folder);
        log.append(&run(0, 15, 39)).expect("append");
        log.flush().expect("flush");
        folder.save_recovery_points([(key(), log.recovery_point())]).expect("save");
        drop((folder, log));
        if damaged {
            disk.flip_bit(path(0, FileKind::Log), 777, 4);
        }
        let folder = open_folder(&disk);
        folder.forget_where_the_recovery_point_is(key());
        match try_open(&folder, OnDamage::Refuse) {
            Ok((_, recovery)) => assert!(!damaged && recovery.scanned_bytes == 1500),
            Err(OpenError::Damaged(damage)) => assert!(damaged && damage.offset == Offset(7), "{damage}"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn without_a_recovery_point_everything_is_looked_at() {
    let (disk, _) = crashed();
    disk.vandalise(format!("{ROOT}/recovery-point-offset-checkpoint"), |content| content[3] ^= 1);
    disk.vandalise(format!("{ROOT}/replication-offset-checkpoint"), |content| content.clear());
    let (folder, found) = DataFolder::open(
        std::sync::Arc::new(disk.clone()),
        Path::new(ROOT),
        &super::StorageConfig::default(),
    )
    .expect("opens");
    assert!(found.recovery_points_lost && found.high_watermarks_lost);
    let (log, recovery) = open_log(&folder);
    assert_eq!((recovery.scanned_from, recovery.scanned_bytes), (Some(Offset(0)), 8500));
    assert_eq!(read_all(&log), all_bytes(&run(0, 85, 39)));
}

#[test]
fn a_log_that_ends_below_its_high_watermark_says_so() {
    let (disk, _) = crashed();
    let folder = open_folder(&disk);
    folder.save_high_watermarks([(key(), Offset(84))]).expect("save");
    drop(folder);
    disk.vandalise(path(80, FileKind::Log), |content| content.truncate(300));
    let (_folder, log, recovery) = reopen(&disk);
    assert_eq!(log.end(), Offset(83));
    assert!(recovery.ended_below_high_watermark && !recovery.keeps_its_place());
}

#[test]
fn indexes_behind_the_recovery_point_are_made_anew() {
    let (disk, segments) = crashed();
    let (_folder, mut log, _) = reopen(&disk);
    log.append(&run(85, 40, 39)).expect("append");
    let disk = disk.process_crash();
    for base in segments.iter().chain(&[Offset(85)]) {
        for kind in [FileKind::Index, FileKind::TimeIndex] {
            if disk.stat(Path::new(&path(base.0, kind))).expect("stat").is_some() {
                disk.vandalise(path(base.0, kind), |content| content.resize(160, 0));
            }
        }
    }
    let (_folder, mut log, recovery) = reopen(&disk);
    assert!(recovery.keeps_its_place());
    assert_eq!(read_all(&log), all_bytes(&run(0, 125, 39)));
    for offset in 0..125 {
        let hit = log.reader().find_timestamp(offset, Offset::MAX).expect("readable").expect("there");
        assert_eq!(hit.offset.0, offset.unsigned_abs());
    }
    while let Some(job) = log.prepare_repair().expect("possible") {
        log.repair_done(job.run()).expect("repaired");
    }
    log.close().expect("close");
    let found = verify_partition(&disk, Path::new(FOLDER)).expect("readable");
    assert!(found.problems.is_empty(), "{:?}", found.problems);
}

#[test]
fn a_cut_that_a_dying_process_left_unsynced_is_made_durable() {
    for _ in 0..20 {
        let (disk, _) = crashed();
        let last = path(60, FileKind::Log);
        disk.remove_file(Path::new(&path(80, FileKind::Log))).expect("remove");
        disk.vandalise(&last, |content| content.extend([0; 77]));
        disk.open(Path::new(&last), OpenMode::ReadWrite).expect("open").set_len(2000).expect("cut");
        let disk = disk.process_crash();
        let (_folder, mut log, recovery) = reopen(&disk);
        assert_eq!((recovery.cut, log.end()), (None, Offset(80)));
        log.append(&run(80, 3, 39)).expect("append");
        assert_eq!(disk.power_loss().content(&last).len(), 2000);
    }
}

#[test]
fn segments_below_the_log_start_do_not_come_back() {
    let (disk, _) = crashed();
    let (_folder, mut log, _) = reopen(&disk);
    let first = disk.content(path(0, FileKind::Log));
    let job = log.set_log_start(Offset(25)).expect("it moves");
    log.removal_done(job.run()).expect("removed");
    disk.open(Path::new(&path(0, FileKind::Log)), OpenMode::Create)
        .expect("open")
        .write_at(&[&first], 0)
        .expect("write");
    let (_folder, log, recovery) = reopen(&disk.process_crash());
    assert_eq!((recovery.start, log.start()), (Offset(25), Offset(25)));
    assert_eq!(log.segments()[0], Offset(20));
}

#[test]
fn a_folder_of_another_topic_is_never_used() {
    let (disk, _) = crashed();
    let folder = open_folder(&disk);
    let other = PartitionKey { topic_id: TopicId([8; 16]), partition: PartitionIndex(0) };
    let error = folder.open_log("t", other, small(), true, OnDamage::Cut).expect_err("stale");
    assert!(matches!(&error, OpenError::Stale { found, .. } if *found == key()), "{error}");
    assert!(folder.move_aside("t", PartitionIndex(0)).expect("moved"));
    assert!(!folder.move_aside("t", PartitionIndex(0)).expect("nothing is there"));
    let (log, recovery) = folder.open_log("t", other, small(), true, OnDamage::Refuse).expect("opens");
    assert_eq!((log.end(), recovery.damage), (Offset(0), None));
    assert_eq!(folder.purge_removed(), Ok(1));
    assert_eq!(disk.list(Path::new("/data/removed")).expect("list"), []);
}

#[test]
fn a_folder_that_does_not_say_whose_it_is_is_not_used() {
    for vandal in [
        |disk: &SimDisk| disk.flip_bit(format!("{FOLDER}/partition.metadata"), 5, 0),
        |disk: &SimDisk| {
            disk.remove_file(Path::new(&format!("{FOLDER}/partition.metadata"))).expect("remove")
        },
    ] {
        let (disk, _) = crashed();
        vandal(&disk);
        let folder = open_folder(&disk);
        let error = try_open(&folder, OnDamage::Cut).expect_err("whose?");
        assert!(matches!(error, OpenError::Unidentified { .. }), "{error}");
        assert!(folder.partitions_but(|_, _| false).expect("list")[0].topic_id.is_err());
    }
}

#[test]
fn a_log_is_only_made_when_it_is_asked_for() {
    let disk = SimDisk::new(0);
    let folder = open_folder(&disk);
    let missing = folder.open_log("t", key(), small(), false, OnDamage::Refuse).expect_err("not there");
    assert!(matches!(missing, OpenError::Missing { .. }), "{missing}");
    let evil = folder.open_log("../t", key(), small(), true, OnDamage::Refuse).expect_err("a bad name");
    assert!(matches!(evil, OpenError::Name(_)), "{evil}");
    open_log(&folder);
    let partitions = folder.partitions_but(|_, _| false).expect("list");
    assert_eq!((partitions.len(), partitions[0].topic_id.clone()), (1, Ok(key().topic_id)));
}
