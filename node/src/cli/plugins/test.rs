//! `weir plugins test`: a component on a file of records, under a node's limits, twice.
//!
//! A retry runs the pipeline again, perhaps on another node, so a hook must answer the same batch the same way
//! whatever it saw before. The second run therefore takes the batches in the opposite order, each on a fresh instance.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use weir_core::pipeline::assignment::{Member, Topic};
use weir_core::pipeline::failing::OnFailure;

use super::group_file;
use super::kit;
use super::records::{self, Format, OwnRecord};
use super::trial::{Fate, Run, Trial};
use crate::cli::files;
use crate::cli::output::{Done, Exit, Failure, Output, grouped};
use crate::cli::produce::keys::KeyRule;
use crate::cli::text::Text;
use crate::outside::{BlobStore, Outside};
use crate::plugins::{
    BindingConfig, COMPONENT_BYTES_MAX, Engines, Grants, Kind, Limits, Loaded, Plugins, Purpose, Snapshot,
};

/// The largest file with a group.
const GROUP_BYTES_MAX: u64 = 16 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The component (.wasm)
    file: PathBuf,
    /// Records to run it on, one a line; of an assignor, the group as JSON [default: standard input]
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// What a line is: the value, or a record as `weir consume --format json` prints it
    #[arg(long, value_enum, default_value = "value")]
    format: Format,
    /// A line is KEY, S, VALUE
    #[arg(long, value_name = "S", conflicts_with = "key_field")]
    key_separator: Option<String>,
    /// The key is this field of the line's JSON object
    #[arg(long, value_name = "NAME")]
    key_field: Option<String>,
    /// An option of the plugin; may be repeated
    #[arg(long = "option", value_name = "KEY=VALUE", value_parser = super::super::topics::key_value)]
    options: Vec<(String, String)>,
    /// A limit: memory.bytes, call.time.ms, answer.bytes, table.elements, calls, memory.share.bytes or
    /// time.share.percent; may be repeated
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = super::super::topics::key_value)]
    limits: Vec<(String, String)>,
    /// How many partitions the topic has
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions: u32,
    /// How many records a batch has at most
    #[arg(long, value_name = "N", default_value = "100", value_parser = clap::value_parser!(u32).range(1..))]
    batch_records: u32,
    /// One instance serves many batches in the first run, as a binding with --reuse
    #[arg(long)]
    reuse: bool,
    /// Grant an empty WASI to a language runtime that cannot do without
    #[arg(long, value_name = "wasi", value_parser = ["wasi"])]
    allow: Option<String>,
    /// Run it on a kit and compare: a folder of records (NAME.ndjson) with the answers expected (NAME.out), or `builtin`,
    /// the one of the examples, for this kind of plugin
    #[arg(long, value_name = "FOLDER|builtin", conflicts_with_all = ["input", "format", "key_separator", "key_field", "options", "partitions", "batch_records", "reuse"])]
    kit: Option<PathBuf>,
    /// Write what it answers as what the kit expects
    #[arg(long, requires = "kit")]
    write: bool,
    /// How many records that changed, or differences to the kit, are shown
    #[arg(long, value_name = "N", default_value = "20")]
    show: usize,
}

/// Compiled code is kept nowhere: the next trial is of another component.
struct NothingKept;

impl BlobStore for NothingKept {
    fn read(&self, _: &str) -> std::io::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn write(&self, _: &str, _: &[u8]) -> std::io::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &str) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) async fn run(args: Args, output: Output) -> Done {
    let mut limits = Limits::default();
    for (name, value) in &args.limits {
        limits.set(name, value).map_err(Failure::new)?;
    }
    let outside = Outside::real()?.with_workers("weir-compile", Plugins::WORKERS)?;
    let plugins = Plugins::start(Engines::real()?, outside, Arc::new(NothingKept))?;
    let file = files::read_bytes(&args.file, COMPONENT_BYTES_MAX as u64)?;
    let component = Plugins::component(file.into())?;
    let grants = Grants { wasi: args.allow.is_some() };
    let plugin = plugins.load(component, grants, Purpose::Try).await?;
    let name = args.file.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let binding = BindingConfig {
        plugin: Arc::clone(&plugin),
        name,
        version: "trial".to_owned(),
        options: args.options.clone(),
        limits,
        on_failure: OnFailure::Reject,
        reuse: args.reuse,
    };
    let mut lines = plugins.follow_lines();
    let done = match &args.kit {
        Some(kit) => kit::run(kit, args.write, args.show, &plugins, binding, output).await,
        None if plugin.kind() == Kind::Assignor => group(&args, &plugins, binding, output).await,
        None => stream(&args, &plugins, binding, output).await,
    };
    while let Ok(line) = lines.try_recv() {
        output.note(&format!("log {}: {}", line.level, line.message));
    }
    done
}

/// Tries what sees batches.
async fn stream(args: &Args, plugins: &Plugins, binding: BindingConfig, output: Output) -> Done {
    let keys = KeyRule::of(args.key_separator.as_deref(), args.key_field.as_deref());
    let batches = match &args.input {
        Some(path) => records::read(files::open_input(path)?.0, args.format, keys, args.batch_records)?,
        None => records::read(std::io::stdin(), args.format, keys, args.batch_records)?,
    };
    let plugin = Arc::clone(&binding.plugin);
    let trial = Trial { plugins, binding, partitions: args.partitions };
    let first = trial.run(&batches, 0..batches.len(), args.reuse).await?;
    let second = trial.run(&batches, (0..batches.len()).rev(), false).await?;
    let unlike = first_difference(&first, &second);
    show_changes(&first, args.show, output)?;
    let tally = Tally::of(&first);
    if let Some((record, first, second)) = &unlike {
        output.line(&format!(
            "NOT PURE: record {record} was {} the first time and {} the second; a hook may depend on nothing but the batch and its options",
            describe(first),
            describe(second),
        ))?;
    }
    let is_good = unlike.is_none() && tally.failed == 0;
    let Tally { records, kept, replaced, dropped, rejected, failed } = tally;
    output.line(&format!(
        "{} records in {} batches: {kept} kept, {replaced} replaced, {dropped} dropped, {rejected} rejected, {failed} failed; {}",
        grouped(records),
        batches.len(),
        if unlike.is_none() { "the same twice" } else { "not the same twice" },
    ))?;
    output.line(&cost(&first.figures))?;
    output.result(&Summary::of(&plugin, tally, unlike.is_none(), &first.figures))?;
    Ok(if is_good { Exit::Success } else { Exit::Failed })
}

/// Tries an assignor.
async fn group(args: &Args, plugins: &Plugins, binding: BindingConfig, output: Output) -> Done {
    let text = match &args.input {
        Some(path) => files::read_text(path, GROUP_BYTES_MAX)?,
        None => std::io::read_to_string(std::io::stdin())?,
    };
    let (members, topics) = group_file::parse(&text)?;
    let plugin = Arc::clone(&binding.plugin);
    let ask = async || {
        let assignor = plugins.assignor(binding.clone(), "trial").await?;
        assignor.assign(&members, &topics).await
    };
    let (first, second) = (ask().await?, ask().await?);
    let shares: Vec<Share> =
        members.iter().zip(&first).map(|(member, share)| Share::of(member, share, &topics)).collect();
    for share in &shares {
        let topics = share.partitions.iter().map(|(topic, partitions)| format!("{topic} {partitions:?}"));
        output.line(&format!("{}: {}", share.member, topics.collect::<Vec<_>>().join(", ")))?;
    }
    let pure = first == second;
    if !pure {
        output.line(
            "NOT PURE: the second answer was another; an assignor may depend on nothing but its arguments",
        )?;
    }
    output.result(&serde_json::json!({
        "kind": plugin.kind().name(),
        "digest": plugin.digest().to_string(),
        "pure": pure,
        "assignment": shares,
    }))?;
    Ok(if pure { Exit::Success } else { Exit::Failed })
}

/// What a member was given.
#[derive(Debug, Serialize)]
struct Share {
    member: String,
    partitions: std::collections::BTreeMap<String, Vec<u32>>,
}

impl Share {
    fn of(
        member: &Member,
        share: &[weir_core::pipeline::assignment::TopicPartitions],
        topics: &[Topic],
    ) -> Share {
        let partitions =
            share.iter().map(|of| (topics[of.topic as usize].name.clone(), of.partitions.clone()));
        Share { member: member.member_id.clone(), partitions: partitions.collect() }
    }
}

/// The first record whose fate was not the same twice.
fn first_difference(first: &Run, second: &Run) -> Option<(usize, Fate, Fate)> {
    let fates = |run: &Run| run.fates.iter().flatten().cloned().collect::<Vec<_>>();
    let (first, second) = (fates(first), fates(second));
    let at = first.iter().zip(&second).position(|(first, second)| first != second)?;
    Some((at + 1, first[at].clone(), second[at].clone()))
}

fn describe(fate: &Fate) -> String {
    let placed = |partition: &Option<u32>| {
        partition.map_or(String::new(), |partition| format!(" for partition {partition}"))
    };
    match fate {
        Fate::Kept { partition } => format!("kept{}", placed(partition)),
        Fate::Replaced { partition, record } => format!("replaced{} by {}", placed(partition), json(record)),
        Fate::Dropped => "dropped".to_owned(),
        Fate::Rejected(reason) => format!("rejected: {reason}"),
        Fate::Failed(reason) => format!("failed: {reason}"),
    }
}

fn json(record: &OwnRecord) -> String {
    let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(|bytes| serde_json::json!(Text(bytes)));
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(name, value)| serde_json::json!({ "key": name, "value": text(value) }))
        .collect();
    serde_json::json!({ "key": text(&record.key), "value": text(&record.value), "headers": headers })
        .to_string()
}

/// Shows what did not go on as it was; of a partitioner, where everything goes.
fn show_changes(run: &Run, most: usize, output: Output) -> Result<(), Failure> {
    let changed =
        (1..).zip(run.fates.iter().flatten()).filter(|(_, fate)| !matches!(fate, Fate::Kept { .. }));
    for (record, fate) in changed.take(most) {
        output.line(&format!("record {record} {}", describe(fate)))?;
    }
    let mut placed = std::collections::BTreeMap::new();
    for fate in run.fates.iter().flatten() {
        if let Fate::Kept { partition: Some(partition) } | Fate::Replaced { partition: Some(partition), .. } =
            fate
        {
            *placed.entry(*partition).or_insert(0_u64) += 1;
        }
    }
    for (partition, records) in placed {
        output.line(&format!("partition {partition}: {} records", grouped(records)))?;
    }
    Ok(())
}

/// How many records had which fate.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Tally {
    records: u64,
    kept: u64,
    replaced: u64,
    dropped: u64,
    rejected: u64,
    failed: u64,
}

impl Tally {
    fn of(run: &Run) -> Tally {
        let mut tally = Tally::default();
        for fate in run.fates.iter().flatten() {
            tally.records += 1;
            *match fate {
                Fate::Kept { .. } => &mut tally.kept,
                Fate::Replaced { .. } => &mut tally.replaced,
                Fate::Dropped => &mut tally.dropped,
                Fate::Rejected(_) => &mut tally.rejected,
                Fate::Failed(_) => &mut tally.failed,
            } += 1;
        }
        tally
    }
}

fn cost(figures: &Snapshot) -> String {
    let slowest = figures.times.last().map_or(0, |(below_us, _)| *below_us);
    format!(
        "{} calls, the slowest below {slowest} us; at most {} bytes of memory",
        figures.calls,
        grouped(figures.memory_high_bytes)
    )
}

/// The result for a script.
#[derive(Debug, Serialize)]
struct Summary {
    kind: &'static str,
    digest: String,
    #[serde(flatten)]
    tally: Tally,
    pure: bool,
    calls: u64,
    memory_high_bytes: u64,
    failures: std::collections::BTreeMap<&'static str, u64>,
}

impl Summary {
    fn of(plugin: &Loaded, tally: Tally, pure: bool, figures: &Snapshot) -> Summary {
        Summary {
            kind: plugin.kind().name(),
            digest: plugin.digest().to_string(),
            tally,
            pure,
            calls: figures.calls,
            memory_high_bytes: figures.memory_high_bytes,
            failures: figures.failures.iter().copied().collect(),
        }
    }
}
