//! Replays one seed of the simulation as a readable timeline, or hunts through many.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use weir_node::server::Rule;
use weir_tests::sim::disk::Lie;
use weir_tests::sim::hunt::{self, Limits, Scenario, replay_command, run_guarded};
use weir_tests::sim::plan::Plan;
use weir_tests::sim::trace::{Kind, Trace, first_difference};

/// Runs whole nodes on a simulated network, disk and clock.
#[derive(Parser)]
#[command(name = "weir-sim")]
struct Args {
    /// What seeds stand for: chaos or power-loss with one node, or cluster.
    #[arg(long, default_value_t = Scenario::Chaos)]
    scenario: Scenario,
    /// How many nodes a cluster has.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5))]
    nodes: Option<u32>,
    /// Gives every cluster a consumer group, not only some of them.
    #[arg(long)]
    groups: bool,
    /// Runs clusters without groups, swapped pipelines and moved replicas
    #[arg(long, conflicts_with = "groups")]
    plain: bool,
    /// Replays this seed and prints what happens.
    #[arg(long, value_name = "N", conflicts_with_all = ["seeds", "hours"])]
    seed: Option<u64>,
    /// Tries these seeds, the last one excluded, and prints those that fail.
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    seeds: Option<(u64, u64)>,
    /// Tries fresh seeds for so long.
    #[arg(long, value_name = "H")]
    hours: Option<f64>,
    /// Runs each seed twice, and tells where those that do not repeat themselves part.
    #[arg(long)]
    twice: bool,
    /// Shows every datagram.
    #[arg(long)]
    packets: bool,
    /// Shows every operation of the disks.
    #[arg(long)]
    disk: bool,
    /// Shows what every partition's core is told and decides.
    #[arg(long)]
    core: bool,
    /// Gives the nodes disks that lie about file-syncs or folder-syncs: what must be noticed.
    #[arg(long, value_name = "WHAT", value_parser = parse_lie)]
    lie: Option<Lie>,
    /// Takes a rule away from the nodes, such as TruncateByEpoch: what must be noticed.
    #[arg(long, value_name = "RULE", value_parser = parse_rule)]
    without: Option<Rule>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match (args.seed, args.seeds, args.hours) {
        (Some(seed), _, _) => replay(&args, seed),
        (None, Some((from, to)), None) => search(&args, from, to.saturating_sub(from), None),
        (None, None, Some(hours)) if hours > 0.0 => {
            search(&args, fastrand::u64(..), u64::MAX, Some(Duration::from_secs_f64(hours * 3600.0)))
        }
        _ => {
            eprintln!("say --seed N, --seeds A..B or --hours H");
            ExitCode::from(2)
        }
    }
}

/// `--nodes` alone means a cluster of so many.
fn scenario(args: &Args) -> Scenario {
    args.nodes.map_or(args.scenario, |nodes| Scenario::Cluster { nodes })
}

fn plan(args: &Args, seed: u64) -> Plan {
    let plan = scenario(args).plan(seed);
    let plan = if args.groups && plan.workload.group.is_none() { plan.with_group() } else { plan };
    let plan = if args.plain { plan.without_group().without_operators() } else { plan };
    let plan = match args.lie {
        Some(lie) => plan.with_lie(lie),
        None => plan,
    };
    match args.without {
        Some(rule) => plan.without(rule),
        None => plan,
    }
}

fn replay(args: &Args, seed: u64) -> ExitCode {
    let plan = plan(args, seed);
    println!("{plan}");
    let trace = Trace::keeping();
    let result = run_guarded(&plan, &trace);
    if args.twice {
        let again = Trace::keeping();
        let _ = run_guarded(&plan, &again);
        if let Some(difference) = first_difference(&trace.events(), &again.events()) {
            println!("{difference}");
            return ExitCode::FAILURE;
        }
    }
    for event in trace.events() {
        let is_shown = match event.kind {
            Kind::Packet => args.packets,
            Kind::Disk => args.disk,
            Kind::Core => args.core,
            Kind::Fault | Kind::Client | Kind::Log => true,
        };
        if is_shown {
            println!("{event}");
        }
    }
    println!("\n{}", trace.digest());
    match result {
        Ok(summary) => {
            println!("clean: {:?}", summary.report);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("BROKEN {failure}");
            ExitCode::FAILURE
        }
    }
}

fn search(args: &Args, first: u64, seeds: u64, time: Option<Duration>) -> ExitCode {
    const FAILURES_SHOWN: usize = 10;
    println!("{} from seed {first}", scenario(args));
    let tally = hunt::hunt(
        |seed| plan(args, seed),
        first,
        Limits { seeds, time, failures: FAILURES_SHOWN, twice: args.twice },
    );
    for (seed, failure) in &tally.failures {
        println!("seed {seed} {failure}  {}\n", replay_command(scenario(args), *seed));
    }
    println!("{tally}");
    if tally.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn parse_seeds(text: &str) -> Result<(u64, u64), String> {
    let numbers = text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    numbers.filter(|(from, to)| from < to).ok_or_else(|| "write two numbers, such as 0..100".to_owned())
}

fn parse_rule(text: &str) -> Result<Rule, String> {
    let rules = || hunt::rules_to_break().into_iter();
    rules().find(|rule| hunt::rule_name(*rule) == text).ok_or_else(|| {
        format!("a rule is one of: {}", rules().map(hunt::rule_name).collect::<Vec<_>>().join(", "))
    })
}

fn parse_lie(text: &str) -> Result<Lie, String> {
    match text {
        "file-syncs" => Ok(Lie::FileSyncs),
        "folder-syncs" => Ok(Lie::FolderSyncs),
        _ => Err("a disk lies about file-syncs or folder-syncs".to_owned()),
    }
}
