//! `weir plugins status`: which plugins are in force where, from which offset on, and what they did.

use serde::Serialize;
use weir_client::{
    Client, ClientError, NodeId, PartitionRevision, PipelineDescription, PipelineLanes, PipelinesDescribed,
    PluginFigures, StagedDescription,
};
use weir_core::pipeline::moving::{self, LanesSeen};

use super::show::{self, Bound};
use crate::cli::output::{Done, Exit, Failure, Output, columns, grouped};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The topic [default: all that have plugins]
    topic: Option<String>,
}

pub(super) async fn run(args: Args, client: &Client, output: Output) -> Done {
    // The first answer is from metadata that all others then are at least as new as.
    let topic = args.topic.as_deref();
    client.describe_pipelines(topic).await?;
    let everywhere = client.describe_pipelines_everywhere(topic).await?;
    // Read behind what the lanes say: what they had sent is in the logs by then.
    let mut topics = client.describe_pipelines(topic).await?.topics;
    topics.iter_mut().for_each(|topic| add(topic, &everywhere));
    if topics.is_empty() {
        output.note("no topic has plugins yet; bind one with: weir plugins bind TOPIC --interceptor NAME");
    }
    let mut shown = Vec::new();
    for topic in topics {
        show_topic(&topic, output)?;
        shown.push(Status::of(topic));
    }
    match (args.topic, shown.pop()) {
        (Some(_), Some(only)) => output.result(&only)?,
        (_, last) => {
            shown.extend(last);
            output.result(&serde_json::json!({ "topics": shown }))?;
        }
    }
    Ok(Exit::Success)
}

/// Adds what all nodes say to what one says: where all lanes moved on, and what plugins did on the others.
fn add(topic: &mut PipelineDescription, everywhere: &[(NodeId, Result<PipelinesDescribed, ClientError>)]) {
    let of_node = |described: &Result<PipelinesDescribed, ClientError>| -> Option<PipelineDescription> {
        let mut topics = described.as_ref().ok()?.topics.iter();
        topics.find(|other| other.id == topic.id && other.revision == topic.revision).cloned()
    };
    let nodes: Vec<_> = everywhere.iter().map(|(_, described)| of_node(described)).collect();
    let lanes: Vec<_> = nodes
        .iter()
        .map(|node| {
            let PipelineLanes { open, behind, moved } = node.as_ref()?.lanes.clone()?;
            Some(LanesSeen { open, behind, moved })
        })
        .collect();
    if moving::all_moved_on(&lanes) {
        for partition in &mut topic.partitions {
            partition.settled_offset = partition.settled_offset.or(partition.older_end);
        }
    }
    topic.figures = nodes.into_iter().flatten().flat_map(|node| node.figures).collect();
}

fn show_topic(topic: &PipelineDescription, output: Output) -> Result<(), Failure> {
    let (name, revision) = (&topic.topic, topic.revision);
    output.line(&format!(
        "{name}: revision {revision} ({}): {}",
        topic.origin,
        show::chain(&topic.plugins)
    ))?;
    if let Some(staged) = &topic.staged {
        output.line(&format!("  staged: revision {}: {}", staged.revision, show::chain(&staged.plugins)))?;
        let list = |nodes: &[weir_client::NodeId]| {
            nodes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        };
        if !staged.waiting.is_empty() {
            output.line(&format!("    waits for node {}", list(&staged.waiting)))?;
        }
        for (node, why) in &staged.failed {
            output.line(&format!("    node {node} cannot run it: {why}"))?;
        }
        if staged.waiting.is_empty() && staged.failed.is_empty() {
            output
                .line(&format!("    ready on node {}: weir plugins activate {name}", list(&staged.ready)))?;
        }
    }
    let mut rows = vec![["partition", "from offset", "alone from"].map(str::to_owned)];
    let or_dash =
        |offset: Option<weir_client::Offset>| offset.map_or("-".to_owned(), |offset| offset.to_string());
    rows.extend(topic.partitions.iter().map(|partition| {
        [partition.partition.to_string(), or_dash(partition.first_offset), or_dash(partition.settled_offset)]
    }));
    for line in columns(&rows) {
        output.line(&format!("  {line}"))?;
    }
    let head = [
        "plugin",
        "revision",
        "calls",
        "kept",
        "replaced",
        "dropped",
        "rejected",
        "failed",
        "memory",
        "busy ms",
        "throttled",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(topic.figures.iter().map(|figures| {
        let failed: u64 = figures.failures.iter().map(|(_, count)| count).sum();
        [
            format!("{}@{}", figures.plugin, figures.version),
            figures.revision.to_string(),
            grouped(figures.calls),
            grouped(figures.kept),
            grouped(figures.replaced),
            grouped(figures.dropped),
            grouped(figures.rejected),
            grouped(failed),
            grouped(figures.memory_high_bytes),
            grouped(figures.busy_us / 1000),
            throttled(&figures.throttled_us),
        ]
    }));
    if rows.len() > 1 {
        for line in columns(&rows) {
            output.line(&format!("  {line}"))?;
        }
    }
    Ok(())
}

/// How long calls waited since the plugin had its share, and of what.
fn throttled(by_share: &[(String, u64)]) -> String {
    let one = |(share, us): &(String, u64)| format!("{} ms ({share})", grouped(us / 1000));
    if by_share.is_empty() { "-".to_owned() } else { by_share.iter().map(one).collect::<Vec<_>>().join(", ") }
}

#[derive(Debug, Serialize)]
struct Status {
    topic: String,
    id: String,
    revision: u32,
    origin: String,
    plugins: Vec<Bound>,
    staged: Option<Staged>,
    open_revisions: Vec<u32>,
    partitions: Vec<Partition>,
    /// Of all nodes that answered: a plugin has one entry for each that runs it.
    figures: Vec<Figures>,
}

#[derive(Debug, Serialize)]
struct Staged {
    revision: u32,
    plugins: Vec<Bound>,
    ready: Vec<u32>,
    waiting: Vec<u32>,
    failed: Vec<Refusing>,
}

#[derive(Debug, Serialize)]
struct Refusing {
    node: u32,
    why: String,
}

#[derive(Debug, Serialize)]
struct Partition {
    partition: u32,
    first_offset: Option<u64>,
    settled_offset: Option<u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct Figures {
    name: String,
    version: String,
    revision: u32,
    calls: u64,
    kept: u64,
    replaced: u64,
    dropped: u64,
    rejected: u64,
    failures: Vec<(String, u64)>,
    /// How many calls took less than so many microseconds.
    times_us: Vec<(u64, u64)>,
    memory_high_bytes: u64,
    instances: u64,
    busy_us: u64,
    /// How long calls waited since it had its share, by which.
    throttled_us: Vec<(String, u64)>,
}

impl Status {
    fn of(topic: PipelineDescription) -> Status {
        Status {
            topic: topic.topic,
            id: topic.id.to_string(),
            revision: topic.revision.0,
            origin: topic.origin,
            plugins: topic.plugins.iter().map(show::bound).collect(),
            staged: topic.staged.map(Staged::of),
            open_revisions: topic.open.iter().map(|revision| revision.0).collect(),
            partitions: topic.partitions.iter().map(Partition::of).collect(),
            figures: topic.figures.into_iter().map(Figures::of).collect(),
        }
    }
}

impl Staged {
    fn of(staged: StagedDescription) -> Staged {
        Staged {
            revision: staged.revision.0,
            plugins: staged.plugins.iter().map(show::bound).collect(),
            ready: staged.ready.iter().map(|node| node.0).collect(),
            waiting: staged.waiting.iter().map(|node| node.0).collect(),
            failed: staged.failed.into_iter().map(|(node, why)| Refusing { node: node.0, why }).collect(),
        }
    }
}

impl Partition {
    fn of(partition: &PartitionRevision) -> Partition {
        Partition {
            partition: partition.partition.0,
            first_offset: partition.first_offset.map(|offset| offset.0),
            settled_offset: partition.settled_offset.map(|offset| offset.0),
        }
    }
}

impl Figures {
    pub(super) fn of(figures: PluginFigures) -> Figures {
        Figures {
            name: figures.plugin,
            version: figures.version,
            revision: figures.revision.0,
            calls: figures.calls,
            kept: figures.kept,
            replaced: figures.replaced,
            dropped: figures.dropped,
            rejected: figures.rejected,
            failures: figures.failures,
            times_us: figures.times,
            memory_high_bytes: figures.memory_high_bytes,
            instances: figures.instances,
            busy_us: figures.busy_us,
            throttled_us: figures.throttled_us,
        }
    }
}
