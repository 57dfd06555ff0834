//! A plugin host without a node around it.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use weir_core::pipeline::failing::OnFailure;
use weir_node::outside::{BlobStore, Outside};
use weir_node::plugins::{
    BatchContext, BatchTarget, BindingConfig, Bindings, Engines, Grants, Kind, Limits, Loaded, Opening,
    Pipeline, Place, Plugins, Processed, Purpose,
};
use weir_wire::batch::{self, BatchBuilder, Compression, ProducerFields, Records};
use weir_wire::ids::{NodeId, PartitionIndex, ProducerEpoch, ProducerId, Sequence};
use weir_wire::lane::Outcome;

/// How many partitions the topic of these tests has.
pub(crate) const PARTITIONS: u32 = 4;

/// Blobs in memory.
#[derive(Default)]
pub(crate) struct Blobs(pub(crate) Mutex<BTreeMap<String, Vec<u8>>>);

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

/// The engines of this process, as a node has them.
pub(crate) fn engines() -> Engines {
    static ENGINES: OnceLock<Engines> = OnceLock::new();
    ENGINES.get_or_init(|| Engines::real().unwrap()).clone()
}

/// What all tests compiled, so that each guest is compiled once.
pub(crate) fn shared_blobs() -> Arc<Blobs> {
    static BLOBS: OnceLock<Arc<Blobs>> = OnceLock::new();
    Arc::clone(BLOBS.get_or_init(Arc::default))
}

/// A host of its own, on the engines and the cache of all tests. Call it inside a runtime.
pub(crate) fn host() -> Plugins {
    host_with(engines(), shared_blobs())
}

pub(crate) fn host_with(engines: Engines, blobs: Arc<Blobs>) -> Plugins {
    let outside = Outside::real().unwrap().with_workers("compile", Plugins::WORKERS).unwrap();
    Plugins::start(engines, outside, blobs).unwrap()
}

pub(crate) async fn load(plugins: &Plugins, file: impl Into<Bytes>) -> Result<Arc<Loaded>, String> {
    let component = Plugins::component(file.into()).map_err(|error| error.to_string())?;
    let loaded = plugins.load(component, Grants::default(), Purpose::Run).await;
    loaded.map_err(|error| error.to_string())
}

/// Limits that a hostile guest reaches soon.
pub(crate) fn tight() -> Limits {
    Limits {
        memory_bytes: 8 * 1024 * 1024,
        call_time: Duration::from_millis(50),
        answer_bytes: 64 * 1024,
        ..Limits::default()
    }
}

pub(crate) fn binding(plugin: &Arc<Loaded>, name: &str, options: &[(String, String)]) -> BindingConfig {
    BindingConfig {
        plugin: Arc::clone(plugin),
        name: name.to_owned(),
        version: "1".to_owned(),
        options: options.to_vec(),
        limits: tight(),
        on_failure: OnFailure::Reject,
        reuse: false,
    }
}

/// The bindings of one plugin, by its kind.
pub(crate) fn alone(config: BindingConfig) -> Bindings {
    let mut bindings = Bindings::default();
    match config.plugin.kind() {
        Kind::ProducerInterceptor => bindings.producer_interceptors.push(config),
        Kind::ConsumerInterceptor => bindings.consumer_interceptors.push(config),
        Kind::Partitioner => bindings.partitioner = Some(config),
        Kind::Assignor => panic!("an assignor is bound to a group"),
    }
    bindings
}

pub(crate) fn place() -> Place {
    Place::of("orders", 3, PARTITIONS)
}

pub(crate) async fn pipeline(plugins: &Plugins, bindings: Bindings) -> Result<Arc<Pipeline>, String> {
    plugins.pipeline(bindings, place(), Opening::Stage).await.map_err(|failure| failure.to_string())
}

/// The same, without a trial: a plugin that fails does so on every batch.
pub(crate) async fn reopen(plugins: &Plugins, bindings: Bindings) -> Arc<Pipeline> {
    plugins.pipeline(bindings, place(), Opening::Reopen).await.unwrap()
}

/// A batch with these values, keyed `k0`, `k1` and so on.
pub(crate) fn batch(values: &[&str], compression: Compression) -> (Bytes, Records) {
    let mut builder = BatchBuilder::new(compression);
    for (number, value) in (0_i64..).zip(values) {
        let key = format!("k{number}");
        builder.push(1000 + number, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
    }
    let producer = ProducerFields { id: ProducerId(7), epoch: ProducerEpoch(0), base_sequence: Sequence(20) };
    let bytes = builder.finish(Some(producer));
    let (_, records) = batch::validate(&bytes, &batch::Limits::default()).unwrap();
    (bytes, records)
}

pub(crate) fn context() -> BatchContext<'static> {
    BatchContext {
        producer: Some(ProducerId(7)),
        ordinal: 5,
        target: BatchTarget::Guessed(PartitionIndex(1)),
        resent: false,
        limits: batch::Limits::default(),
        principal: "alice",
        entry_node: NodeId(2),
        dead_letter_partitions: Some(1),
    }
}

pub(crate) async fn run(pipeline: &Pipeline, values: &[&str], context: &BatchContext<'_>) -> Processed {
    let (bytes, records) = batch(values, Compression::None);
    pipeline.run(bytes, records, context).await
}

/// What became of a batch, in a line per run and part.
pub(crate) fn described(processed: &Processed) -> String {
    match processed {
        Processed::Retry(error) => format!("retry: {error}"),
        Processed::Refused(outcome) => format!("refused: {}", outcome_text(outcome)),
        Processed::Placed { placement, batches } => {
            let mut lines = Vec::new();
            let mut runs = placement.runs.clone();
            runs.dedup_by(|run, before| {
                let same = run.outcome == before.outcome;
                before.records += if same { run.records } else { 0 };
                same
            });
            for run in runs {
                let what = match (run.outcome as usize).checked_sub(placement.parts.len()) {
                    None => format!("to partition {}", placement.parts[run.outcome as usize]),
                    Some(settled) => outcome_text(&placement.settled[settled]),
                };
                lines.push(format!("{} {what}", run.records));
            }
            let targets = placement.parts.iter().map(|partition| format!("partition {partition}"));
            let letters = placement.dead_letters.iter().map(|of| format!("dead letters {}", of.partition));
            for (target, batch) in targets.chain(letters).zip(batches) {
                lines.push(format!("{target}: {}", contents(batch)));
            }
            lines.join("\n")
        }
    }
}

fn outcome_text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Rejected(error) => format!("rejected: {error}"),
        Outcome::Failed(error) => format!("failed: {error}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// The records of a batch.
pub(crate) fn contents(bytes: &Bytes) -> String {
    let records = batch::records(bytes, &batch::Limits::default()).unwrap();
    let text = |bytes: Option<&[u8]>| {
        bytes.map_or("-".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let lines = records.iter().map(|record| {
        let headers: Vec<_> =
            record.headers.map(|(name, value)| format!(" {name}:{}", text(value))).collect();
        format!(
            "{}@{} {}={}{}",
            record.offset_delta,
            record.timestamp_ms,
            text(record.key),
            text(record.value),
            headers.concat()
        )
    });
    lines.collect::<Vec<_>>().join(", ")
}
