//! `weir demo`: the whole story in one command.
//!
//! ```text
//!   this process                                             a `weir node` process
//!   produce: a million numbered events ── acks=all ────────▶ three partitions on disk
//!   chaos:   kill -9, restart, three times ────────────────▶
//!   read:    at once, from the beginning ◀──────────────────
//!   check:   what was acknowledged against what was read, by number, per key, in order
//! ```
//!
//! The checker sees only what the producer was told and what the reader got; it shares no state with either.

mod chaos;
mod child;
mod events;
mod reader;
mod sender;
mod story;

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::sync::watch;
use tokio::time::Instant;
use weir_client::{Client, ClientConfig, NewTopic, PartitionIndex};

use self::chaos::{Downtime, KILLS, Plan};
use self::child::{NodeFiles, NodeProcess};
use self::events::Replay;
use self::reader::Ends;
use self::story::{Measured, Story, Summary};
use super::output::{Done, Exit, Failure, Output, grouped};
use super::signals::Interrupts;
use crate::check::{History, Report, check};

/// The demo's topic.
const TOPIC: &str = "quakes";
/// How many partitions it has.
const PARTITIONS: u32 = 3;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many records to send
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    records: u64,
    /// Decides when the node is killed [default: a random one, which is printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

pub(super) async fn run(args: &Args, output: Output) -> Done {
    let mut interrupts = Interrupts::listen()?;
    let folder = tempfile::Builder::new().prefix("weir-demo-").tempdir()?;
    let files = NodeFiles { program: this_program()?, folder: folder.path().to_owned() };
    let outcome = tokio::select! {
        outcome = play(args, &files, output) => outcome,
        // The node ends with the future that is dropped here, the folder with this function.
        () = interrupts.next() => return Ok(Exit::Interrupted),
    };
    match outcome {
        Ok(true) => Ok(Exit::Success),
        Ok(false) => {
            output.note(&format!("weir: the node's data and log are kept in {}", folder.keep().display()));
            Ok(Exit::Failed)
        }
        Err(Failure::ReaderGone) => Err(Failure::ReaderGone),
        Err(failure) => {
            output.note(&files.log_tail());
            output.note(&format!("weir: the node's data and log are kept in {}", folder.keep().display()));
            Err(failure)
        }
    }
}

/// Plays the demo; says whether all promises were kept.
async fn play(args: &Args, files: &NodeFiles, output: Output) -> Result<bool, Failure> {
    let started = Instant::now();
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
    let story = Story::new(output, args.records);
    let records = grouped(args.records);
    story.tell("weir demo", &format!("{records} real events, {KILLS} times kill -9, seed {seed}"))?;
    let node = files.start(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    story.tell("node", &format!("serves {}, data in {}", node.address(), files.data().display()))?;
    let client = Client::connect(ClientConfig::new([node.address().to_string()], files.certs())).await?;
    client.create_topic(NewTopic::new(TOPIC).partitions(PARTITIONS)).await?;
    story.tell(
        "topic",
        &format!("{TOPIC}, {PARTITIONS} partitions; acks=all, flushed to disk before it is acknowledged"),
    )?;

    let replay = Replay::new();
    let played = Played::of(args.records, seed, &replay, &client, node, &story).await?;
    story.end();
    client.close().await;
    played.node.stop().await?;
    let judged = Instant::now();
    let report = check(&played.history)?;
    story.tell(
        "checked",
        &format!("every number, key and offset in {:.2} s", judged.elapsed().as_secs_f64()),
    )?;
    let summary = Summary::new(&report, Measured { seed, whole: started.elapsed(), ..played.measured });
    show(&summary, &report, output)?;
    Ok(summary.ok)
}

/// What is there when everything was sent and read.
struct Played {
    node: NodeProcess,
    history: History,
    measured: Measured,
}

impl Played {
    /// Sends, reads and kills, all at once.
    async fn of(
        records: u64,
        seed: u64,
        replay: &Replay,
        client: &Client,
        node: NodeProcess,
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
            let reads = reader::read_all(client, replay, ends_known, story).await?;
            Ok::<_, Failure>((reads, started.elapsed()))
        };
        let chaos = async {
            let (node, downtime) = Plan::new(seed, records).carry_out(node, settled_count, story).await?;
            survived.send_replace(true);
            Ok::<_, Failure>((node, downtime))
        };
        let ((sent, producing), (reads, consuming), (node, downtime)) =
            tokio::try_join!(produce, consume, chaos)?;
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
        Ok(Played { node, history, measured })
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
