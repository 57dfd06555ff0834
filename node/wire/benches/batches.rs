//! What a batch and a frame cost before anything is sent or stored: `cargo bench -p weir-wire --bench batches`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on fails where it stands")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_wire::batch::{self, BatchBuilder, Compression, Limits};
use weir_wire::frame;
use weir_wire::ids::{Offset, PartitionIndex, Revision};
use weir_wire::lane::{LaneAnswer, LaneBatch, Outcome, Promise, Run};

/// Records of a batch, and bytes of a value.
const SHAPES: [(u32, usize); 3] = [(1000, 1000), (100, 1000), (1000, 100)];

fn build(builder: &mut BatchBuilder, records: u32, value: &[u8]) -> Bytes {
    for number in 0..records {
        builder.push(i64::from(number), Some(b"key-00000001"), Some(value), &[]);
    }
    builder.finish(None)
}

fn batches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("batch");
    for (records, size) in SHAPES {
        let value = vec![b'x'; size];
        let mut builder = BatchBuilder::new(Compression::None);
        let made = build(&mut builder, records, &value);
        let shape = format!("{records} x {size} B");
        group.throughput(Throughput::Bytes(made.len() as u64));
        group.bench_function(BenchmarkId::new("encode", &shape), |bencher| {
            bencher.iter(|| build(&mut builder, records, black_box(&value)));
        });
        let limits = Limits { batch_bytes_max: 16 << 20, ..Limits::default() };
        group.bench_function(BenchmarkId::new("validate", &shape), |bencher| {
            bencher.iter(|| batch::validate(black_box(&made), &limits).unwrap());
        });
        group.bench_function(BenchmarkId::new("read records", &shape), |bencher| {
            let records = batch::records(&made, &limits).unwrap();
            bencher.iter(|| records.iter().map(|record| record.value.map_or(0, <[u8]>::len)).sum::<usize>());
        });
    }
    group.finish();
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame");
    let batch = frame::encode(&LaneBatch { ordinal: 1234, resent: false }, 1_000_000);
    group.bench_function("decode a lane's batch", |bencher| {
        bencher.iter(|| decode::<LaneBatch>(black_box(&batch)));
    });
    let stored = Outcome::Stored {
        partition: PartitionIndex(3),
        base_offset: Some(Offset(1_000_000)),
        duplicate: false,
    };
    let answer = LaneAnswer {
        ordinal: 1234,
        promise: Promise { replicas: 3, flushed: true, revision: Revision(1) },
        outcomes: vec![stored],
        runs: vec![Run { records: 1000, outcome: 0 }],
    };
    let bytes = frame::encode(&answer, 0);
    group.bench_function("decode a lane's answer", |bencher| {
        bencher.iter(|| decode::<LaneAnswer>(black_box(&bytes)));
    });
    group.bench_function("encode a lane's answer", |bencher| {
        bencher.iter(|| frame::encode(black_box(&answer), 0));
    });
    group.finish();
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> T {
    let (prefix, header) = bytes.split_at(frame::PREFIX_BYTES);
    let prefix = frame::parse_prefix(prefix.try_into().unwrap(), &frame::Limits::DATA).unwrap();
    frame::decode_header(&header[..prefix.header_len]).unwrap()
}

criterion_group!(benches, batches, frames);
criterion_main!(benches);
