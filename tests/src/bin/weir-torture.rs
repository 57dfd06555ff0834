//! Tortures clusters of real processes, round after round, and says what came of it.
#![expect(clippy::disallowed_methods, reason = "real processes, real time, real files")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use weir_tests::process::Weir;
use weir_tests::torture::plan::{KINDS, Kind, Options, Plan};
use weir_tests::torture::{Counts, Outcome, can_have_networks, run, write_down};

/// Runs clusters of real `weir node` processes under random faults, and judges what their clients were told. As root the
/// nodes stand in networks of their own, which are cut, slowed and made to lose packets; nothing of them stays behind.
#[derive(Parser)]
#[command(name = "weir-torture")]
struct Args {
    /// How many nodes a cluster has
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(3..=7))]
    nodes: u8,
    /// How many rounds there are
    #[arg(long, value_name = "N", default_value_t = 1)]
    rounds: u64,
    /// Goes on with fresh rounds for so long instead
    #[arg(long, value_name = "H", conflicts_with = "rounds")]
    hours: Option<f64>,
    /// The seed of the first round; those after it count up [default: a fresh one]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// The faults to choose from, separated by commas [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    faults: Vec<Kind>,
    /// Faults that come in every round besides
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    must: Vec<Kind>,
    /// Swaps plugins in every round
    #[arg(long)]
    swaps: bool,
    /// Has every producer wait until it knows what became of a record; else some give up after two seconds
    #[arg(long)]
    patient: bool,
    /// How many rounds run at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=16))]
    parallel: u8,
    /// Where the folders of rounds that failed are kept
    #[arg(long, value_name = "DIR", default_value = "weir-torture-failed")]
    keep: PathBuf,
    /// The program under test [default: WEIR, or the one beside this program]
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Stays on loopback, without faults of the network, as where this user may not make networks
    #[arg(long)]
    loopback: bool,
    /// Prints what happened in every round, not only in those that failed
    #[arg(long)]
    timeline: bool,
}

/// What all rounds share.
struct Rounds {
    args: Args,
    options: Options,
    weir: Weir,
    with_network: bool,
    first_seed: u64,
    deadline: Option<Instant>,
    next: AtomicU64,
    is_broken: AtomicBool,
    sums: Mutex<Sums>,
}

#[derive(Default)]
struct Sums {
    rounds: u64,
    failed: Vec<u64>,
    counts: Counts,
}

fn main() -> ExitCode {
    let mut args = Args::parse();
    let with_network = match (args.loopback, can_have_networks()) {
        (true, _) => false,
        (false, Ok(())) => true,
        (false, Err(why)) => {
            println!("all nodes are on loopback, without faults of the network: {why}");
            false
        }
    };
    let all = KINDS.into_iter().map(|(kind, _)| kind);
    let mut kinds = if args.faults.is_empty() { all.collect() } else { args.faults.clone() };
    kinds.retain(|kind: &Kind| with_network || !kind.needs_network());
    if args.swaps {
        args.must.push(Kind::Swap);
    }
    let options =
        Options { nodes: usize::from(args.nodes), kinds, must: args.must.clone(), patient: args.patient };
    let Some(program) = program(&args) else {
        eprintln!("there is no weir beside this program: build it, or name it with --program");
        return ExitCode::from(2);
    };
    let rounds = Rounds {
        weir: Weir::new(program),
        options,
        with_network,
        first_seed: args.seed.unwrap_or_else(|| fastrand::u64(..1 << 48)),
        deadline: args.hours.map(|hours| now() + Duration::from_secs_f64(hours.max(0.0) * 3600.0)),
        args,
        next: AtomicU64::new(0),
        is_broken: AtomicBool::new(false),
        sums: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..rounds.args.parallel {
            scope.spawn(|| while rounds.one() {});
        }
    });
    let sums = rounds.sums.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    println!("{}", summary(&sums));
    let is_well = sums.failed.is_empty() && !rounds.is_broken.load(Ordering::Relaxed);
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl Rounds {
    /// Runs the next round; false if there is none.
    fn one(&self) -> bool {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let is_enough = match self.deadline {
            Some(deadline) => now() > deadline,
            None => number >= self.args.rounds,
        };
        if is_enough || self.is_broken.load(Ordering::Relaxed) {
            return false;
        }
        let seed = self.first_seed.wrapping_add(number);
        let plan = Plan::new(seed, &self.options);
        let Ok(folder) = tempfile::tempdir() else {
            eprintln!("no temporary folder can be made");
            self.is_broken.store(true, Ordering::Relaxed);
            return false;
        };
        let started = now();
        let outcome = run(&plan, &self.weir, folder.path(), self.with_network);
        self.tell(&plan, &outcome, started.elapsed(), folder);
        true
    }

    fn tell(&self, plan: &Plan, outcome: &Outcome, took: Duration, folder: tempfile::TempDir) {
        let mut sums = self.sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sums.rounds += 1;
        sums.counts.add(&outcome.counts);
        let Counts { sent, unknown, .. } = outcome.counts;
        let faults: Vec<String> =
            outcome.counts.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let (seed, faults) = (plan.seed, faults.join(", "));
        let state = if outcome.findings.is_empty() { "ok" } else { "FAILED" };
        let seconds = took.as_secs_f64();
        println!("seed {seed}: {state} in {seconds:.1} s, {sent} sent, {unknown} unknown; {faults}");
        if self.args.timeline {
            print!("{plan}");
            outcome.timeline.iter().for_each(|line| println!("  {line}"));
        }
        if outcome.findings.is_empty() {
            return;
        }
        sums.failed.push(seed);
        outcome.findings.iter().for_each(|finding| println!("  {finding}"));
        println!("  again: {}", self.replay(seed));
        match keep(outcome, plan, folder, &self.args.keep) {
            Ok(kept) => println!("  kept: {}", kept.display()),
            Err(error) => println!("  not kept: {error}"),
        }
    }

    fn replay(&self, seed: u64) -> String {
        let mut command = format!("weir-torture --nodes {} --seed {seed}", self.args.nodes);
        if self.args.patient {
            command.push_str(" --patient");
        }
        let list = |kinds: &[Kind]| kinds.iter().map(Kind::to_string).collect::<Vec<_>>().join(",");
        if !self.args.faults.is_empty() {
            command.push_str(&format!(" --faults {}", list(&self.args.faults)));
        }
        if !self.args.must.is_empty() {
            command.push_str(&format!(" --must {}", list(&self.args.must)));
        }
        command
    }
}

/// Moves a round's folder to where it stays.
fn keep(outcome: &Outcome, plan: &Plan, folder: tempfile::TempDir, into: &Path) -> std::io::Result<PathBuf> {
    let kept = into.join(format!("seed-{}", plan.seed));
    std::fs::create_dir_all(into)?;
    write_down(outcome, plan, folder.path())?;
    if kept.exists() {
        std::fs::remove_dir_all(&kept)?;
    }
    let folder = folder.keep();
    // A folder for temporary files is often on another disk, where a rename leads nowhere.
    if std::fs::rename(&folder, &kept).is_err() {
        return Ok(folder);
    }
    Ok(kept)
}

fn program(args: &Args) -> Option<PathBuf> {
    if let Some(program) = args.program.clone().or_else(|| std::env::var_os("WEIR").map(PathBuf::from)) {
        return std::fs::canonicalize(program).ok();
    }
    let here = std::env::current_exe().ok()?;
    let beside = |name: &str| Some(here.parent()?.join(name)).filter(|path| path.exists());
    beside("weir-under-test").or_else(|| beside("weir"))
}

fn summary(sums: &Sums) -> String {
    let Counts { sent, acknowledged, failed, unknown, read, batches, .. } = sums.counts;
    let Counts { lost, duplicated, reordered, contradicted, divergent, damaged, .. } = sums.counts;
    let by_kind = |counts: &std::collections::BTreeMap<Kind, u64>| {
        let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
    };
    let all: u64 = sums.counts.faults.values().sum();
    let lines = [
        format!("rounds      {}, of which {} failed {:?}", sums.rounds, sums.failed.len(), sums.failed),
        format!(
            "operations  {sent} sent: {acknowledged} acknowledged, {failed} failed, {unknown} unknown; {read} read"
        ),
        format!(
            "wrong       {lost} lost, {duplicated} duplicated, {reordered} reordered, {contradicted} contradicted"
        ),
        format!(
            "replicas    {batches} batches compared, {divergent} divergent; {damaged} damaged by flips and not read since"
        ),
        format!("faults      {all}: {}", by_kind(&sums.counts.faults)),
        format!("left out    {}", by_kind(&sums.counts.left_out)),
    ];
    lines.join("\n")
}

fn now() -> Instant {
    Instant::now()
}
