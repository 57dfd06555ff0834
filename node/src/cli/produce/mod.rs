//! `weir produce`: sends lines as records.

pub(super) mod keys;
mod lines;
mod pace;
mod tally;

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use weir_client::{
    Acks, Client, Compression, DeliveredRun, DeliveryResult, PartitionIndex, Producer, ProducerConfig,
    Record, SendError,
};

use self::keys::{KeyRule, Split};
use self::lines::{Chunk, Line, LineReader};
use self::pace::Pace;
use self::tally::Tally;
use super::files;
use super::global::Global;
use super::output::{Done, Exit, Failure, Output};
use super::progress::Progress;
use super::signals::Interrupts;

/// Chunks of lines that were read and not taken yet.
const CHUNKS_QUEUED_MAX: usize = 4;
/// How long records that were taken may go on after Ctrl-C; a second one ends that too.
const FLUSH_AFTER_INTERRUPT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The topic
    topic: String,
    /// Lines to send, without their newline (a carriage return stays) [default: standard input]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// A line is KEY, S, VALUE; a line without S has no key
    #[arg(long, value_name = "S", conflicts_with = "key_field", value_parser = not_empty)]
    key_separator: Option<String>,
    /// The key is this field of the line's JSON object; a line without it has no key
    #[arg(long, value_name = "NAME")]
    key_field: Option<String>,
    /// A key or a value that is S is none (Kafka's null.marker); a key without a value is deleted where cleanup.policy is
    /// compact
    #[arg(long, value_name = "S", value_parser = not_empty)]
    null_marker: Option<String>,
    /// Send to this partition, whatever the topic's partitioner says
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// What must hold before a record counts as stored: 0, 1 or all
    #[arg(long, value_name = "0|1|all", default_value = "all")]
    acks: Acks,
    /// How batches are compressed: none, gzip, snappy, lz4 or zstd
    #[arg(long, value_name = "C", default_value = "none")]
    compression: Compression,
    /// Send at most so many records a second
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Send a batch at this size
    #[arg(long, value_name = "BYTES")]
    batch_size: Option<u32>,
    /// How long a batch waits for more records
    #[arg(long, value_name = "MS")]
    linger_ms: Option<u64>,
}

pub(super) async fn run(args: Args, global: &Global, output: Output) -> Done {
    let input = Input::open(&args)?;
    let mut interrupts = Interrupts::listen()?;
    let client = tokio::select! {
        client = global.connect(output) => client?,
        () = interrupts.next() => return Ok(Exit::Interrupted),
    };
    let topic = client.topic(&args.topic).await?;
    if let Some(partition) = args.partition {
        check_partition(&args.topic, partition, topic.partitions.len())?;
    }
    let producer = client.producer(producer_config(&args, global.verbose > 0, output))?;
    let progress = input.progress();
    let mut sending = Sending {
        args: &args,
        rule: KeyRule::of(args.key_separator.as_deref(), args.key_field.as_deref()),
        line_bytes_max: topic.batch_bytes_max,
        producer: &producer,
        tally: Tally::new(output, progress.clone()),
        pace: args.rate.map(Pace::start),
        progress,
    };
    let started = Instant::now();
    let mut chunks = read_lines(input.source, topic.batch_bytes_max);
    let ended = tokio::select! {
        ended = sending.all(&mut chunks) => ended,
        () = interrupts.next() => Ended::Interrupted,
    };
    if ended == Ended::Interrupted {
        output.note("weir: interrupted; waiting for what was sent (a second Ctrl-C stops that too)");
        tokio::select! {
            _ = tokio::time::timeout(FLUSH_AFTER_INTERRUPT, sending.settle()) => {}
            () = interrupts.next() => {}
        }
    } else {
        tokio::select! {
            () = sending.settle() => {}
            () = interrupts.next() => {}
        }
    }
    let summary = sending.tally.summarise(started.elapsed());
    summary.show(output)?;
    close(client, producer).await;
    match (ended, summary.is_good()) {
        (Ended::Interrupted, _) => Ok(Exit::Interrupted),
        (Ended::InputDone, true) => Ok(Exit::Success),
        _ => Ok(Exit::Failed),
    }
}

/// Why no more is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    InputDone,
    /// The input or the cluster failed in a way that sending more cannot mend; it was said.
    GaveUp,
    Interrupted,
}

/// Sends chunk after chunk.
struct Sending<'a> {
    args: &'a Args,
    rule: KeyRule<'a>,
    line_bytes_max: u32,
    producer: &'a Producer,
    tally: Tally,
    pace: Option<Pace>,
    progress: Progress,
}

impl Sending<'_> {
    /// Sends every line. Dropping the future leaves the tally right: what was not taken was not counted.
    async fn all(&mut self, chunks: &mut mpsc::Receiver<std::io::Result<Chunk>>) -> Ended {
        let mut sent_bytes = 0;
        loop {
            let chunk = tokio::select! {
                biased;
                chunk = chunks.recv() => chunk,
                // While the input pauses, results are told as they come, and tell whether to go on makes sense.
                () = self.tally.take_oldest(), if self.tally.is_waiting() => {
                    if self.tally.cluster_is_gone() {
                        return Ended::GaveUp;
                    }
                    continue;
                }
            };
            let chunk = match chunk {
                None => return Ended::InputDone,
                Some(Ok(chunk)) => chunk,
                Some(Err(error)) => {
                    self.tally.complain(&format!("cannot read on: {error}"));
                    return Ended::GaveUp;
                }
            };
            for (number, line) in chunk.lines() {
                if let Err(gave_up) = self.line(number, line).await {
                    return gave_up;
                }
                sent_bytes += line.input_bytes();
                // At a rate a chunk may take long; without one it does not, and lines are many.
                if self.pace.is_some() {
                    self.progress.at(sent_bytes);
                }
            }
            self.progress.at(chunk.input_bytes());
        }
    }

    async fn line(&mut self, number: u64, line: Line<'_>) -> Result<(), Ended> {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::TooLong { bytes } => {
                let limit = self.line_bytes_max;
                self.tally.refused(
                    number,
                    &format!("has {bytes} bytes, and the topic's max.message.bytes is {limit}: it was not sent; create the topic with a larger one"),
                );
                return Ok(());
            }
        };
        if let Some(pace) = &mut self.pace {
            pace.wait().await;
        }
        let Split { key, value } = self.rule.split(bytes);
        let marker = self.args.null_marker.as_deref().map(str::as_bytes);
        let key = key.filter(|key| marker != Some(&**key));
        let value = Some(value).filter(|value| marker != Some(value));
        let record = Record {
            topic: &self.args.topic,
            partition: self.args.partition.map(PartitionIndex),
            key: key.as_deref(),
            value,
            headers: &[],
            timestamp_ms: None,
        };
        self.tally.make_room().await;
        match self.producer.send(record).await {
            Ok(delivery) => {
                let sent = key.as_deref().map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
                self.tally.sent(number, sent, key.is_none() && self.rule.wants_keys(), delivery);
            }
            Err(error @ SendError::RecordTooLarge { .. }) => {
                self.tally.refused(number, &format!("was not sent: {error}"));
            }
            Err(error) => {
                self.tally.refused(number, &format!("was not sent, nor is what follows: {error}"));
                return Err(Ended::GaveUp);
            }
        }
        self.tally.take_results();
        if self.tally.cluster_is_gone() { Err(Ended::GaveUp) } else { Ok(()) }
    }

    /// Waits for all results.
    async fn settle(&mut self) {
        tokio::join!(self.producer.flush(), self.tally.settle());
    }
}

/// Closing waits for everything under way; after an interruption that was given up already.
async fn close(client: Client, producer: Producer) {
    if producer.metrics().pending() == 0 {
        producer.close().await;
        client.close().await;
    }
}

fn producer_config(args: &Args, verbose: bool, output: Output) -> ProducerConfig {
    let defaults = ProducerConfig::default();
    let batch_bytes = args.batch_size.unwrap_or(defaults.batch_bytes);
    let config = ProducerConfig {
        acks: args.acks,
        compression: args.compression,
        batch_bytes,
        buffer_bytes: defaults.buffer_bytes.max(batch_bytes),
        linger: args.linger_ms.map_or(defaults.linger, Duration::from_millis),
        delivery_timeout: defaults.delivery_timeout.max(Duration::from_millis(args.linger_ms.unwrap_or(0))),
        // A full buffer is waited for until the records in it have their results, whatever those are.
        max_block: defaults.delivery_timeout * 2,
        ..defaults
    };
    if verbose { config.on_delivery(move |run| output.note(&promise(run))) } else { config }
}

/// Which promise was kept for some records, as a line for people.
fn promise(run: &DeliveredRun<'_>) -> String {
    let records = run.records;
    match run.first {
        DeliveryResult::Stored { partition, offset, duplicate, promise } => {
            let offset = offset.map_or("?".to_owned(), |offset| offset.to_string());
            let flushed = if promise.flushed { "flushed" } else { "not flushed" };
            let duplicate = if *duplicate { ", stored by an earlier try" } else { "" };
            let (replicas, revision) = (promise.replicas, promise.revision);
            format!(
                "{records} records in partition {partition} from offset {offset}: replicas {replicas}, {flushed}, revision {revision}{duplicate}"
            )
        }
        DeliveryResult::Dropped => format!("{records} records dropped by an interceptor"),
        DeliveryResult::Rejected(error) => format!("{records} records rejected: {error}"),
        DeliveryResult::Failed(error) => format!("{records} records failed: {error}"),
        DeliveryResult::Unknown(error) => format!("{records} records with unknown outcome: {error}"),
    }
}

/// Where the lines come from.
struct Input {
    source: Box<dyn Read + Send>,
    bytes: Option<u64>,
    is_terminal: bool,
}

impl Input {
    fn open(args: &Args) -> Result<Input, Failure> {
        match &args.input {
            Some(path) => {
                let (file, bytes) = files::open_input(path)?;
                Ok(Input { source: Box::new(file), bytes, is_terminal: false })
            }
            None => {
                let stdin = std::io::stdin();
                Ok(Input { is_terminal: stdin.is_terminal(), source: Box::new(stdin), bytes: None })
            }
        }
    }

    fn progress(&self) -> Progress {
        match self.bytes {
            // Who types the lines sees how far they have come.
            _ if self.is_terminal => Progress::hidden(),
            Some(bytes) => Progress::towards(bytes, "bytes"),
            None => Progress::endless("bytes"),
        }
    }
}

/// Reads lines on a thread of their own, as reading blocks; the thread ends with the input or with the process.
fn read_lines(source: Box<dyn Read + Send>, line_bytes_max: u32) -> mpsc::Receiver<std::io::Result<Chunk>> {
    let (chunks, received) = mpsc::channel(CHUNKS_QUEUED_MAX);
    std::thread::spawn(move || {
        let mut reader = LineReader::new(source, line_bytes_max);
        while let Some(chunk) = reader.next_chunk().transpose() {
            let failed = chunk.is_err();
            if chunks.blocking_send(chunk).is_err() || failed {
                break;
            }
        }
    });
    received
}

fn check_partition(topic: &str, partition: u32, count: usize) -> Result<(), Failure> {
    if usize::try_from(partition).is_ok_and(|partition| partition < count) {
        return Ok(());
    }
    Err(Failure::new(format!(
        "topic '{topic}' has no partition {partition}; it has {count}, numbered from 0"
    )))
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("it must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}
