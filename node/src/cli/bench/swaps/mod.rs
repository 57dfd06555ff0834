//! `weir bench swaps`: the plugins of a topic are swapped again and again while records flow, and each record is counted.
//!
//! ```text
//!   numbered records ──▶ topic, interceptor and partitioner ──▶ a reader that counts: lost, duplicated, reordered
//!   calm ──▶ swap, swap, swap ... ──▶ calm
//!   a swap: stage, wait until all nodes are ready, activate, ask each node which revision is in force
//! ```
//!
//! Each swap changes the interceptor and the partitioner at once, to others and back.

mod ledger;
mod traffic;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use weir_client::{Acks, ActivatePipeline, Client, NewTopic, PipelineChange, StagePipeline};

use self::traffic::{Count, Sent, Traffic};
use super::latencies::{Latencies, Times};
use super::machine::{CpuTimes, CpuUsed, resident_bytes};
use super::phase::{OnThread, Phase, Span, first_failure};
use super::target::{Target, Where};
use super::{key_value, some_seconds};
use crate::cli::global::Global;
use crate::cli::output::{Failure, Output, grouped, per_second};
use crate::cli::plugins::bind::binding;

/// What is in force in turn. Each keeps every record.
const PLUGINS: [(&str, &str); 2] = [("stamp:headers=revision", "murmur2"), ("filter:by=key", "hash")];
/// What is said where a swap was noticed.
pub(super) const NOT_CLEAN: &str = "not every record is there once and in order: see the counts";
/// Replicas of the topic, where there are as many nodes.
const REPLICAS_MAX: u32 = 3;
/// What a partition keeps, unless configured otherwise, so that many swaps fit on a disk.
const RETENTION_BYTES: u32 = 512 << 20;
/// In segments of this size.
const SEGMENT_BYTES: u32 = 64 << 20;
/// How long nodes may take to be ready.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// The pause before it is looked again whether all nodes are ready.
const READY_PAUSE: Duration = Duration::from_millis(2);
/// After so many swaps at the latest memory is what it stays.
const SETTLED_SWAPS: u32 = 500;
/// Memory is told as the mean over so many swaps, or a tenth of all.
const MEMORY_SWAPS: u32 = 100;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How often plugins are swapped
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    swaps: u32,
    /// The pause between two swaps
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=60_000))]
    pause_ms: u64,
    /// How long records flow without a swap, before and after
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = some_seconds)]
    calm_seconds: f64,
    /// Records a second [default: as many as it takes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    record_size: u32,
    /// What must hold before a record counts as stored: 0, 1 or all
    #[arg(long, value_name = "0|1|all", default_value = "all")]
    acks: Acks,
    /// Partitions of the topic
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    partitions: u32,
    /// How many different keys
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    keys: u32,
    /// Configuration of the topic, such as write.caching=true; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    config: Vec<(String, String)>,
    #[command(flatten)]
    place: Where,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    bench: &'static str,
    nodes: usize,
    swaps: u32,
    swap_seconds: f64,
    /// From asking for it until all nodes are ready.
    stage: Times,
    /// From asking for it until it is answered.
    activate: Times,
    /// From asking for the activation until each node has said that it is in force.
    seen_by_all: Times,
    records_per_second: u64,
    /// From when a record should have been sent, or was, until it is stored; without swaps.
    calm: Times,
    /// The same while plugins are swapped.
    swapping: Times,
    p99_ratio: Option<f64>,
    sent: u64,
    stored: u64,
    read: u64,
    lost: u64,
    duplicated: u64,
    reordered: u64,
    failed: u64,
    unknown: u64,
    rejected: u64,
    dropped: u64,
    /// Of all nodes that are known, in megabytes; once it has settled, and at the end. `null` where there is no `/proc`.
    memory_settled_mb: Option<f64>,
    memory_end_mb: Option<f64>,
    memory_growth_percent: Option<f64>,
    other_cores: Option<f64>,
}

impl Figures {
    /// Whether each record is there once and in order.
    pub(super) fn is_clean(&self) -> bool {
        let wrong = [
            self.lost,
            self.duplicated,
            self.reordered,
            self.failed,
            self.unknown,
            self.rejected,
            self.dropped,
        ];
        wrong.iter().all(|count| *count == 0)
    }

    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let or_unknown = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.2}"));
        vec![
            format!(
                "swaps       {} in {:.1} s, on {} nodes",
                grouped(u64::from(self.swaps)),
                self.swap_seconds,
                self.nodes
            ),
            self.stage.line("stage"),
            self.activate.line("activate"),
            self.seen_by_all.line("seen by all"),
            self.calm.line("calm"),
            self.swapping.line("swapping"),
            format!("p99         {} times that without swaps", or_unknown(self.p99_ratio)),
            format!(
                "records     {} sent, {} a second; lost {}, duplicated {}, reordered {}, failed {}, unknown {}",
                grouped(self.sent),
                grouped(self.records_per_second),
                self.lost,
                self.duplicated,
                self.reordered,
                self.failed + self.rejected + self.dropped,
                self.unknown
            ),
            format!(
                "memory      {} MB settled, {} MB at the end: {} %",
                or_unknown(self.memory_settled_mb),
                or_unknown(self.memory_end_mb),
                or_unknown(self.memory_growth_percent)
            ),
        ]
    }
}

pub(super) async fn run(args: &Args, global: &Global, output: Output) -> Result<Figures, Failure> {
    let target = Arc::new(Target::start(&args.place, global, output).await?);
    let client = target.connect().await?;
    let topic = create_topic(args, &client).await?;
    let (before, started) = (CpuTimes::now(&target.pids), Instant::now());
    let mut swaps = Swaps::default();
    swaps.next(&client, &topic).await?;
    let traffic = Traffic::new(topic);
    let (done, counted) = watch::channel(None);
    let phase = Phase::new(Span::Records(u64::MAX));
    let (sender, reader, sent) = (Arc::clone(&traffic), Arc::clone(&traffic), Sent::of(args));
    let (for_sender, for_reader) = (Arc::clone(&target), Arc::clone(&target));
    let mut clients = vec![
        OnThread::start(&phase, move || sender.send(sent, for_sender)),
        OnThread::start(&phase, move || reader.read(sent, for_reader, done)),
    ];
    let span = tokio::select! {
        biased;
        failed = first_failure(&mut clients) => return Err(failed),
        swapped = flow(args, &mut swaps, &client, &traffic, &target.pids) => swapped?,
    };
    traffic.end();
    for client in clients {
        client.ended().await?;
    }
    let used = CpuUsed::between(before, CpuTimes::now(&target.pids), started.elapsed().as_secs_f64());
    let count =
        counted.borrow().clone().ok_or_else(|| Failure::new("the reader of the bench ended early"))?;
    client.close().await;
    let nodes = target.addresses.len();
    if let Ok(target) = Arc::try_unwrap(target) {
        target.stop(Some(&traffic.topic)).await?;
    }
    Ok(figures(args, nodes, &traffic, &swaps, span, &count, used))
}

/// Swaps between two times of calm; what was sent meanwhile, and how long the swaps took.
async fn flow(
    args: &Args,
    swaps: &mut Swaps,
    client: &Client,
    traffic: &Traffic,
    pids: &[u32],
) -> Result<(u64, Duration), Failure> {
    let calm = Duration::from_secs_f64(args.calm_seconds);
    tokio::time::sleep(calm).await;
    traffic.swapping(true);
    let (before, started) = (traffic.sent(), Instant::now());
    // The first one began before all of them.
    swaps.forget();
    for _ in 0..args.swaps {
        swaps.next(client, &traffic.topic).await?;
        swaps.memory.extend(resident_bytes(pids));
        tokio::time::sleep(Duration::from_millis(args.pause_ms)).await;
    }
    let span = (traffic.sent() - before, started.elapsed());
    traffic.swapping(false);
    tokio::time::sleep(calm).await;
    Ok(span)
}

fn figures(
    args: &Args,
    nodes: usize,
    traffic: &Traffic,
    swaps: &Swaps,
    (sent, span): (u64, Duration),
    count: &Count,
    used: CpuUsed,
) -> Figures {
    let (calm, swapping) = (Times::of(&traffic.calm), Times::of(&traffic.swapping));
    let ratio = |one: Option<f64>, other: Option<f64>| Some(one? / other.filter(|other| *other > 0.0)?);
    let (memory_settled_mb, memory_end_mb) = swaps.memory(args.swaps);
    Figures {
        bench: "swaps",
        nodes,
        swaps: args.swaps,
        swap_seconds: span.as_secs_f64(),
        stage: Times::of(&swaps.stage),
        activate: Times::of(&swaps.activate),
        seen_by_all: Times::of(&swaps.seen),
        records_per_second: per_second(sent, span.as_secs_f64()),
        p99_ratio: ratio(swapping.p99_ms, calm.p99_ms),
        calm,
        swapping,
        sent: count.sent.records,
        stored: count.sent.stored,
        read: count.read.distinct(),
        lost: count.sent.stored.saturating_sub(count.read.distinct()),
        duplicated: count.read.duplicated(),
        reordered: count.read.reordered(),
        failed: count.sent.failed,
        unknown: count.sent.unknown,
        rejected: count.sent.rejected,
        dropped: count.sent.dropped,
        memory_settled_mb,
        memory_end_mb,
        memory_growth_percent: ratio(memory_end_mb, memory_settled_mb).map(|ratio| (ratio - 1.0) * 100.0),
        other_cores: used.other_cores,
    }
}

async fn create_topic(args: &Args, client: &Client) -> Result<String, Failure> {
    let name = format!("weir-bench-{:08x}", fastrand::u32(..));
    let nodes = u32::try_from(client.describe_cluster().await?.nodes.len()).unwrap_or(u32::MAX);
    let topic = NewTopic::new(&name).partitions(args.partitions).replication_factor(nodes.min(REPLICAS_MAX));
    let own = [("retention.bytes", RETENTION_BYTES), ("segment.bytes", SEGMENT_BYTES)];
    let own = own.into_iter().filter(|(key, _)| args.config.iter().all(|(given, _)| given != key));
    let topic = own.fold(topic, |topic, (key, value)| topic.config(key, value.to_string()));
    let topic = args.config.iter().fold(topic, |topic, (key, value)| topic.config(key, value));
    client.create_topic(topic).await?;
    Ok(name)
}

/// The swaps so far.
#[derive(Default)]
struct Swaps {
    count: usize,
    stage: Latencies,
    activate: Latencies,
    seen: Latencies,
    /// What the nodes held after each, in bytes.
    memory: Vec<u64>,
}

impl Swaps {
    /// Swaps, and waits until each node says so.
    async fn next(&mut self, client: &Client, topic: &str) -> Result<(), Failure> {
        let (interceptor, partitioner) = PLUGINS[self.count % PLUGINS.len()];
        self.count += 1;
        let change = PipelineChange {
            producer_interceptors: Some(vec![binding(interceptor)?]),
            partitioner: Some(vec![binding(partitioner)?]),
            consumer_interceptors: None,
        };
        let started = Instant::now();
        let stage = StagePipeline { topic: Some(topic.to_owned()), expected: None, change };
        let staged = client.stage_pipeline(&stage).await?;
        let ready = tokio::time::timeout(READY_PATIENCE, wait_until_ready(client, topic)).await;
        ready.map_err(|_| Failure::new("the nodes did not get ready for what was staged"))??;
        self.stage.record(started.elapsed());
        let started = Instant::now();
        let request = ActivatePipeline {
            topic: topic.to_owned(),
            revision: staged.revision,
            expected: staged.in_force,
            without: Vec::new(),
        };
        let activated = client.activate_pipeline(&request).await?.revision;
        self.activate.record(started.elapsed());
        for (node, described) in client.describe_pipelines_everywhere(Some(topic)).await? {
            let in_force = described?.topics.first().map(|topic| topic.revision);
            if in_force < Some(activated) {
                let said =
                    format!("node {node} has another revision in force than {activated}, which was answered");
                return Err(Failure::new(said));
            }
        }
        self.seen.record(started.elapsed());
        Ok(())
    }

    fn forget(&mut self) {
        let count = self.count;
        *self = Swaps { count, ..Swaps::default() };
    }

    /// Once it has settled, and at the end.
    fn memory(&self, swaps: u32) -> (Option<f64>, Option<f64>) {
        let [settled, over] = [SETTLED_SWAPS.min(swaps / 2), MEMORY_SWAPS.min(swaps / 10).max(1)]
            .map(|count| usize::try_from(count).unwrap_or(usize::MAX));
        let end = self.memory.len().saturating_sub(over);
        (mean_mb(self.memory.get(settled..settled + over)), mean_mb(self.memory.get(end..)))
    }
}

/// Waits until what is staged for a topic is ready on all nodes.
async fn wait_until_ready(client: &Client, topic: &str) -> Result<(), Failure> {
    loop {
        let described = client.describe_pipelines(Some(topic)).await?;
        let staged = described.topics.into_iter().next().and_then(|topic| topic.staged);
        let staged = staged.ok_or_else(|| Failure::new("somebody else has the bench's topic in hand"))?;
        if let Some((node, why)) = staged.failed.first() {
            return Err(Failure::new(format!("node {node} cannot run revision {}: {why}", staged.revision)));
        }
        if staged.waiting.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(READY_PAUSE).await;
    }
}

#[expect(clippy::cast_precision_loss, reason = "megabytes for people")]
fn mean_mb(bytes: Option<&[u64]>) -> Option<f64> {
    let bytes = bytes.filter(|bytes| !bytes.is_empty())?;
    Some(bytes.iter().sum::<u64>() as f64 / bytes.len() as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_once_it_has_settled_and_at_the_end() {
        let mut swaps = Swaps::default();
        assert_eq!(swaps.memory(1000), (None, None));
        swaps.memory =
            (0..1000).map(|swap| if swap < 500 { swap * 1_000_000 } else { 500_000_000 }).collect();
        assert_eq!(swaps.memory(1000), (Some(500.0), Some(500.0)));
        swaps.memory = vec![1_000_000];
        assert_eq!(swaps.memory(1), (Some(1.0), Some(1.0)));
    }
}
