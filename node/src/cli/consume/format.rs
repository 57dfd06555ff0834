//! A record as text.

use weir_client::{ConsumedRecord, PartitionIndex};

use crate::cli::text::Text;

/// The value's bytes and a newline; of a record without a value, the newline alone.
pub(super) fn value(record: &ConsumedRecord<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(record.value.unwrap_or_default());
    out.push(b'\n');
}

/// A line with everything about the record.
pub(super) fn json(topic: &str, partition: PartitionIndex, record: &ConsumedRecord<'_>, out: &mut Vec<u8>) {
    let line = Line {
        topic,
        partition: partition.0,
        offset: record.offset.0,
        timestamp: record.timestamp_ms,
        key: record.key.map(Text),
        value: record.value.map(Text),
        headers: record.headers.map(|(key, value)| Header { key, value: value.map(Text) }).collect(),
    };
    serde_json::to_writer(&mut *out, &line).expect("a record is always valid JSON, and memory takes it");
    out.push(b'\n');
}

#[derive(serde::Serialize)]
struct Line<'a> {
    topic: &'a str,
    partition: u32,
    offset: u64,
    timestamp: i64,
    key: Option<Text<'a>>,
    value: Option<Text<'a>>,
    headers: Vec<Header<'a>>,
}

#[derive(serde::Serialize)]
struct Header<'a> {
    key: &'a str,
    value: Option<Text<'a>>,
}
