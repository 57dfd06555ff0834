//! Making batches.

use bytes::{BufMut, Bytes, BytesMut};

use super::codecs::Packer;
use super::{
    Attributes, BatchHeader, Compression, Content, HEADER_BYTES, Iter, ProducerFields, RecordRef,
    TimestampType, UNSTAMPED_EPOCH, crc, header, layout, varint,
};
use crate::ids::Offset;

/// What a record takes besides its key, value and headers: a length of at most 5 bytes, attributes 1, timestamp delta
/// 10, offset delta 5, and the lengths of key and value and the count of headers, 5 each (Kafka's
/// `MAX_RECORD_OVERHEAD`, which leaves out the last three).
const RECORD_OVERHEAD_BYTES_MAX: usize = 36;
/// The lengths of one record header's key and value.
const RECORD_HEADER_OVERHEAD_BYTES_MAX: usize = 10;

/// Makes one batch after another. Records are encoded as they are pushed; [`finish`](BatchBuilder::finish) packs them
/// with the codec, writes the header and starts over.
///
/// The bytes are those that the Java client would write for the same records: base timestamp of the first record,
/// base offset 0, no leader epoch.
pub struct BatchBuilder {
    packer: Packer,
    /// The batch so far: room for the header, then the encoded records.
    buffer: BytesMut,
    attributes: Attributes,
    record_count: u32,
    /// The offset delta of the next record, if it follows without a gap.
    next_delta: u32,
    /// What the batch covers beyond its last record.
    last_offset_delta: Option<u32>,
    /// Set by the first record.
    base_timestamp_ms: i64,
    max_timestamp_ms: i64,
}

impl BatchBuilder {
    /// A builder of batches with this codec, at its default level.
    #[must_use]
    pub fn new(compression: Compression) -> BatchBuilder {
        BatchBuilder::with_packer(Packer::new(compression, None))
    }

    /// A builder of batches with this codec and level: 1 to 9 for gzip, up to 19 for zstd (negative ones are faster);
    /// a level outside is taken to the nearest. The others have no levels.
    #[must_use]
    pub fn with_level(compression: Compression, level: i32) -> BatchBuilder {
        BatchBuilder::with_packer(Packer::new(compression, Some(level)))
    }

    fn with_packer(packer: Packer) -> BatchBuilder {
        let mut builder = BatchBuilder {
            attributes: Attributes::default(),
            packer,
            buffer: BytesMut::new(),
            record_count: 0,
            next_delta: 0,
            last_offset_delta: None,
            base_timestamp_ms: 0,
            max_timestamp_ms: 0,
        };
        builder.start_over();
        builder
    }

    /// Adds a record at the next offset. Returns how many bytes it takes, before compression.
    ///
    /// # Panics
    /// If the batch would have 2 GiB or more: compare [`record_bytes_max`](BatchBuilder::record_bytes_max) with the
    /// limit first.
    pub fn push(
        &mut self,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> usize {
        self.push_at(self.next_delta, timestamp_ms, key, value, headers)
    }

    /// Adds a record at the offset that is `offset_delta` after the batch's first, perhaps leaving a gap. Returns how
    /// many bytes it takes, before compression.
    ///
    /// # Panics
    /// If the delta is not above the last one, or as [`push`](BatchBuilder::push).
    pub fn push_at(
        &mut self,
        offset_delta: u32,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> usize {
        let content_bytes = nullable_bytes(key)
            + nullable_bytes(value)
            + varint::length_bytes(headers.len())
            + headers
                .iter()
                .map(|(key, value)| nullable_bytes(Some(key.as_bytes())) + nullable_bytes(*value))
                .sum::<usize>();
        let record_bytes = self.begin_record(offset_delta, timestamp_ms, content_bytes);
        varint::put_nullable(&mut self.buffer, key);
        varint::put_nullable(&mut self.buffer, value);
        varint::put_length(&mut self.buffer, headers.len());
        for (key, value) in headers {
            varint::put_nullable(&mut self.buffer, Some(key.as_bytes()));
            varint::put_nullable(&mut self.buffer, *value);
        }
        record_bytes
    }

    /// Takes a record over from another batch, at the next offset: one copy, nothing is encoded again but the two
    /// deltas. Returns how many bytes it takes, before compression.
    ///
    /// # Panics
    /// As [`push`](BatchBuilder::push).
    pub fn push_record(&mut self, record: &RecordRef<'_>) -> usize {
        self.push_record_at(self.next_delta, record)
    }

    /// Takes a record over from another batch, at the offset that is `offset_delta` after the batch's first.
    ///
    /// # Panics
    /// As [`push_at`](BatchBuilder::push_at).
    pub fn push_record_at(&mut self, offset_delta: u32, record: &RecordRef<'_>) -> usize {
        let record_bytes = self.begin_record(offset_delta, record.timestamp_ms, record.content.len());
        self.buffer.put_slice(record.content);
        record_bytes
    }

    /// Adds a record of another's key, value and headers, and behind those the further headers. Returns how many
    /// bytes it takes, before compression.
    ///
    /// # Panics
    /// As [`push_at`](BatchBuilder::push_at).
    pub fn push_content_at(
        &mut self,
        offset_delta: u32,
        timestamp_ms: i64,
        content: &Content<'_>,
        appended: &[(&str, Option<&[u8]>)],
    ) -> usize {
        let header_count = content.headers.len() + appended.len();
        let content_bytes = nullable_bytes(content.key)
            + nullable_bytes(content.value)
            + varint::length_bytes(header_count)
            + content.headers.rest.len()
            + appended
                .iter()
                .map(|(key, value)| nullable_bytes(Some(key.as_bytes())) + nullable_bytes(*value))
                .sum::<usize>();
        let record_bytes = self.begin_record(offset_delta, timestamp_ms, content_bytes);
        varint::put_nullable(&mut self.buffer, content.key);
        varint::put_nullable(&mut self.buffer, content.value);
        varint::put_length(&mut self.buffer, header_count);
        self.buffer.put_slice(content.headers.rest);
        for (key, value) in appended {
            varint::put_nullable(&mut self.buffer, Some(key.as_bytes()));
            varint::put_nullable(&mut self.buffer, *value);
        }
        record_bytes
    }

    /// Writes what stands in front of a record's key.
    fn begin_record(&mut self, offset_delta: u32, timestamp_ms: i64, content_bytes: usize) -> usize {
        assert!(
            offset_delta >= self.next_delta,
            "the records of a batch are pushed in the order of their offsets"
        );
        assert!(offset_delta <= i32::MAX.unsigned_abs(), "an offset delta fits Kafka's signed field");
        if self.record_count == 0 {
            if !self.attributes.has_delete_horizon() {
                self.base_timestamp_ms = timestamp_ms;
            }
            self.max_timestamp_ms = timestamp_ms;
        }
        self.max_timestamp_ms = self.max_timestamp_ms.max(timestamp_ms);
        self.record_count += 1;
        self.next_delta = offset_delta + 1;

        // Wraps, as it does in the Java client; the reader's sum wraps back.
        let timestamp_delta = timestamp_ms.wrapping_sub(self.base_timestamp_ms);
        let body_bytes = 1
            + varint::long_bytes(timestamp_delta)
            + varint::long_bytes(i64::from(offset_delta))
            + content_bytes;
        let record_bytes = varint::length_bytes(body_bytes) + body_bytes;
        let batch_bytes = self.buffer.len() + record_bytes;
        assert!(
            i32::try_from(batch_bytes).is_ok(),
            "a batch of {batch_bytes} bytes does not fit its length field"
        );
        self.buffer.reserve(record_bytes);
        varint::put_length(&mut self.buffer, body_bytes);
        self.buffer.put_u8(0);
        varint::put_long(&mut self.buffer, timestamp_delta);
        varint::put_long(&mut self.buffer, i64::from(offset_delta));
        record_bytes
    }

    /// Takes memory for so many bytes of records at once, where the caller knows about how many there will be.
    pub fn reserve(&mut self, bytes: usize) {
        self.buffer.reserve(bytes);
    }

    /// Marks the batch as part of a transaction.
    pub fn set_transactional(&mut self) {
        self.attributes.set_transactional();
    }

    pub(super) fn set_control(&mut self) {
        self.attributes.set_control();
    }

    /// Makes the batch cover offsets (and sequences) up to this delta, whether or not there are records.
    pub fn set_last_offset_delta(&mut self, last_offset_delta: u32) {
        self.last_offset_delta = Some(last_offset_delta);
    }

    /// Makes the batch one that may stand where `original` stands, after records of it were dropped or replaced: it
    /// covers the same offsets and sequences, is transactional if that was, and keeps whose time it has. Should no record be
    /// pushed, it is the original emptied, with its highest timestamp (Kafka's `DefaultRecordBatch.writeEmptyHeader`).
    pub fn take_place_of(&mut self, original: &BatchHeader) {
        self.last_offset_delta = Some(original.last_offset_delta);
        if original.attributes.is_transactional() {
            self.attributes.set_transactional();
        }
        if original.attributes.timestamp_type() == TimestampType::LogAppendTime {
            self.attributes.set_log_append_time();
        }
        if self.record_count == 0 {
            self.max_timestamp_ms = original.max_timestamp_ms;
        }
    }

    /// Says until when compaction keeps the tombstones that will be pushed (KIP-534).
    ///
    /// # Panics
    /// If a record was pushed already: its timestamp was counted from another time.
    pub fn set_delete_horizon(&mut self, horizon_ms: i64) {
        assert!(self.is_empty(), "the delete horizon is what timestamps are counted from");
        self.attributes.set_delete_horizon();
        self.base_timestamp_ms = horizon_ms;
    }

    /// How many bytes the batch has so far, its header included, before compression.
    #[must_use]
    pub fn uncompressed_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// How many records were pushed since the last batch.
    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.record_count
    }

    /// Whether no record was pushed since the last batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.record_count == 0
    }

    /// The records pushed since the last batch, as they are encoded, before compression.
    #[must_use]
    pub fn section(&self) -> &[u8] {
        &self.buffer[HEADER_BYTES..]
    }

    /// The records pushed since the last batch, to read them again.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter::of_builder(self.section(), self.record_count, self.base_timestamp_ms)
    }

    /// What the timestamp deltas of the records pushed since the last batch are counted from.
    #[must_use]
    pub fn base_timestamp_ms(&self) -> i64 {
        self.base_timestamp_ms
    }

    /// The most bytes that a record can take in any batch, before compression: to decide whether it still fits.
    #[must_use]
    pub fn record_bytes_max(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> usize {
        let bytes = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
        let in_headers = headers
            .iter()
            .map(|(key, value)| RECORD_HEADER_OVERHEAD_BYTES_MAX + key.len() + bytes(*value))
            .sum::<usize>();
        RECORD_OVERHEAD_BYTES_MAX + bytes(key) + bytes(value) + in_headers
    }

    /// The batch of what was pushed since the last one. The builder is then as new, and keeps its buffer where it can.
    ///
    /// # Panics
    /// If nothing was pushed and nothing said what the empty batch stands for
    /// ([`take_place_of`](BatchBuilder::take_place_of), [`set_last_offset_delta`](BatchBuilder::set_last_offset_delta));
    /// if a record lies beyond the last offset delta that was set; or if a field of `producer` does not fit Kafka's
    /// signed fields.
    pub fn finish(&mut self, producer: Option<ProducerFields>) -> Bytes {
        let of_records = self.next_delta.checked_sub(1);
        let last_offset_delta =
            self.last_offset_delta.or(of_records).expect("an empty batch stands for an emptied one");
        assert!(
            of_records.is_none_or(|last| last <= last_offset_delta),
            "the last offset covers all records"
        );
        assert!(last_offset_delta <= i32::MAX.unsigned_abs(), "an offset delta fits Kafka's signed field");

        let mut batch = self.packed();
        let header = BatchHeader {
            base_offset: Offset::ZERO,
            total_bytes: u32::try_from(batch.len()).expect("a batch stays below 2 GiB"),
            leader_epoch: UNSTAMPED_EPOCH,
            crc: 0,
            attributes: self.attributes,
            last_offset_delta,
            base_timestamp_ms: self.base_timestamp_ms,
            max_timestamp_ms: self.max_timestamp_ms,
            producer,
            record_count: self.record_count,
        };
        header::write(&header, &mut batch);
        let crc = crc(&batch);
        header::put(&mut batch, layout::CRC, crc.to_be_bytes());
        self.start_over();
        batch.freeze()
    }

    /// Room for the header, and the records as they are stored.
    fn packed(&mut self) -> BytesMut {
        if self.packer.compression() == Compression::None || self.record_count == 0 {
            // Nothing to pack: an emptied batch is stored without a codec, as Kafka does.
            self.attributes = self.attributes.recompressed(Compression::None);
            return self.buffer.split();
        }
        let mut packed = vec![0; HEADER_BYTES];
        self.packer.append(&self.buffer[HEADER_BYTES..], &mut packed);
        // The codecs want room for the worst case; a batch may wait long in a queue or a cache.
        packed.shrink_to_fit();
        Bytes::from(packed).into()
    }

    fn start_over(&mut self) {
        self.buffer.clear();
        self.buffer.put_bytes(0, HEADER_BYTES);
        self.attributes = Attributes::with_compression(self.packer.compression());
        self.record_count = 0;
        self.next_delta = 0;
        self.last_offset_delta = None;
        self.base_timestamp_ms = -1;
        self.max_timestamp_ms = -1;
    }
}

fn nullable_bytes(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(1, |bytes| varint::length_bytes(bytes.len()) + bytes.len())
}
