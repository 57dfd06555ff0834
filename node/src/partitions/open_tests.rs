//! What a node says of a log after a stop: whether it can vouch for it, and how far it goes. The metadata decides by that
//! whether the replica keeps its place.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use weir_core::metadata::LogTail;
use weir_core::partition::{EpochCheckpoint, EpochStart};
use weir_core::time::Now;
use weir_wire::ids::{LeaderEpoch, Offset};

use super::open::{self, OpenOrder};
use crate::outside::Clock;
use crate::storage::testing::{FOLDER, ROOT, key, run};
use crate::storage::{CleanShutdown, DataFolder, LogConfig, OnDamage, SimDisk, StorageConfig};

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Now {
        Now { monotonic_ns: 0, wall_ms: 43_200_000 }
    }
}

/// The bytes of a batch's body here.
const BODY_BYTES: usize = 100;

/// How a log was left.
#[derive(Clone, Copy)]
struct Left {
    flushed: u64,
    written: u64,
    /// The high watermark of its checkpoint.
    high_watermark: u64,
    is_clean: bool,
}

const UNCLEAN: Left = Left { flushed: 6, written: 10, high_watermark: 4, is_clean: false };

/// A disk on which a process wrote batches of one record each.
fn left(left: Left) -> SimDisk {
    let disk = SimDisk::new(1);
    let folder = folder(&disk).0;
    let (mut log, _) =
        folder.open_log("t", key(), LogConfig::default(), true, OnDamage::Refuse).expect("it opens");
    log.append(&run(0, left.flushed, BODY_BYTES)).expect("a sound disk");
    log.flush().expect("a sound disk");
    folder.save_recovery_points([(key(), log.recovery_point())]).expect("a sound disk");
    folder.save_high_watermarks([(key(), Offset(left.high_watermark))]).expect("a sound disk");
    if left.written > left.flushed {
        log.append(&run(left.flushed, left.written - left.flushed, BODY_BYTES)).expect("a sound disk");
    }
    if left.is_clean {
        let point = log.close().expect("a sound disk");
        folder.save_recovery_points([(key(), point)]).expect("a sound disk");
        folder.mark_clean(CleanShutdown { incarnation: None }).expect("a sound disk");
    }
    disk.process_crash()
}

fn folder(disk: &SimDisk) -> (DataFolder, bool) {
    let disk = Arc::new(disk.clone());
    let (folder, found) =
        DataFolder::open(disk, Path::new(ROOT), &StorageConfig::default()).expect("it opens");
    (folder, found.clean.is_some())
}

fn order(write_caching: bool) -> OpenOrder {
    OpenOrder {
        topic: "t".to_owned(),
        topic_id: key().topic_id,
        partition: key().partition,
        configs: BTreeMap::from([("write.caching".to_owned(), write_caching.to_string())]),
        has_others: true,
        is_unflushed: false,
        lag_time_max_ms: 10_000,
    }
}

/// What the next process says of the log: `None` if it vouches for it.
fn said(disk: &SimDisk, order: OpenOrder) -> Option<LogTail> {
    let (folder, was_clean) = folder(disk);
    let opened = open::open(&folder, &Noon, order);
    let parts = opened.replica.unwrap_or_else(|error| panic!("it opens: {error}"));
    parts.cut(&opened.order, was_clean).map(|log| log.tail)
}

fn up_to(end: u64) -> Option<LogTail> {
    Some(LogTail { last_epoch: (end > 0).then_some(LeaderEpoch(0)), end: Offset(end) })
}

#[test]
fn under_fsync_a_process_that_dies_costs_nothing() {
    assert_eq!(said(&left(UNCLEAN), order(false)), None);
}

#[test]
fn with_write_caching_it_says_how_far_the_log_goes() {
    assert_eq!(said(&left(UNCLEAN), order(true)), up_to(10));
    assert_eq!(said(&left(Left { is_clean: true, ..UNCLEAN }), order(true)), None, "everything was flushed");
}

/// The power fails too: what was not flushed is gone, in part or whole, and nobody can tell what was acknowledged.
#[test]
fn with_write_caching_a_power_cut_leaves_what_was_flushed_at_least() {
    let tail = said(&left(UNCLEAN).power_loss(), order(true)).expect("it may lack what it acknowledged");
    assert!((6..=10).contains(&tail.end.0), "{tail:?}");
}

#[test]
fn what_was_acknowledged_with_write_caching_counts_until_its_leader_said_that_it_is_flushed() {
    let unflushed = || OpenOrder { is_unflushed: true, ..order(false) };
    assert_eq!(said(&left(UNCLEAN), unflushed()), up_to(10));
    assert_eq!(said(&left(Left { is_clean: true, ..UNCLEAN }), unflushed()), None, "everything was flushed");
}

#[test]
fn a_torn_write_is_cut_and_said() {
    let disk = left(UNCLEAN);
    disk.vandalise(segment(), |content| content.truncate(content.len() - 30));
    assert_eq!(said(&disk, order(false)), up_to(9));
}

#[test]
fn a_good_batch_behind_a_bad_one_is_cut_and_said() {
    let disk = left(UNCLEAN);
    let batch = run(0, 1, BODY_BYTES)[0].bytes.len();
    disk.flip_bit(segment(), batch * 7 + 80, 3);
    assert_eq!(said(&disk, order(false)), up_to(7));
}

#[test]
fn an_end_below_the_high_watermark_is_said() {
    let disk = left(Left { flushed: 6, written: 6, high_watermark: 8, is_clean: false });
    assert_eq!(said(&disk, order(false)), up_to(6));
}

/// Damage below the recovery point: what had been on disk is gone. Other replicas have it.
#[test]
fn damage_below_the_recovery_point_is_cut_where_others_have_it() {
    let disk = left(Left { flushed: 10, ..UNCLEAN });
    let batch = run(0, 1, BODY_BYTES)[0].bytes.len();
    disk.vandalise(segment(), |content| content.truncate(batch * 3 + 10));
    assert_eq!(said(&disk, order(false)), up_to(3));
}

#[test]
fn a_log_that_is_gone_is_said_to_be_empty() {
    let disk = left(UNCLEAN);
    let gone: &dyn crate::storage::Disk = &disk;
    gone.remove_dir_all(Path::new(FOLDER)).expect("it is there");
    assert_eq!(said(&disk, order(false)), up_to(0));
}

fn segment() -> String {
    format!("{FOLDER}/00000000000000000000.log")
}

/// Found by whole nodes (`weir-sim --nodes 3 --plain --seed 20261129001545`): the reign was in the log and not in its
/// checkpoint, the next stop was a clean one, and after that the leader wanted committed records cut.
#[test]
fn a_reign_that_only_the_log_tells_of_is_saved_when_the_log_is_opened() {
    let disk = left(UNCLEAN);
    assert_eq!(said(&disk, order(false)), None);
    let (folder, _) = folder(&disk.process_crash());
    let (log, _) =
        folder.open_log("t", key(), LogConfig::default(), false, OnDamage::Refuse).expect("it opens");
    let saved = log.side_files().load_epochs::<EpochCheckpoint>().expect("a sound disk");
    let first = EpochStart { epoch: LeaderEpoch(0), start: Offset::ZERO };
    assert_eq!(saved, Some(EpochCheckpoint { entries: vec![first] }));
}
