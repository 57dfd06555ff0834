//! The 61 bytes in front of a batch's records.

use super::{BatchError, Compression, HEADER_BYTES, LENGTH_PREFIX_BYTES, UNSTAMPED_EPOCH, layout};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

/// The format version that this module reads and writes.
pub(super) const MAGIC: i8 = 2;
/// Kafka's "no producer". As in Kafka it is the id that says so.
const NO_PRODUCER: (i64, i16, i32) = (-1, -1, -1);

/// The two sizes as the length field counts.
const PREFIX: u32 = 12;
const HEADER: u32 = 61;
const _: () = assert!(PREFIX as usize == LENGTH_PREFIX_BYTES && HEADER as usize == HEADER_BYTES);

/// What stands in front of a batch's records, checked field by field but not against its checksum.
///
/// ```text
///  base offset        base offset + last offset delta
///      |                        |
///      r0  r1  r2  .   .  r5    .        <- gaps: what compaction or an interceptor took out, also at the end
///      deltas 0, 1, 2, 5                    record_count = 4, last_offset_delta = 6
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// The offset of delta 0. What a producer writes here means nothing; the leader stamps it.
    pub base_offset: Offset,
    /// The length of the whole batch, the 12 bytes up to and including the length field too.
    pub total_bytes: u32,
    /// The reign under which the leader appended the batch; [`UNSTAMPED_EPOCH`] before that.
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C of everything after this field. Offset, length, epoch and magic lie outside it.
    pub crc: u32,
    /// Codec and flags.
    pub attributes: Attributes,
    /// The last offset that this batch covers, counted from the base offset. Records may be missing, this stays.
    pub last_offset_delta: u32,
    /// What record timestamps are counted from, in milliseconds since 1970: as written, the first record's time.
    pub base_timestamp_ms: i64,
    /// The highest record timestamp, or with log append time that of all records.
    pub max_timestamp_ms: i64,
    /// Who wrote it, if that producer is idempotent. Stored as -1, -1, -1 if not.
    pub producer: Option<ProducerFields>,
    /// How many records the batch holds.
    pub record_count: u32,
}

/// What makes a producer's batch recognisable when it is sent again (KIP-98).
///
/// Kafka's transaction markers (a producer id and epoch, but sequence -1) have no place here yet: they are refused
/// with [`BatchError::BadHeader`] until Weir has transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFields {
    /// The producer.
    pub id: ProducerId,
    /// Its current life.
    pub epoch: ProducerEpoch,
    /// The sequence of the record at delta 0; at most 2^31 - 1.
    pub base_sequence: Sequence,
}

/// When a record's timestamp was taken (KIP-32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's time, of each record.
    CreateTime,
    /// The leader's time, the same for all records of a batch.
    LogAppendTime,
}

/// Codec and flags of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes(pub u16);

impl Attributes {
    const COMPRESSION_BITS: u16 = 0b111;
    const LOG_APPEND_TIME: u16 = 1 << 3;
    const TRANSACTIONAL: u16 = 1 << 4;
    const CONTROL: u16 = 1 << 5;
    const DELETE_HORIZON: u16 = 1 << 6;
    const KNOWN: u16 = (1 << 7) - 1;

    /// The codec of the records.
    ///
    /// # Errors
    /// [`BatchError::UnknownCompression`] for the codes 5 to 7.
    pub fn compression(self) -> Result<Compression, BatchError> {
        let code = (self.0 & Self::COMPRESSION_BITS).to_le_bytes()[0];
        Compression::from_code(code).ok_or(BatchError::UnknownCompression { code })
    }

    /// Whose clock the record timestamps are from.
    #[must_use]
    pub fn timestamp_type(self) -> TimestampType {
        if self.has(Self::LOG_APPEND_TIME) { TimestampType::LogAppendTime } else { TimestampType::CreateTime }
    }

    /// Whether the batch is part of a transaction.
    #[must_use]
    pub fn is_transactional(self) -> bool {
        self.has(Self::TRANSACTIONAL)
    }

    /// Whether the batch holds a control record, which consumers skip.
    #[must_use]
    pub fn is_control(self) -> bool {
        self.has(Self::CONTROL)
    }

    /// Whether the base timestamp is the time until which compaction keeps the batch's tombstones (KIP-534).
    #[must_use]
    pub fn has_delete_horizon(self) -> bool {
        self.has(Self::DELETE_HORIZON)
    }

    /// Whether a bit is set that has no meaning yet.
    #[must_use]
    pub fn has_unknown_bits(self) -> bool {
        self.has(!Self::KNOWN)
    }

    /// The attributes of a batch with this codec and no flag.
    #[must_use]
    pub fn with_compression(compression: Compression) -> Attributes {
        Attributes(u16::from(compression.code()))
    }

    pub(super) fn recompressed(self, compression: Compression) -> Attributes {
        Attributes(self.0 & !Self::COMPRESSION_BITS | u16::from(compression.code()))
    }

    pub(super) fn set_transactional(&mut self) {
        self.0 |= Self::TRANSACTIONAL;
    }

    pub(super) fn set_log_append_time(&mut self) {
        self.0 |= Self::LOG_APPEND_TIME;
    }

    pub(super) fn set_control(&mut self) {
        self.0 |= Self::CONTROL;
    }

    pub(super) fn set_delete_horizon(&mut self) {
        self.0 |= Self::DELETE_HORIZON;
    }

    fn has(self, bits: u16) -> bool {
        self.0 & bits != 0
    }
}

/// The length of the whole batch that begins with these bytes, which are at least [`LENGTH_PREFIX_BYTES`]: how far a
/// scan of a log has to go to the next batch. Believe it only as far as there are bytes.
///
/// # Errors
/// [`BatchError::TooShort`], and [`BatchError::BadLength`] if no batch can be so long.
pub fn total_bytes(prefix: &[u8]) -> Result<u32, BatchError> {
    let Some((prefix, _)) = prefix.split_first_chunk::<LENGTH_PREFIX_BYTES>() else {
        return Err(BatchError::TooShort { need: LENGTH_PREFIX_BYTES as u64, got: prefix.len() });
    };
    let stated = i32::from_be_bytes(field(prefix, layout::LENGTH));
    u32::try_from(stated)
        .ok()
        .and_then(|length| length.checked_add(PREFIX))
        .filter(|total| *total >= HEADER)
        .ok_or(BatchError::BadLength { stated })
}

impl BatchHeader {
    /// Reads the header at the front of `bytes`, which may hold just it, the whole batch, or more. The checksum is not
    /// checked (see [`check`](super::check)), but every field is within its range and fits the others.
    ///
    /// # Errors
    /// Too short, a length that cannot be, another format version, an unknown codec, or a field that holds what it
    /// cannot hold.
    pub fn parse(bytes: &[u8]) -> Result<BatchHeader, BatchError> {
        let Some((header, _)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            // A length that lies is worth more to the reader than "too short".
            if bytes.len() >= LENGTH_PREFIX_BYTES {
                total_bytes(bytes)?;
            }
            return Err(BatchError::TooShort { need: HEADER_BYTES as u64, got: bytes.len() });
        };
        let total_bytes = total_bytes(header)?;
        let magic = i8::from_be_bytes(field(header, layout::MAGIC));
        if magic != MAGIC {
            return Err(BatchError::BadMagic { magic });
        }
        let header = BatchHeader {
            base_offset: Offset(unsigned(
                "baseOffset",
                i64::from_be_bytes(field(header, layout::BASE_OFFSET)),
            )?),
            total_bytes,
            leader_epoch: leader_epoch(i32::from_be_bytes(field(header, layout::LEADER_EPOCH)))?,
            crc: u32::from_be_bytes(field(header, layout::CRC)),
            attributes: Attributes(u16::from_be_bytes(field(header, layout::ATTRIBUTES))),
            last_offset_delta: unsigned(
                "lastOffsetDelta",
                i32::from_be_bytes(field(header, layout::LAST_OFFSET_DELTA)),
            )?,
            base_timestamp_ms: i64::from_be_bytes(field(header, layout::BASE_TIMESTAMP)),
            max_timestamp_ms: i64::from_be_bytes(field(header, layout::MAX_TIMESTAMP)),
            producer: producer(
                i64::from_be_bytes(field(header, layout::PRODUCER_ID)),
                i16::from_be_bytes(field(header, layout::PRODUCER_EPOCH)),
                i32::from_be_bytes(field(header, layout::BASE_SEQUENCE)),
            )?,
            record_count: unsigned("recordCount", i32::from_be_bytes(field(header, layout::RECORD_COUNT)))?,
        };
        header.check_fields()?;
        Ok(header)
    }

    fn check_fields(&self) -> Result<(), BatchError> {
        self.attributes.compression()?;
        let offsets_left = Offset::MAX.since(self.base_offset);
        if u64::from(self.last_offset_delta) >= offsets_left {
            return Err(BatchError::BadHeader {
                field: "lastOffsetDelta",
                value: i64::from(self.last_offset_delta),
            });
        }
        if u64::from(self.record_count) > u64::from(self.last_offset_delta) + 1 {
            return Err(BatchError::BadHeader { field: "recordCount", value: i64::from(self.record_count) });
        }
        Ok(())
    }

    /// The codec of the records.
    #[must_use]
    pub fn compression(&self) -> Compression {
        // A parsed header has a known codec; a header that somebody put together by hand may not.
        self.attributes.compression().unwrap_or_default()
    }

    /// The last offset that the batch covers, whether or not a record is left there.
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset + u64::from(self.last_offset_delta)
    }

    /// The offset after the batch: the log's end once it is appended.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.last_offset() + 1
    }

    /// The sequence of the last record, as the producer sent it. After 2^31 - 1 comes 0, as in Kafka
    /// (`DefaultRecordBatch.incrementSequence`).
    #[must_use]
    pub fn last_sequence(&self) -> Option<Sequence> {
        let producer = self.producer?;
        let sum = u64::from(producer.base_sequence.0) + u64::from(self.last_offset_delta);
        let wrapped = sum % (u64::from(i32::MAX.unsigned_abs()) + 1);
        Some(Sequence(u32::try_from(wrapped).expect("a remainder below 2^31 fits 32 bits")))
    }
}

/// The header fields as they are written; the inverse of [`BatchHeader::parse`], except that the checksum is left 0.
pub(super) fn write(header: &BatchHeader, out: &mut [u8]) {
    let out =
        out.first_chunk_mut::<HEADER_BYTES>().expect("room for the header is reserved before it is written");
    let (id, epoch, sequence) = header.producer.map_or(NO_PRODUCER, |producer| {
        (
            i64::try_from(producer.id.0).expect("producer ids fit Kafka's signed field"),
            i16::try_from(producer.epoch.0).expect("producer epochs fit Kafka's signed field"),
            i32::try_from(producer.base_sequence.0).expect("sequences stay below 2^31"),
        )
    });
    let length = header.total_bytes.checked_sub(PREFIX).expect("a batch has its prefix");
    put(out, layout::BASE_OFFSET, header.base_offset.0.to_be_bytes());
    put(out, layout::LENGTH, length.to_be_bytes());
    put(out, layout::LEADER_EPOCH, header.leader_epoch.0.to_be_bytes());
    put(out, layout::MAGIC, MAGIC.to_be_bytes());
    put(out, layout::CRC, [0; 4]);
    put(out, layout::ATTRIBUTES, header.attributes.0.to_be_bytes());
    put(out, layout::LAST_OFFSET_DELTA, header.last_offset_delta.to_be_bytes());
    put(out, layout::BASE_TIMESTAMP, header.base_timestamp_ms.to_be_bytes());
    put(out, layout::MAX_TIMESTAMP, header.max_timestamp_ms.to_be_bytes());
    put(out, layout::PRODUCER_ID, id.to_be_bytes());
    put(out, layout::PRODUCER_EPOCH, epoch.to_be_bytes());
    put(out, layout::BASE_SEQUENCE, sequence.to_be_bytes());
    put(out, layout::RECORD_COUNT, header.record_count.to_be_bytes());
}

/// Writes one field of a header.
pub(super) fn put<const SIZE: usize>(out: &mut [u8], at: usize, bytes: [u8; SIZE]) {
    out[at..at + SIZE].copy_from_slice(&bytes);
}

fn field<const SIZE: usize, const OF: usize>(header: &[u8; OF], at: usize) -> [u8; SIZE] {
    *header[at..].first_chunk().expect("the layout's fields lie within the header")
}

fn unsigned<Signed, Unsigned>(field: &'static str, value: Signed) -> Result<Unsigned, BatchError>
where
    Signed: Copy + Into<i64>,
    Unsigned: TryFrom<Signed>,
{
    Unsigned::try_from(value).map_err(|_| BatchError::BadHeader { field, value: value.into() })
}

fn leader_epoch(value: i32) -> Result<LeaderEpoch, BatchError> {
    if value == -1 { Ok(UNSTAMPED_EPOCH) } else { unsigned("partitionLeaderEpoch", value).map(LeaderEpoch) }
}

fn producer(id: i64, epoch: i16, base_sequence: i32) -> Result<Option<ProducerFields>, BatchError> {
    if id == NO_PRODUCER.0 {
        return Ok(None);
    }
    Ok(Some(ProducerFields {
        id: ProducerId(unsigned("producerId", id)?),
        epoch: ProducerEpoch(unsigned("producerEpoch", epoch)?),
        base_sequence: Sequence(unsigned("baseSequence", base_sequence)?),
    }))
}
