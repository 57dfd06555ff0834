//! What the way through plugins costs: `cargo bench -p weir-node --bench plugins`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on fails where it stands")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use weir_core::pipeline::failing::OnFailure;
use weir_node::outside::{BlobStore, Outside};
use weir_node::plugins::{
    BatchContext, BatchTarget, BindingConfig, Bindings, Engines, Grants, Limits, Loaded, Opening, Pipeline,
    Place, Plugins, Purpose,
};
use weir_wire::batch::{self, BatchBuilder, Compression, Records};
use weir_wire::ids::{NodeId, PartitionIndex, ProducerId};

#[derive(Default)]
struct Blobs(Mutex<BTreeMap<String, Vec<u8>>>);

impl BlobStore for Blobs {
    fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.lock().unwrap().get(name).cloned())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().unwrap().remove(name);
        Ok(())
    }
}

/// What runs plugins, for one group of figures: a pool's slots keep the memory that calls before touched, and give it back
/// clean each time, so that what is small would pay for what was large.
struct Host<'a> {
    runtime: &'a Runtime,
    plugins: Plugins,
    /// A component is loaded once, however often it is bound, as on a node.
    loaded: RefCell<BTreeMap<usize, Arc<Loaded>>>,
}

impl<'a> Host<'a> {
    fn start(runtime: &'a Runtime, blobs: &Arc<Blobs>) -> Host<'a> {
        let _entered = runtime.enter();
        let outside = Outside::real().unwrap().with_workers("compile", Plugins::WORKERS).unwrap();
        let plugins = Plugins::start(Engines::real().unwrap(), outside, Arc::clone(blobs) as _).unwrap();
        Host { runtime, plugins, loaded: RefCell::default() }
    }

    fn bind(&self, component: &'static [u8], options: &[(&str, &str)], reuse: bool) -> BindingConfig {
        let mut loaded = self.loaded.borrow_mut();
        let plugin = loaded.entry(component.as_ptr().addr()).or_insert_with(|| {
            let loading = self.plugins.load(Bytes::from_static(component), Grants::default(), Purpose::Run);
            self.runtime.block_on(loading).unwrap()
        });
        let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        BindingConfig {
            plugin: Arc::clone(plugin),
            name: "bench".to_owned(),
            version: "1".to_owned(),
            options,
            limits: Limits { call_time: Duration::from_secs(1), ..Limits::default() },
            on_failure: OnFailure::Reject,
            reuse,
        }
    }

    fn open(&self, bindings: Bindings) -> Arc<Pipeline> {
        let place = Place::of("bench", 1, 12);
        self.runtime.block_on(self.plugins.pipeline(bindings, place, Opening::Stage)).unwrap()
    }
}

fn interceptors(chain: Vec<BindingConfig>) -> Bindings {
    Bindings { producer_interceptors: chain, ..Bindings::default() }
}

/// A batch of about a megabyte.
fn megabyte(value: &[u8]) -> (Bytes, Records) {
    let mut builder = BatchBuilder::new(Compression::None);
    let records = (1 << 20) / (value.len() + 24);
    for number in 0..records {
        builder.push(1_000_000, Some(format!("key-{number}").as_bytes()), Some(value), &[]);
    }
    let bytes = builder.finish(None);
    let limits = batch::Limits::default();
    let (_, records) = batch::validate(&bytes, &limits).unwrap();
    (bytes, records)
}

fn context() -> BatchContext<'static> {
    BatchContext {
        producer: Some(ProducerId(1)),
        ordinal: 0,
        target: BatchTarget::Explicit(PartitionIndex(0)),
        resent: false,
        limits: batch::Limits { batch_bytes_max: 2 << 20, ..batch::Limits::default() },
        principal: "bench",
        entry_node: NodeId(1),
        dead_letter_partitions: None,
    }
}

/// A record of a kilobyte as orders look.
fn json() -> Vec<u8> {
    let mut text = r#"{"id":123456,"name":"Ada Lovelace","card":"4111111111111111","address":{"street":"12 St James's Square","city":"London"},"items":["#.to_owned();
    while text.len() < 960 {
        text += r#"{"sku":"A-1002","count":3,"price":12.50},"#;
    }
    text.pop();
    text += r#"],"total":99.5}"#;
    text.into_bytes()
}

fn benches(c: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let blobs = Arc::new(Blobs::default());
    a_megabyte(c, &Host::start(&runtime, &blobs));
    keys(c, &Host::start(&runtime, &blobs));
    small(c, &Host::start(&runtime, &blobs));
    starts(c, &Host::start(&runtime, &blobs));
    loads(c, &Host::start(&runtime, &blobs), &blobs);
}

fn a_megabyte(c: &mut Criterion, host: &Host<'_>) {
    let flat = |reuse| host.bind(weir_guests::PASS_FLAT, &[], reuse);
    let typed = |reuse| host.bind(weir_guests::PASS_TYPED, &[], reuse);
    let redact = |reuse| {
        let options = [("mask", "card"), ("remove", "address.street")];
        host.bind(include_bytes!("../../plugins/redact/redact.wasm"), &options, reuse)
    };
    let mut group = c.benchmark_group("a megabyte of 1000-byte records");
    let (bytes, records) = megabyte(&[b'x'; 976]);
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("checked only, no plugin", |bencher| {
        let limits = context().limits;
        bencher.iter(|| black_box(batch::validate(&bytes, &limits).unwrap()));
    });
    let mut through = |name: &str, chain: Vec<BindingConfig>, bytes: &Bytes, records: &Records| {
        let pipeline = host.open(interceptors(chain));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let processed =
                    host.runtime.block_on(pipeline.run(bytes.clone(), records.clone(), &context()));
                black_box(processed)
            });
        });
        assert!(pipeline.snapshots().iter().all(|figures| figures.failures.is_empty()));
    };
    through("flat", vec![flat(false)], &bytes, &records);
    through("flat, reused", vec![flat(true)], &bytes, &records);
    through("flat, three", vec![flat(false), flat(false), flat(false)], &bytes, &records);
    through("typed", vec![typed(false)], &bytes, &records);
    through("typed, reused", vec![typed(true)], &bytes, &records);
    let (bytes, records) = megabyte(&json());
    through("redact", vec![redact(false)], &bytes, &records);
    through("redact, reused", vec![redact(true)], &bytes, &records);
    group.finish();
}

fn keys(c: &mut Criterion, host: &Host<'_>) {
    let hash = |reuse| host.bind(include_bytes!("../../plugins/hash/hash.wasm"), &[], reuse);
    let mut group = c.benchmark_group("1000 keys");
    group.throughput(Throughput::Elements(1000));
    let mut builder = BatchBuilder::new(Compression::None);
    for number in 0..1000 {
        builder.push(0, Some(format!("key-{number:08}").as_bytes()), None, &[]);
    }
    let bytes = builder.finish(None);
    let (_, records) = batch::validate(&bytes, &batch::Limits::default()).unwrap();
    let unguessed = BatchContext { target: BatchTarget::Unguessed, ..context() };
    let partitioners =
        [("native", None), ("component", Some(hash(false))), ("component, reused", Some(hash(true)))];
    for (name, partitioner) in partitioners {
        let pipeline = host.open(Bindings { partitioner, ..Bindings::default() });
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                black_box(host.runtime.block_on(pipeline.run(bytes.clone(), records.clone(), &unguessed)))
            });
        });
    }
    group.finish();
}

fn small(c: &mut Criterion, host: &Host<'_>) {
    let mut group = c.benchmark_group("one small record");
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(0, Some(b"key"), Some(b"value"), &[]);
    let bytes = builder.finish(None);
    let (_, records) = batch::validate(&bytes, &batch::Limits::default()).unwrap();
    for (name, reuse) in [("fresh instance", false), ("reused instance", true)] {
        let pipeline = host.open(interceptors(vec![host.bind(weir_guests::PASS_FLAT, &[], reuse)]));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                black_box(host.runtime.block_on(pipeline.run(bytes.clone(), records.clone(), &context())))
            });
        });
    }
    group.finish();
}

fn starts(c: &mut Criterion, host: &Host<'_>) {
    c.bench_function("a fresh instance", |bencher| {
        let loaded = host.bind(weir_guests::PASS_FLAT, &[], false).plugin;
        // How they end is not what a batch waits for, and has its part in the figures above. The pool has room for 256.
        bencher.iter_batched(
            || (),
            |()| host.runtime.block_on(loaded.start(Limits::default())).unwrap(),
            BatchSize::NumIterations(64),
        );
    });
}

fn loads(c: &mut Criterion, host: &Host<'_>, blobs: &Blobs) {
    let mut group = c.benchmark_group("load redact");
    group.sample_size(10);
    let component = Bytes::from_static(include_bytes!("../../plugins/redact/redact.wasm"));
    let load = |component: &Bytes| {
        let loading = host.plugins.load(component.clone(), Grants::default(), Purpose::Run);
        host.runtime.block_on(loading).unwrap()
    };
    group.bench_function("from the cache", |bencher| bencher.iter(|| black_box(load(&component))));
    group.bench_function("compiled", |bencher| {
        bencher.iter_with_setup(
            || blobs.0.lock().unwrap().retain(|name, _| name == "key"),
            |()| black_box(load(&component)),
        );
    });
    group.finish();

    // A language runtime is not part of the project: `examples/plugins/python/build` makes one, and prints where.
    if std::env::var_os("WEIR_PYTHON_ON_STDIN").is_none() {
        return;
    }
    let mut component = Vec::new();
    io::stdin().read_to_end(&mut component).unwrap();
    let component = Bytes::from(component);
    let mut group = c.benchmark_group("load python");
    group.sample_size(10);
    group.bench_function("from the cache", |bencher| bencher.iter(|| black_box(load(&component))));
    group.finish();
}

criterion_group!(plugins, benches);
criterion_main!(plugins);
