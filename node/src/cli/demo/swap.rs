//! Changing the topic's plugins in the middle of the run: other interceptors, another partitioner.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use weir_client::{Client, Offset, PartitionIndex, PipelineChange, PluginBinding};

use super::TOPIC;
use super::story::Story;
use crate::cli::output::{Failure, grouped};
use crate::cli::plugins::bind::stage_and_activate;

/// What the topic begins with: every record must be JSON, and keys are placed by xxh3.
const BEFORE: [&str; 2] = ["require-json", "hash"];
/// What it goes on with: records get headers that say which revision made them, and keys are placed as Kafka places them.
const AFTER: [&str; 2] = ["stamp", "murmur2"];
/// How long it may take until all nodes are ready: some of them are being killed meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause before the nodes are asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// Binds what the topic begins with.
pub(super) async fn bind(client: &Client, story: &Story) -> Result<(), Failure> {
    let revision = put_in_force(client, BEFORE).await?;
    let [interceptor, partitioner] = BEFORE;
    story.tell(
        "plugins",
        &format!("revision {revision}: interceptor {interceptor}, partitioner {partitioner}"),
    )
}

/// Swaps both once half of the records have their result.
pub(super) async fn carry_out(
    client: &Client,
    records: u64,
    mut settled: watch::Receiver<u64>,
    story: &Story,
) -> Result<(), Failure> {
    let at = settled.wait_for(|settled| *settled >= (records / 2).max(1)).await;
    let at = *at.map_err(|_| Failure::new("the producer was given up"))?;
    let started = Instant::now();
    let revision = put_in_force(client, AFTER).await?;
    let ([old, old_partitioner], [new, new_partitioner]) = (BEFORE, AFTER);
    story.tell(
        "swap",
        &format!(
            "revision {revision}: {old} is {new} now and {old_partitioner} is {new_partitioner}, at {} acknowledged; took \
             {:.2} s",
            grouped(at),
            started.elapsed().as_secs_f64()
        ),
    )
}

/// The offset from which on the swapped plugins made the records, by partition; `None` where no record came since.
pub(super) async fn offsets(client: &Client, story: &Story) -> Result<Vec<Option<u64>>, Failure> {
    let described = client.describe_pipelines(Some(TOPIC)).await?;
    let topic = described.topics.first().ok_or_else(|| Failure::new(format!("{TOPIC} has no plugins")))?;
    let mut partitions: Vec<(PartitionIndex, Option<Offset>)> =
        topic.partitions.iter().map(|partition| (partition.partition, partition.first_offset)).collect();
    partitions.sort_unstable();
    let switched: Vec<_> = partitions
        .iter()
        .map(|(partition, offset)| match offset {
            Some(offset) => format!("partition {partition} from offset {}", grouped(offset.0)),
            None => format!("partition {partition} not yet"),
        })
        .collect();
    story.tell("switched", &format!("to revision {}: {}", topic.revision, switched.join(", ")))?;
    Ok(partitions.into_iter().map(|(_, offset)| offset.map(|offset| offset.0)).collect())
}

/// Stages an interceptor and a partitioner and puts them in force. A node that is killed meanwhile is waited for, or left
/// out once its lease is over; returns the revision.
async fn put_in_force(client: &Client, [interceptor, partitioner]: [&str; 2]) -> Result<u32, Failure> {
    let until = Instant::now() + PATIENCE;
    let bind = |plugin: &str| PluginBinding {
        plugin: plugin.to_owned(),
        version: None,
        options: Vec::new(),
        limits: Vec::new(),
        on_failure: None,
    };
    let change = PipelineChange {
        producer_interceptors: Some(vec![bind(interceptor)]),
        partitioner: Some(vec![bind(partitioner)]),
        consumer_interceptors: None,
    };
    loop {
        match stage_and_activate(client, TOPIC, &change).await {
            Ok(revision) => return Ok(revision.0),
            Err(error) if Instant::now() > until => return Err(error.into()),
            Err(error) => tracing::debug!(%error, "the swap is tried again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
