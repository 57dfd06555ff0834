//! One round: a cluster is started, disturbed, healed, and judged.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::Instant;
use weir_client::{Client, NewTopic};

use super::cluster::{Cluster, Network};
use super::faults;
use super::host::{Host, enter_namespaces};
use super::journal::Journal;
use super::judge::{self, Whole};
use super::plan::{Kind, Lane, Plan};
use super::switch::{Link, address_of};
use super::workload::{self, Ends, TOPIC};
use crate::book::Book;
use crate::process::{Signal, Weir};

/// How long nodes may take to come together at first.
const FORM_PATIENCE: Duration = Duration::from_secs(60);
/// How long the cluster may take to be whole again once nothing fails any more.
const HEAL_PATIENCE: Duration = Duration::from_secs(90);
/// After so long somebody looks why it is not, and restarts nodes with a damaged disk.
const OPERATOR_AFTER: Duration = Duration::from_secs(12);
/// How long what clients do may take then.
const CLIENT_PATIENCE: Duration = Duration::from_secs(120);
/// How often somebody looks whether a node ended.
const WATCH_EVERY: Duration = Duration::from_millis(300);
/// How long an operator takes to start it again.
const START_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How often a node may end by itself right after a start before its folder is given up.
const REFUSALS_MAX: u32 = 2;

/// All that the tasks of a round share.
pub(super) struct Field {
    pub(super) cluster: Cluster,
    pub(super) plan: Plan,
    /// The operators'.
    pub(super) client: Client,
    pub(super) journal: Journal,
    pub(super) book: RefCell<Book>,
    pub(super) ends: RefCell<Option<Ends>>,
    /// Whether clients are to come to an end.
    pub(super) is_over: Cell<bool>,
    numbers: Cell<u64>,
    moves: Cell<usize>,
    is_watched: Cell<bool>,
}

impl Field {
    pub(super) fn next_number(&self) -> u64 {
        self.numbers.replace(self.numbers.get() + 1)
    }

    /// The rule that places records may be changed now.
    pub(super) fn may_move(&self) {
        self.moves.set(self.moves.get() + 1);
        self.book.borrow_mut().may_move(self.moves.get());
    }
}

/// What came of a round.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// What must not be; empty if all went well.
    pub findings: Vec<String>,
    /// What happened, line by line.
    pub timeline: Vec<String>,
    /// What each node said.
    pub logs: Vec<String>,
    /// What was counted.
    pub counts: Counts,
}

/// What a round counts, and many of them together.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Records sent.
    pub sent: u64,
    /// Of these, acknowledged.
    pub acknowledged: u64,
    /// Of these, said not to be stored.
    pub failed: u64,
    /// Of these, with an outcome that nobody knows.
    pub unknown: u64,
    /// Records read, each reading counted.
    pub read: u64,
    /// Records that nobody could read although they were acknowledged.
    pub lost: u64,
    /// Records stored or read more than once.
    pub duplicated: u64,
    /// Records in another order than they were sent.
    pub reordered: u64,
    /// What else the checker found.
    pub contradicted: u64,
    /// Batches that were the same on all replicas.
    pub batches: u64,
    /// Replicas that were not the same.
    pub divergent: u64,
    /// Batches whose bits had flipped and that nobody had read since.
    pub damaged: u64,
    /// How often each kind of fault came.
    pub faults: BTreeMap<Kind, u64>,
    /// How often one was left out.
    pub left_out: BTreeMap<Kind, u64>,
}

impl Counts {
    /// Adds those of another round.
    pub fn add(&mut self, other: &Counts) {
        let pairs = [
            (&mut self.sent, other.sent),
            (&mut self.acknowledged, other.acknowledged),
            (&mut self.failed, other.failed),
            (&mut self.unknown, other.unknown),
            (&mut self.read, other.read),
            (&mut self.lost, other.lost),
            (&mut self.duplicated, other.duplicated),
            (&mut self.reordered, other.reordered),
            (&mut self.contradicted, other.contradicted),
            (&mut self.batches, other.batches),
            (&mut self.divergent, other.divergent),
            (&mut self.damaged, other.damaged),
        ];
        pairs.into_iter().for_each(|(sum, more)| *sum += more);
        for (sums, more) in [(&mut self.faults, &other.faults), (&mut self.left_out, &other.left_out)] {
            more.iter().for_each(|(kind, count)| *sums.entry(*kind).or_default() += count);
        }
    }
}

/// Whether nodes can have networks of their own here.
///
/// # Errors
/// Why not.
pub fn can_have_networks() -> Result<(), String> {
    Host::start("trial").run(|| enter_namespaces(address_of(0)).map(drop))
}

/// Runs a round in a folder, which it fills.
#[must_use]
pub fn run(plan: &Plan, weir: &Weir, folder: &Path, with_network: bool) -> Outcome {
    let (plan, weir, folder) = (plan.clone(), weir.clone(), folder.to_owned());
    let clients = Host::start("clients");
    clients.run(move || {
        let running = AssertUnwindSafe(|| run_here(plan, weir, &folder, with_network));
        catch_unwind(running).unwrap_or_else(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
            let what = format!("a panic: {}", said.unwrap_or_default());
            Outcome { findings: vec![what], ..Outcome::default() }
        })
    })
}

fn run_here(plan: Plan, weir: Weir, folder: &Path, with_network: bool) -> Outcome {
    let failed = |why: String| Outcome { findings: vec![why], ..Outcome::default() };
    let network = if with_network {
        match enter_namespaces(address_of(plan.nodes)) {
            Ok(device) => Network::Own(device),
            Err(why) => return failed(why),
        }
    } else {
        Network::Loopback
    };
    let small_disk = (with_network && plan.fills_a_disk()).then_some(plan.victim);
    let cluster = Cluster::new(plan.nodes, weir, folder, network, small_disk, plan.seed);
    let cluster = match cluster {
        Ok(cluster) => cluster,
        Err(why) => return failed(why),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed(error.to_string()),
    };
    LocalSet::new().block_on(&runtime, async {
        match begin(cluster, plan).await {
            Ok(field) => whole_round(Rc::new(field)).await,
            Err((why, logs)) => Outcome { findings: vec![why], logs, ..Outcome::default() },
        }
    })
}

/// Starts the nodes and creates the topic.
async fn begin(cluster: Cluster, plan: Plan) -> Result<Field, (String, Vec<String>)> {
    for node in 0..cluster.count() {
        cluster.start(node).await;
    }
    let formed = tokio::time::timeout(FORM_PATIENCE, async {
        loop {
            if let Ok(client) = cluster.connect().await {
                return client;
            }
        }
    });
    let Ok(client) = formed.await else {
        return Err(("no cluster was formed in time".to_owned(), cluster.logs()));
    };
    let field = Field {
        cluster,
        plan,
        client,
        journal: Journal::new(),
        book: RefCell::default(),
        ends: RefCell::default(),
        is_over: Cell::new(false),
        numbers: Cell::new(0),
        moves: Cell::new(0),
        is_watched: Cell::new(true),
    };
    let is_ready = async {
        judge::wait_until_whole(&field, FORM_PATIENCE).await?;
        let topic = NewTopic::new(TOPIC)
            .partitions(field.plan.partitions)
            .replication_factor(field.plan.replication_factor())
            .config("min.insync.replicas", "2")
            .config("segment.bytes", "32768");
        field.client.create_topic(topic).await.map_err(|error| error.to_string())?;
        if field.plan.of(Lane::Swaps).next().is_some() {
            faults::push(&field.client).await.map_err(|error| error.to_string())?;
        }
        judge::wait_until_whole(&field, FORM_PATIENCE).await.map(drop)
    };
    match is_ready.await {
        Ok(()) => Ok(field),
        Err(why) => Err((format!("the cluster does not begin: {why}"), field.cluster.logs())),
    }
}

async fn whole_round(field: Rc<Field>) -> Outcome {
    let judged = tokio::task::spawn_local(disturb_and_judge(Rc::clone(&field)));
    let mut counts = match judged.await {
        Ok(counts) => counts,
        Err(error) => {
            field.journal.finding(format_args!("the round ended early: {error}"));
            Counts::default()
        }
    };
    counts.faults = field.journal.faults();
    counts.left_out = field.journal.left_out();
    let findings = field.journal.findings();
    counts.divergent = u64::try_from(findings.iter().filter(|found| found.starts_with("divergent")).count())
        .expect("lengths fit 64 bits");
    field.is_watched.set(false);
    let logs = field.cluster.logs();
    Outcome { findings, timeline: field.journal.lines(), logs, counts }
}

async fn disturb_and_judge(field: Rc<Field>) -> Counts {
    let clients = start_clients(&field).await;
    let watching = tokio::task::spawn_local(watch(Rc::clone(&field)));
    let lanes = [Lane::Nodes, Lane::Links, Lane::Moves, Lane::Swaps];
    let lanes = lanes.map(|lane| tokio::task::spawn_local(faults::carry_out(Rc::clone(&field), lane)));
    for lane in lanes {
        lane.await.expect("a fault is carried out");
    }
    heal(&field).await;
    let whole = judge_operators(&field).await;
    field.is_over.set(true);
    let (producers, readers) = clients;
    all_end(&field, "producers and members", producers).await;
    // What producers sent last is there too now.
    let whole = match whole {
        Some(_) => whole_again(&field).await,
        None => None,
    };
    let mut counts = Counts::default();
    if let Some(whole) = &whole {
        let ends = judge::ends(whole);
        *field.ends.borrow_mut() = Some(ends.clone());
        all_end(&field, "readers", readers).await;
        if let Err(why) = workload::read_all(&field, &ends, CLIENT_PATIENCE).await {
            field.journal.finding(format_args!("{why}"));
        }
        judge_book(&field, &mut counts);
        // Whoever read damage has said so, and is made whole by others.
        if let Some(whole) = whole_again(&field).await {
            let compared = judge::compare(&field, &whole).await;
            (counts.batches, counts.damaged) = (compared.batches, compared.damaged);
        }
    }
    field.is_watched.set(false);
    watching.await.expect("nodes are watched to the end");
    counts
}

type Tasks = Vec<tokio::task::JoinHandle<()>>;

/// Those that end when the round is over, and those that then read up to the ends.
async fn start_clients(field: &Rc<Field>) -> (Tasks, Tasks) {
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(field.cluster.connect().await.expect("a cluster that is whole can be reached"));
    }
    let mut producers = Vec::new();
    for (process, how) in (0..).zip(field.plan.producers.clone()) {
        let producing = workload::produce(Rc::clone(field), clients[0].clone(), process, how);
        producers.push(tokio::task::spawn_local(producing));
    }
    let member =
        |client: &Client| tokio::task::spawn_local(workload::take_part(Rc::clone(field), client.clone()));
    producers.extend([member(&clients[1]), member(&clients[2])]);
    let reader =
        |client: &Client| tokio::task::spawn_local(workload::consume(Rc::clone(field), client.clone()));
    (producers, vec![reader(&clients[1]), reader(&clients[2])])
}

/// Starts nodes again that ended by themselves, as whoever runs them would.
async fn watch(field: Rc<Field>) {
    let mut refusals: BTreeMap<usize, (u32, Instant)> = BTreeMap::new();
    while field.is_watched.get() {
        for node in field.cluster.ended().await {
            let said = field.cluster.last_words(node);
            let (times, last) = refusals.get(&node).copied().unwrap_or((0, Instant::now()));
            let times = if last.elapsed() < OPERATOR_AFTER { times + 1 } else { 1 };
            refusals.insert(node, (times, Instant::now()));
            let may_be_damaged = field.plan.damages() && node == field.plan.victim;
            field.journal.note(format_args!("node {} ended by itself: {said}", node + 1));
            tokio::time::sleep(START_AGAIN_AFTER).await;
            if times > REFUSALS_MAX && may_be_damaged {
                field.journal.note(format_args!("node {} starts with an empty folder", node + 1));
                faults::start_anew(&field, node).await;
            } else {
                field.cluster.start(node).await;
            }
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

/// Nothing fails any more from here on.
async fn heal(field: &Field) {
    field.cluster.change_links(|_, _, link| *link = Link::default());
    faults::make_room(field).await;
    for node in 0..field.cluster.count() {
        field.cluster.signal(node, Signal::Continue);
        field.cluster.start(node).await;
    }
    field.journal.note(format_args!("nothing fails any more"));
}

/// Waits until everything is whole; an operator lifts the throttle of what moves, and restarts nodes whose damaged disk took
/// replicas offline.
async fn whole_again(field: &Field) -> Option<Whole> {
    let deadline = Instant::now() + HEAL_PATIENCE;
    loop {
        let why = match judge::wait_until_whole(field, OPERATOR_AFTER).await {
            Ok(whole) => return Some(whole),
            Err(why) => why,
        };
        if Instant::now() > deadline {
            field.journal.finding(format_args!("not whole again: {why}"));
            return None;
        }
        field.journal.note(format_args!("not whole yet: {why}"));
        if let Err(error) = faults::lift_throttle(field).await {
            field.journal.note(format_args!("the throttle is not lifted yet: {error}"));
        }
        let victim = u32::try_from(field.plan.victim + 1).expect("few nodes");
        let offline = judge::offline(&field.client).await;
        if field.plan.damages() && offline.iter().any(|node| node.0 == victim) {
            field.journal.note(format_args!("node {victim} is restarted"));
            field.cluster.stop(field.plan.victim).await;
            field.cluster.start(field.plan.victim).await;
        }
    }
}

/// What operators began comes true, and what they ask for now is done.
async fn judge_operators(field: &Field) -> Option<Whole> {
    let whole = whole_again(field).await?;
    if field.plan.of(Lane::Swaps).next().is_some() {
        judge_swaps(field).await;
    }
    if field.plan.of(Lane::Moves).next().is_none() {
        return Some(whole);
    }
    judge_moves(field).await;
    whole_again(field).await
}

/// Every partition can have as many replicas as it began with.
async fn judge_moves(field: &Field) {
    let deadline = Instant::now() + HEAL_PATIENCE;
    while let Err(error) = faults::restore(field).await {
        if Instant::now() > deadline {
            return field.journal.finding(format_args!("replicas cannot be moved: {error}"));
        }
        field.journal.note(format_args!("not restored yet: {error}"));
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

/// A swap succeeds.
async fn judge_swaps(field: &Field) {
    let deadline = Instant::now() + HEAL_PATIENCE;
    loop {
        match faults::last_swap(field).await {
            Ok(what) => return field.journal.note(format_args!("the last swap: {what}")),
            Err(error) if !error.is_retryable() || Instant::now() > deadline => {
                return field.journal.finding(format_args!("plugins cannot be swapped: {error}"));
            }
            Err(error) => field.journal.note(format_args!("not swapped yet: {error}")),
        }
    }
}

/// Waits for tasks of clients.
async fn all_end(field: &Field, who: &str, tasks: Tasks) {
    let all = async {
        for task in tasks {
            task.await.expect("a client does not panic");
        }
    };
    if tokio::time::timeout(CLIENT_PATIENCE, all).await.is_err() {
        field.journal.finding(format_args!("{who} do not come to an end"));
    }
}

fn judge_book(field: &Field, counts: &mut Counts) {
    let report = field.book.borrow().report();
    if !report.is_clean() {
        field.journal.finding(format_args!("broken promises:\n{report}"));
    }
    counts.sent = report.sent;
    counts.acknowledged = report.acknowledged;
    counts.failed = report.failed;
    counts.unknown = report.unknown;
    counts.read = report.read;
    counts.lost = report.lost();
    counts.duplicated = report.duplicated();
    counts.reordered = report.out_of_order();
    counts.contradicted = report.contradicted();
}

/// Writes what is known of a round beside its folders.
///
/// # Errors
/// The disk's.
pub fn write_down(outcome: &Outcome, plan: &Plan, folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = vec![(folder.join("timeline.txt"), format!("{plan}\n{}\n", outcome.timeline.join("\n")))];
    files.push((folder.join("findings.txt"), outcome.findings.join("\n") + "\n"));
    for (node, log) in (1..).zip(&outcome.logs) {
        files.push((folder.join(format!("node-{node}.log")), log.clone()));
    }
    for (path, text) in &files {
        std::fs::write(path, text)?;
    }
    Ok(files.into_iter().map(|(path, _)| path).collect())
}
