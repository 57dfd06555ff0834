//! The data folder without its logs.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use weir_wire::ids::{ClusterId, Incarnation, Offset};
use weir_wire::stored::Stored;

use super::disk::{Disk, OpenMode};
use super::testing::{FOLDER, ROOT, key, open_folder, open_log, run};
use super::{
    CleanShutdown, DataFolder, FileKind, FolderError, Found, RealDisk, SimDisk, StorageConfig, file_name,
};

fn open(disk: &SimDisk) -> Result<(DataFolder, Found), FolderError> {
    DataFolder::open(Arc::new(disk.clone()), Path::new(ROOT), &StorageConfig::default())
}

#[test]
fn one_process_holds_a_folder() {
    let disk = SimDisk::new(0);
    let held = open_folder(&disk);
    let error = open(&disk).expect_err("locked");
    assert!(matches!(error, FolderError::Locked { .. }) && error.to_string().contains("--data"), "{error}");
    drop(held);
    open(&disk).expect("free");

    let real = tempfile::tempdir().expect("a temporary folder");
    let open_real = || DataFolder::open(Arc::new(RealDisk), real.path(), &StorageConfig::default());
    let held = open_real().expect("free");
    assert!(matches!(open_real(), Err(FolderError::Locked { .. })));
    drop(held);
    open_real().expect("free");
}

#[test]
fn the_marker_of_a_clean_stop_is_seen_once() {
    let disk = SimDisk::new(0);
    let (folder, found) = open(&disk).expect("opens");
    assert_eq!(found.clean, None);
    let marker = CleanShutdown { incarnation: Some(Incarnation(7)) };
    folder.mark_clean(marker).expect("mark");
    let disk = disk.power_loss();
    let (folder, found) = open(&disk).expect("opens");
    assert_eq!(found.clean, Some(marker));
    drop(folder);
    let (_, found) = open(&disk.power_loss()).expect("opens");
    assert_eq!(found.clean, None, "it is removed for good before anything is written");
}

#[test]
fn a_damaged_marker_is_none() {
    let disk = SimDisk::new(0);
    open_folder(&disk).mark_clean(CleanShutdown { incarnation: None }).expect("mark");
    disk.flip_bit(format!("{ROOT}/clean-shutdown"), 0, 0);
    assert_eq!(open(&disk).expect("opens").1.clean, None);
}

#[test]
fn a_folder_belongs_to_one_cluster() {
    let disk = SimDisk::new(0);
    let (ours, theirs) = (ClusterId([1; 16]), ClusterId([2; 16]));
    let folder = open_folder(&disk);
    folder.bind_cluster(ours).expect("free");
    folder.bind_cluster(ours).expect("the same");
    let error = folder.bind_cluster(theirs).expect_err("another");
    assert!(matches!(error, FolderError::OtherCluster { .. }), "{error}");
    drop(folder);
    assert_eq!(open(&disk).expect("opens").1.cluster, Some(ours));
}

#[test]
fn a_format_that_cannot_be_read_is_refused() {
    let format = format!("{ROOT}/format");
    let disk = SimDisk::new(0);
    drop(open_folder(&disk));
    disk.vandalise(&format, |content| {
        content[0] = 9;
        let end = content.len() - 8;
        let sum = xxhash_rust::xxh3::xxh3_64(&content[..end]);
        content[end..].copy_from_slice(&sum.to_le_bytes());
    });
    assert!(matches!(open(&disk), Err(FolderError::NewerFormat { found: 9, .. })));
    disk.flip_bit(&format, 1, 0);
    assert!(matches!(open(&disk), Err(FolderError::BadFormat { .. })));

    let disk = SimDisk::new(0);
    let folder = open_folder(&disk);
    open_log(&folder);
    drop(folder);
    disk.remove_file(Path::new(&format)).expect("remove");
    assert!(
        matches!(open(&disk), Err(FolderError::BadFormat { .. })),
        "there are logs, so there was a format"
    );
}

#[test]
fn folders_that_cannot_be_used_say_why() {
    let disk = SimDisk::new(0);
    disk.open(Path::new(ROOT), OpenMode::Create).expect("a file in the way");
    let error = open(&disk).expect_err("a file");
    assert!(matches!(error, FolderError::NotADataFolder { .. }), "{error}");

    let disk = SimDisk::new(0);
    disk.set_read_only(true);
    let error = open(&disk).expect_err("read-only");
    assert!(error.to_string().contains("this user may not use"), "{error}");
}

#[test]
fn checkpoints_are_replaced_whole_and_keep_what_is_not_named() {
    let mut other = key();
    other.topic_id.0[0] = 99;
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        let folder = open_folder(&disk);
        folder.save_high_watermarks([(key(), Offset(5)), (other, Offset(6))]).expect("save");
        disk.stop_after(seed % 5);
        let saved = folder.save_high_watermarks([(key(), Offset(7))]).is_ok();
        let (folder, found) = open(&disk.power_loss()).expect("opens");
        assert!(!found.high_watermarks_lost);
        assert_eq!(folder.high_watermark(other), Some(Offset(6)));
        let now = folder.high_watermark(key());
        assert!(now == Some(Offset(7)) || (now == Some(Offset(5)) && !saved), "{now:?}");
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Value(u64);

impl Stored for Value {
    const NAME: &'static str = "test value";
    const VERSION: u8 = 1;
}

#[test]
fn the_newest_snapshot_that_is_whole_and_not_too_new_is_found() {
    let disk = SimDisk::new(0);
    let folder = open_folder(&disk);
    let (mut log, _) = open_log(&folder);
    log.append(&run(0, 50, 39)).expect("append");
    let side = log.side_files();
    assert_eq!(side.latest_snapshot::<Value>(Offset(50)).expect("readable"), None);
    for offset in [10, 20, 30, 40] {
        assert_eq!(side.save_snapshot(Offset(offset), &Value(offset)), Ok(true));
    }
    let latest = |below| {
        side.latest_snapshot::<Value>(Offset(below)).expect("readable").map(|(at, value)| (at.0, value.0))
    };
    assert_eq!(latest(50), Some((40, 40)));
    assert_eq!(latest(39), Some((30, 30)));
    assert_eq!(latest(9), None);
    let damaged = format!("{FOLDER}/{}", file_name(Offset(40), FileKind::Snapshot));
    disk.flip_bit(&damaged, 1, 1);
    assert_eq!(latest(50), Some((30, 30)));
    assert_eq!(disk.stat(Path::new(&damaged)).expect("stat"), None, "the damaged one is deleted");

    log.truncate_to(Offset(25)).expect("cut");
    assert_eq!(latest(50), Some((20, 20)));
    assert_eq!(side.save_snapshot(Offset(22), &Value(22)), Ok(false), "a handle from before the cut");
    assert_eq!(side.save_epochs(&Value(1)), Ok(false));
    assert_eq!(log.side_files().save_snapshot(Offset(22), &Value(22)), Ok(true));

    let job = log.set_log_start(Offset(24)).expect("it moves");
    log.removal_done(job.run()).expect("removed");
    assert_eq!((latest(21), latest(25)), (None, Some((22, 22))), "the newest one below the start is kept");
}

#[test]
fn epochs_are_kept_and_damaged_ones_are_none() {
    let disk = SimDisk::new(0);
    let folder = open_folder(&disk);
    let (log, _) = open_log(&folder);
    assert_eq!(log.side_files().load_epochs::<Value>(), Ok(None));
    log.side_files().save_epochs(&Value(3)).expect("save");
    assert_eq!(log.side_files().load_epochs(), Ok(Some(Value(3))));
    disk.flip_bit(format!("{FOLDER}/leader-epoch-checkpoint"), 1, 1);
    assert_eq!(log.side_files().load_epochs::<Value>(), Ok(None));
}

#[test]
fn ten_thousand_idle_logs_are_cheap_and_share_their_memory() {
    let disk = SimDisk::new(0);
    let config = StorageConfig { open_files_max: 16, tail_bytes_max: 50_000 };
    let (folder, _) = DataFolder::open(Arc::new(disk.clone()), Path::new(ROOT), &config).expect("opens");
    let mut logs: Vec<_> = (0..2000)
        .map(|number| {
            let mut key = key();
            key.partition.0 = number;
            folder
                .open_log("t", key, super::LogConfig::default(), true, super::OnDamage::Refuse)
                .expect("opens")
                .0
        })
        .collect();
    assert_eq!(disk.open_files(), 1, "the lock");
    for log in &mut logs {
        log.append(&run(0, 3, 100)).expect("append");
        log.flush().expect("flush");
        assert!(folder.tail_bytes() <= 50_000, "{}", folder.tail_bytes());
    }
    assert!(disk.open_files() <= 17, "{}", disk.open_files());
    let last = logs.last().expect("there are some");
    assert!(
        matches!(last.reader().plan(Offset(0), Offset(3), 1, true), Ok(super::ReadPlan::Ready(_))),
        "the newest is hot"
    );
}
