//! Kafka's record batch, format version (magic) 2: what producers send, nodes store and consumers read, byte for byte.
//!
//! ```text
//!  0            8       12      16     17    21          23                  27
//!  | baseOffset | length | epoch | magic | crc | attributes | lastOffsetDelta | ...
//!  ... baseTimestamp | maxTimestamp | producerId | producerEpoch | baseSequence | recordCount | records...
//!  27                35             43           51              53             57            61
//!
//!                                              |<------------ CRC-32C covers this, to the end ----------->|
//! ```
//!
//! Offset and epoch lie outside the checksum, so that a leader [`stamp`]s them without touching the rest. Numbers
//! are big-endian; the records are varints and byte strings, packed as one whole by the batch's codec:
//!
//! ```text
//!  length | attributes (0) | timestampDelta | offsetDelta | keyLength | key | valueLength | value
//!         | headerCount | ( keyLength | key | valueLength | value )*
//! ```
//!
//! Source: the Kafka protocol documentation, "Record Batch"; KIP-98 (idempotence), KIP-32 (timestamps), KIP-82
//! (headers), KIP-110 (zstd). The tests compare with batches that another implementation wrote.
//!
//! What to call: [`check`] where a batch arrives or is read back (cheap: header and checksum); [`validate`] where a
//! producer's batch enters; [`records`] to read a stored batch; [`BatchBuilder`] to make one.

mod builder;
mod codecs;
mod compression;
pub mod control;
mod error;
mod gap;
mod header;
mod limits;
mod pieces;
mod records;
mod repack;
mod varint;

use bytes::Bytes;

pub use self::builder::BatchBuilder;
pub use self::compression::{Compression, UnknownCompression};
pub use self::error::{BatchError, BatchErrorClass};
pub use self::gap::{GAP_OFFSETS_MAX, gap};
pub use self::header::{Attributes, BatchHeader, ProducerFields, TimestampType, total_bytes};
pub use self::limits::Limits;
pub use self::pieces::{PIECE_BYTES, Piece};
pub use self::records::{Content, Headers, IntoIter, Iter, Record, RecordHeaders, RecordRef, Records};
use crate::ids::{LeaderEpoch, Offset};

/// The length of everything in front of the records.
pub const HEADER_BYTES: usize = 61;
/// Base offset and length: what must be read to know how long the batch is ([`total_bytes`]).
pub const LENGTH_PREFIX_BYTES: usize = 12;
/// The leader epoch of a batch that no leader has appended yet: -1 in the stored field. No reign has this number.
pub const UNSTAMPED_EPOCH: LeaderEpoch = LeaderEpoch(u32::MAX);

/// Where the header's fields begin.
mod layout {
    pub(super) const BASE_OFFSET: usize = 0;
    pub(super) const LENGTH: usize = 8;
    pub(super) const LEADER_EPOCH: usize = 12;
    pub(super) const MAGIC: usize = 16;
    pub(super) const CRC: usize = 17;
    pub(super) const ATTRIBUTES: usize = 21;
    pub(super) const LAST_OFFSET_DELTA: usize = 23;
    pub(super) const BASE_TIMESTAMP: usize = 27;
    pub(super) const MAX_TIMESTAMP: usize = 35;
    pub(super) const PRODUCER_ID: usize = 43;
    pub(super) const PRODUCER_EPOCH: usize = 51;
    pub(super) const BASE_SEQUENCE: usize = 53;
    pub(super) const RECORD_COUNT: usize = 57;
    /// The first byte that the checksum covers.
    pub(super) const CRC_COVERS_FROM: usize = ATTRIBUTES;
}

/// Checks that `bytes` are one whole, undamaged batch within the limits, without looking at its records: what a
/// follower, recovery and the reader of a fetch need. Costs the checksum (a megabyte in some tens of microseconds).
///
/// # Errors
/// Any but those about records, compression and control records.
pub fn check(bytes: &[u8], limits: &Limits) -> Result<BatchHeader, BatchError> {
    let header = parse_whole(bytes, limits)?;
    let computed = crc(bytes);
    if computed != header.crc {
        return Err(BatchError::CrcMismatch { stated: header.crc, computed });
    }
    Ok(header)
}

/// Checks a batch that a producer sent, down to the last byte of its records: [`check`], and then that every record
/// holds together, that their offset deltas are 0, 1, 2 and so on without a gap, that count and highest timestamp
/// are those of the header, and that header keys are UTF-8. Unpacks compressed records, within the limits.
///
/// A batch that only a log may contain is refused: empty, control, log append time, delete horizon, or a flag without
/// a meaning. Transactional batches pass; whether there are transactions is not for the format to say.
///
/// # Errors
/// Any but [`BatchError::BadControl`].
pub fn validate(bytes: &Bytes, limits: &Limits) -> Result<(BatchHeader, Records), BatchError> {
    let header = check(bytes, limits)?;
    refuse_what_no_producer_sends(&header)?;
    let records = Records::of_producer(header, bytes, limits)?;
    Ok((header, records))
}

/// The records of a stored batch. Offset deltas may have gaps, as compaction and filters leave them, but rise; every
/// record holds together. Does not compute the checksum: [`check`] did, when the bytes came in.
///
/// # Errors
/// Any but those about the checksum, what a producer may send, and control records.
pub fn records(bytes: &Bytes, limits: &Limits) -> Result<Records, BatchError> {
    Records::of_log(parse_whole(bytes, limits)?, bytes, limits)
}

/// Gives a batch its place in the log: the fields outside the checksum. `bytes` may be the whole batch or its header.
///
/// # Panics
/// If `bytes` are shorter than a header, or offset or epoch do not fit Kafka's signed fields.
pub fn stamp(bytes: &mut [u8], base_offset: Offset, epoch: LeaderEpoch) {
    assert!(bytes.len() >= HEADER_BYTES, "only a batch that was checked is stamped");
    assert!(base_offset <= Offset::MAX, "offset {base_offset} does not fit the batch header");
    assert!(epoch.0 <= i32::MAX.unsigned_abs(), "leader epoch {epoch} does not fit the batch header");
    header::put(bytes, layout::BASE_OFFSET, base_offset.0.to_be_bytes());
    header::put(bytes, layout::LEADER_EPOCH, epoch.0.to_be_bytes());
}

fn parse_whole(bytes: &[u8], limits: &Limits) -> Result<BatchHeader, BatchError> {
    let header = BatchHeader::parse(bytes)?;
    let stated = header.total_bytes;
    if stated > limits.batch_bytes_max {
        return Err(BatchError::TooLarge { bytes: stated, max: limits.batch_bytes_max });
    }
    match usize::try_from(stated).map(|stated| bytes.len().checked_sub(stated)) {
        Ok(Some(0)) => {}
        Ok(Some(extra)) => return Err(BatchError::TrailingBytes { stated, extra }),
        _ => return Err(BatchError::TooShort { need: u64::from(stated), got: bytes.len() }),
    }
    if header.record_count > limits.records_max {
        return Err(BatchError::TooManyRecords { records: header.record_count, max: limits.records_max });
    }
    Ok(header)
}

fn refuse_what_no_producer_sends(header: &BatchHeader) -> Result<(), BatchError> {
    let attributes = header.attributes;
    let what = if attributes.is_control() {
        "is a control batch"
    } else if attributes.timestamp_type() == TimestampType::LogAppendTime {
        "claims log append time"
    } else if attributes.has_delete_horizon() {
        "carries a delete horizon"
    } else if attributes.has_unknown_bits() {
        "sets attribute bits that have no meaning yet"
    } else if attributes.is_transactional() && header.producer.is_none() {
        "is transactional without a producer id"
    } else if header.record_count == 0 {
        "has no records"
    } else {
        return Ok(());
    };
    Err(BatchError::NotAProducers { what })
}

/// The checksum of a whole batch.
fn crc(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(&bytes[layout::CRC_COVERS_FROM..])
}
