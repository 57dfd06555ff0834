//! Reading the records of a batch.

use std::iter::FusedIterator;

use bytes::{Buf, Bytes};

use super::pieces::{Cutter, PIECE_BYTES, Piece};
use super::{BatchError, BatchHeader, Compression, HEADER_BYTES, Limits, TimestampType, codecs, varint};

/// The unpacked records of one batch. Making one proves that every record holds together, so that reading them
/// cannot fail: it is a walk over memory, without allocation and, with [`iter`](Records::iter), without counting
/// references either.
#[derive(Clone, Debug)]
pub struct Records {
    header: BatchHeader,
    /// A slice of the batch itself where it is not compressed.
    body: Bytes,
    /// See [`Records::pieces`].
    pieces: Vec<Piece>,
}

impl Records {
    /// The records of a batch that a producer sent: offset deltas without a gap, timestamps that fit the header.
    pub(super) fn of_producer(
        header: BatchHeader,
        batch: &Bytes,
        limits: &Limits,
    ) -> Result<Records, BatchError> {
        let mut records = Records::unpack(header, batch, limits)?;
        let mut expected_delta = 0;
        let mut max_timestamp_ms = i64::MIN;
        records.pieces = records.walk(|record| {
            if record.offset_delta != expected_delta {
                return Err("its offset delta does not follow the one before it");
            }
            expected_delta += 1;
            max_timestamp_ms = max_timestamp_ms.max(record.timestamp_ms);
            Ok(())
        })?;
        if header.last_offset_delta.checked_add(1) != Some(header.record_count) {
            let value = i64::from(header.last_offset_delta);
            return Err(BatchError::BadHeader { field: "lastOffsetDelta", value });
        }
        if max_timestamp_ms != header.max_timestamp_ms {
            return Err(BatchError::BadHeader { field: "maxTimestamp", value: header.max_timestamp_ms });
        }
        Ok(records)
    }

    /// The records of a stored batch: offset deltas rise and stay within the header's.
    pub(super) fn of_log(header: BatchHeader, batch: &Bytes, limits: &Limits) -> Result<Records, BatchError> {
        let mut records = Records::unpack(header, batch, limits)?;
        let mut lowest_delta = 0;
        records.pieces = records.walk(|record| {
            if record.offset_delta < lowest_delta {
                return Err("its offset delta is not above the one before it");
            }
            if record.offset_delta > header.last_offset_delta {
                return Err("its offset delta is above the batch's last");
            }
            lowest_delta = record.offset_delta + 1;
            Ok(())
        })?;
        Ok(records)
    }

    fn unpack(header: BatchHeader, batch: &Bytes, limits: &Limits) -> Result<Records, BatchError> {
        let packed = batch.slice(HEADER_BYTES..);
        let body = match header.compression() {
            Compression::None => packed,
            // An emptied batch keeps its attributes, but there is nothing to unpack.
            _ if packed.is_empty() => packed,
            compression => Bytes::from(codecs::decompress(compression, &packed, limits)?),
        };
        Ok(Records { header, body, pieces: Vec::new() })
    }

    /// The same records under the header of a batch that has them too.
    pub(super) fn of_batch(self, header: BatchHeader, batch: &Bytes) -> Records {
        let body = match header.compression() {
            // The batch before need not be kept for them.
            Compression::None => batch.slice(HEADER_BYTES..),
            _ => self.body,
        };
        Records { header, body, pieces: self.pieces }
    }

    /// Parses every record and shows it to `visit`. Returns the pieces that they are cut into.
    fn walk<'a>(
        &'a self,
        mut visit: impl FnMut(&RecordRef<'a>) -> Result<(), &'static str>,
    ) -> Result<Vec<Piece>, BatchError> {
        let records = self.header.record_count;
        let mut cutter = Cutter::new(PIECE_BYTES, self.body.len());
        let time = Timebase::of(&self.header);
        let mut rest = self.body.as_ref();
        for index in 0..records {
            RecordRef::take(&mut rest, time)
                .and_then(|record| {
                    cutter.take(record.raw.len());
                    visit(&record)
                })
                .map_err(|reason| BatchError::CorruptRecord { index, reason })?;
        }
        let extra = rest.len();
        if extra == 0 { Ok(cutter.several()) } else { Err(BatchError::CorruptRecords { records, extra }) }
    }

    /// The header of the batch that the records are from.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.header.record_count).expect("as many records as were walked in memory")
    }

    /// Whether there are none: the batch of a control or filter that took all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.header.record_count == 0
    }

    /// How many bytes the records have, unpacked.
    #[must_use]
    pub fn uncompressed_bytes(&self) -> usize {
        self.body.len()
    }

    /// The records as they are encoded, unpacked, back to back: a slice of the batch where that is not compressed.
    #[must_use]
    pub fn section(&self) -> &Bytes {
        &self.body
    }

    /// The records in pieces of at most [`PIECE_BYTES`] bytes, or of one record that is longer. None where all records
    /// make one piece. They were found on the walk that looks at every record once; another walk, only for them, takes
    /// 9 us for a thousand records of a kilobyte, which have left the core's nearest caches by then.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The records in order, as borrowed views.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        Iter { rest: &self.body, left: self.len(), time: Timebase::of(&self.header) }
    }

    /// A record that keeps the batch's memory alive instead of borrowing it.
    ///
    /// # Panics
    /// If `record` is not one of these records.
    #[must_use]
    pub fn share(&self, record: &RecordRef<'_>) -> Record {
        Record::share(&self.body, record)
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = RecordRef<'a>;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl IntoIterator for Records {
    type Item = Record;
    type IntoIter = IntoIter;

    fn into_iter(self) -> IntoIter {
        IntoIter { left: self.len(), time: Timebase::of(&self.header), rest: self.body }
    }
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Its offset, counted from the batch's base offset.
    pub offset_delta: u32,
    /// Its time in milliseconds since 1970, the producer's or the leader's ([`TimestampType`]); -1 means none.
    pub timestamp_ms: i64,
    /// The key; without one, no record replaces another and any partition will do.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is a tombstone where compaction runs.
    pub value: Option<&'a [u8]>,
    /// The headers, in order; a key may repeat.
    pub headers: RecordHeaders<'a>,
    /// All bytes of the record, its length prefix too.
    pub raw: &'a [u8],
    /// Key, value and headers as they are encoded: what another batch can take over as it is.
    pub(super) content: &'a [u8],
}

impl<'a> RecordRef<'a> {
    /// Takes one record off the front.
    #[inline]
    fn take(body: &mut &'a [u8], time: Timebase) -> Result<RecordRef<'a>, &'static str> {
        const CUT: &str = "it ends within a field";
        let from = *body;
        let length = varint::take_count(body).ok_or("its length is not a number, or negative")?;
        let mut rest = usize::try_from(length)
            .ok()
            .and_then(|length| varint::take_bytes(body, length))
            .ok_or("its length goes beyond the batch")?;
        let raw = &from[..from.len() - body.len()];
        // No attribute of a record has a meaning; like Kafka, ignore them.
        varint::take_bytes(&mut rest, 1).ok_or(CUT)?;
        let timestamp_delta = varint::take_long(&mut rest).ok_or("its timestamp delta is not a number")?;
        let offset_delta =
            varint::take_count(&mut rest).ok_or("its offset delta is not a number, or negative")?;
        let content = rest;
        let key = varint::take_nullable(&mut rest).ok_or("its key goes beyond its end")?;
        let value = varint::take_nullable(&mut rest).ok_or("its value goes beyond its end")?;
        let count = varint::take_count(&mut rest).ok_or("its header count is not a number, or negative")?;
        let headers = RecordHeaders { count, rest };
        for _ in 0..count {
            take_header(&mut rest)?;
        }
        if !rest.is_empty() {
            return Err("it is shorter than its length");
        }
        let timestamp_ms = time.at(timestamp_delta);
        Ok(RecordRef { offset_delta, timestamp_ms, key, value, headers, raw, content })
    }

    /// Its key, value and headers.
    #[must_use]
    pub fn content(&self) -> Content<'a> {
        Content { key: self.key, value: self.value, headers: self.headers }
    }
}

/// Key, value and headers of a record: what another record can take over without looking into the headers.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// See [`RecordRef::key`].
    pub key: Option<&'a [u8]>,
    /// See [`RecordRef::value`].
    pub value: Option<&'a [u8]>,
    /// See [`RecordRef::headers`].
    pub headers: RecordHeaders<'a>,
}

impl<'a> Content<'a> {
    /// Reads what a stranger encoded, as it stands in a record behind the offset delta.
    ///
    /// # Errors
    /// What is wrong with the bytes, to be put behind "it" or "record 7:".
    pub fn parse(bytes: &'a [u8]) -> Result<Content<'a>, &'static str> {
        let mut rest = bytes;
        let key = varint::take_nullable(&mut rest).ok_or("its key goes beyond its end")?;
        let value = varint::take_nullable(&mut rest).ok_or("its value goes beyond its end")?;
        let count = varint::take_count(&mut rest).ok_or("its header count is not a number, or negative")?;
        let headers = RecordHeaders { count, rest };
        for _ in 0..count {
            take_header(&mut rest)?;
        }
        if rest.is_empty() { Ok(Content { key, value, headers }) } else { Err("bytes follow its headers") }
    }

    /// Writes what [`parse`](Content::parse) reads.
    pub fn encode(
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
        out: &mut impl bytes::BufMut,
    ) {
        varint::put_nullable(out, key);
        varint::put_nullable(out, value);
        varint::put_length(out, headers.len());
        for (name, value) in headers {
            varint::put_nullable(out, Some(name.as_bytes()));
            varint::put_nullable(out, *value);
        }
    }
}

/// One record that keeps its batch's memory alive. Cloning counts a few references and copies nothing.
#[derive(Clone, Debug)]
pub struct Record {
    /// See [`RecordRef::offset_delta`].
    pub offset_delta: u32,
    /// See [`RecordRef::timestamp_ms`].
    pub timestamp_ms: i64,
    /// See [`RecordRef::key`].
    pub key: Option<Bytes>,
    /// See [`RecordRef::value`].
    pub value: Option<Bytes>,
    /// See [`RecordRef::headers`].
    pub headers: Headers,
    /// See [`RecordRef::raw`].
    pub raw: Bytes,
}

impl Record {
    fn share(body: &Bytes, record: &RecordRef<'_>) -> Record {
        Record {
            offset_delta: record.offset_delta,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(|key| body.slice_ref(key)),
            value: record.value.map(|value| body.slice_ref(value)),
            headers: match record.headers.count {
                0 => Headers::default(),
                count => Headers { count, rest: body.slice_ref(record.headers.rest) },
            },
            raw: body.slice_ref(record.raw),
        }
    }
}

/// The borrowing iterator over [`Records`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    rest: &'a [u8],
    left: usize,
    time: Timebase,
}

impl<'a> Iter<'a> {
    /// The records that a builder encoded.
    pub(super) fn of_builder(section: &'a [u8], count: u32, base_timestamp_ms: i64) -> Iter<'a> {
        let left = usize::try_from(count).expect("as many records as were encoded in memory");
        Iter { rest: section, left, time: Timebase::Counted { from_ms: base_timestamp_ms } }
    }

    /// The records left in pieces as [`Records::pieces`] says it, of at most `bytes_max` bytes.
    #[must_use]
    pub fn pieces(self, bytes_max: usize) -> Vec<Piece> {
        let mut cutter = Cutter::new(bytes_max, self.rest.len());
        self.raw_lengths().for_each(|bytes| cutter.take(bytes));
        cutter.several()
    }

    /// How many bytes each of the records left has as it is encoded, its length prefix too. It looks at nothing else of them.
    fn raw_lengths(self) -> impl Iterator<Item = usize> + use<'a> {
        let mut rest = self.rest;
        (0..self.left).map(move |_| {
            let before = rest.len();
            let length = varint::take_count(&mut rest).and_then(|length| usize::try_from(length).ok());
            rest = length
                .and_then(|length| rest.get(length..))
                .expect("the records were walked when Records was made");
            before - rest.len()
        })
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = RecordRef<'a>;

    #[inline]
    fn next(&mut self) -> Option<RecordRef<'a>> {
        self.left = self.left.checked_sub(1)?;
        Some(
            RecordRef::take(&mut self.rest, self.time)
                .expect("the records were walked when Records was made"),
        )
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Iter<'_> {}
impl FusedIterator for Iter<'_> {}

/// The iterator over [`Records`] whose items share the batch's memory.
#[derive(Clone, Debug)]
pub struct IntoIter {
    rest: Bytes,
    left: usize,
    time: Timebase,
}

impl Iterator for IntoIter {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let mut rest = Iter { rest: &self.rest, left: self.left, time: self.time };
        let record = Record::share(&self.rest, &rest.next()?);
        self.left = rest.left;
        self.rest.advance(record.raw.len());
        Some(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for IntoIter {}
impl FusedIterator for IntoIter {}

/// The headers of a borrowed record; iterates over keys and values.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordHeaders<'a> {
    pub(super) count: u32,
    /// The headers as they are encoded, and nothing else.
    pub(super) rest: &'a [u8],
}

impl<'a> Iterator for RecordHeaders<'a> {
    type Item = (&'a str, Option<&'a [u8]>);

    fn next(&mut self) -> Option<(&'a str, Option<&'a [u8]>)> {
        self.count = self.count.checked_sub(1)?;
        Some(take_header(&mut self.rest).expect("the headers were walked when Records was made"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let count = usize::try_from(self.count).expect("as many headers as were walked in memory");
        (count, Some(count))
    }
}

impl ExactSizeIterator for RecordHeaders<'_> {}
impl FusedIterator for RecordHeaders<'_> {}

/// The headers of a record; iterates over keys (UTF-8) and values, which share the batch's memory.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    count: u32,
    rest: Bytes,
}

impl Headers {
    /// The same headers, borrowed.
    #[must_use]
    pub fn iter(&self) -> RecordHeaders<'_> {
        RecordHeaders { count: self.count, rest: &self.rest }
    }
}

impl<'a> IntoIterator for &'a Headers {
    type Item = (&'a str, Option<&'a [u8]>);
    type IntoIter = RecordHeaders<'a>;

    fn into_iter(self) -> RecordHeaders<'a> {
        self.iter()
    }
}

impl Iterator for Headers {
    type Item = (Bytes, Option<Bytes>);

    fn next(&mut self) -> Option<(Bytes, Option<Bytes>)> {
        let mut left = self.iter();
        let (key, value) = left.next()?;
        let shared = (self.rest.slice_ref(key.as_bytes()), value.map(|value| self.rest.slice_ref(value)));
        *self = Headers { count: left.count, rest: self.rest.slice_ref(left.rest) };
        Some(shared)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.iter().size_hint()
    }
}

impl ExactSizeIterator for Headers {}
impl FusedIterator for Headers {}

fn take_header<'a>(rest: &mut &'a [u8]) -> Result<(&'a str, Option<&'a [u8]>), &'static str> {
    let length = varint::take_count(rest).ok_or("a header key's length is not a number, or negative")?;
    let key = usize::try_from(length)
        .ok()
        .and_then(|length| varint::take_bytes(rest, length))
        .ok_or("a header key goes beyond its end")?;
    let key = std::str::from_utf8(key).map_err(|_| "a header key is not UTF-8")?;
    let value = varint::take_nullable(rest).ok_or("a header value goes beyond its end")?;
    Ok((key, value))
}

/// What turns a record's timestamp delta into its time.
#[derive(Clone, Copy, Debug)]
enum Timebase {
    Counted { from_ms: i64 },
    Same { at_ms: i64 },
}

impl Timebase {
    fn of(header: &BatchHeader) -> Timebase {
        match header.attributes.timestamp_type() {
            TimestampType::CreateTime => Timebase::Counted { from_ms: header.base_timestamp_ms },
            TimestampType::LogAppendTime => Timebase::Same { at_ms: header.max_timestamp_ms },
        }
    }

    /// Wraps, as the Java client does on both sides: so any two times can stand in one batch.
    #[inline]
    fn at(self, delta_ms: i64) -> i64 {
        match self {
            Timebase::Counted { from_ms } => from_ms.wrapping_add(delta_ms),
            Timebase::Same { at_ms } => at_ms,
        }
    }
}
