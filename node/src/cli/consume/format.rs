//! A record as text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};
use weir_client::{ConsumedRecord, PartitionIndex};

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

/// Bytes as a string where they are UTF-8, else as `{"base64": "..."}`.
struct Text<'a>(&'a [u8]);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &STANDARD.encode(self.0))?;
                map.end()
            }
        }
    }
}
