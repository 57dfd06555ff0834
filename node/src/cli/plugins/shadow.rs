//! `weir plugins shadow`: a staged pipeline on live records, its answers compared with those in force and thrown away.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_client::{Client, NodeId, Revision, ShadowAction, ShadowReport, ShadowSample, ShadowTopic};

use super::show;
use super::status::Figures;
use crate::cli::output::{Done, Exit, Failure, Output, columns, grouped};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The topic
    topic: String,
    /// The staged revision [default: the one that is staged]
    #[arg(long, value_name = "REVISION")]
    revision: Option<u32>,
    /// Take every N-th batch only
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Only show what the run came to so far
    #[arg(long, conflicts_with_all = ["revision", "every", "stop"])]
    status: bool,
    /// End the run, and show what it came to
    #[arg(long, conflicts_with_all = ["revision", "every"])]
    stop: bool,
}

pub(super) async fn run(args: Args, client: &Client, output: Output) -> Done {
    let action = if args.status {
        ShadowAction::Report
    } else if args.stop {
        ShadowAction::Stop
    } else {
        ShadowAction::Start { revision: args.revision.map(Revision), every: args.every }
    };
    let answers = client.shadow_topic(&ShadowTopic { topic: args.topic.clone(), action }).await?;
    let (mut nodes, mut refused) = (Vec::new(), Vec::new());
    for (node, answer) in answers {
        match answer {
            Ok(answer) => nodes.push((node, answer.run)),
            Err(error) => refused.push((node, error.to_string())),
        }
    }
    if nodes.is_empty()
        && let Some((_, why)) = refused.first()
    {
        return Err(Failure::new(why.clone()));
    }
    let seen = Seen::of(&args.topic, &nodes, &refused);
    match action {
        ShadowAction::Start { .. } => output.line(&format!(
            "revision {} of {} runs in shadow on {} nodes; what it would do differently: weir plugins shadow {} --status",
            seen.revision.unwrap_or_default(),
            seen.topic,
            nodes.len(),
            seen.topic
        ))?,
        ShadowAction::Report | ShadowAction::Stop => show(&seen, output)?,
    }
    for (node, why) in &refused {
        output.line(&format!("node {node} does not take part: {why}"))?;
    }
    output.result(&seen)?;
    Ok(if refused.is_empty() { Exit::Success } else { Exit::Failed })
}

/// What all nodes saw together, for scripts.
#[derive(Debug, Serialize)]
struct Seen {
    topic: String,
    revision: Option<u32>,
    #[serde(flatten)]
    counts: Counts,
    /// The first examples of each node.
    samples: Vec<Sample>,
    nodes: Vec<OnNode>,
}

#[derive(Debug, Default, Serialize)]
struct Counts {
    batches: u64,
    records: u64,
    same: u64,
    different: BTreeMap<String, u64>,
    dropped_batches: u64,
}

#[derive(Debug, Serialize)]
struct Sample {
    node: u32,
    kind: String,
    partition: Option<u32>,
    offset: Option<u64>,
    /// The number of the batch in its lane.
    ordinal: u64,
    /// The record's place in the batch.
    index: u32,
    key: String,
    in_force: String,
    staged: String,
}

#[derive(Debug, Serialize)]
struct OnNode {
    node: u32,
    /// Whether a run is under way.
    running: bool,
    /// Why it ended, or why the node does not take part.
    why: Option<String>,
    plugins: Vec<show::Bound>,
    every: u32,
    ran_ms: u64,
    busy_ms: u64,
    /// Of one core, on average since it was started.
    core_share_percent: f64,
    memory_high_bytes: u64,
    #[serde(flatten)]
    counts: Counts,
    figures: Vec<Figures>,
}

impl Counts {
    fn of(report: &ShadowReport) -> Counts {
        Counts {
            batches: report.batches,
            records: report.records,
            same: report.same,
            different: report.different.iter().cloned().collect(),
            dropped_batches: report.dropped,
        }
    }

    fn add(&mut self, other: &Counts) {
        self.batches += other.batches;
        self.records += other.records;
        self.same += other.same;
        self.dropped_batches += other.dropped_batches;
        for (kind, count) in &other.different {
            *self.different.entry(kind.clone()).or_default() += count;
        }
    }
}

impl Seen {
    fn of(topic: &str, nodes: &[(NodeId, Option<ShadowReport>)], refused: &[(NodeId, String)]) -> Seen {
        let runs = nodes.iter().filter_map(|(node, run)| run.as_ref().map(|run| (*node, run)));
        let revision = runs.clone().map(|(_, run)| run.revision.0).max();
        let mut counts = Counts::default();
        let mut samples = Vec::new();
        for (node, run) in runs.filter(|(_, run)| Some(run.revision.0) == revision) {
            counts.add(&Counts::of(run));
            samples.extend(run.samples.iter().map(|sample| Sample::of(node, sample)));
        }
        let mut nodes: Vec<_> = nodes.iter().map(|(node, run)| OnNode::of(*node, run.as_ref())).collect();
        nodes.extend(
            refused.iter().map(|(node, why)| OnNode { why: Some(why.clone()), ..OnNode::of(*node, None) }),
        );
        nodes.sort_by_key(|on| on.node);
        Seen { topic: topic.to_owned(), revision, counts, samples, nodes }
    }
}

impl Sample {
    fn of(node: NodeId, sample: &ShadowSample) -> Sample {
        Sample {
            node: node.0,
            kind: sample.kind.clone(),
            partition: sample.stored.map(|(partition, _)| partition.0),
            offset: sample.stored.map(|(_, offset)| offset.0),
            ordinal: sample.ordinal,
            index: sample.index,
            key: sample.key.clone(),
            in_force: sample.in_force.clone(),
            staged: sample.staged.clone(),
        }
    }
}

impl OnNode {
    fn of(node: NodeId, run: Option<&ShadowReport>) -> OnNode {
        let Some(run) = run else {
            return OnNode {
                node: node.0,
                running: false,
                why: Some("no run was started in this life of the node".to_owned()),
                plugins: Vec::new(),
                every: 0,
                ran_ms: 0,
                busy_ms: 0,
                core_share_percent: 0.0,
                memory_high_bytes: 0,
                counts: Counts::default(),
                figures: Vec::new(),
            };
        };
        OnNode {
            node: node.0,
            running: run.ended.is_none(),
            why: run.ended.clone(),
            plugins: run.plugins.iter().map(show::bound).collect(),
            every: run.every,
            ran_ms: run.ran_us / 1000,
            busy_ms: run.busy_us / 1000,
            core_share_percent: share_percent(run.busy_us, run.ran_us),
            memory_high_bytes: run.figures.iter().map(|figures| figures.memory_high_bytes).sum(),
            counts: Counts::of(run),
            figures: run.figures.iter().cloned().map(Figures::of).collect(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a run are far below 2^53")]
fn share_percent(busy_us: u64, ran_us: u64) -> f64 {
    let share = if ran_us == 0 { 0.0 } else { busy_us as f64 * 100.0 / ran_us as f64 };
    (share * 10.0).round() / 10.0
}

fn show(seen: &Seen, output: Output) -> Result<(), Failure> {
    let Some(revision) = seen.revision else {
        let topic = &seen.topic;
        return output
            .line(&format!("{topic} has no shadow run; start one with: weir plugins shadow {topic}"));
    };
    let Counts { batches, records, same, different, dropped_batches } = &seen.counts;
    output.line(&format!(
        "{}: revision {revision} beside the one in force: {} records of {} batches, {} the same",
        seen.topic,
        grouped(*records),
        grouped(*batches),
        grouped(*same)
    ))?;
    let kinds: Vec<_> = different
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(kind, count)| format!("{} in {kind}", grouped(*count)))
        .collect();
    if !kinds.is_empty() {
        output.line(&format!("  different: {}", kinds.join(", ")))?;
    }
    if *dropped_batches > 0 {
        output.line(&format!("  left out, as there was no room: {} batches", grouped(*dropped_batches)))?;
    }
    for sample in &seen.samples {
        let place = match (sample.partition, sample.offset) {
            (Some(partition), Some(offset)) => format!("partition {partition}, offset {offset}"),
            _ => format!("batch {}, record {}", sample.ordinal, sample.index),
        };
        output.line(&format!("  {} at {place}, key {}", sample.kind, sample.key))?;
        output.line(&format!("    in force: {}", sample.in_force))?;
        output.line(&format!("    staged:   {}", sample.staged))?;
    }
    let head = ["node", "batches", "busy ms", "of a core", "memory", "left out", ""];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(seen.nodes.iter().map(|on| {
        [
            on.node.to_string(),
            grouped(on.counts.batches),
            grouped(on.busy_ms),
            format!("{} %", on.core_share_percent),
            grouped(on.memory_high_bytes),
            grouped(on.counts.dropped_batches),
            on.why.clone().unwrap_or_else(|| "runs".to_owned()),
        ]
    }));
    columns(&rows).iter().try_for_each(|line| output.line(&format!("  {line}")))
}
