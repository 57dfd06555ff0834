//! `weir log verify DIR --against ADDR`: what a folder holds, record by record, beside what a cluster hands out.
//!
//! ```text
//!   segments ──▶ records of the folder ──┐
//!                                        ├──▶ the same offset, time, leader epoch, key, value and headers?
//!   consumer ──▶ records of the cluster ─┘
//! ```
//!
//! Only what both may have is compared: from the later of the two starts to the earlier of the folder's end and the
//! cluster's high watermark. Compaction runs on each replica by itself, so on a compacted topic a record that only one side
//! has is no difference.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;
use weir_client::{
    Client, Consumer, ConsumerConfig, LeaderEpoch, Offset, PartitionIndex, PluginKind, RecordHeaders,
    StartAt, TopicDescription,
};
use weir_wire::batch::{BatchHeader, Limits, records};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::cli::output::{Failure, Output, grouped};
use crate::storage::{
    BATCH_BYTES_MAX, Inspected, RealDisk, StorageError, Verification, inspect_segment,
    parse_partition_folder_name, segment_files,
};

/// How many differences of a partition are named.
const NAMED_MAX: usize = 10;
/// Batches that are read ahead of the comparison.
const READ_AHEAD: usize = 8;
/// How long the cluster may send nothing before it is looked again how far the reading is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What came of comparing a partition.
#[derive(Debug, Default, Serialize)]
pub(super) struct Compared {
    topic: String,
    partition: u32,
    /// The first offset that both may have.
    from: u64,
    /// The first that one of them does not have any more, or not for certain.
    to: u64,
    /// Records that are the same on both sides.
    equal: u64,
    /// Records that only one side has, on a compacted topic.
    compacted: u64,
    /// How many records differ, or are missing on one side.
    different: u64,
    /// The first of them.
    differences: Vec<Difference>,
}

/// A record that is not the same.
#[derive(Debug, Serialize)]
struct Difference {
    offset: u64,
    what: &'static str,
}

impl Compared {
    pub(super) fn is_equal(&self) -> bool {
        self.different == 0
    }

    fn differs(&mut self, offset: Offset, what: &'static str) {
        self.different += 1;
        if self.differences.len() < NAMED_MAX {
            self.differences.push(Difference { offset: offset.0, what });
        }
    }

    /// One side has a record that the other has not.
    fn is_alone(&mut self, offset: Offset, compacts: bool, what: &'static str) {
        if compacts {
            self.compacted += 1;
        } else {
            self.differs(offset, what);
        }
    }

    fn show(&self, output: Output) -> Result<(), Failure> {
        let Compared { topic, partition, from, to, .. } = self;
        let state = if self.is_equal() { "the same" } else { "DIFFERENT" };
        let mut line = format!(
            "  {topic}-{partition}: {state}, {} records of offsets {from} to {to}",
            grouped(self.equal)
        );
        if self.compacted > 0 {
            line.push_str(&format!(", {} only on one side yet (compaction)", grouped(self.compacted)));
        }
        output.line(&line)?;
        for Difference { offset, what } in &self.differences {
            output.line(&format!("    offset {offset}: {what}"))?;
        }
        let unnamed = self.different - self.differences.len() as u64;
        if unnamed > 0 {
            output.line(&format!("    and {} more", grouped(unnamed)))?;
        }
        Ok(())
    }
}

/// Compares the log in a folder with what the cluster has.
pub(super) async fn compare(
    client: &Client,
    folder: &Path,
    found: &Verification,
    output: Output,
) -> Result<Compared, Failure> {
    let here = folder.display();
    let name = folder.file_name().and_then(|name| name.to_str());
    let Some((topic, partition)) = name.and_then(parse_partition_folder_name) else {
        return Err(Failure::new(format!("{here} is not named as a partition's folder: TOPIC-NUMBER")));
    };
    let described = client.describe_topic(topic).await?;
    if found.topic.is_some_and(|id| id != described.id) {
        return Err(Failure::new(format!(
            "{here} is of an earlier topic of the name '{topic}', which was deleted: there is nothing to compare it with"
        )));
    }
    refuse_what_readers_do_not_see(client, topic).await?;
    let mut compared = range(&described, partition, found)?;
    let (from, to) = (Offset(compared.from), Offset(compared.to));
    if from < to {
        let compacts = described
            .configs
            .iter()
            .any(|config| config.key == "cleanup.policy" && config.value.contains("compact"));
        let here = Here::of(folder.to_owned(), from..to);
        let there = There::of(client, topic, partition, from..to).await?;
        Sides { here, there, compacts }.compare(&mut compared).await?;
    }
    compared.show(output)?;
    Ok(compared)
}

/// What consumer interceptors make of records is not what is stored.
async fn refuse_what_readers_do_not_see(client: &Client, topic: &str) -> Result<(), Failure> {
    let pipelines = client.describe_pipelines(Some(topic)).await?;
    let plugins = pipelines.topics.iter().flat_map(|pipeline| &pipeline.plugins);
    match plugins.into_iter().find(|plugin| plugin.kind == PluginKind::ConsumerInterceptor) {
        None => Ok(()),
        Some(plugin) => Err(Failure::new(format!(
            "topic '{topic}' has the consumer interceptor {}: readers do not see what is stored, so it cannot be compared \
             while that is bound",
            plugin.plugin
        ))),
    }
}

fn range(
    described: &TopicDescription,
    partition: PartitionIndex,
    found: &Verification,
) -> Result<Compared, Failure> {
    let topic = described.name.clone();
    let Some(state) = described.partitions.iter().find(|state| state.index == partition) else {
        let count = described.partitions.len();
        return Err(Failure::new(format!(
            "topic '{topic}' has {count} partitions, none of them {partition}"
        )));
    };
    let (Some(start), Some(high_watermark)) = (state.log_start, state.high_watermark) else {
        return Err(Failure::new(format!("the leader of {topic}-{partition} does not answer: try again")));
    };
    let from = start.max(found.start);
    let to = high_watermark.min(found.end).max(from);
    Ok(Compared { topic, partition: partition.0, from: from.0, to: to.0, ..Compared::default() })
}

/// A record, wherever it comes from, as far as it must be known to be told from another. Hashes have 128 bits (XXH3): what
/// differs by chance or fault does not collide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    offset: Offset,
    timestamp_ms: i64,
    leader_epoch: LeaderEpoch,
    key: Option<u128>,
    value: Option<u128>,
    headers: u128,
}

impl Seen {
    /// What is not the same, of records at one offset.
    fn difference(&self, other: &Seen) -> Option<&'static str> {
        let named = [
            (self.value == other.value, "another value"),
            (self.key == other.key, "another key"),
            (self.headers == other.headers, "other headers"),
            (self.timestamp_ms == other.timestamp_ms, "another time"),
            (self.leader_epoch == other.leader_epoch, "another leader epoch"),
        ];
        named.into_iter().find(|(is_same, _)| !is_same).map(|(_, what)| what)
    }
}

fn hash_headers(headers: RecordHeaders<'_>) -> u128 {
    let mut hasher = Xxh3::new();
    for (name, value) in headers {
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_bytes());
        hasher.update(&value.map_or(u64::MAX, |value| value.len() as u64).to_le_bytes());
        hasher.update(value.unwrap_or_default());
    }
    hasher.digest128()
}

/// Both sides, each with what was read of it and is not compared yet.
struct Sides {
    here: Here,
    there: There,
    compacts: bool,
}

impl Sides {
    /// Goes through both in the order of offsets.
    async fn compare(mut self, compared: &mut Compared) -> Result<(), Failure> {
        loop {
            self.here.fill().await?;
            self.there.fill().await?;
            let (here, there) = (self.here.read.front().copied(), self.there.read.front().copied());
            match (here, there) {
                (None, None) => return Ok(()),
                (Some(here), Some(there)) if here.offset == there.offset => {
                    match here.difference(&there) {
                        None => compared.equal += 1,
                        Some(what) => compared.differs(here.offset, what),
                    }
                    self.here.read.pop_front();
                    self.there.read.pop_front();
                }
                (Some(here), there) if there.is_none_or(|there| here.offset < there.offset) => {
                    compared.is_alone(here.offset, self.compacts, "the cluster does not have it");
                    self.here.read.pop_front();
                }
                (_, Some(there)) => {
                    compared.is_alone(there.offset, self.compacts, "the folder does not have it");
                    self.there.read.pop_front();
                }
                (Some(_), None) => unreachable!("a record beside none was met above"),
            }
        }
    }
}

/// The records of the folder.
struct Here {
    batches: mpsc::Receiver<Result<(BatchHeader, Bytes), StorageError>>,
    read: VecDeque<Seen>,
    range: Range<Offset>,
}

impl Here {
    fn of(folder: PathBuf, range: Range<Offset>) -> Here {
        let (send, batches) = mpsc::channel(READ_AHEAD);
        let wanted = range.clone();
        tokio::task::spawn_blocking(move || {
            if let Err(error) = read_segments(&folder, &wanted, &send) {
                // Whoever compares may have stopped already.
                let _ = send.blocking_send(Err(error));
            }
        });
        Here { batches, read: VecDeque::new(), range }
    }

    /// Reads until there is a record, or none is left.
    async fn fill(&mut self) -> Result<(), Failure> {
        while self.read.is_empty() {
            let Some(batch) = self.batches.recv().await else { return Ok(()) };
            let (header, bytes) = batch?;
            let limits = Limits { batch_bytes_max: BATCH_BYTES_MAX, ..Limits::default() };
            for record in &records(&bytes, &limits)? {
                let offset = header.base_offset + u64::from(record.offset_delta);
                if self.range.contains(&offset) {
                    self.read.push_back(Seen {
                        offset,
                        timestamp_ms: record.timestamp_ms,
                        leader_epoch: header.leader_epoch,
                        key: record.key.map(xxh3_128),
                        value: record.value.map(xxh3_128),
                        headers: hash_headers(record.headers),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Sends the batches that consumers would see. What is damaged has no records; `verify` says where it is.
fn read_segments(
    folder: &Path,
    wanted: &Range<Offset>,
    send: &mpsc::Sender<Result<(BatchHeader, Bytes), StorageError>>,
) -> Result<(), StorageError> {
    for (_, file) in segment_files(&RealDisk, folder)? {
        for item in inspect_segment(&RealDisk, &file)? {
            let Inspected::Batch { header, bytes, .. } = item? else { continue };
            if header.base_offset >= wanted.end {
                return Ok(());
            }
            let is_seen = header.next_offset() > wanted.start && !header.attributes.is_control();
            if is_seen && send.blocking_send(Ok((header, bytes))).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The records that the cluster hands out.
struct There {
    consumer: Consumer,
    topic: String,
    partition: PartitionIndex,
    read: VecDeque<Seen>,
    range: Range<Offset>,
}

impl There {
    async fn of(
        client: &Client,
        topic: &str,
        partition: PartitionIndex,
        range: Range<Offset>,
    ) -> Result<There, Failure> {
        let mut consumer = client.consumer(ConsumerConfig::default())?;
        consumer.assign(topic, partition, StartAt::Offset(range.start)).await?;
        Ok(There { consumer, topic: topic.to_owned(), partition, read: VecDeque::new(), range })
    }

    /// Reads until there is a record, or none is left.
    async fn fill(&mut self) -> Result<(), Failure> {
        while self.read.is_empty() && self.is_before_the_end() {
            let Some(batch) = self.consumer.poll(LOOK_EVERY).await? else { continue };
            for record in &batch {
                if self.range.contains(&record.offset) {
                    self.read.push_back(Seen {
                        offset: record.offset,
                        timestamp_ms: record.timestamp_ms,
                        leader_epoch: record.leader_epoch,
                        key: record.key.map(xxh3_128),
                        value: record.value.map(xxh3_128),
                        headers: hash_headers(record.headers),
                    });
                }
            }
        }
        Ok(())
    }

    fn is_before_the_end(&self) -> bool {
        self.consumer.position(&self.topic, self.partition).is_some_and(|at| at.offset < self.range.end)
    }
}
