//! Many seeds, on all cores, until one fails or the time is up.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use weir_core::{group, metadata, partition};
use weir_node::server::Rule;

use super::plan::Plan;
use super::run::{self, Failure, Summary};
use super::trace::{Trace, first_difference};

/// How many nodes a cluster has when nobody says otherwise.
pub const NODES_DEFAULT: u32 = 3;

/// Which plans seeds stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// [`Plan::chaos`].
    Chaos,
    /// [`Plan::power_loss`].
    PowerLoss,
    /// [`Plan::cluster`].
    Cluster {
        /// How many nodes.
        nodes: u32,
    },
}

impl Scenario {
    /// The plan of a seed.
    #[must_use]
    pub fn plan(self, seed: u64) -> Plan {
        match self {
            Scenario::Chaos => Plan::chaos(seed),
            Scenario::PowerLoss => Plan::power_loss(seed),
            Scenario::Cluster { nodes } => Plan::cluster(seed, nodes),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scenario::Chaos => "chaos",
            Scenario::PowerLoss => "power-loss",
            Scenario::Cluster { .. } => "cluster",
        })
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Scenario, String> {
        [Scenario::Chaos, Scenario::PowerLoss, Scenario::Cluster { nodes: NODES_DEFAULT }]
            .into_iter()
            .find(|scenario| scenario.to_string() == text)
            .ok_or_else(|| format!("a scenario is chaos, power-loss or cluster, not '{text}'"))
    }
}

/// What became of many runs.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Runs that kept all promises.
    pub clean: u64,
    /// Records sent in them.
    pub sent: u64,
    /// Of these, acknowledged.
    pub acknowledged: u64,
    /// Of these, with an outcome that nobody could tell.
    pub unknown: u64,
    /// Of these, refused.
    pub failed: u64,
    /// How often a node died.
    pub deaths: u64,
    /// Commits of groups that were answered.
    pub commits: u64,
    /// Virtual time.
    pub took: Duration,
    /// Runs that did not, by seed, in the order of seeds.
    pub failures: Vec<(u64, Failure)>,
}

impl Tally {
    fn add(&mut self, seed: u64, result: Result<Summary, Box<Failure>>) {
        match result {
            Ok(Summary { report, deaths, commits, took, .. }) => {
                self.clean += 1;
                self.sent += report.sent;
                self.acknowledged += report.acknowledged;
                self.unknown += report.unknown;
                self.failed += report.failed;
                self.deaths += u64::from(deaths);
                self.commits += commits;
                self.took += took;
            }
            Err(failure) => self.failures.push((seed, *failure)),
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { clean, sent, acknowledged, unknown, failed, deaths, commits, took, failures } = self;
        write!(
            f,
            "{clean} seeds clean, {} not; {sent} records sent: {acknowledged} acknowledged, {failed} failed, {unknown} \
             unknown; {commits} commits of groups; {deaths} deaths in {:.0} virtual minutes",
            failures.len(),
            took.as_secs_f64() / 60.0
        )
    }
}

/// Runs a plan, and takes a panic of the simulation's own thread for a broken promise too.
///
/// # Errors
/// The promises that were broken.
pub fn run_guarded(plan: &Plan, trace: &Trace) -> Result<Summary, Box<Failure>> {
    catch_unwind(AssertUnwindSafe(|| run::run(plan, trace))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words");
        Err(Box::new(Failure { violations: vec![format!("a panic in a step: {text}")], at: Duration::ZERO }))
    })
}

/// Runs a plan twice. It has to repeat itself also where it breaks a promise, or nobody could find out why.
///
/// # Errors
/// The promises that were broken, or that the runs differ.
pub fn run_twice(plan: &Plan) -> Result<Summary, Box<Failure>> {
    let (first, second) = (Trace::keeping(), Trace::keeping());
    let (result, _) = (run_guarded(plan, &first), run_guarded(plan, &second));
    match first_difference(&first.events(), &second.events()) {
        None => result,
        Some(difference) => Err(Box::new(Failure { violations: vec![difference], at: Duration::ZERO })),
    }
}

/// How long to go on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Seeds at most.
    pub seeds: u64,
    /// Real time at most.
    pub time: Option<Duration>,
    /// Failures after which nothing more is tried.
    pub failures: usize,
    /// Whether each seed is run twice, and must repeat itself.
    pub twice: bool,
}

/// Runs seeds from `first` on, on all cores.
///
/// # Panics
/// If there are no cores.
#[must_use]
pub fn hunt(plan: impl Fn(u64) -> Plan + Sync, first: u64, limits: Limits) -> Tally {
    let next = AtomicU64::new(0);
    let tally = Mutex::new(Tally::default());
    let started = now();
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let is_late = limits.time.is_some_and(|time| now().duration_since(started) >= time);
            if number >= limits.seeds || is_late || locked(&tally).failures.len() >= limits.failures {
                return;
            }
            let seed = first.wrapping_add(number);
            let result = if limits.twice {
                run_twice(&plan(seed))
            } else {
                run_guarded(&plan(seed), &Trace::silent())
            };
            locked(&tally).add(seed, result);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut tally = tally.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    tally.failures.sort_by_key(|(seed, _)| *seed);
    tally
}

fn locked(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "how long a hunt lasts is real time; no run sees it")]
fn now() -> Instant {
    Instant::now()
}

/// How a person sees a seed again.
#[must_use]
pub fn replay_command(scenario: Scenario, seed: u64) -> String {
    let nodes = match scenario {
        Scenario::Cluster { nodes } => format!(" --nodes {nodes}"),
        Scenario::Chaos | Scenario::PowerLoss => String::new(),
    };
    format!("cargo run -p weir-tests --bin weir-sim -- --scenario {scenario}{nodes} --seed {seed}")
}

/// Rules that whole nodes can leave out.
#[must_use]
pub fn rules_to_break() -> Vec<Rule> {
    let of_replicas = partition::Rule::OF_REPLICATION.into_iter().chain(partition::Rule::OF_APPENDS);
    let of_others =
        metadata::Rule::ALL.map(Rule::Metadata).into_iter().chain(group::Rule::ALL.map(Rule::Group));
    of_replicas.map(Rule::Partition).chain(of_others).collect()
}

/// What a rule is called.
#[must_use]
pub fn rule_name(rule: Rule) -> String {
    match rule {
        Rule::Partition(rule) => format!("{rule:?}"),
        Rule::Metadata(rule) => format!("{rule:?}"),
        Rule::Group(rule) => format!("{rule:?}"),
    }
}
