//! Batches as the node hands them over: views on one buffer, nothing copied, nothing allocated.

use std::iter::FusedIterator;
use std::ops::Deref;

use crate::varint;

/// What is known about a batch on its way into the log, besides its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The producer's number; `None` without idempotence.
    pub producer_id: Option<u64>,
    /// The batch's number in its producer's lane, from 0, kept when it is sent again.
    pub ordinal: u64,
    /// The partition that the producer asks for or guesses.
    pub guess: Option<u32>,
    /// How many records the batch has; at least 1.
    pub count: u32,
    /// The time that records' deltas count from, in milliseconds since 1970.
    pub base_timestamp_ms: i64,
}

impl Produced {
    /// Where the default partitioner puts records without a key, which all plugins that do not care can follow: the
    /// partition that the producer guesses, if the topic has it, else `(producer id + ordinal) mod partitions`,
    /// which spreads batches without state. The guess is the cheapest: the batch is there already.
    #[must_use]
    pub fn partition_without_key(&self, partitions: u32) -> u32 {
        self.guess.filter(|guess| *guess < partitions).unwrap_or_else(|| {
            let turn = self.producer_id.unwrap_or_default().wrapping_add(self.ordinal);
            u32::try_from(turn % u64::from(partitions)).expect("a remainder is smaller than what it is of")
        })
    }
}

/// What is known about a batch on its way to a consumer, besides its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The partition that it is from.
    pub partition: u32,
    /// The offset that records' deltas count from.
    pub base_offset: u64,
    /// How many records the batch has; at least 1. Their offsets may have gaps.
    pub count: u32,
    /// The time that records' deltas count from, in milliseconds since 1970.
    pub base_timestamp_ms: i64,
    /// The time of all records, where the topic stamps them when they are appended.
    pub append_timestamp_ms: Option<i64>,
}

/// A batch: what is known about it (`H` is [`Produced`] or [`Fetched`]; the batch gives access to its fields), and
/// its records.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a, H> {
    about: H,
    records: &'a [u8],
}

/// A batch on its way into the log.
pub type ProducedBatch<'a> = Batch<'a, Produced>;
/// A batch on its way to a consumer.
pub type FetchedBatch<'a> = Batch<'a, Fetched>;

impl<'a, H> Batch<'a, H> {
    /// A batch of records in the contract's flat encoding.
    #[must_use]
    pub fn new(about: H, records: &'a [u8]) -> Batch<'a, H> {
        Batch { about, records }
    }

    /// The record bytes as the node handed them over.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.records
    }

    /// The records in order; none for a plugin that wants [`NoRecords`](crate::Want::NoRecords).
    #[must_use]
    pub fn records(&self) -> Records<'a> {
        Records { rest: self.records, index: 0 }
    }
}

impl<H> Deref for Batch<'_, H> {
    type Target = H;

    fn deref(&self) -> &H {
        &self.about
    }
}

impl Batch<'_, Produced> {
    /// A record's time in milliseconds since 1970; -1 if it has none.
    #[must_use]
    pub fn timestamp_ms(&self, record: &Record<'_>) -> i64 {
        self.about.base_timestamp_ms.wrapping_add(record.timestamp_delta_ms)
    }
}

impl Batch<'_, Fetched> {
    /// A record's time in milliseconds since 1970; -1 if it has none.
    #[must_use]
    pub fn timestamp_ms(&self, record: &Record<'_>) -> i64 {
        let counted = self.about.base_timestamp_ms.wrapping_add(record.timestamp_delta_ms);
        self.about.append_timestamp_ms.unwrap_or(counted)
    }

    /// Where a record is stored.
    #[must_use]
    pub fn offset(&self, record: &Record<'_>) -> u64 {
        self.about.base_offset.wrapping_add_signed(record.offset_delta)
    }
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its place in the batch, from 0: what edits call it by.
    pub index: u32,
    /// The key; `None` is null, which is not the same as empty.
    pub key: Option<&'a [u8]>,
    /// The value; `None` is null, a tombstone where compaction runs.
    pub value: Option<&'a [u8]>,
    /// The headers; reading them is only paid for when it is done.
    pub headers: Headers<'a>,
    /// See [`Batch::timestamp_ms`].
    pub timestamp_delta_ms: i64,
    /// See [`FetchedBatch::offset`]; on the produce path it says nothing.
    pub offset_delta: i64,
}

/// The records of a batch in order.
///
/// # Panics
/// The node has checked every record before it calls; bytes that do not hold together are a defect of the node, and
/// trap.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    rest: &'a [u8],
    index: u32,
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let Some(record) = take_record(&mut self.rest, self.index) else { malformed() };
        self.index += 1;
        Some(record)
    }
}

impl FusedIterator for Records<'_> {}

#[inline]
fn take_record<'a>(rest: &mut &'a [u8], index: u32) -> Option<Record<'a>> {
    let length = varint::take(rest)?;
    let mut body = varint::take_bytes(rest, length)?;
    varint::take_bytes(&mut body, 1)?;
    let timestamp_delta_ms = varint::take(&mut body)?;
    let offset_delta = varint::take(&mut body)?;
    let key = varint::take_nullable(&mut body)?;
    let value = varint::take_nullable(&mut body)?;
    let left = u32::try_from(varint::take(&mut body)?).ok()?;
    let headers = Headers { left, rest: body };
    Some(Record { index, key, value, headers, timestamp_delta_ms, offset_delta })
}

/// A header's name and value.
pub(crate) type Header<'a> = (&'a str, Option<&'a [u8]>);

/// A record's headers: names and values, in the producer's order. Names may repeat.
///
/// # Panics
/// As [`Records`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    left: u32,
    rest: &'a [u8],
}

impl<'a> Headers<'a> {
    /// The value of the last header of this name, as Kafka's `lastHeader`: the outer `None` is no such header, the inner
    /// one a header without a value.
    #[must_use]
    pub fn last(self, name: &str) -> Option<Option<&'a [u8]>> {
        self.filter(|(given, _)| *given == name).map(|(_, value)| value).last()
    }

    /// Reads a count and as many headers, and says what follows them; `None` if they do not hold together.
    pub(crate) fn read_all(mut bytes: &'a [u8]) -> Option<(Vec<Header<'a>>, &'a [u8])> {
        let left = u32::try_from(varint::take(&mut bytes)?).ok()?;
        let mut headers = Headers { left, rest: bytes };
        let read: Option<Vec<_>> = (0..left).map(|_| headers.take_header()).collect();
        Some((read?, headers.rest))
    }

    fn take_header(&mut self) -> Option<Header<'a>> {
        let length = varint::take(&mut self.rest)?;
        let name = varint::take_bytes(&mut self.rest, length)?;
        Some((str::from_utf8(name).ok()?, varint::take_nullable(&mut self.rest)?))
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.left = self.left.checked_sub(1)?;
        let Some(header) = self.take_header() else { malformed() };
        Some(header)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        (left.min(self.rest.len()), Some(left))
    }
}

#[cold]
fn malformed() -> ! {
    panic!("the node handed over records that do not hold together");
}

/// The keys of a batch's records in order, `None` for a null key.
#[derive(Clone, Debug)]
pub struct Keys<'a> {
    bytes: &'a [u8],
    lengths: std::slice::Iter<'a, i32>,
}

impl<'a> Keys<'a> {
    /// Keys back to back and their lengths, -1 for null.
    #[must_use]
    pub fn new(bytes: &'a [u8], lengths: &'a [i32]) -> Keys<'a> {
        Keys { bytes, lengths: lengths.iter() }
    }
}

impl<'a> Iterator for Keys<'a> {
    type Item = Option<&'a [u8]>;

    #[inline]
    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        let length = *self.lengths.next()?;
        if length == -1 {
            return Some(None);
        }
        let Some(key) = varint::take_bytes(&mut self.bytes, i64::from(length)) else { malformed() };
        Some(Some(key))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.lengths.size_hint()
    }
}

impl ExactSizeIterator for Keys<'_> {}
impl FusedIterator for Keys<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    const ABOUT: Produced =
        Produced { producer_id: None, ordinal: 0, guess: None, count: 2, base_timestamp_ms: 1_000 };

    /// Two records, by hand: 12 bytes behind the length, timestamp delta 5, key "k", value "vv", header h = null;
    /// then one with null key, null value and no headers.
    const BYTES: &[u8] = &[
        24, 0, 10, 0, 2, b'k', 4, b'v', b'v', 2, 2, b'h', 1, //
        12, 0, 1, 2, 1, 1, 0,
    ];

    #[test]
    fn records_are_read_as_kafka_writes_them() {
        let batch = Batch::new(ABOUT, BYTES);
        let records: Vec<_> = batch.records().collect();
        assert_eq!(records.len(), 2);
        assert_eq!((records[0].key, records[0].value), (Some(&b"k"[..]), Some(&b"vv"[..])));
        assert_eq!(records[0].headers.collect::<Vec<_>>(), [("h", None)]);
        assert_eq!((records[1].key, records[1].value, records[1].index), (None, None, 1));
        assert_eq!(batch.timestamp_ms(&records[0]), 1_005);
        assert_eq!(batch.timestamp_ms(&records[1]), 999);
        assert_eq!(batch.count, 2);
    }

    #[test]
    #[should_panic(expected = "do not hold together")]
    fn bytes_that_lie_trap() {
        Batch::new(ABOUT, &[100, 0, 0]).records().for_each(drop);
    }

    #[test]
    fn keys_are_cut_out_of_one_buffer() {
        let keys = Keys::new(b"abc", &[1, -1, 0, 2]);
        assert_eq!(keys.collect::<Vec<_>>(), [Some(&b"a"[..]), None, Some(&b""[..]), Some(&b"bc"[..])]);
    }

    #[test]
    fn unkeyed_batches_are_spread() {
        assert_eq!(Produced { producer_id: Some(7), ordinal: 8, ..ABOUT }.partition_without_key(4), 3);
        assert_eq!(Produced { producer_id: Some(7), guess: Some(2), ..ABOUT }.partition_without_key(4), 2);
        assert_eq!(Produced { ordinal: 5, guess: Some(4), ..ABOUT }.partition_without_key(4), 1);
        assert_eq!(Produced { producer_id: Some(u64::MAX), ordinal: 2, ..ABOUT }.partition_without_key(4), 1);
    }

    #[test]
    fn the_last_header_of_a_name_counts() {
        let headers = Headers { left: 3, rest: &[2, b'a', 2, b'1', 2, b'b', 1, 2, b'a', 2, b'2'] };
        assert_eq!(headers.last("a"), Some(Some(&b"2"[..])));
        assert_eq!(headers.last("b"), Some(None));
        assert_eq!(headers.last("c"), None);
    }
}
