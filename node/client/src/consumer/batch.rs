//! What a consumer hands out.

use std::sync::Arc;

use weir_wire::batch::{Iter, RecordHeaders, Records};
use weir_wire::ids::{LeaderEpoch, Offset, PartitionIndex};

/// The records of one stored batch from a position on; at least one. Reading them copies nothing.
#[derive(Clone, Debug)]
pub struct ConsumedBatch {
    topic: Arc<str>,
    partition: PartitionIndex,
    records: Records,
    /// Records below it were read before.
    from: Offset,
    high_watermark: Offset,
}

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct ConsumedRecord<'a> {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Its time in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// The reign under which it was stored.
    pub leader_epoch: LeaderEpoch,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The content; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Iterates over names and values.
    pub headers: RecordHeaders<'a>,
}

impl ConsumedBatch {
    pub(super) fn new(
        topic: Arc<str>,
        partition: PartitionIndex,
        records: Records,
        from: Offset,
        high_watermark: Offset,
    ) -> ConsumedBatch {
        ConsumedBatch { topic, partition, records, from, high_watermark }
    }

    /// The topic's name.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> PartitionIndex {
        self.partition
    }

    /// The end of what could be read when the node sent this batch.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// The offset behind the batch.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.records.header().next_offset()
    }

    /// How many records [`iter`](ConsumedBatch::iter) yields.
    #[must_use]
    pub fn record_count(&self) -> u64 {
        if self.from <= self.records.header().base_offset {
            return self.records.len() as u64;
        }
        self.iter().map(|_| 1).sum()
    }

    /// The records, in the order of their offsets.
    pub fn iter(&self) -> impl Iterator<Item = ConsumedRecord<'_>> {
        self.into_iter()
    }
}

impl<'a> IntoIterator for &'a ConsumedBatch {
    type Item = ConsumedRecord<'a>;
    type IntoIter = ConsumedRecords<'a>;

    fn into_iter(self) -> ConsumedRecords<'a> {
        let header = self.records.header();
        ConsumedRecords {
            inner: self.records.iter(),
            base: header.base_offset,
            leader_epoch: header.leader_epoch,
            from: self.from,
        }
    }
}

/// The iterator over the records of a [`ConsumedBatch`].
#[derive(Clone, Debug)]
pub struct ConsumedRecords<'a> {
    inner: Iter<'a>,
    base: Offset,
    leader_epoch: LeaderEpoch,
    from: Offset,
}

impl<'a> Iterator for ConsumedRecords<'a> {
    type Item = ConsumedRecord<'a>;

    #[inline]
    fn next(&mut self) -> Option<ConsumedRecord<'a>> {
        loop {
            let record = self.inner.next()?;
            let offset = self.base + u64::from(record.offset_delta);
            if offset >= self.from {
                return Some(ConsumedRecord {
                    offset,
                    timestamp_ms: record.timestamp_ms,
                    leader_epoch: self.leader_epoch,
                    key: record.key,
                    value: record.value,
                    headers: record.headers,
                });
            }
        }
    }
}
