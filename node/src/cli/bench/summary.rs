//! What a run says.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_client::Acks;

use super::Load;
use super::latencies::Latencies;
use super::machine::CpuUsed;
use super::phase::Measured;
use crate::cli::output::{grouped, per_second};

/// Above this many cores used by others, figures compare with nothing.
const QUIET_CORES_MAX: f64 = 0.1;

/// The figures of a run.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    bench: &'static str,
    records_per_second: u64,
    megabytes_per_second: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    p999_ms: Option<f64>,
    /// CPU seconds of this process; `null` where the system does not tell.
    cpu_seconds_client: Option<f64>,
    /// CPU seconds of the node; `null` where its process is not known.
    cpu_seconds_node: Option<f64>,
    cpu_seconds_per_gigabyte_client: Option<f64>,
    cpu_seconds_per_gigabyte_node: Option<f64>,
    /// How many cores everybody else used.
    other_cores: Option<f64>,
    pub(super) quiet: bool,
    records: u64,
    failed: u64,
    seconds: f64,
    record_size: u32,
    batch_size: u32,
    partitions: u32,
    producers: u32,
    consumers: u32,
    keys: u32,
    /// What an answer stood for; `null` where nothing is stored, or was stored before.
    acks: Option<&'static str>,
    compression: String,
    /// Records a second that were asked for; `null` for as many as it took.
    rate: Option<u32>,
    /// Unanswered records of a client at most; `null` without a limit.
    window: Option<u32>,
    /// What the topic was configured with.
    configs: BTreeMap<String, String>,
    /// Replicas of each partition; `null` without a topic.
    replication_factor: Option<u32>,
    /// Times that were counted: not every record's, when there are many.
    sampled: u64,
}

impl Summary {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    pub(super) fn new(
        bench: &'static str,
        load: &Load,
        replication_factor: Option<u32>,
        measured: &Measured,
        times: &Latencies,
    ) -> Summary {
        let Measured { records, failed, seconds, cpu } = *measured;
        let megabytes = records as f64 * f64::from(load.payload_bytes()) / 1e6;
        let per_gigabyte = |cpu: Option<f64>| cpu.filter(|_| records > 0).map(|cpu| cpu * 1000.0 / megabytes);
        Summary {
            bench,
            records_per_second: per_second(records, seconds),
            megabytes_per_second: if seconds > 0.0 { megabytes / seconds } else { 0.0 },
            p50_ms: times.ms(500),
            p99_ms: times.ms(990),
            p999_ms: times.ms(999),
            cpu_seconds_client: cpu.client,
            cpu_seconds_node: cpu.node,
            cpu_seconds_per_gigabyte_client: per_gigabyte(cpu.client),
            cpu_seconds_per_gigabyte_node: per_gigabyte(cpu.node),
            other_cores: cpu.other_cores,
            quiet: is_quiet(cpu),
            records,
            failed,
            seconds,
            record_size: load.record_size,
            batch_size: load.batch_bytes(),
            partitions: load.partitions(),
            producers: load.producers(),
            consumers: load.consumers(),
            keys: load.keys,
            acks: matches!(bench, "produce" | "end-to-end").then(|| acks_text(load.acks())),
            compression: load.compression.to_string(),
            rate: load.rate,
            window: load.window,
            configs: load.config.iter().cloned().collect(),
            replication_factor,
            sampled: times.count(),
        }
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let or_unknown = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.3}"));
        let cpu = |seconds: Option<f64>, per_gigabyte: Option<f64>| {
            format!("{} s, {} s/GB", or_unknown(seconds), or_unknown(per_gigabyte))
        };
        vec![
            format!(
                "{:<12}{} records/s, {:.1} MB/s, over {:.2} s",
                self.bench,
                grouped(self.records_per_second),
                self.megabytes_per_second,
                self.seconds
            ),
            format!(
                "times       p50 {} ms, p99 {} ms, p99.9 {} ms",
                or_unknown(self.p50_ms),
                or_unknown(self.p99_ms),
                or_unknown(self.p999_ms)
            ),
            format!(
                "CPU         client {}; node {}; others {} cores",
                cpu(self.cpu_seconds_client, self.cpu_seconds_per_gigabyte_client),
                cpu(self.cpu_seconds_node, self.cpu_seconds_per_gigabyte_node),
                or_unknown(self.other_cores)
            ),
        ]
    }
}

/// Whether figures of such a run compare with others.
pub(super) fn is_quiet(cpu: CpuUsed) -> bool {
    cpu.other_cores.is_some_and(|cores| cores <= QUIET_CORES_MAX)
}

/// As the flag takes it.
fn acks_text(acks: Acks) -> &'static str {
    match acks {
        Acks::None => "0",
        Acks::Leader => "1",
        Acks::All => "all",
    }
}
