//! What the tests of storage share: batches made by hand, and logs on simulated disks.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use weir_wire::batch::{BatchHeader, HEADER_BYTES};
use weir_wire::ids::{Offset, PartitionIndex, TopicId};

use super::{
    DataFolder, FolderError, Log, LogConfig, OnDamage, OpenError, PartitionKey, Recovery, SimDisk,
    StampedBatch, StorageConfig,
};

pub(crate) const ROOT: &str = "/data";
pub(crate) const FOLDER: &str = "/data/topics/t-0";

pub(crate) fn key() -> PartitionKey {
    PartitionKey { topic_id: TopicId([7; 16]), partition: PartitionIndex(0) }
}

/// Small enough that a few batches fill a segment and several index intervals.
pub(super) fn small() -> LogConfig {
    LogConfig { segment_bytes: 2000, segment_ms: 1_000_000, index_interval_bytes: 200, tail_bytes_max: 600 }
}

/// A batch of format version 2 with `count` offsets and a body of `body_bytes`, made without the code under test.
pub(super) fn batch(base: u64, count: u32, epoch: u32, timestamp_ms: i64, body_bytes: usize) -> StampedBatch {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body_bytes);
    bytes.extend_from_slice(&base.to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(HEADER_BYTES - 12 + body_bytes).unwrap().to_be_bytes());
    bytes.extend_from_slice(&epoch.to_be_bytes());
    bytes.push(2);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&0_u16.to_be_bytes());
    bytes.extend_from_slice(&(count - 1).to_be_bytes());
    bytes.extend_from_slice(&timestamp_ms.to_be_bytes());
    bytes.extend_from_slice(&timestamp_ms.to_be_bytes());
    bytes.extend_from_slice(&(-1_i64).to_be_bytes());
    bytes.extend_from_slice(&(-1_i16).to_be_bytes());
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes.extend_from_slice(&count.to_be_bytes());
    bytes.extend(
        (0..body_bytes)
            .map(|i| (base.to_le_bytes()[0] ^ epoch.to_le_bytes()[0]).wrapping_add(i.to_le_bytes()[0])),
    );
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let header = BatchHeader::parse(&bytes).expect("a sound header");
    StampedBatch { header, bytes: Bytes::from(bytes) }
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

/// `count` batches of one offset each that follow `base`, with their offset as timestamp.
pub(crate) fn run(base: u64, count: u64, body_bytes: usize) -> Vec<StampedBatch> {
    (base..base + count)
        .map(|offset| batch(offset, 1, 0, i64::try_from(offset).unwrap(), body_bytes))
        .collect()
}

pub(super) fn all_bytes(batches: &[StampedBatch]) -> Vec<u8> {
    batches.iter().flat_map(|batch| batch.bytes.iter().copied()).collect()
}

pub(super) fn try_open_folder(disk: &SimDisk) -> Result<DataFolder, FolderError> {
    let config = StorageConfig { open_files_max: 4, tail_bytes_max: 100_000 };
    DataFolder::open(Arc::new(disk.clone()), Path::new(ROOT), &config).map(|(folder, _)| folder)
}

pub(super) fn open_folder(disk: &SimDisk) -> DataFolder {
    try_open_folder(disk).expect("the data folder opens")
}

pub(super) fn try_open(folder: &DataFolder, on_damage: OnDamage) -> Result<(Log, Recovery), OpenError> {
    folder.open_log("t", key(), small(), true, on_damage)
}

pub(super) fn open_log(folder: &DataFolder) -> (Log, Recovery) {
    try_open(folder, OnDamage::Refuse).expect("the log opens")
}

/// Reads a whole log, from memory and disk.
pub(super) fn read_all(log: &Log) -> Vec<u8> {
    let reader = log.reader();
    let mut bytes = Vec::new();
    let mut from = reader.start();
    while from < reader.end() {
        let slice = reader.read(from, Offset::MAX, 300, true).expect("readable");
        assert!(slice.next_offset > from, "a read below the end goes on");
        from = slice.next_offset;
        bytes.extend_from_slice(&slice.into_bytes());
    }
    bytes
}
