//! `weir bench`: what a node does, as figures that a script can compare.
//!
//! ```text
//!   transport     batches ──QUIC──▶ a stream that counts and drops them: what the network alone gives
//!   produce       records ──▶ producers ──▶ topic
//!   consume                                 topic (filled before) ──▶ consumers
//!   end-to-end    records ──▶ producers ──▶ topic ──▶ consumers, at once
//!   groups        members that come and go, commits, many groups: see there
//!   swaps         records ──▶ topic, its plugins swapped all the while ──▶ a reader that counts them: see there
//!   gaps          records ──▶ topic, at a pace, while somebody kills nodes: see there
//!   plugins       records ──▶ a topic with plugins and one without, in turn: see there
//! ```
//!
//! Every client has a thread and a connection of its own. What happened in the warm-up is not counted. With `--rate` a
//! record's time runs from when it should have been sent, not from when a full buffer let it: a stall is paid for by
//! every record that should have been sent meanwhile.

mod consume;
mod gaps;
mod groups;
mod latencies;
mod machine;
mod payload;
mod phase;
mod plugins;
mod produce;
mod summary;
mod swaps;
mod target;
mod transport;

use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use weir_client::{Acks, Compression, PipelineChange};

use self::phase::{Phase, Span};
use self::summary::Summary;
use self::target::{Target, Where};
use super::global::Global;
use super::output::{Done, Exit, Failure, Output};
use super::plugins::bind::binding;
use super::signals::Interrupts;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Send batches to a stream that counts and drops them
    Transport(Run),
    /// Send records
    Produce(Run),
    /// Read records that were stored before; the times are of waiting for a batch
    Consume(Run),
    /// Send records and read them, at once; the times are from sending to reading
    EndToEnd(Run),
    /// Have members of a group come and go, commit, and be many
    Groups(groups::Args),
    /// Swap the plugins of a topic while records flow, and count the records
    Swaps(swaps::Args),
    /// Send records at a pace, and tell how long each partition went without an acknowledgement
    Gaps(gaps::Args),
    /// Send records to a topic with plugins and to one without, in turn: what the plugins cost
    Plugins(Run),
}

/// One run.
///
/// The object of --output json has records_per_second, megabytes_per_second (10^6 bytes of keys and values), p50_ms,
/// p99_ms, p999_ms, cpu_seconds_client, cpu_seconds_node, other_cores (what everybody else used meanwhile; above 0.1 the
/// machine was not quiet), what the run was asked for, such as acks, compression, rate, window, configs and
/// replication_factor, and more. A flag that a kind does not go by is refused.
#[derive(Debug, clap::Args)]
struct Run {
    #[command(flatten)]
    load: Load,
    #[command(flatten)]
    place: Where,
}

/// What is sent and read. Each kind refuses the flags that it does not go by: see [`BenchCommand::refuse_ignored`].
#[derive(Clone, Debug, clap::Args)]
struct Load {
    /// Bytes of a record's value
    #[arg(long, value_name = "BYTES", default_value_t = 1000)]
    #[arg(value_parser = clap::value_parser!(u32).range(16..=8_000_000))]
    record_size: u32,
    /// Bytes of a batch, before compression
    #[arg(long, value_name = "BYTES", conflicts_with = "batch_records")]
    #[arg(value_parser = clap::value_parser!(u32).range(100..=16_000_000))]
    batch_size: Option<u32>,
    /// Records of a batch, instead of its bytes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch_records: Option<u32>,
    /// What must hold before a record counts as stored: 0, 1 or all [default: all]
    #[arg(long, value_name = "0|1|all")]
    acks: Option<Acks>,
    /// How batches are compressed: none, gzip, snappy, lz4 or zstd
    #[arg(long, value_name = "C", default_value = "none")]
    compression: Compression,
    /// A topic that is there already, and stays; it is sent to as it is [default: one of the bench's own]
    #[arg(long, value_name = "NAME")]
    #[arg(conflicts_with_all = ["partitions", "replication_factor", "config", "interceptors", "partitioner"])]
    topic: Option<String>,
    /// Partitions of the topic [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions: Option<u32>,
    /// Replicas of each partition [default: the node's default.replication.factor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5))]
    replication_factor: Option<u32>,
    /// Configuration of the topic, such as write.caching=true; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    config: Vec<(String, String)>,
    /// A plugin that records meet on their way into the log, as `weir plugins bind` takes it; may be repeated
    #[arg(long = "interceptor", value_name = "NAME[@V]")]
    interceptors: Vec<String>,
    /// The plugin that places records
    #[arg(long, value_name = "NAME[@V]")]
    partitioner: Option<String>,
    /// A plugin that records meet on their way to consumers; may be repeated
    #[arg(long = "consumer-interceptor", value_name = "NAME[@V]")]
    consumer_interceptors: Vec<String>,
    /// How many different keys; 0 for records without one
    #[arg(long, value_name = "N", default_value_t = 0)]
    keys: u32,
    /// Clients that send [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    producers: Option<u32>,
    /// Clients that read [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    consumers: Option<u32>,
    /// Records a second, all clients together [default: as many as it takes]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// At most so many records of a client unanswered; 1 sends one at a time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    window: Option<u32>,
    /// Batches of a client under way at a time [default: 5]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    in_flight_batches: Option<u32>,
    /// How long a batch waits for more records [default: 5, with --window 0]
    #[arg(long, value_name = "MS")]
    linger_ms: Option<u64>,
    /// Stop after so many records, all clients together
    #[arg(long, value_name = "N", conflicts_with = "seconds", value_parser = clap::value_parser!(u64).range(1..))]
    records: Option<u64>,
    /// Stop after so many seconds
    #[arg(long, value_name = "S", default_value_t = 5.0, value_parser = some_seconds)]
    seconds: f64,
    /// What is not counted at the start
    #[arg(long, value_name = "S", default_value_t = 1.0, value_parser = some_seconds)]
    warmup_seconds: f64,
}

/// Batches when nobody says otherwise: about a thousand records of a thousand bytes.
const BATCH_BYTES_DEFAULT: u32 = 1 << 20;
/// What a record takes in a batch beside its key and value, at most.
const RECORD_OVERHEAD_BYTES: u32 = 36;
/// What the header of a batch takes.
const BATCH_HEADER_BYTES: u32 = 61;
/// The longest run.
const SECONDS_MAX: f64 = 86_400.0;

impl Load {
    fn acks(&self) -> Acks {
        self.acks.unwrap_or(Acks::All)
    }

    fn partitions(&self) -> u32 {
        self.partitions.unwrap_or(1)
    }

    fn producers(&self) -> u32 {
        self.producers.unwrap_or(1)
    }

    fn consumers(&self) -> u32 {
        self.consumers.unwrap_or(1)
    }

    fn in_flight_batches(&self) -> u32 {
        self.in_flight_batches.unwrap_or(5)
    }

    /// The size at which a batch is sent.
    fn batch_bytes(&self) -> u32 {
        let of_records = self.batch_records.map(|records| {
            let record = self.record_size + self.key_bytes() + RECORD_OVERHEAD_BYTES;
            records.saturating_mul(record).saturating_add(BATCH_HEADER_BYTES)
        });
        let most = weir_client::ProducerConfig::BATCH_BYTES_MAX;
        self.batch_size.or(of_records).unwrap_or(BATCH_BYTES_DEFAULT).min(most)
    }

    /// How many records of a batch fit, about.
    fn records_per_batch(&self) -> u32 {
        let record = self.record_size + self.key_bytes() + RECORD_OVERHEAD_BYTES;
        self.batch_records.unwrap_or_else(|| (self.batch_bytes() / record).max(1))
    }

    fn key_bytes(&self) -> u32 {
        if self.keys > 0 { payload::KEY_BYTES } else { 0 }
    }

    /// Bytes of a record that count.
    fn payload_bytes(&self) -> u32 {
        self.record_size + self.key_bytes()
    }

    /// The plugins of the topic, if there are any.
    fn pipeline(&self) -> Result<Option<PipelineChange>, Failure> {
        let place = |texts: &[String]| {
            let plugins = texts.iter().map(|text| binding(text)).collect::<Result<Vec<_>, _>>()?;
            Ok::<_, Failure>((!plugins.is_empty()).then_some(plugins))
        };
        let change = PipelineChange {
            producer_interceptors: place(&self.interceptors)?,
            partitioner: place(self.partitioner.as_slice())?,
            consumer_interceptors: place(&self.consumer_interceptors)?,
        };
        Ok((change != PipelineChange::default()).then_some(change))
    }

    fn linger(&self) -> Duration {
        let default = if self.window.is_some() { 0 } else { 5 };
        Duration::from_millis(self.linger_ms.unwrap_or(default))
    }

    fn span(&self) -> Span {
        match self.records {
            Some(records) => Span::Records(records),
            None => Span::Time(Duration::from_secs_f64(self.seconds)),
        }
    }

    fn warmup(&self) -> Duration {
        Duration::from_secs_f64(self.warmup_seconds)
    }
}

pub(super) async fn run(args: Args, global: &Global, output: Output) -> Done {
    let mut interrupts = Interrupts::listen()?;
    match &args.command {
        BenchCommand::Groups(args) => {
            let figures = unless_interrupted(&mut interrupts, groups::run(args, global, output)).await?;
            return figures.map_or(Ok(Exit::Interrupted), |figures| told(&figures.lines(), &figures, output));
        }
        BenchCommand::Swaps(args) => {
            let figures = unless_interrupted(&mut interrupts, swaps::run(args, global, output)).await?;
            let Some(figures) = figures else { return Ok(Exit::Interrupted) };
            let exit = told(&figures.lines(), &figures, output)?;
            return if figures.is_clean() { Ok(exit) } else { Err(Failure::new(swaps::NOT_CLEAN)) };
        }
        BenchCommand::Gaps(args) => {
            let figures = unless_interrupted(&mut interrupts, gaps::run(args, global, output)).await?;
            return figures.map_or(Ok(Exit::Interrupted), |figures| told(&figures.lines(), &figures, output));
        }
        BenchCommand::Plugins(run) => {
            args.command.refuse_ignored(&run.load)?;
            let figures = unless_interrupted(&mut interrupts, plugins::run(run, global, output)).await?;
            let Some(figures) = figures else { return Ok(Exit::Interrupted) };
            note_if_noisy(figures.quiet, output);
            return told(&figures.lines(), &figures, output);
        }
        _ => {}
    }
    let measured = unless_interrupted(&mut interrupts, measure(&args.command, global, output)).await?;
    let Some(measured) = measured else { return Ok(Exit::Interrupted) };
    note_if_noisy(measured.quiet, output);
    told(&measured.lines(), &measured, output)
}

fn note_if_noisy(is_quiet: bool, output: Output) {
    if !is_quiet {
        output.note(
            "weir: others used more than a tenth of a core meanwhile: compare nothing with these figures",
        );
    }
}

/// What was measured, unless somebody interrupts.
async fn unless_interrupted<T>(
    interrupts: &mut Interrupts,
    measuring: impl Future<Output = Result<T, Failure>>,
) -> Result<Option<T>, Failure> {
    tokio::select! {
        measured = measuring => measured.map(Some),
        // The node, its folder and the clients end with the future that is dropped here.
        () = interrupts.next() => Ok(None),
    }
}

fn told(lines: &[String], figures: &impl Serialize, output: Output) -> Done {
    for line in lines {
        output.line(line)?;
    }
    output.result(figures)?;
    Ok(Exit::Success)
}

async fn measure(command: &BenchCommand, global: &Global, output: Output) -> Result<Summary, Failure> {
    let (BenchCommand::Transport(run)
    | BenchCommand::Produce(run)
    | BenchCommand::Consume(run)
    | BenchCommand::EndToEnd(run)) = command
    else {
        return Err(Failure::new("groups, swaps, gaps and plugins are measured in their own way"));
    };
    command.refuse_ignored(&run.load)?;
    let target = Arc::new(Target::start(&run.place, global, output).await?);
    let mut load = run.load.clone();
    let phase = Phase::new(load.span());
    let topic = match (command, &load.topic) {
        (BenchCommand::Transport(_), _) => None,
        (_, Some(name)) => Some(target.topic_there(name).await?),
        _ => Some(target.create_topic(&load).await?),
    };
    load.partitions = topic.as_ref().map(|topic| topic.partitions);
    let load = &load;
    let replication_factor = topic.as_ref().map(|topic| topic.replication_factor);
    let topic = topic.map(|topic| topic.name);
    let measured = match (command, topic.as_deref()) {
        (BenchCommand::Produce(_), Some(topic)) => produce::run(load, &target, topic, &phase).await,
        (BenchCommand::Consume(_), Some(topic)) => consume::run(load, &target, topic, &phase).await,
        (BenchCommand::EndToEnd(_), Some(topic)) => consume::end_to_end(load, &target, topic, &phase).await,
        _ => transport::run(load, &target, &phase).await,
    };
    let measured = measured?;
    // All clients have ended.
    if let Ok(target) = Arc::try_unwrap(target) {
        target.stop(topic.as_deref().filter(|_| load.topic.is_none())).await?;
    }
    Ok(Summary::new(command.name(), load, replication_factor, &measured, &phase.latencies))
}

impl BenchCommand {
    /// A flag that changes nothing would let somebody compare what is the same.
    fn refuse_ignored(&self, load: &Load) -> Result<(), Failure> {
        let of_topics = [
            ("--topic", load.topic.is_some()),
            ("--acks", load.acks.is_some()),
            ("--partitions", load.partitions.is_some()),
            ("--replication-factor", load.replication_factor.is_some()),
            ("--config", !load.config.is_empty()),
            ("--interceptor", !load.interceptors.is_empty()),
            ("--partitioner", load.partitioner.is_some()),
        ];
        let of_pace = [
            ("--rate", load.rate.is_some()),
            ("--window", load.window.is_some()),
            ("--linger-ms", load.linger_ms.is_some()),
        ];
        let of_readers = [
            ("--consumers", load.consumers.is_some()),
            ("--consumer-interceptor", !load.consumer_interceptors.is_empty()),
        ];
        let of_senders = [
            ("--topic", load.topic.is_some()),
            ("--acks", load.acks.is_some()),
            ("--producers", load.producers.is_some()),
            ("--in-flight-batches", load.in_flight_batches.is_some()),
        ];
        let of_turns = [
            ("--topic", load.topic.is_some()),
            ("--producers", load.producers.is_some()),
            ("--records", load.records.is_some()),
        ];
        let ignored: &[&[(&str, bool)]] = match self {
            // Batches that are ready, to a stream without a topic.
            BenchCommand::Transport(_) => &[&of_topics, &of_pace, &of_readers],
            BenchCommand::Produce(_) => &[&of_readers],
            // One producer in turn, as fast as it goes, for a time.
            BenchCommand::Plugins(_) => &[&of_readers, &of_pace, &of_turns],
            // The topic is filled by one producer, as fast as it goes.
            BenchCommand::Consume(_) => &[&of_senders, &of_pace],
            _ => &[],
        };
        let given = ignored.iter().copied().flatten().filter(|(_, is_given)| *is_given);
        let given: Vec<&str> = given.map(|(flag, _)| *flag).collect();
        if given.is_empty() {
            return Ok(());
        }
        let (kind, flags) = (self.name(), given.join(", "));
        Err(Failure::new(format!("weir bench {kind} does not go by {flags}: leave that out")))
    }

    fn name(&self) -> &'static str {
        match self {
            BenchCommand::Transport(_) => "transport",
            BenchCommand::Produce(_) => "produce",
            BenchCommand::Consume(_) => "consume",
            BenchCommand::EndToEnd(_) => "end-to-end",
            BenchCommand::Groups(_) => "groups",
            BenchCommand::Swaps(_) => "swaps",
            BenchCommand::Gaps(_) => "gaps",
            BenchCommand::Plugins(_) => "plugins",
        }
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let pair = text.split_once('=').filter(|(key, _)| !key.is_empty());
    let (key, value) = pair.ok_or_else(|| "write KEY=VALUE, such as write.caching=true".to_owned())?;
    Ok((key.to_owned(), value.to_owned()))
}

fn some_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds));
    seconds.ok_or_else(|| format!("take 0 to {SECONDS_MAX} seconds"))
}
