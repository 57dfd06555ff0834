//! `weir demo`: the whole story in one command.
//!
//! ```text
//!   this process                                             three `weir node` processes
//!   produce: a million numbered events ── acks=all ────────▶ three partitions, each on three disks
//!   chaos:   kill -9 of a leader, restart, three times ────▶
//!   swap:    another interceptor and partitioner, once ────▶
//!   read:    at once, from the beginning ◀──────────────────
//!   groups:  two, whose assignors change places in the middle, read it too
//!   check:   what was acknowledged against what was read, by number, per key, in order
//! ```
//!
//! The checker sees only what the producer was told and what the reader got; it shares no state with either.

mod chaos;
mod events;
mod groups;
mod reader;
mod sender;
mod story;
mod swap;

use std::path::PathBuf;

use tokio::sync::watch;
use tokio::time::Instant;
use weir_client::{Client, ClientConfig, NewTopic, NodeId, PartitionIndex};

use self::chaos::{Downtime, KILLS, Plan};
use self::events::Replay;
use self::groups::Processed;
use self::reader::Ends;
use self::story::{Measured, Story, Summary};
use super::child::{NodeFiles, NodeProcess};
use super::output::{Done, Exit, Failure, Output, grouped};
use super::signals::Interrupts;
use crate::check::{History, Report, check};

/// The demo's topic.
const TOPIC: &str = "quakes";
/// How many partitions it has.
const PARTITIONS: u32 = 3;
/// How many nodes there are, and replicas of each partition.
const NODES: u32 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many records to send
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    records: u64,
    /// Decides which leader is killed when [default: a random one, which is printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

pub(super) async fn run(args: &Args, output: Output) -> Done {
    let mut interrupts = Interrupts::listen()?;
    let folder = tempfile::Builder::new().prefix("weir-demo-").tempdir()?;
    let first =
        NodeFiles { program: this_program()?, folder: folder.path().to_owned(), node: NodeId(1), join: None };
    let outcome = tokio::select! {
        outcome = play(args, &first, output) => outcome,
        // The nodes end with the future that is dropped here, the folder with this function.
        () = interrupts.next() => return Ok(Exit::Interrupted),
    };
    match outcome {
        Ok(true) => Ok(Exit::Success),
        Ok(false) => {
            output.note(&format!("weir: the nodes' data and logs are kept in {}", folder.keep().display()));
            Ok(Exit::Failed)
        }
        Err(Failure::ReaderGone) => Err(Failure::ReaderGone),
        Err(failure) => {
            for node in (1..=NODES).map(NodeId) {
                output.note(&NodeFiles { node, ..first.clone() }.log_tail());
            }
            output.note(&format!("weir: the nodes' data and logs are kept in {}", folder.keep().display()));
            Err(failure)
        }
    }
}

/// Plays the demo; says whether all promises were kept.
async fn play(args: &Args, first: &NodeFiles, output: Output) -> Result<bool, Failure> {
    let started = Instant::now();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let story = Story::new(output, args.records);
    let records = grouped(args.records);
    story.tell(
        "weir demo",
        &format!("{records} real events, {KILLS} times kill -9, one swap of plugins, seed {seed}"),
    )?;
    let nodes = first.start_cluster(NODES).await?;
    let addresses: Vec<_> = nodes.iter().map(|node| node.address().to_string()).collect();
    story.tell("nodes", &format!("serve {}, data in {}", addresses.join(", "), first.folder.display()))?;
    let client = Client::connect(ClientConfig::new(addresses, first.certs())).await?;
    let topic = NewTopic::new(TOPIC).partitions(PARTITIONS).replication_factor(NODES);
    client.create_topic(topic).await?;
    story.tell(
        "topic",
        &format!(
            "{TOPIC}, {PARTITIONS} partitions, {NODES} replicas; acks=all, flushed to disk by every replica in sync \
             before it is acknowledged"
        ),
    )?;

    swap::bind(&client, &story).await?;
    groups::choose(&client, &story).await?;

    let replay = Replay::new();
    let played = Played::of(args.records, seed, &replay, &client, nodes, &story).await?;
    story.end();
    let switched_at = swap::offsets(&client, &story).await?;
    client.close().await;
    for node in played.nodes {
        node.stop().await?;
    }
    let judged = Instant::now();
    let report = check(&played.history)?;
    story.tell(
        "checked",
        &format!("every number, key and offset in {:.2} s", judged.elapsed().as_secs_f64()),
    )?;
    let groups = played.processed.iter().map(|processed| processed.summary(&played.history)).collect();
    let measured = Measured { seed, whole: started.elapsed(), ..played.measured };
    let summary = Summary::new(&report, measured, switched_at, groups);
    show(&summary, &report, output)?;
    Ok(summary.ok)
}

/// What is there when everything was sent and read.
struct Played {
    nodes: Vec<NodeProcess>,
    history: History,
    processed: Vec<Processed>,
    measured: Measured,
}

impl Played {
    /// Sends, reads and kills, all at once.
    async fn of(
        records: u64,
        seed: u64,
        replay: &Replay,
        client: &Client,
        nodes: Vec<NodeProcess>,
        story: &Story,
    ) -> Result<Played, Failure> {
        let (settled, settled_count) = watch::channel(0);
        let (survived, all_kills_survived) = watch::channel(false);
        let (ends, ends_known) = watch::channel(None);
        let started = Instant::now();
        let produce = async {
            let sent = sender::send_all(client, replay, records, settled, all_kills_survived, story).await?;
            let producing = started.elapsed();
            ends.send_replace(Some(current_ends(client).await?));
            Ok::<_, Failure>((sent, producing))
        };
        let consume = async {
            let reads = reader::read_all(client, replay, ends_known.clone(), story).await?;
            Ok::<_, Failure>((reads, started.elapsed()))
        };
        let take_part = groups::read_all(client, records, &ends_known);
        let chaos = async {
            let plan = Plan::new(seed, records);
            let swapping = swap::carry_out(client, records, settled_count.clone(), story);
            let changing_places = groups::swap(client, records, settled_count.clone(), story);
            let killing = plan.carry_out(nodes, client, settled_count, story);
            let ((nodes, downtime), (), ()) = tokio::try_join!(killing, swapping, changing_places)?;
            survived.send_replace(true);
            Ok::<_, Failure>((nodes, downtime))
        };
        let ((sent, producing), (reads, consuming), processed, (nodes, downtime)) =
            tokio::try_join!(produce, consume, take_part, chaos)?;
        let Downtime { total: down } = downtime;
        let measured = Measured {
            seed,
            bytes: sent.metrics.bytes,
            batches_resent: sent.metrics.batches_resent,
            recognised: sent.metrics.duplicates,
            producing,
            consuming,
            down,
            whole: started.elapsed(),
        };
        let mut history = sent.history;
        history.reads = reads;
        // The other partitioner places most keys elsewhere.
        history.moves = 1;
        Ok(Played { nodes, history, processed, measured })
    }
}

/// Where the partitions end now that everything is settled.
async fn current_ends(client: &Client) -> Result<Ends, Failure> {
    let partitions: Vec<_> = (0..PARTITIONS).map(PartitionIndex).collect();
    let asked: Vec<_> =
        partitions.iter().map(|partition| (*partition, weir_client::OffsetSpec::Latest)).collect();
    let listed = client.list_offsets(TOPIC, &asked).await?;
    Ok(partitions.into_iter().zip(listed.into_iter().map(|listed| listed.offset)).collect())
}

fn show(summary: &Summary, report: &Report, output: Output) -> Result<(), Failure> {
    if !report.is_clean() {
        output.line(&format!("\nWhat the checker found:\n{report}"))?;
    }
    for line in summary.page() {
        output.line(&line)?;
    }
    output.result(summary)
}

fn this_program() -> Result<PathBuf, Failure> {
    std::env::current_exe()
        .map_err(|error| Failure::new(format!("cannot find this program's own file: {error}")))
}
