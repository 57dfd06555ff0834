//! What a batch may cost whoever reads it.

/// The bounds that every batch is held to before anything is believed or allocated. The node takes them from the
/// topic's configuration, the client from its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest batch as it is stored and sent, header included (Kafka's `max.message.bytes`).
    pub batch_bytes_max: u32,
    /// The most bytes that the records of one batch may unpack to. This bounds the memory that one batch can take,
    /// whatever its codec.
    pub uncompressed_bytes_max: u32,
    /// The most bytes that one compressed byte may unpack to, once a batch unpacks to more than
    /// [`batch_bytes_max`](Limits::batch_bytes_max). Below that a ratio harms nobody: the same records would have
    /// been accepted unpacked, and a thousand equal records do compress a thousandfold.
    pub compression_ratio_max: u32,
    /// The most records in one batch. It bounds the work per batch, as a record can be as short as seven bytes.
    pub records_max: u32,
}

impl Limits {
    /// Kafka's default for `max.message.bytes`: 1 MiB of batch and the 12 bytes in front of it.
    pub const BATCH_BYTES_MAX_DEFAULT: u32 = 1024 * 1024 + 12;
    /// 64 times the default batch: text and JSON compress three to twenty times, so that real data stays far below,
    /// and a reader on each of a machine's cores still fits its memory.
    pub const UNCOMPRESSED_BYTES_MAX_DEFAULT: u32 = 64 * 1024 * 1024;
    /// Above what batches of real records reach (the most repetitive logs: about a hundred), and below what a bomb
    /// needs to be worth sending (gzip can reach 1,032, lz4 255, zstd many thousands).
    pub const COMPRESSION_RATIO_MAX_DEFAULT: u32 = 200;
    /// A million: with the smallest real records (some ten bytes) a batch of ten megabytes.
    pub const RECORDS_MAX_DEFAULT: u32 = 1_000_000;

    /// How many bytes a compressed body of `compressed_bytes` may unpack to.
    #[must_use]
    pub fn unpacked_bytes_max(&self, compressed_bytes: usize) -> u64 {
        let compressed = u64::try_from(compressed_bytes).unwrap_or(u64::MAX);
        let by_ratio = compressed.saturating_mul(u64::from(self.compression_ratio_max));
        by_ratio.max(u64::from(self.batch_bytes_max)).min(u64::from(self.uncompressed_bytes_max))
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            batch_bytes_max: Self::BATCH_BYTES_MAX_DEFAULT,
            uncompressed_bytes_max: Self::UNCOMPRESSED_BYTES_MAX_DEFAULT,
            compression_ratio_max: Self::COMPRESSION_RATIO_MAX_DEFAULT,
            records_max: Self::RECORDS_MAX_DEFAULT,
        }
    }
}
