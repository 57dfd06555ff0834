//! `weir consume`: prints records.

mod format;
mod member;
mod range;
mod sink;

use std::io::IsTerminal;

use clap::ValueEnum;
use serde::Serialize;
use tokio::time::Instant;
use weir_client::{
    Client, ClientError, ConsumedBatch, Consumer, ConsumerConfig, ConsumerEvent, Offset, PartitionIndex,
    ResetPolicy,
};

pub(super) use self::range::{Since, time};

use self::member::Member;
use self::range::{Ranges, Start};
use self::sink::{Hangup, Sink};
use super::global::Global;
use super::output::{Done, Exit, Failure, Output};
use super::progress::Progress;
use super::signals::Interrupts;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The topic
    topic: String,
    /// Take part in this group: share the partitions with its other members, go on where it left off
    #[arg(long, value_name = "G", conflicts_with_all = ["since", "partition"])]
    group: Option<String>,
    /// A name within the group that outlives the process: back within the session, it has what it had
    #[arg(long, value_name = "ID", requires = "group")]
    instance: Option<String>,
    /// Start at the first record stored (in a group: where nothing was committed)
    #[arg(long, conflicts_with_all = ["offset", "since"])]
    from_beginning: bool,
    /// Start at earliest, latest or an offset [default: latest]
    #[arg(long, value_name = "earliest|latest|N", conflicts_with = "since", value_parser = range::offset)]
    offset: Option<Start>,
    /// Start at a time: 2018-02-01T12:00:00Z, milliseconds since 1970, or how long ago, such as 10m
    #[arg(long, value_name = "TIME", value_parser = range::time)]
    since: Option<range::Since>,
    /// Only this partition
    #[arg(long, value_name = "N")]
    partition: Option<u32>,
    /// End after so many records
    #[arg(long, value_name = "N")]
    max: Option<u64>,
    /// End at what is the end now, instead of waiting for more
    #[arg(long)]
    until_end: bool,
    /// value: each value and a newline; json: one object a line with topic, partition, offset, timestamp, key, value, headers
    #[arg(long, value_enum, default_value_t = Format::Value)]
    format: Format,
}

/// How a record is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Value,
    Json,
}

/// What was printed, for scripts.
#[derive(Debug, Serialize)]
struct Summary {
    records: u64,
    bytes: u64,
    seconds: f64,
}

pub(super) async fn run(args: Args, global: &Global, output: Output) -> Done {
    let mut interrupts = Interrupts::listen()?;
    let started = Instant::now();
    let mut reading = tokio::select! {
        reading = Reading::start(&args, global, output) => reading?,
        () = interrupts.next() => return Ok(Exit::Interrupted),
    };
    let ended = tokio::select! {
        ended = reading.all() => ended,
        () = interrupts.next() => Ok(Ended::Interrupted),
    };
    let records = reading.records();
    // Whatever ended it: what was read is printed, and only then is said what went wrong.
    let bytes = tokio::select! {
        printed = reading.close() => printed?,
        () = interrupts.next() => return Ok(Exit::Interrupted),
    };
    let ended = ended?;
    output.result(&Summary { records, bytes, seconds: started.elapsed().as_secs_f64() })?;
    match ended {
        Ended::Done => Ok(Exit::Success),
        // Without an end of its own, Ctrl-C is how it is ended.
        Ended::Interrupted if !args.until_end && args.max.is_none() => Ok(Exit::Success),
        Ended::Interrupted => Ok(Exit::Interrupted),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// All that was asked for is printed, or whoever read it has read enough.
    Done,
    Interrupted,
}

/// Records on their way to stdout.
enum Reading {
    /// Of partitions that this command chose.
    Alone(Box<Alone>),
    /// Of partitions that a group gives it.
    Member(Box<Member>),
}

impl Reading {
    async fn start(args: &Args, global: &Global, output: Output) -> Result<Reading, Failure> {
        let client = global.connect(output).await?;
        let printing = Printing::start(args);
        Ok(match &args.group {
            Some(group) => {
                Reading::Member(Box::new(Member::start(args, group, client, printing, output).await?))
            }
            None => Reading::Alone(Box::new(
                Alone::start(args, global.verbose > 0, client, printing, output).await?,
            )),
        })
    }

    /// Prints until there is nothing more to print.
    async fn all(&mut self) -> Result<Ended, Failure> {
        match self {
            Reading::Alone(alone) => alone.all().await,
            Reading::Member(member) => member.all().await,
        }
    }

    fn records(&self) -> u64 {
        match self {
            Reading::Alone(alone) => alone.printing.records,
            Reading::Member(member) => member.printing.records,
        }
    }

    /// Prints what is left; says how many bytes were printed in all.
    async fn close(self) -> Result<u64, Failure> {
        match self {
            Reading::Alone(alone) => alone.close().await,
            Reading::Member(member) => member.close().await,
        }
    }
}

/// The printing of records.
struct Printing {
    format: Format,
    /// How many more records are to be printed, if that is bounded.
    left: Option<u64>,
    records: u64,
    /// Formatted, and not handed to the sink yet.
    buffer: Vec<u8>,
    sink: Sink,
    hangup: Hangup,
}

impl Printing {
    fn start(args: &Args) -> Printing {
        Printing {
            format: args.format,
            left: args.max,
            records: 0,
            buffer: Vec::with_capacity(2 * sink::BUFFER_BYTES),
            sink: Sink::start(),
            hangup: Hangup::of_stdout(),
        }
    }

    fn is_done(&self) -> bool {
        self.left == Some(0)
    }

    /// Prints what is wanted of a batch; returns the offset behind what was.
    fn print(&mut self, batch: &ConsumedBatch, end: Option<Offset>) -> Offset {
        for record in batch {
            if self.is_done() || end.is_some_and(|end| record.offset >= end) {
                return record.offset;
            }
            match self.format {
                Format::Value => format::value(&record, &mut self.buffer),
                Format::Json => format::json(batch.topic(), batch.partition(), &record, &mut self.buffer),
            }
            self.records += 1;
            self.left = self.left.map(|left| left - 1);
        }
        batch.next_offset()
    }

    /// Hands over what is formatted; `false` when nobody takes it any more.
    async fn hand_over(&mut self) -> bool {
        self.sink.write(&mut self.buffer).await
    }

    /// As [`hand_over`](Printing::hand_over), once there is enough to be worth it.
    async fn hand_over_much(&mut self) -> bool {
        self.buffer.len() < sink::BUFFER_BYTES || self.hand_over().await
    }
}

/// A consumer of partitions that were chosen.
struct Alone {
    client: Client,
    consumer: Consumer,
    topic: String,
    ranges: Ranges,
    printing: Printing,
    progress: Progress,
    is_verbose: bool,
    output: Output,
}

impl Alone {
    async fn start(
        args: &Args,
        is_verbose: bool,
        client: Client,
        printing: Printing,
        output: Output,
    ) -> Result<Alone, Failure> {
        let start = start_of(args);
        let ranges = Ranges::find(&client, &args.topic, args.partition, start, args.until_end).await?;
        let mut consumer =
            client.consumer(ConsumerConfig { reset: reset_of(start), ..ConsumerConfig::default() })?;
        if args.partition.is_none() && !args.until_end {
            // Also those that are added meanwhile.
            consumer.assign_all(&args.topic, range::start_at(start)).await?;
        } else {
            for (partition, from) in ranges.open() {
                consumer.assign(&args.topic, partition, from).await?;
            }
        }
        let progress = match args.max.or(ranges.record_count()) {
            // Whoever sees the records sees how far they have come.
            _ if std::io::stdout().is_terminal() => Progress::hidden(),
            Some(records) => Progress::towards(records, "records"),
            None => Progress::endless("records"),
        };
        let topic = args.topic.clone();
        Ok(Alone { client, consumer, topic, ranges, printing, progress, is_verbose, output })
    }

    async fn all(&mut self) -> Result<Ended, Failure> {
        while !self.ranges.is_done() && !self.printing.is_done() {
            let event = tokio::select! {
                biased;
                event = self.consumer.next_event() => event,
                // Nothing is there at the moment: whoever reads along sees everything so far.
                () = std::future::ready(()), if !self.printing.buffer.is_empty() => {
                    if !self.printing.hand_over().await {
                        return Ok(Ended::Done);
                    }
                    continue;
                }
                () = self.printing.hangup.comes() => return Ok(Ended::Done),
            };
            match event.map_err(in_our_words)? {
                ConsumerEvent::Records(batch) => {
                    let end = self.ranges.end_of(batch.partition());
                    self.printing.print(&batch, end);
                    self.progress.at(self.printing.records);
                    self.reached(batch.partition(), batch.next_offset());
                }
                ConsumerEvent::CaughtUp { topic, partition, high_watermark } => {
                    if self.is_verbose {
                        self.say(&format!("read all of {topic}-{partition}, up to offset {high_watermark}"));
                    }
                    self.reached(partition, high_watermark);
                }
                ConsumerEvent::Reset { topic, partition, from, to } => {
                    self.say(&moved(&topic, partition, from, to));
                    self.reached(partition, to);
                }
                // It takes part in none.
                ConsumerEvent::Group(_) => {}
            }
            if !self.printing.hand_over_much().await {
                return Ok(Ended::Done);
            }
        }
        Ok(Ended::Done)
    }

    fn say(&self, line: &str) {
        self.progress.around(|| self.output.note(line));
    }

    async fn close(mut self) -> Result<u64, Failure> {
        self.progress.end();
        self.printing.hand_over().await;
        let bytes = self.printing.sink.close().await?;
        self.client.close().await;
        Ok(bytes)
    }

    fn reached(&mut self, partition: PartitionIndex, offset: Offset) {
        if self.ranges.reached(partition, offset) {
            self.consumer.unassign(&self.topic, partition);
        }
    }
}

fn moved(topic: &str, partition: PartitionIndex, from: Offset, to: Offset) -> String {
    format!("weir: offset {from} of {topic}-{partition} is not stored any more; going on at {to}")
}

fn start_of(args: &Args) -> Start {
    match (args.from_beginning, args.offset, args.since) {
        (true, ..) => Start::Earliest,
        (_, Some(offset), _) => offset,
        (_, _, Some(since)) => since.resolve(),
        _ => Start::Latest,
    }
}

/// The client speaks to programs, of settings that this command has no flag for.
fn in_our_words(error: ClientError) -> Failure {
    match error {
        ClientError::OffsetOutOfRange { topic, partition, position, log_start, high_watermark } => {
            Failure::new(format!(
                "offset {position} of {topic}-{partition} is not stored: give --offset {log_start} to {high_watermark}, earliest or latest"
            ))
        }
        ClientError::LogTruncated { topic, partition, diverges_at, .. } => {
            let from = diverges_at.offset;
            Failure::new(format!(
                "the log of {topic}-{partition} was truncated: what was printed from offset {from} on is not stored any more; read on with --partition {partition} --offset {from}"
            ))
        }
        other => other.into(),
    }
}

/// An offset that was asked for and is not stored is an error; a place that was not named so exactly may move.
fn reset_of(start: Start) -> ResetPolicy {
    match start {
        Start::Earliest | Start::Time(_) => ResetPolicy::Earliest,
        Start::Latest => ResetPolicy::Latest,
        Start::Offset(_) => ResetPolicy::None,
    }
}
