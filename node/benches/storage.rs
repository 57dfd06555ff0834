//! What the log costs on a real disk, without anything that travels: `cargo bench -p weir-node --bench storage`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench that cannot go on fails where it stands"
)]

use std::cell::Cell;
use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use weir_node::storage::{
    DataFolder, Log, LogConfig, OnDamage, PartitionKey, RealDisk, StampedBatch, StorageConfig,
};
use weir_wire::batch::{self, BatchBuilder, BatchHeader, Compression};
use weir_wire::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};

/// Records of a batch, and bytes of a value.
const SHAPES: [(u32, usize); 3] = [(1000, 1000), (100, 1000), (1, 1000)];
/// How many bytes a log has before it is begun anew, so that the disk does not fill.
const LOG_BYTES_MAX: u64 = 2 << 30;
/// How many batches are looked for in.
const LOOKUP_BATCHES: u64 = 20_000;

/// A log in a folder of its own. Nothing of it stays in memory for readers where `tail_bytes_max` is 0.
struct Place {
    log: Log,
    _data: DataFolder,
    _folder: TempDir,
}

impl Place {
    fn new(tail_bytes_max: usize) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let config = StorageConfig::default();
        let (data, _) = DataFolder::open(Arc::new(RealDisk), folder.path(), &config).unwrap();
        let key = PartitionKey { topic_id: TopicId([7; 16]), partition: PartitionIndex(0) };
        let config = LogConfig { tail_bytes_max, ..LogConfig::default() };
        let (log, _) = data.open_log("t", key, config, true, OnDamage::Refuse).unwrap();
        Place { log, _data: data, _folder: folder }
    }

    fn append(&mut self, batch: StampedBatch) {
        self.log.append(&[batch]).unwrap();
    }
}

/// The bytes of a batch, to be stamped again and again.
fn unstamped(records: u32, size: usize) -> BytesMut {
    let value = vec![b'x'; size];
    let mut builder = BatchBuilder::new(Compression::None);
    for number in 0..records {
        builder.push(i64::from(number), Some(b"key-00000001"), Some(&value), &[]);
    }
    BytesMut::from(&builder.finish(None)[..])
}

fn stamped(bytes: &BytesMut, offset: Offset) -> StampedBatch {
    let mut bytes = bytes.clone();
    batch::stamp(&mut bytes, offset, LeaderEpoch(0));
    let bytes = bytes.freeze();
    StampedBatch { header: BatchHeader::parse(&bytes).unwrap(), bytes }
}

fn appends(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    for (records, size) in SHAPES {
        let bytes = unstamped(records, size);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::new("append", format!("{records} x {size} B")), |bencher| {
            let mut place = Place::new(LogConfig::default().tail_bytes_max);
            let end = Cell::new(place.log.end());
            bencher.iter_batched(
                || {
                    let batch = stamped(&bytes, end.get());
                    end.set(batch.header.next_offset());
                    batch
                },
                |batch| {
                    place.append(batch);
                    if place.log.bytes() > LOG_BYTES_MAX {
                        place = Place::new(LogConfig::default().tail_bytes_max);
                        end.set(place.log.end());
                    }
                },
                // One at a time: a batch must follow the one before.
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    let bytes = unstamped(1, 1000);
    let mut place = Place::new(0);
    for offset in 0..LOOKUP_BATCHES {
        place.append(stamped(&bytes, Offset(offset)));
    }
    place.log.flush().unwrap();
    let reader = place.log.reader();
    let mut offset = 0;
    group.bench_function("index lookup and one batch from the page cache", |bencher| {
        bencher.iter(|| {
            // Far apart, so that no two lookups share a page.
            offset = (offset + 7919) % LOOKUP_BATCHES;
            reader.read(black_box(Offset(offset)), Offset::MAX, 1, true).unwrap()
        });
    });
    // From an offset to where its batch lies, by index and headers: nothing of the batch is read or checked.
    group.bench_function("index lookup alone", |bencher| {
        bencher.iter(|| {
            offset = (offset + 7919) % LOOKUP_BATCHES;
            let found = reader.headers(black_box(Offset(offset))).next().unwrap().unwrap();
            assert_eq!(found.base_offset, Offset(offset));
        });
    });
    group.throughput(Throughput::Bytes(1 << 20));
    group.bench_function("read 1 MiB from the page cache, checked", |bencher| {
        bencher.iter(|| {
            offset = (offset + 7919) % (LOOKUP_BATCHES - 2000);
            reader.read(black_box(Offset(offset)), Offset::MAX, 1 << 20, true).unwrap()
        });
    });
    group.finish();
}

criterion_group!(benches, appends, lookups);
criterion_main!(benches);
