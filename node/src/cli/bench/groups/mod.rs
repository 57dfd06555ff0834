//! `weir bench groups`: how soon partitions move between members, how many commits are taken, what many groups cost.
//!
//! ```text
//!   a record a tick to each partition ──▶ topic ──▶ the members of one group, each a client with its own connection
//!   one more joins, and leaves; one more joins, and vanishes ──▶ how long until what moves is read by somebody else
//!   all members commit ──▶ how many commits a second
//!   many groups of one member over few connections, which do nothing ──▶ what the nodes' processes need for them
//!   a node is killed ──▶ how long until all groups are answered for again
//! ```
//!
//! A record holds when it was sent, so what a rebalance does to partitions that stay where they are is told by how late
//! their records come. On nodes of the bench's own that topic has `write.caching`, as has the one of offsets.

mod board;
mod many;
mod member;

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;
use weir_client::{
    Acks, Client, DeliveryResult, GroupState, NewTopic, PartitionIndex, Producer, ProducerConfig, Record,
};

use self::board::{Board, Moved};
use self::member::{Member, Order, Threads};
use super::latencies::{Latencies, Times};
use super::machine::{CpuTimes, CpuUsed};
use super::target::{Target, Where};
use crate::cli::global::Global;
use crate::cli::output::{Failure, Output, grouped, per_second};

/// Where groups and their offsets are kept.
const OFFSETS_TOPIC: &str = weir_wire::group_log::TOPIC;
/// How long a change of the group may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The pause before the group is described again. All its partitions are in the answer: asked for at every look it would be
/// half of what is measured.
const DESCRIBE_PAUSE: Duration = Duration::from_millis(250);
/// Into how many parts the partitions are divided, so that not all of them get a record at the same moment.
const SLICES: u32 = 20;
/// The threads that members share.
const THREADS: usize = 2;
/// The pause before it is looked again whether a change is over.
const LOOK_PAUSE: Duration = Duration::from_millis(5);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Members of the group
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=500))]
    members: u32,
    /// Partitions of the topic
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    partitions: u32,
    /// Who assigns, such as range [default: who does on the cluster]
    #[arg(long, value_name = "NAME")]
    assignor: Option<String>,
    /// How often a record goes to each partition
    #[arg(long, value_name = "MS", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    tick_ms: u64,
    /// How often a member joins and leaves again
    #[arg(long, value_name = "N", default_value_t = 5)]
    joins: u32,
    /// How often a member joins and vanishes without a word; each takes a session
    #[arg(long, value_name = "N", default_value_t = 1)]
    kills: u32,
    /// How long all members commit; 0 for not at all
    #[arg(long, value_name = "S", default_value_t = 5.0)]
    commit_seconds: f64,
    /// How many commits a second they make together at most; 0 for as many as there can be
    #[arg(long, value_name = "N", default_value_t = 0)]
    commit_rate: u32,
    /// How many groups of one member; 0 for none
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    groups: u32,
    /// Over how many connections
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    connections: u32,
    /// How long those are watched
    #[arg(long, value_name = "S", default_value_t = 10.0)]
    idle_seconds: f64,
    /// How often a node is killed that coordinates a part of them; needs --nodes 3
    #[arg(long, value_name = "N", default_value_t = 0)]
    failovers: u32,
    #[command(flatten)]
    place: Where,
}

/// What was measured; `null` where nothing was.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    bench: &'static str,
    members: u32,
    partitions: u32,
    /// From the moment in which a member asks to join until each of its partitions is read by it.
    join: Times,
    /// From the moment in which a member begins to leave until each of its partitions is read by another one.
    leave: Times,
    /// From the moment in which a member vanishes until each of its partitions is read by another one; its session, 15 s
    /// unless configured otherwise, is in it.
    kill: Times,
    /// How late records come from partitions that stay where they are, while others move.
    kept: Times,
    commits_per_second: Option<u64>,
    commit: Times,
    groups: u32,
    connections: u32,
    /// How long it took until all groups had their member and all members their partition.
    groups_joined_seconds: Option<f64>,
    /// Of one core, all nodes together, for doing nothing in that many groups.
    groups_node_cpu_percent: Option<f64>,
    /// From the moment in which a node is killed until others answer for each group, with its member.
    failover: Times,
    other_cores: Option<f64>,
}

impl Figures {
    /// For people.
    pub(super) fn lines(&self) -> Vec<String> {
        let or_unknown = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.1}"));
        vec![
            self.join.line("join"),
            self.leave.line("leave"),
            self.kill.line("kill"),
            self.kept.line("kept"),
            self.commit.line("commit"),
            self.failover.line("failover"),
            format!("commits     {} a second", self.commits_per_second.map_or("-".to_owned(), grouped)),
            format!(
                "groups      {} over {} connections: there after {} s, then {} % of a core",
                grouped(u64::from(self.groups)),
                self.connections,
                or_unknown(self.groups_joined_seconds),
                or_unknown(self.groups_node_cpu_percent)
            ),
        ]
    }
}

pub(super) async fn run(args: &Args, global: &Global, output: Output) -> Result<Figures, Failure> {
    if args.failovers > 0 && !args.place.is_cluster_of_its_own() {
        return Err(Failure::new("a node can only be killed where the bench has several: say --nodes 3"));
    }
    let target = Arc::new(Target::start(&args.place, global, output).await?);
    let client = target.connect().await?;
    let name = format!("weir-bench-{:08x}", fastrand::u32(..));
    let topic = NewTopic::new(&name).partitions(args.partitions).config("write.caching", "true");
    client.create_topic(topic).await?;
    let (before, started) = (CpuTimes::now(&target.pids), Instant::now());
    let mut bench = Bench::begin(args, &target, client, &name).await?;
    if let Some(assignor) = &args.assignor {
        bench.assign_by(assignor).await?;
    }
    if target.is_own() {
        // As the topic is: what a group does is measured, not how soon the disk flushes.
        bench.client.alter_configs(OFFSETS_TOPIC, &[("write.caching", Some("true"))]).await?;
    }
    let moved = bench.moves(args).await?;
    let (commits, commit) =
        bench.commits(Duration::from_secs_f64(args.commit_seconds), args.commit_rate).await;
    let client = bench.end(&name).await?;
    let used = CpuUsed::between(before, CpuTimes::now(&target.pids), started.elapsed().as_secs_f64());
    let mut target = Arc::into_inner(target).expect("every member of the bench has ended");
    let many = if args.groups > 0 { Some(many::measure(args, &mut target, &client).await?) } else { None };
    client.close().await;
    target.stop(Some(&name)).await?;
    let [join, leave, kill, kept] = moved.each_ref().map(Times::of);
    Ok(Figures {
        bench: "groups",
        members: args.members,
        partitions: args.partitions,
        join,
        leave,
        kill,
        kept,
        commits_per_second: commits,
        commit: Times::of(&commit),
        groups: args.groups,
        connections: args.connections,
        groups_joined_seconds: many.as_ref().map(|many| many.joined_seconds),
        groups_node_cpu_percent: many.as_ref().and_then(|many| many.node_cpu_percent),
        failover: Times::of(&many.map_or_else(Latencies::new, |many| many.failover)),
        other_cores: used.other_cores,
    })
}

/// A group whose members read what is sent all the time.
struct Bench {
    target: Arc<Target>,
    client: Client,
    board: Arc<Board>,
    members: Vec<Member>,
    threads: Threads,
    sending: tokio::task::JoinHandle<Result<(), Failure>>,
}

impl Bench {
    async fn begin(args: &Args, target: &Arc<Target>, client: Client, topic: &str) -> Result<Bench, Failure> {
        let board = Arc::new(Board::new(topic, args.partitions));
        let config = ProducerConfig { acks: Acks::Leader, ..ProducerConfig::default() };
        let producer = client.producer(config)?;
        let tick = Duration::from_millis(args.tick_ms);
        let sending = tokio::spawn(send(producer, Arc::clone(&board), tick));
        let (target, threads) = (Arc::clone(target), Threads::start(THREADS)?);
        let mut bench = Bench { target, client, board, members: Vec::new(), threads, sending };
        for _ in 0..args.members {
            bench.join(Order::Leave)?;
        }
        bench.settle(|board| board.unread() == 0).await?;
        Ok(bench)
    }

    /// Lets this one assign from now on, and waits until everybody reads what it gave.
    async fn assign_by(&mut self, assignor: &str) -> Result<(), Failure> {
        self.client.set_group_assignor(self.board.group(), Some(assignor)).await?;
        let members = self.members.len();
        self.settle(|board| (0..members).all(|member| board.has_all_of_its_own(member))).await
    }

    /// Has one more join, which will end so.
    fn join(&mut self, end: Order) -> Result<usize, Failure> {
        let number = self.members.len();
        self.members.push(match end {
            Order::Vanish => Member::start_alone(number, &self.target, &self.board)?,
            _ => Member::start(number, &self.target, &self.board, &self.threads),
        });
        Ok(number)
    }

    /// Waits until nobody waits for a partition and the board is as wanted.
    async fn settle(&mut self, is_so: impl Fn(&Board) -> bool) -> Result<(), Failure> {
        let until = Instant::now() + PATIENCE;
        loop {
            if is_so(&self.board) {
                // What moves, moves undisturbed.
                tokio::time::sleep(DESCRIBE_PAUSE).await;
                let group = self.client.describe_group(self.board.group()).await?;
                let is_all = group.members.len() == self.members.iter().filter(|one| one.is_there()).count();
                if group.state == GroupState::Stable && is_all && is_so(&self.board) {
                    return Ok(());
                }
            }
            if self.sending.is_finished() {
                let ended =
                    (&mut self.sending).await.unwrap_or_else(|error| Err(Failure::new(error.to_string())));
                return Err(ended.err().unwrap_or_else(|| Failure::new("the producer of the bench ended")));
            }
            if let Some(failure) = self.members.iter().find_map(Member::failure) {
                return Err(failure);
            }
            if Instant::now() > until {
                let seconds = PATIENCE.as_secs();
                return Err(Failure::new(format!("the group did not settle within {seconds} s")));
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Has members come and go: join, leave, kill, and how late records of what stays are.
    async fn moves(&mut self, args: &Args) -> Result<[Latencies; 4], Failure> {
        let [join, leave, kill] = [(); 3].map(|()| Latencies::new());
        for round in 0..args.joins + args.kills {
            let (order, times) = match round {
                _ if round < args.joins => (Order::Leave, &leave),
                _ => (Order::Vanish, &kill),
            };
            self.board.watch();
            let number = self.join(order)?;
            self.settle(|board| board.has_all_of_its_own(number)).await?;
            self.board.moved_into(&join, Moved::To(number));
            self.board.watch();
            self.members[number].order(order);
            self.settle(|board| board.has_none(number)).await?;
            self.board.moved_into(times, Moved::From(number));
        }
        Ok([join, leave, kill, self.board.take_kept()])
    }

    /// Has all members commit; how many commits a second were taken, and how long each took.
    async fn commits(&self, span: Duration, rate: u32) -> (Option<u64>, Latencies) {
        if span.is_zero() {
            return (None, Latencies::new());
        }
        let members = f64::from(u32::try_from(self.members.len()).unwrap_or(u32::MAX));
        let each = if rate == 0 { 0.0 } else { members / f64::from(rate) };
        let each = Duration::from_secs_f64(each);
        self.members.iter().for_each(|member| member.order(Order::Commit { each }));
        let started = Instant::now();
        tokio::time::sleep(span).await;
        let (commits, seconds) = (self.board.commits.count(), started.elapsed().as_secs_f64());
        self.members.iter().for_each(|member| member.order(Order::Read));
        (Some(per_second(commits, seconds)), self.board.take_commits())
    }

    async fn end(self, _topic: &str) -> Result<Client, Failure> {
        self.sending.abort();
        for member in self.members {
            member.end().await?;
        }
        Ok(self.client)
    }
}

/// Sends a record to each partition at each tick, with the time of the tick in it.
async fn send(producer: Producer, board: Arc<Board>, tick: Duration) -> Result<(), Failure> {
    let mut ticks = tokio::time::interval(tick / SLICES);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = None;
    for slice in (0..SLICES).cycle() {
        ticks.tick().await;
        let stamp = board.now_ns().to_be_bytes();
        for partition in (0..board.partitions()).filter(|index| index % SLICES == slice).map(PartitionIndex) {
            last = Some(producer.send(Record::to(board.topic()).partition(partition).value(&stamp)).await?);
        }
        // The others are like it: what is not stored is no figure.
        if let Some(Some(DeliveryResult::Failed(error) | DeliveryResult::Rejected(error))) =
            last.take().map(|delivery| delivery.result())
        {
            return Err(Failure::new(error.to_string()));
        }
    }
    Ok(())
}
