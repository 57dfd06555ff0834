//! `weir plugins redrive`: records that a plugin failed on, sent again once it is mended.
//!
//! They pass the pipeline in force like any others, so what fails again becomes a dead letter again, behind those that
//! are read here. Nothing is removed: where to go on is printed, and is the caller's to keep.

use std::collections::BTreeMap;

use weir_client::{
    Client, ClientError, ConsumedRecord, Delivery, DeliveryResult, ErrorCode, Offset, OffsetSpec,
    PartitionIndex, Producer, ProducerConfig, Record, StartAt,
};
use weir_core::pipeline::dead_letters::HEADER_PREFIX;

use crate::cli::output::{Done, Exit, Failure, Output, grouped};

/// How many sent records may wait for their results.
const WAITING_MAX: usize = 10_000;
/// How many reasons are shown for records that are not stored.
const REASONS_MAX: usize = 10;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The topic that the records were sent to; they lie in TOPIC.dead-letter
    topic: String,
    /// Where to begin in a partition of the dead-letter topic; may be repeated [default: the first record]
    #[arg(long, value_name = "PARTITION:OFFSET", value_parser = place)]
    from: Vec<(u32, u64)>,
    /// Only count what would be sent
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: Args, client: &Client, output: Output) -> Done {
    let letters = format!("{}.dead-letter", args.topic);
    let spans = spans(client, &letters, &args.from).await?;
    let counted: u64 = spans.values().map(|(from, end)| end.0 - from.0).sum();
    if args.dry_run {
        output.line(&format!(
            "{} records of {letters} would be sent to {} again",
            grouped(counted),
            args.topic
        ))?;
        output.result(&serde_json::json!({ "topic": args.topic, "records": counted }))?;
        return Ok(Exit::Success);
    }
    let mut redrive = Redrive {
        topic: &args.topic,
        producer: client.producer(ProducerConfig::default())?,
        waiting: Vec::new(),
        tally: Tally::default(),
        output,
    };
    redrive.all(client, &letters, &spans).await?;
    let Redrive { producer, tally, .. } = redrive;
    producer.close().await;
    let Tally { records, stored, dropped, dead_lettered, not_stored, .. } = tally;
    output.line(&format!(
        "{} records of {letters} sent to {} again: {stored} stored, {dropped} dropped, {dead_lettered} dead letters again, {not_stored} not stored",
        grouped(records),
        args.topic,
    ))?;
    let next: BTreeMap<u32, u64> = spans.iter().map(|(partition, (_, end))| (partition.0, end.0)).collect();
    let flags = next.iter().map(|(partition, end)| format!("--from {partition}:{end}")).collect::<Vec<_>>();
    output.note(&format!("what comes later begins at: {}", flags.join(" ")));
    output.result(&serde_json::json!({
        "topic": args.topic, "records": records, "stored": stored, "dropped": dropped,
        "dead_lettered": dead_lettered, "not_stored": not_stored, "next": next,
    }))?;
    Ok(if not_stored + dead_lettered == 0 { Exit::Success } else { Exit::Failed })
}

/// What there is to read of each partition, up to the end of this moment.
async fn spans(
    client: &Client,
    letters: &str,
    from: &[(u32, u64)],
) -> Result<BTreeMap<PartitionIndex, (Offset, Offset)>, Failure> {
    let topic = client.topic(letters).await.map_err(|error| match error {
        ClientError::UnknownTopic { .. } => Failure::new(format!(
            "there is no topic '{letters}': it comes with a plugin that is bound with --on-failure dead-letter"
        )),
        error => error.into(),
    })?;
    let partitions: Vec<_> = topic.partitions.iter().map(|partition| partition.index).collect();
    if let Some((unknown, _)) = from.iter().find(|(at, _)| !partitions.contains(&PartitionIndex(*at))) {
        let count = partitions.len();
        return Err(Failure::new(format!(
            "topic '{letters}' has no partition {unknown}; it has {count}, numbered from 0"
        )));
    }
    let all = |spec| partitions.iter().map(|partition| (*partition, spec)).collect::<Vec<_>>();
    let starts = client.list_offsets(letters, &all(OffsetSpec::Earliest)).await?;
    let ends = client.list_offsets(letters, &all(OffsetSpec::Latest)).await?;
    let mut spans = BTreeMap::new();
    for ((partition, start), end) in partitions.into_iter().zip(starts).zip(ends) {
        let asked = from.iter().find(|(at, _)| *at == partition.0).map(|(_, offset)| Offset(*offset));
        let from = asked.unwrap_or(start.offset).max(start.offset);
        spans.insert(partition, (from.min(end.offset), end.offset));
    }
    Ok(spans)
}

/// Sending under way.
struct Redrive<'a> {
    topic: &'a str,
    producer: Producer,
    waiting: Vec<Delivery>,
    tally: Tally,
    output: Output,
}

/// What became of the records.
#[derive(Debug, Default)]
struct Tally {
    records: u64,
    stored: u64,
    dropped: u64,
    dead_lettered: u64,
    not_stored: u64,
    shown: usize,
}

impl Redrive<'_> {
    async fn all(
        &mut self,
        client: &Client,
        letters: &str,
        spans: &BTreeMap<PartitionIndex, (Offset, Offset)>,
    ) -> Result<(), Failure> {
        let mut consumer = client.consumer(weir_client::ConsumerConfig::default())?;
        let mut open: BTreeMap<PartitionIndex, Offset> = BTreeMap::new();
        for (partition, (from, end)) in spans.iter().filter(|(_, (from, end))| from < end) {
            consumer.assign(letters, *partition, StartAt::Offset(*from)).await?;
            open.insert(*partition, *end);
        }
        while !open.is_empty() {
            let batch = consumer.next_batch().await?;
            let partition = batch.partition();
            let Some(end) = open.get(&partition).copied() else { continue };
            for record in batch.iter().filter(|record| record.offset < end) {
                self.send(&record).await?;
            }
            if batch.next_offset() >= end {
                consumer.unassign(letters, partition);
                open.remove(&partition);
            }
        }
        self.settle().await
    }

    /// Sends a record as it first was: to the partition that its producer named, if it did, without what was noted on
    /// it since.
    async fn send(&mut self, record: &ConsumedRecord<'_>) -> Result<(), Failure> {
        let (noted, own): (Vec<_>, Vec<_>) =
            record.headers.partition(|(name, _)| name.starts_with(HEADER_PREFIX));
        let partition = noted.iter().find(|(name, _)| name.strip_prefix(HEADER_PREFIX) == Some("partition"));
        let partition = partition
            .and_then(|(_, value)| std::str::from_utf8((*value)?).ok()?.parse().ok())
            .map(PartitionIndex);
        let again = Record {
            topic: self.topic,
            partition,
            key: record.key,
            value: record.value,
            headers: &own,
            timestamp_ms: Some(record.timestamp_ms),
        };
        self.waiting.push(self.producer.send(again).await?);
        self.tally.records += 1;
        if self.waiting.len() >= WAITING_MAX { self.settle().await } else { Ok(()) }
    }

    /// Waits for the results of what was sent.
    async fn settle(&mut self) -> Result<(), Failure> {
        for delivery in std::mem::take(&mut self.waiting) {
            let tally = &mut self.tally;
            match delivery.await {
                DeliveryResult::Stored { .. } => tally.stored += 1,
                DeliveryResult::Dropped => tally.dropped += 1,
                DeliveryResult::Rejected(error) if error.code == ErrorCode::DeadLettered => {
                    tally.dead_lettered += 1;
                }
                DeliveryResult::Rejected(error) | DeliveryResult::Failed(error) => {
                    tally.not_stored += 1;
                    complain(self.output, &mut tally.shown, &format!("a record is not stored: {error}"));
                }
                DeliveryResult::Unknown(error) => {
                    tally.not_stored += 1;
                    let sentence = format!("nobody can say whether a record is stored: {error}");
                    complain(self.output, &mut tally.shown, &sentence);
                }
            }
        }
        Ok(())
    }
}

fn complain(output: Output, shown: &mut usize, sentence: &str) {
    if *shown < REASONS_MAX {
        output.note(&format!("weir: {sentence}"));
    }
    *shown += 1;
}

fn place(text: &str) -> Result<(u32, u64), String> {
    let parsed = text
        .split_once(':')
        .and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
    parsed.ok_or_else(|| "write PARTITION:OFFSET, such as 0:1200".to_owned())
}
