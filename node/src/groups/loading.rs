//! Reading a partition of `__consumer_offsets` into a coordinator.

use bytes::Bytes;
use weir_core::group::Replay;
use weir_wire::batch::{self, BatchError, Limits};
use weir_wire::group_log::GroupRecord;
use weir_wire::ids::{LeaderEpoch, Offset};
use weir_wire::stored::StoredError;

use super::seat::{leads, rung};
use crate::outside::Outside;
use crate::partitions::{Bell, PartitionHandle};

/// How much of the log is read at a time, in bytes.
const READ_BYTES: usize = 1024 * 1024;

/// The batches are the node's own, as large as the topic takes.
const OWN_BATCHES: Limits = Limits {
    batch_bytes_max: u32::MAX,
    uncompressed_bytes_max: 1024 * 1024 * 1024,
    compression_ratio_max: u32::MAX,
    records_max: u32::MAX,
};

/// Why a log could not be read into a coordinator.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// The replica leads no more.
    #[error("the partition is led by another node now")]
    Deposed,
    /// Storage says why.
    #[error("the log cannot be read: {0}")]
    Read(String),
    /// A batch that does not hold together.
    #[error("the batch at or after offset {at} cannot be read: {why}")]
    Batch {
        /// Where.
        at: Offset,
        /// What is wrong.
        why: BatchError,
    },
    /// A record of another version, or of something else.
    #[error("a record of the batch at or after offset {at} is none of this version's: {why}")]
    Record {
        /// Where.
        at: Offset,
        /// What is wrong.
        why: StoredError,
    },
    /// The log ends where it should not.
    #[error("nothing can be read between offset {at} and the end, {end}")]
    Gap {
        /// Where reading stopped.
        at: Offset,
        /// The end of the log.
        end: Offset,
    },
}

/// Reads everything that the log held when this reign began. What a predecessor wrote and nobody answered may be in it:
/// it counts once it is committed, so that is waited for.
pub(super) async fn load(
    outside: &Outside,
    handle: &PartitionHandle,
    leader_epoch: LeaderEpoch,
    bell: &Bell,
) -> Result<Replay, LoadError> {
    let end = handle.view.log_end();
    let is_deposed = || leads(handle) != Some(leader_epoch);
    rung(bell, || match handle.view.high_watermark() >= end {
        _ if is_deposed() => Some(Err(LoadError::Deposed)),
        true => Some(Ok(())),
        false => None,
    })
    .await?;
    let mut replay = Replay::new();
    let mut at = handle.view.log_start();
    while at < end {
        let reader = handle.reader.clone();
        let read = outside.on_worker(move || reader.read(at, end, READ_BYTES, true)).await;
        let slice = read.map_err(|error| LoadError::Read(error.to_string()))?;
        for chunk in slice.chunks {
            apply(&mut replay, at, chunk)?;
        }
        if is_deposed() {
            return Err(LoadError::Deposed);
        }
        if slice.next_offset <= at {
            return Err(LoadError::Gap { at, end });
        }
        at = slice.next_offset;
    }
    Ok(replay)
}

/// Reads the batches of one piece of the log, which begins at or after `at`.
fn apply(replay: &mut Replay, at: Offset, mut chunk: Bytes) -> Result<(), LoadError> {
    let broken = |why| LoadError::Batch { at, why };
    while !chunk.is_empty() {
        let need = batch::total_bytes(&chunk).map_err(broken)?;
        let bytes = usize::try_from(need).unwrap_or(usize::MAX);
        if bytes > chunk.len() {
            return Err(broken(BatchError::TooShort { need: u64::from(need), got: chunk.len() }));
        }
        let records = batch::records(&chunk.split_to(bytes), &OWN_BATCHES).map_err(broken)?;
        if records.header().attributes.is_control() {
            continue;
        }
        for record in records.iter() {
            let record = GroupRecord::decode(record.key.unwrap_or_default(), record.value);
            replay.apply(&record.map_err(|why| LoadError::Record { at, why })?);
        }
    }
    Ok(())
}
