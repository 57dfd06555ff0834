//! Batches that other implementations wrote: `testdata/make_batches.py` (kafka-python, what clients send) and
//! `testdata/MakeBatches.java` (Kafka itself, also what only brokers write). They must be read as their writers read
//! them, and uncompressed ones written byte for byte.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails its test")]

use bytes::Bytes;
use serde::Deserialize;
use weir_wire::batch::control::{self, ControlRecord};
use weir_wire::batch::{
    BatchBuilder, BatchError, BatchHeader, Compression, Limits, ProducerFields, TimestampType, check,
    records, stamp, validate,
};
use weir_wire::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence};

const PYTHON: &str = include_str!("../testdata/batches_kafka_python.json");
const JAVA: &str = include_str!("../testdata/batches_kafka_java.json");

#[derive(Deserialize)]
struct Case {
    name: String,
    batch: Hex,
    base_offset: u64,
    leader_epoch: i32,
    compression: Compression,
    timestamp_type: String,
    transactional: bool,
    control: bool,
    producer: Option<(u64, u16, i32)>,
    last_offset_delta: u32,
    max_timestamp_ms: i64,
    records: Vec<ExpectedRecord>,
}

#[derive(Deserialize)]
struct ExpectedRecord {
    offset_delta: u32,
    timestamp_ms: i64,
    key: Option<Hex>,
    value: Option<Hex>,
    headers: Vec<(String, Option<Hex>)>,
}

/// Bytes as `6162`, or as `6162*3` for three times `6162`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Hex, Self::Error> {
        let (unit, times) = text.split_once('*').unwrap_or((&text, "1"));
        let unit = (0..unit.len()).step_by(2).map(|at| u8::from_str_radix(&unit[at..at + 2], 16));
        Ok(Hex(unit.collect::<Result<Vec<u8>, _>>()?.repeat(times.parse()?)))
    }
}

fn python() -> Vec<Case> {
    serde_json::from_str(PYTHON).unwrap()
}

/// Without the marker of a transaction, which has a test of its own.
fn java() -> Vec<Case> {
    let mut cases: Vec<Case> = serde_json::from_str(JAVA).unwrap();
    cases.retain(|case| case.name != "commit marker");
    cases
}

fn slice(bytes: Option<&Hex>) -> Option<&[u8]> {
    bytes.map(|bytes| bytes.0.as_slice())
}

impl Case {
    fn bytes(&self) -> Bytes {
        Bytes::copy_from_slice(&self.batch.0)
    }

    fn producer(&self) -> Option<ProducerFields> {
        self.producer.map(|(id, epoch, base_sequence)| ProducerFields {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
            base_sequence: Sequence(base_sequence.try_into().unwrap()),
        })
    }

    fn is_dense(&self) -> bool {
        !self.records.is_empty()
            && self.records.iter().zip(0..).all(|(record, delta)| record.offset_delta == delta)
    }

    fn compare_header(&self, header: &BatchHeader) {
        let name = &self.name;
        assert_eq!(header.base_offset.0, self.base_offset, "{name}");
        assert_eq!(header.total_bytes as usize, self.batch.0.len(), "{name}");
        assert_eq!(header.leader_epoch.0.cast_signed(), self.leader_epoch, "{name}");
        assert_eq!(header.compression(), self.compression, "{name}");
        let append_time = header.attributes.timestamp_type() == TimestampType::LogAppendTime;
        assert_eq!(append_time, self.timestamp_type == "append", "{name}");
        assert_eq!(header.attributes.is_transactional(), self.transactional, "{name}");
        assert_eq!(header.attributes.is_control(), self.control, "{name}");
        assert_eq!(header.producer, self.producer(), "{name}");
        assert_eq!(header.last_offset_delta, self.last_offset_delta, "{name}");
        assert_eq!(header.max_timestamp_ms, self.max_timestamp_ms, "{name}");
        assert_eq!(header.record_count as usize, self.records.len(), "{name}");
    }

    /// Through both iterators: the borrowing one and the one that shares memory.
    fn compare_records(&self, found: &weir_wire::batch::Records) {
        assert_eq!(found.len(), self.records.len(), "{}", self.name);
        for ((expected, borrowed), shared) in self.records.iter().zip(found).zip(found.clone()) {
            let name = format!("{}, record {}", self.name, expected.offset_delta);
            let headers: Vec<_> =
                expected.headers.iter().map(|(key, value)| (key.as_str(), slice(value.as_ref()))).collect();
            assert_eq!(borrowed.offset_delta, expected.offset_delta, "{name}");
            assert_eq!(borrowed.timestamp_ms, expected.timestamp_ms, "{name}");
            assert_eq!(borrowed.key, slice(expected.key.as_ref()), "{name}");
            assert_eq!(borrowed.value, slice(expected.value.as_ref()), "{name}");
            assert_eq!(borrowed.headers.collect::<Vec<_>>(), headers, "{name}");

            assert_eq!(shared.offset_delta, expected.offset_delta, "{name}");
            assert_eq!(shared.timestamp_ms, expected.timestamp_ms, "{name}");
            assert_eq!(shared.key.as_deref(), slice(expected.key.as_ref()), "{name}");
            assert_eq!(shared.value.as_deref(), slice(expected.value.as_ref()), "{name}");
            assert_eq!(shared.headers.iter().collect::<Vec<_>>(), headers, "{name}");
            let owned: Vec<_> = shared.headers.clone().collect();
            let owned: Vec<_> = owned
                .iter()
                .map(|(key, value)| (std::str::from_utf8(key).unwrap(), value.as_deref()))
                .collect();
            assert_eq!(owned, headers, "{name}");
            assert_eq!(shared.raw, borrowed.raw, "{name}");
        }
    }

    /// What our encoder makes of the same records.
    fn encode(&self) -> Vec<u8> {
        let mut builder = BatchBuilder::new(self.compression);
        for record in &self.records {
            let headers: Vec<_> =
                record.headers.iter().map(|(key, value)| (key.as_str(), slice(value.as_ref()))).collect();
            let key = slice(record.key.as_ref());
            let value = slice(record.value.as_ref());
            builder.push_at(record.offset_delta, record.timestamp_ms, key, value, &headers);
        }
        if self.transactional {
            builder.set_transactional();
        }
        if self.records.is_empty() {
            builder.take_place_of(&BatchHeader::parse(&self.batch.0).unwrap());
        }
        let mut batch = builder.finish(self.producer()).to_vec();
        if let Ok(epoch) = u32::try_from(self.leader_epoch) {
            stamp(&mut batch, Offset(self.base_offset), LeaderEpoch(epoch));
        }
        batch
    }
}

#[test]
fn batches_of_other_implementations_read_as_they_were_written() {
    let mut seen = 0;
    for case in python().into_iter().chain(java()) {
        let bytes = case.bytes();
        let limits = Limits::default();
        case.compare_header(&BatchHeader::parse(&bytes).unwrap());
        case.compare_header(&check(&bytes, &limits).unwrap());
        case.compare_records(&records(&bytes, &limits).unwrap());
        seen += 1;
    }
    assert_eq!(seen, 17 + 18, "all cases of both files");
}

#[test]
fn what_a_producer_may_send_validates_and_nothing_else_does() {
    let mut accepted = 0;
    for case in python().into_iter().chain(java()) {
        let brokers_only =
            case.control || case.timestamp_type == "append" || !case.is_dense() || case.records.is_empty();
        match validate(&case.bytes(), &Limits::default()) {
            Ok((header, records)) => {
                assert!(!brokers_only, "{} was let through", case.name);
                case.compare_header(&header);
                case.compare_records(&records);
                accepted += 1;
            }
            Err(error) => assert!(brokers_only, "{}: {error}", case.name),
        }
    }
    assert_eq!(accepted, 16 + 6, "mixed and idempotent by codec, and the single ones");
}

#[test]
fn uncompressed_batches_are_written_byte_for_byte() {
    let mut compared = 0;
    for case in python().into_iter().chain(java()) {
        // Control batches are not for the builder's users, and nobody here writes log append time.
        if case.compression != Compression::None || case.control || case.timestamp_type == "append" {
            continue;
        }
        assert!(case.encode() == case.batch.0, "{} is written differently", case.name);
        compared += 1;
    }
    assert_eq!(compared, 8 + 4);
}

#[test]
fn compressed_batches_are_written_so_that_they_read_alike() {
    let mut compared = 0;
    for case in python().into_iter().chain(java()) {
        if case.compression == Compression::None || case.timestamp_type == "append" {
            continue;
        }
        let ours = Bytes::from(case.encode());
        let header = check(&ours, &Limits::default()).unwrap();
        assert_eq!(header.compression(), case.compression);
        case.compare_records(&records(&ours, &Limits::default()).unwrap());
        compared += 1;
    }
    assert_eq!(compared, 8 + 8);
}

#[test]
fn kafkas_control_records_are_recognised_and_left_alone() {
    let types: Vec<_> = python()
        .into_iter()
        .chain(java())
        .filter(|case| case.control)
        .map(|case| control::decode(&records(&case.bytes(), &Limits::default()).unwrap()).unwrap())
        .collect();
    let other = |control_type| ControlRecord::Other { control_type };
    assert_eq!(types, [other(1), other(2)], "commit as python writes it, leader change");
}

/// They carry a producer without a sequence. That needs a meaning in the producer state first, so it comes with
/// transactions; until then such a batch is refused, not misread.
#[test]
fn a_transaction_marker_is_refused_until_there_are_transactions() {
    let cases: Vec<Case> = serde_json::from_str(JAVA).unwrap();
    let marker = cases.iter().find(|case| case.name == "commit marker").unwrap();
    assert_eq!(
        check(&marker.batch.0, &Limits::default()),
        Err(BatchError::BadHeader { field: "baseSequence", value: -1 })
    );
}

/// Not a test of ours: what `make_batches.py --check` reads.
#[test]
#[ignore = "prints our batches for another implementation to read"]
fn print_batches() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let values: Vec<serde_json::Value> = serde_json::from_str(PYTHON).unwrap();
    for (case, mut value) in python().into_iter().zip(values) {
        if !case.control {
            value["batch"] = hex(&case.encode()).into();
            println!("\n{value}");
        }
    }
}
