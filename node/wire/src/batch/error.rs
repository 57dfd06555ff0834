//! Why a batch was refused.

use super::Compression;

/// Why bytes are not a batch that may be used. None of these is worth a retry with the same bytes;
/// [`class`](BatchError::class) says who has to do what.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Fewer bytes than the batch (or its header) has.
    #[error(
        "the batch is cut short: {need} bytes are needed and {got} are there; read or send the whole batch"
    )]
    TooShort {
        /// How many bytes the batch, or as much of it as could be told, has.
        need: u64,
        /// How many bytes were given.
        got: usize,
    },
    /// More bytes than the batch has: one batch is expected at a time.
    #[error("{extra} bytes follow the batch of {stated} bytes; give one batch at a time")]
    TrailingBytes {
        /// The length that the batch states, its 12 prefix bytes included.
        stated: u32,
        /// How many bytes are too many.
        extra: usize,
    },
    /// A batch length that no batch has: negative, or shorter than the header.
    #[error(
        "the batch states a length of {stated} bytes, which cannot hold its header; the bytes are damaged"
    )]
    BadLength {
        /// The length field as it stands there.
        stated: i32,
    },
    /// Not the record batch format of Kafka 0.11 and later.
    #[error("the batch has format version (magic) {magic}; write batches of version 2")]
    BadMagic {
        /// The version found.
        magic: i8,
    },
    /// The checksum does not match: a bit changed since the batch was made.
    #[error(
        "the checksum of the batch is {computed:08x} where {stated:08x} is stated: it was damaged; send it again"
    )]
    CrcMismatch {
        /// The CRC-32C in the batch's header.
        stated: u32,
        /// The CRC-32C of the bytes that arrived.
        computed: u32,
    },
    /// Longer than allowed.
    #[error(
        "the batch has {bytes} bytes and {max} are allowed; send smaller batches or raise max.message.bytes"
    )]
    TooLarge {
        /// The batch's length.
        bytes: u32,
        /// [`Limits::batch_bytes_max`](super::Limits::batch_bytes_max).
        max: u32,
    },
    /// More records than allowed.
    #[error("the batch has {records} records and {max} are allowed; send smaller batches")]
    TooManyRecords {
        /// The stated number of records.
        records: u32,
        /// [`Limits::records_max`](super::Limits::records_max).
        max: u32,
    },
    /// A header field holds what it cannot hold.
    #[error("the batch header's {field} is {value}, which it cannot be; the batch was made wrongly")]
    BadHeader {
        /// The field, by Kafka's name.
        field: &'static str,
        /// What stands there.
        value: i64,
    },
    /// A codec that this version does not know.
    #[error("the batch is compressed with codec {code}; use none, gzip, snappy, lz4 or zstd")]
    UnknownCompression {
        /// The three low bits of the attributes.
        code: u8,
    },
    /// A batch that only the log itself may contain, where a producer's batch is expected.
    #[error("the batch {what}; a producer must not send such a batch")]
    NotAProducers {
        /// What is wrong with it.
        what: &'static str,
    },
    /// A record does not hold together, or not with the header.
    #[error("record {index} of the batch is malformed: {reason}; the batch was made wrongly")]
    CorruptRecord {
        /// Which record, from 0.
        index: u32,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Bytes are left after the last record.
    #[error("{extra} bytes follow the last of the batch's {records} records; the batch was made wrongly")]
    CorruptRecords {
        /// The stated number of records.
        records: u32,
        /// How many bytes are left.
        extra: usize,
    },
    /// The codec could not unpack the records.
    #[error("the records do not unpack with {compression}: {reason}; the batch was made wrongly")]
    CorruptCompression {
        /// The codec.
        compression: Compression,
        /// What it says.
        reason: String,
    },
    /// The records unpack to more than allowed.
    #[error(
        "{compressed_bytes} bytes of {compression} unpack to more than the allowed {max} bytes; send smaller batches"
    )]
    Bomb {
        /// The codec.
        compression: Compression,
        /// How many bytes the packed records have.
        compressed_bytes: usize,
        /// How many bytes they might have unpacked to.
        max: u64,
    },
    /// A control record that does not hold together.
    #[error("the control record cannot be read: {reason}")]
    BadControl {
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// What kind of refusal a [`BatchError`] is, for whoever answers it to a peer or decides what to do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BatchErrorClass {
    /// The bytes changed or are not all there. Another copy may be whole: send it again, or cut the log here if this
    /// is its torn tail (Kafka's `CORRUPT_MESSAGE`).
    Damaged,
    /// Above a limit, bombs included: the sender has to make smaller batches (Kafka's `MESSAGE_TOO_LARGE`).
    TooLarge,
    /// The sender made it wrongly, and would again (Kafka's `INVALID_RECORD`).
    Invalid,
    /// A format or codec that this version does not read (Kafka's `UNSUPPORTED_FOR_MESSAGE_FORMAT` and
    /// `UNSUPPORTED_COMPRESSION_TYPE`).
    Unsupported,
}

impl BatchError {
    /// What kind of refusal this is.
    #[must_use]
    pub fn class(&self) -> BatchErrorClass {
        match self {
            BatchError::TooShort { .. }
            | BatchError::TrailingBytes { .. }
            | BatchError::BadLength { .. }
            | BatchError::CrcMismatch { .. } => BatchErrorClass::Damaged,
            BatchError::TooLarge { .. } | BatchError::TooManyRecords { .. } | BatchError::Bomb { .. } => {
                BatchErrorClass::TooLarge
            }
            BatchError::BadHeader { .. }
            | BatchError::NotAProducers { .. }
            | BatchError::CorruptRecord { .. }
            | BatchError::CorruptRecords { .. }
            | BatchError::CorruptCompression { .. }
            | BatchError::BadControl { .. } => BatchErrorClass::Invalid,
            BatchError::BadMagic { .. } | BatchError::UnknownCompression { .. } => {
                BatchErrorClass::Unsupported
            }
        }
    }
}
