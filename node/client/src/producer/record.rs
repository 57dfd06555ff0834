//! What is sent.

use weir_wire::ids::PartitionIndex;

/// A record to send. It borrows its parts, which [`send`](super::Producer::send) copies into a batch.
///
/// ```
/// use weir_client::Record;
///
/// let record = Record::to("quakes").key(b"uw").value(b"M 1.9").headers(&[("source", Some(b"usgs"))]);
/// # let _ = record;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// The partition, whatever the topic's partitioner would say; `None` leaves it to that.
    pub partition: Option<PartitionIndex>,
    /// What the default partitioner goes by, and compaction. Records of one producer with the same key keep their order,
    /// also while partitions are added and leaders move: those without a partition among each other, and those for the
    /// same [`partition`](Record::partition) among each other.
    pub key: Option<&'a [u8]>,
    /// The content; `None` is a tombstone on a compacted topic.
    pub value: Option<&'a [u8]>,
    /// Names and values beside the content.
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    /// The record's time in milliseconds since 1970; `None` takes the time of day at `send`.
    pub timestamp_ms: Option<i64>,
}

impl<'a> Record<'a> {
    /// A record for a topic, with nothing in it yet.
    #[must_use]
    pub fn to(topic: &'a str) -> Record<'a> {
        Record { topic, partition: None, key: None, value: None, headers: &[], timestamp_ms: None }
    }

    /// Sets the key.
    #[must_use]
    pub fn key(self, key: &'a [u8]) -> Record<'a> {
        Record { key: Some(key), ..self }
    }

    /// Sets the value.
    #[must_use]
    pub fn value(self, value: &'a [u8]) -> Record<'a> {
        Record { value: Some(value), ..self }
    }

    /// Sets the partition.
    #[must_use]
    pub fn partition(self, partition: PartitionIndex) -> Record<'a> {
        Record { partition: Some(partition), ..self }
    }

    /// Sets the headers.
    #[must_use]
    pub fn headers(self, headers: &'a [(&'a str, Option<&'a [u8]>)]) -> Record<'a> {
        Record { headers, ..self }
    }

    /// Sets the time, in milliseconds since 1970.
    #[must_use]
    pub fn timestamp_ms(self, timestamp_ms: i64) -> Record<'a> {
        Record { timestamp_ms: Some(timestamp_ms), ..self }
    }
}
