//! `weir bench gaps`: how long each partition goes without an acknowledgement, while somebody kills nodes, stops them, or
//! holds them up.
//!
//! ```text
//!   a record a tick, to each partition in turn ──▶ topic
//!   an acknowledgement ──▶ how long after the one before it of the same partition
//! ```
//!
//! Nothing is done to the nodes here: who does it to nodes that run already (`node/benches/cluster_figures` does) finds
//! his deed by the time on the clock at which a gap began. The client is as the library makes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use weir_client::{Acks, DeliveryResult, NewTopic, PartitionIndex, Producer, ProducerConfig, Record};

use super::latencies::{Latencies, Times};
use super::machine::{CpuTimes, CpuUsed};
use super::target::{Target, Where};
use super::{key_value, some_seconds};
use crate::cli::global::Global;
use crate::cli::output::{Failure, Output, grouped};
use crate::cli::signals::stdin_ended;
use crate::outside::{Clock, SystemClock};

/// Replicas of the topic, where there are as many nodes.
const REPLICAS_MAX: u32 = 3;
/// So many gaps are told at most: the longest would be among those that are left out only in a very long run.
const GAPS_MAX: usize = 10_000;
/// How long is waited in the end for what is not acknowledged yet.
const END_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A topic that is there already, and stays [default: one of the bench's own]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["partitions", "config"])]
    topic: Option<String>,
    /// Partitions of the topic [default: 6]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    partitions: Option<u32>,
    /// Configuration of the topic, such as write.caching=true; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    config: Vec<(String, String)>,
    /// What must hold before a record counts as stored: 1 or all
    #[arg(long, value_name = "1|all", default_value = "all")]
    acks: Acks,
    /// Records a second, all partitions together
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    record_size: u32,
    /// The shortest gap that is told
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    gap_ms: u64,
    /// Stop after so many seconds
    #[arg(long, value_name = "S", default_value_t = 5.0, value_parser = some_seconds)]
    seconds: f64,
    /// Stop when standard input ends, or after --seconds
    #[arg(long)]
    stop_with_stdin: bool,
    #[command(flatten)]
    place: Where,
}

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    bench: &'static str,
    partitions: u32,
    rate: u32,
    sent: u64,
    stored: u64,
    /// Records that were not stored, or of which nobody could say.
    failed: u64,
    unknown: u64,
    /// From when a record should have been sent until it was acknowledged.
    records: Times,
    /// The longest of all gaps; `null` where there is none of --gap-ms.
    longest_gap_ms: Option<u64>,
    gaps: Vec<Gap>,
    /// Of those that were found after the first ten thousand.
    gaps_left_out: u64,
    other_cores: Option<f64>,
}

/// A time without an acknowledgement.
#[derive(Clone, Copy, Debug, Serialize)]
struct Gap {
    partition: u32,
    /// The acknowledgement before it, in milliseconds since 1970.
    from_unix_ms: i64,
    ms: u64,
    /// Whether it was over when the bench stopped.
    ended: bool,
}

impl Figures {
    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let longest = self.longest_gap_ms.map_or("none".to_owned(), |ms| format!("the longest {ms} ms"));
        vec![
            format!(
                "records     {} sent to {} partitions, {} a second; {} failed, {} unknown",
                grouped(self.sent),
                self.partitions,
                grouped(u64::from(self.rate)),
                self.failed,
                self.unknown
            ),
            self.records.line("times"),
            format!("gaps        {}; {longest}", self.gaps.len()),
        ]
    }
}

pub(super) async fn run(args: &Args, global: &Global, output: Output) -> Result<Figures, Failure> {
    if args.acks == Acks::None {
        return Err(Failure::new("with --acks 0 nothing is acknowledged: say 1 or all"));
    }
    let target = Target::start(&args.place, global, output).await?;
    let client = target.connect().await?;
    let (topic, is_own) = match &args.topic {
        Some(topic) => (topic.clone(), false),
        None => (create_topic(args, &client).await?, true),
    };
    let described = client.describe_topic(&topic).await?;
    let partitions = u32::try_from(described.partitions.len()).unwrap_or(u32::MAX);
    let board = Arc::new(Board::new(partitions, Duration::from_millis(args.gap_ms)));
    let producer = client.producer(ProducerConfig { acks: args.acks, ..ProducerConfig::default() })?;
    warm_up(&producer, &topic, partitions).await?;
    output.note("weir: records flow to all partitions");
    let (before, started) = (CpuTimes::now(&target.pids), Instant::now());
    board.begin();
    tokio::select! {
        biased;
        () = stdin_ended(), if args.stop_with_stdin => {}
        () = tokio::time::sleep(Duration::from_secs_f64(args.seconds)) => {}
        failed = send(args, &producer, &topic, partitions, &board) => return Err(failed),
    }
    let used = CpuUsed::between(before, CpuTimes::now(&target.pids), started.elapsed().as_secs_f64());
    let state = board.end();
    // What is late is told by the open gaps; whether it is stored in the end matters too.
    let _ = tokio::time::timeout(END_PATIENCE, producer.close()).await;
    let figures = figures(args, partitions, &board, state, used);
    client.close().await;
    target.stop(is_own.then_some(topic.as_str())).await?;
    Ok(figures)
}

async fn create_topic(args: &Args, client: &weir_client::Client) -> Result<String, Failure> {
    let name = format!("weir-bench-{:08x}", fastrand::u32(..));
    let nodes = u32::try_from(client.describe_cluster().await?.nodes.len()).unwrap_or(u32::MAX);
    let mut topic = NewTopic::new(&name)
        .partitions(args.partitions.unwrap_or(6))
        .replication_factor(nodes.clamp(1, REPLICAS_MAX));
    for (key, value) in &args.config {
        topic = topic.config(key, value);
    }
    client.create_topic(topic).await?;
    Ok(name)
}

/// One record to each partition: what a lane takes to be opened is no gap.
async fn warm_up(producer: &Producer, topic: &str, partitions: u32) -> Result<(), Failure> {
    let mut deliveries = Vec::new();
    for partition in (0..partitions).map(PartitionIndex) {
        let record = Record::to(topic).partition(partition).value(b"warm-up");
        deliveries.push(producer.send(record).await?);
    }
    for delivery in deliveries {
        if let DeliveryResult::Failed(error)
        | DeliveryResult::Unknown(error)
        | DeliveryResult::Rejected(error) = delivery.await
        {
            return Err(Failure::new(format!("the first record was not stored: {error}")));
        }
    }
    Ok(())
}

/// Sends for as long as it is polled; a failure ends it.
async fn send(args: &Args, producer: &Producer, topic: &str, partitions: u32, board: &Arc<Board>) -> Failure {
    let value = vec![b'x'; usize::try_from(args.record_size).unwrap_or(0)];
    let pause = Duration::from_secs(1) / args.rate;
    let mut intended = Instant::now();
    for partition in (0..partitions).cycle() {
        tokio::time::sleep_until(intended).await;
        let record = Record::to(topic).partition(PartitionIndex(partition)).value(&value);
        let delivery = match producer.send(record).await {
            Ok(delivery) => delivery,
            Err(error) => return error.into(),
        };
        board.state().sent += 1;
        let board = Arc::clone(board);
        tokio::spawn(async move { board.settled(partition, intended, &delivery.await) });
        intended += pause;
    }
    Failure::new("the topic has no partitions")
}

fn figures(args: &Args, partitions: u32, board: &Board, gaps: Vec<Gap>, used: CpuUsed) -> Figures {
    let state = board.state();
    Figures {
        bench: "gaps",
        partitions,
        rate: args.rate,
        sent: state.sent,
        stored: state.stored,
        failed: state.failed,
        unknown: state.unknown,
        records: Times::of(&board.times),
        longest_gap_ms: gaps.iter().map(|gap| gap.ms).max(),
        gaps,
        gaps_left_out: state.left_out,
        other_cores: used.other_cores,
    }
}

/// What was acknowledged when.
struct Board {
    shortest: Duration,
    clock: SystemClock,
    times: Latencies,
    state: Mutex<State>,
}

struct State {
    /// Of each partition, the last acknowledgement.
    last: Vec<Instant>,
    /// The moment that the clock's time belongs to.
    began: (Instant, i64),
    gaps: Vec<Gap>,
    left_out: u64,
    is_over: bool,
    sent: u64,
    stored: u64,
    failed: u64,
    unknown: u64,
}

impl Board {
    fn new(partitions: u32, shortest: Duration) -> Board {
        let clock = SystemClock::start();
        let began = (Instant::now(), clock.now().wall_ms);
        let state = State {
            last: (0..partitions).map(|_| began.0).collect(),
            began,
            gaps: Vec::new(),
            left_out: 0,
            is_over: false,
            sent: 0,
            stored: 0,
            failed: 0,
            unknown: 0,
        };
        Board { shortest, clock, times: Latencies::new(), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gaps are looked for from here on.
    fn begin(&self) {
        let mut state = self.state();
        state.began = (Instant::now(), self.clock.now().wall_ms);
        let began = state.began.0;
        state.last.fill(began);
    }

    /// A record has its result.
    fn settled(&self, partition: u32, intended: Instant, result: &DeliveryResult) {
        let (now, mut state) = (Instant::now(), self.state());
        match result {
            DeliveryResult::Stored { .. } => {
                state.stored += 1;
                if !state.is_over {
                    self.times.record(now.saturating_duration_since(intended));
                    state.acknowledged(partition, now, self.shortest, true);
                }
            }
            DeliveryResult::Unknown(_) => state.unknown += 1,
            DeliveryResult::Failed(_) | DeliveryResult::Rejected(_) | DeliveryResult::Dropped => {
                state.failed += 1;
            }
        }
    }

    /// All gaps, those included that nobody saw the end of.
    fn end(&self) -> Vec<Gap> {
        let (now, mut state) = (Instant::now(), self.state());
        state.is_over = true;
        for partition in 0..u32::try_from(state.last.len()).unwrap_or(u32::MAX) {
            state.acknowledged(partition, now, self.shortest, false);
        }
        std::mem::take(&mut state.gaps)
    }
}

impl State {
    fn acknowledged(&mut self, partition: u32, now: Instant, shortest: Duration, ended: bool) {
        let Some(last) = usize::try_from(partition).ok().and_then(|at| self.last.get_mut(at)) else { return };
        let before = std::mem::replace(last, now);
        let gap = now.saturating_duration_since(before);
        if gap < shortest {
            return;
        }
        if self.gaps.len() >= GAPS_MAX {
            self.left_out += 1;
            return;
        }
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let (began, began_unix_ms) = self.began;
        let since_began = millis(before.saturating_duration_since(began));
        let from_unix_ms = began_unix_ms.saturating_add_unsigned(since_began);
        self.gaps.push(Gap { partition, from_unix_ms, ms: millis(gap), ended });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_gaps_of_its_own() {
        let board = Board::new(2, Duration::from_millis(50));
        let began = board.state().began;
        let at = |ms| began.0 + Duration::from_millis(ms);
        for (partition, ms) in [(0, 10), (1, 30), (0, 59), (1, 80), (0, 300), (1, 100)] {
            board.state().acknowledged(partition, at(ms), board.shortest, true);
        }
        let gaps = std::mem::take(&mut board.state().gaps);
        let told: Vec<_> =
            gaps.iter().map(|gap| (gap.partition, gap.from_unix_ms - began.1, gap.ms)).collect();
        assert_eq!(told, [(1, 30, 50), (0, 59, 241)]);
        board.state().acknowledged(1, at(900), board.shortest, false);
        assert!(!board.state().gaps[0].ended && board.state().gaps[0].ms == 800);
    }
}
