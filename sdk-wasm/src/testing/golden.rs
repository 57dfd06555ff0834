//! Golden tests: a file of records goes in, a text of answers comes out, and both are committed. With the feature
//! `golden`.
//!
//! ```
//! use weir_plugin::{Context, Edits, ProducedBatch, ProducerInterceptor, Result, testing::golden};
//!
//! /// Drops tombstones.
//! struct Lively;
//!
//! impl ProducerInterceptor for Lively {
//!     fn configure(_: &Context) -> Result<Lively> {
//!         Ok(Lively)
//!     }
//!
//!     fn on_send(&mut self, batch: &ProducedBatch<'_>, edits: &mut Edits) -> Result<()> {
//!         batch.records().filter(|record| record.value.is_none()).for_each(|record| edits.drop(record.index));
//!         Ok(())
//!     }
//! }
//!
//! // In a test: `include_str!("../golden/records.ndjson")`, compared with the file beside it by a crate that can also
//! // write it anew, as `expect-test`.
//! let records = r#"
//! ## A tombstone.
//! {"key": "a", "value": null}
//! {"key": "a", "value": "1"}
//! "#;
//! assert_eq!(golden::producer::<Lively>(records), "# A tombstone.\ndrop\nkeep\n");
//! ```
//!
//! A line of the file is a JSON object: a record with any of `key`, `value` (text or null), `headers` (an object of
//! texts) and `timestamp`, as `weir consume --format json` prints them; or a setting, which starts a new batch:
//! `{"options": {...}}`, `{"batch": {"producer-id": 7, "ordinal": 0, "guess": 1}}`, `{"partitions": 12}`, in one
//! object or several. Empty lines and lines that start with `#` are passed over and, the latter, repeated in the
//! answers.
//!
//! # Panics
//! Everything here panics about a file that it cannot read, as a test should.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{Binding, Fate, Group, TestRecord};
use crate::context::Options;
use crate::error::Result;
use crate::hooks::{Assignor, ConsumerInterceptor, Partitioner, ProducerInterceptor};

/// What a producer interceptor answers: a line per record, `keep`, `drop`, `reject CODE REASON` or `change` and the
/// new record; or `error` and the sentence, for a batch.
#[must_use]
pub fn producer<P: ProducerInterceptor>(file: &str) -> String {
    by_batch(file, |binding, records, out| fates(binding.send::<P>(records), out))
}

/// What a consumer interceptor answers, likewise.
#[must_use]
pub fn consumer<P: ConsumerInterceptor>(file: &str) -> String {
    by_batch(file, |binding, records, out| fates(binding.consume::<P>(records), out))
}

/// Where a partitioner puts each record: a line per record with the partition and the key.
#[must_use]
pub fn partitioner<P: Partitioner>(file: &str) -> String {
    by_batch(file, |binding, records, out| {
        let keys: Vec<_> = records.iter().map(|record| record.key.as_deref()).collect();
        match binding.partition::<P>(&keys) {
            Err(error) => writeln!(out, "error {error}").expect("text grows"),
            Ok(partitions) => {
                for (partition, key) in partitions.iter().zip(keys) {
                    writeln!(out, "{partition} {}", text(key)).expect("text grows");
                }
            }
        }
    })
}

/// What an assignor answers. A line of the file is a group: `{"topics": {"t0": 3}, "members": {"C0": ["t0"]}}`, and
/// also `"options"`, `"instances": {"C0": "stable"}`, `"member-racks": {"C0": "r1"}`, `"racks": {"t0": [["r1"]]}`,
/// `"owned": {"C0": {"t0": [1]}}`. The answer is a line per member.
#[must_use]
pub fn assignor<A: Assignor>(file: &str) -> String {
    let mut out = String::new();
    for line in file.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            writeln!(out, "{line}").expect("text grows");
            continue;
        }
        match group(&object(line)).assign::<A>() {
            Ok(assigned) => write!(out, "{assigned}").expect("text grows"),
            Err(error) => writeln!(out, "error {error}").expect("text grows"),
        }
    }
    out
}

fn by_batch(file: &str, mut answer: impl FnMut(&Binding, &[TestRecord], &mut String)) -> String {
    let mut out = String::new();
    let mut binding = Binding::default();
    let mut records = Vec::new();
    let mut flush = |binding: &Binding, records: &mut Vec<TestRecord>, out: &mut String| {
        if !records.is_empty() {
            answer(binding, records, out);
        }
        records.clear();
    };
    for line in file.lines().filter(|line| !line.is_empty()) {
        if line.starts_with('#') {
            flush(&binding, &mut records, &mut out);
            writeln!(out, "{line}").expect("text grows");
            continue;
        }
        let object = object(line);
        if ["options", "batch", "partitions"].iter().any(|setting| object.contains_key(*setting)) {
            flush(&binding, &mut records, &mut out);
            set(&mut binding, &object);
        } else {
            records.push(record(&object));
        }
    }
    flush(&binding, &mut records, &mut out);
    out
}

fn object(line: &str) -> Map<String, Value> {
    match serde_json::from_str(line) {
        Ok(Value::Object(object)) => object,
        other => panic!("a line is a JSON object, not {other:?}: {line}"),
    }
}

fn set(binding: &mut Binding, object: &Map<String, Value>) {
    if let Some(options) = object.get("options") {
        binding.context.options = self::options(options);
    }
    if let Some(partitions) = object.get("partitions") {
        binding.context.partitions = number(partitions);
    }
    if let Some(batch) = object.get("batch") {
        let given = |name: &str| batch.get(name).filter(|value| !value.is_null());
        binding.produced.producer_id = given("producer-id").and_then(Value::as_u64);
        binding.produced.ordinal = given("ordinal").and_then(Value::as_u64).unwrap_or_default();
        binding.produced.guess = given("guess").map(number);
    }
}

fn options(value: &Value) -> Options {
    let pairs = map(value).iter().map(|(name, value)| (name.clone(), string(value)));
    Options::from(pairs.collect::<Vec<_>>())
}

fn record(object: &Map<String, Value>) -> TestRecord {
    let bytes = |name: &str| object.get(name).and_then(Value::as_str).map(|text| text.as_bytes().to_vec());
    let headers = object.get("headers").map(map).into_iter().flatten();
    TestRecord {
        timestamp_ms: object.get("timestamp").and_then(Value::as_i64).unwrap_or_default(),
        key: bytes("key"),
        value: bytes("value"),
        headers: headers
            .map(|(name, value)| (name.clone(), value.as_str().map(|text| text.as_bytes().to_vec())))
            .collect(),
    }
}

fn fates(fates: Result<Vec<Fate>>, out: &mut String) {
    let fates = match fates {
        Ok(fates) => fates,
        Err(error) => return writeln!(out, "error {error}").expect("text grows"),
    };
    for fate in fates {
        match fate {
            Fate::Kept => writeln!(out, "keep"),
            Fate::Dropped => writeln!(out, "drop"),
            Fate::Rejected { code, reason } => writeln!(out, "reject {code} {reason}"),
            Fate::Changed(record) => {
                let headers = record.headers.iter();
                let headers: Vec<_> =
                    headers.map(|(name, value)| json!([name, text(value.as_deref())])).collect();
                let [key, value] = [&record.key, &record.value].map(|bytes| text(bytes.as_deref()));
                writeln!(out, "change {}", json!({"key": key, "value": value, "headers": headers}))
            }
        }
        .expect("text grows");
    }
}

fn group(object: &Map<String, Value>) -> Group {
    let empty = Value::Object(Map::new());
    let part = |name: &str| map(object.get(name).unwrap_or(&empty));
    let topics: Vec<_> = part("topics").iter().map(|(name, count)| (name.as_str(), number(count))).collect();
    let mut group = Group::of(&topics);
    if let Some(options) = object.get("options") {
        let given: Vec<_> = map(options).iter().map(|(name, value)| (name.as_str(), string(value))).collect();
        let given: Vec<_> = given.iter().map(|(name, value)| (*name, value.as_str())).collect();
        group = group.options(&given);
    }
    for (topic, racks) in part("racks") {
        let racks: Vec<Vec<&str>> = list(racks).iter().map(texts).collect();
        let racks: Vec<&[&str]> = racks.iter().map(Vec::as_slice).collect();
        group = group.racks(topic, &racks);
    }
    for (id, topics) in part("members") {
        let topics = texts(topics);
        let named = |part: &str| object.get(part).and_then(|of| of.get(id)).and_then(Value::as_str);
        group = match (named("instances"), named("member-racks")) {
            (None, None) => group.member(id, &topics),
            (Some(instance), None) => group.static_member(id, instance, &topics),
            (None, Some(rack)) => group.member_in(id, rack, &topics),
            (Some(_), Some(_)) => panic!("a static member in a rack: extend the harness"),
        };
    }
    for (id, topics) in part("owned") {
        for (topic, partitions) in map(topics) {
            let partitions: Vec<u32> = list(partitions).iter().map(number).collect();
            group = group.owns(id, topic, &partitions);
        }
    }
    group
}

fn text(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| String::from_utf8_lossy(bytes).into_owned().into())
}

fn map(value: &Value) -> &Map<String, Value> {
    value.as_object().unwrap_or_else(|| panic!("an object is expected, not {value}"))
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("a list is expected, not {value}"))
}

fn texts(value: &Value) -> Vec<&str> {
    list(value).iter().map(|text| text.as_str().expect("a list of texts")).collect()
}

fn string(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn number(value: &Value) -> u32 {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.unwrap_or_else(|| panic!("a number is expected, not {value}"))
}
