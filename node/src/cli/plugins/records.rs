//! The records that a plugin is tried on: lines of a file, in batches as a producer makes them.

use std::io::Read;

use bytes::Bytes;
use serde::Deserialize;
use weir_wire::batch::{BatchBuilder, Compression, Limits, RecordRef};

use crate::cli::output::Failure;
use crate::cli::produce::keys::KeyRule;
use crate::cli::text::TextBuf;

/// How a line becomes a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// The line is the value.
    Value,
    /// The line is a JSON object with `key`, `value`, `headers` and `timestamp`, as `weir consume --format json` prints
    /// it.
    Json,
}

/// A record as a line of JSON.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    key: Option<TextBuf>,
    #[serde(default)]
    value: Option<TextBuf>,
    #[serde(default)]
    headers: Vec<Header>,
    #[serde(default)]
    timestamp: i64,
}

#[derive(Debug, Deserialize)]
struct Header {
    key: String,
    #[serde(default)]
    value: Option<TextBuf>,
}

/// Reads all records, into batches of `batch_records` at most that the default limits take.
pub(super) fn read(
    mut input: impl Read,
    format: Format,
    keys: KeyRule<'_>,
    batch_records: u32,
) -> Result<Vec<Bytes>, Failure> {
    let mut text = Vec::new();
    input
        .read_to_end(&mut text)
        .map_err(|error| Failure::new(format!("cannot read the records: {error}")))?;
    let mut batches = Batches::new(batch_records);
    let lines = text.split(|byte| *byte == b'\n').enumerate();
    // An empty line is more likely a slip of the author than a record.
    for (at, line) in lines.filter(|(_, line)| !line.is_empty()) {
        match format {
            Format::Value => {
                let split = keys.split(line);
                batches.push(at + 1, 0, split.key.as_deref(), Some(split.value), &[])?;
            }
            Format::Json => {
                let line: Line = serde_json::from_slice(line).map_err(|error| {
                    Failure::new(format!(
                        "line {} is no record: {error}; with --format value a line is the value",
                        at + 1
                    ))
                })?;
                let bytes = |text: &Option<TextBuf>| text.as_ref().map(|text| text.0.clone());
                let (key, value) = (bytes(&line.key), bytes(&line.value));
                let headers: Vec<(&str, Option<&[u8]>)> = line
                    .headers
                    .iter()
                    .map(|header| (header.key.as_str(), header.value.as_ref().map(|value| &value.0[..])))
                    .collect();
                batches.push(at + 1, line.timestamp, key.as_deref(), value.as_deref(), &headers)?;
            }
        }
    }
    let batches = batches.finish();
    if batches.is_empty() {
        return Err(Failure::new("there are no records to try the plugin on: give it a file with lines"));
    }
    Ok(batches)
}

/// Batches being filled.
struct Batches {
    records_max: u32,
    bytes_max: usize,
    full: Vec<Bytes>,
    builder: BatchBuilder,
}

impl Batches {
    fn new(records_max: u32) -> Batches {
        let bytes_max = usize::try_from(Limits::default().batch_bytes_max).unwrap_or(usize::MAX);
        Batches { records_max, bytes_max, full: Vec::new(), builder: BatchBuilder::new(Compression::None) }
    }

    fn push(
        &mut self,
        line: usize,
        timestamp_ms: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Result<(), Failure> {
        let bytes = BatchBuilder::record_bytes_max(key, value, headers);
        let room = self.bytes_max - weir_wire::batch::HEADER_BYTES;
        if bytes > room {
            return Err(Failure::new(format!(
                "line {line} has {bytes} bytes as a record; a batch takes {room}"
            )));
        }
        if self.builder.record_count() >= self.records_max || self.builder.uncompressed_bytes() + bytes > room
        {
            self.cut();
        }
        self.builder.push(timestamp_ms, key, value, headers);
        Ok(())
    }

    fn cut(&mut self) {
        if !self.builder.is_empty() {
            self.full.push(self.builder.finish(None));
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        self.cut();
        self.full
    }
}

/// A record of its own, to compare and to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OwnRecord {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl OwnRecord {
    pub(super) fn of(record: &RecordRef<'_>) -> OwnRecord {
        let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        OwnRecord {
            key: own(record.key),
            value: own(record.value),
            headers: record.headers.map(|(name, value)| (name.to_owned(), own(value))).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(batches: &[Bytes]) -> Vec<Vec<OwnRecord>> {
        let limits = Limits::default();
        let of = |batch| weir_wire::batch::records(batch, &limits).unwrap();
        batches.iter().map(|batch| of(batch).iter().map(|record| OwnRecord::of(&record)).collect()).collect()
    }

    #[test]
    fn lines_become_batches() {
        let read = read(&b"a\nb\nc"[..], Format::Value, KeyRule::None, 2).unwrap();
        let shapes: Vec<usize> = values(&read).iter().map(Vec::len).collect();
        assert_eq!(shapes, [2, 1]);
        assert_eq!(values(&read)[1][0].value.as_deref(), Some(&b"c"[..]));
    }

    #[test]
    fn a_line_of_json_has_all_of_a_record() {
        let line =
            br#"{"topic":"t","key":"k","value":{"base64":"/w=="},"headers":[{"key":"h","value":null}]}"#;
        let read = read(&line[..], Format::Json, KeyRule::None, 10).unwrap();
        let record = OwnRecord {
            key: Some(b"k".to_vec()),
            value: Some(vec![0xff]),
            headers: vec![("h".to_owned(), None)],
        };
        assert_eq!(values(&read), [[record]]);
    }

    #[test]
    fn what_is_no_record_is_refused_by_its_line() {
        let refused = |input: &'static str, format| match read(input.as_bytes(), format, KeyRule::None, 10) {
            Err(Failure::Said(sentence)) => sentence,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            refused("", Format::Value),
            "there are no records to try the plugin on: give it a file with lines"
        );
        let sentence = refused("{}\nno\n", Format::Json);
        assert!(sentence.starts_with("line 2 is no record: "), "{sentence}");
    }
}
