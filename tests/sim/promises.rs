//! Fresh seeds: whatever fails, nothing acknowledged is lost, nothing is stored twice, order holds, nothing that was
//! shown is taken back; and once nothing fails any more, everything heals.

use weir_tests::sim::hunt::{Limits, Scenario, hunt, replay_command};
use weir_tests::sim::plan::Plan;

/// Seeds of everything that may go wrong, unless `WEIR_SIM_SEEDS` says otherwise: about a minute on two cores.
const SEEDS: u64 = 300;
/// Seeds of power loss: what the project promises to have tried.
const POWER_LOSS_SEEDS: u64 = 1_000;
/// Fresh seeds of clusters of three: a minute or two.
const CLUSTER_SEEDS: u64 = 40;
/// What hunts found: records that overtook the answer to a subscription and were dropped; a metadata log that was purged
/// before the snapshot that stands for it was durable; a core of openraft's that ended with its stream to another node; an
/// active controller that fenced others while its own earlier process, whose cache was lost, still counted as in sync; a
/// reign that was in a log and not in its checkpoint, so that after a clean stop the leader wanted committed records cut.
const FOUND_ONCE: [u64; 5] = [
    13_354_466_494_532_359_931,
    3_958_669_772_759_945_479,
    3_958_669_772_759_945_968,
    3_958_669_772_759_946_158,
    20_261_129_001_545,
];

/// The same of clusters with a group: records of a new topic that failed for good at a leader that had not heard of it yet;
/// members that asked such a node where to begin with what they were given, and never began.
const FOUND_ONCE_WITH_A_GROUP: [u64; 2] = [0, 5];
/// The same where operators swap pipelines and move replicas: an active controller that fenced its own earlier process, which
/// had lost nothing, before that of a node which had.
const FOUND_ONCE_WITH_MOVES: [u64; 1] = [3_958_669_772_759_946_158];

/// The same of clusters where all of this happens: a commit refused by a leader that was deposed and had not heard of it.
const FOUND_ONCE_WITH_ALL: [u64; 1] = [20_261_130_004_852];

#[test]
fn promises_hold_whatever_fails() {
    assert_clean(Scenario::Chaos, first_seed(), seeds_wanted(SEEDS));
}

#[test]
fn a_thousand_power_cuts_lose_nothing() {
    assert_clean(Scenario::PowerLoss, first_seed(), seeds_wanted(POWER_LOSS_SEEDS));
}

#[test]
fn a_cluster_keeps_its_promises_whatever_fails() {
    assert_clean(Scenario::Cluster { nodes: 3 }, first_seed(), seeds_wanted(CLUSTER_SEEDS));
}

#[test]
fn what_was_found_once_stays_mended() {
    let scenario = Scenario::Cluster { nodes: 3 };
    for seed in FOUND_ONCE {
        // As it was when it found something.
        all_clean(scenario, |seed| scenario.plan(seed).without_group().without_operators(), seed, 1);
    }
    for seed in FOUND_ONCE_WITH_MOVES {
        all_clean(scenario, |seed| scenario.plan(seed).without_group(), seed, 1);
    }
    for seed in FOUND_ONCE_WITH_ALL {
        all_clean(scenario, |seed| scenario.plan(seed), seed, 1);
    }
    for seed in FOUND_ONCE_WITH_A_GROUP {
        all_clean(scenario, |seed| Plan::cluster(seed, 3).with_group(), seed, 1);
    }
}

fn assert_clean(scenario: Scenario, first: u64, seeds: u64) {
    all_clean(scenario, |seed| scenario.plan(seed), first, seeds);
}

fn all_clean(scenario: Scenario, plan: impl Fn(u64) -> Plan + Sync, first: u64, seeds: u64) {
    println!("{scenario}: {seeds} seeds from {first}");
    let tally = hunt(&plan, first, Limits { seeds, time: None, failures: 3, twice: false });
    println!("{tally}");
    for (seed, failure) in &tally.failures {
        println!("seed {seed} {failure}{}\n{}", plan(*seed), replay_command(scenario, *seed));
    }
    assert!(tally.failures.is_empty(), "{} seeds broke a promise, see above", tally.failures.len());
}

fn seeds_wanted(default: u64) -> u64 {
    std::env::var("WEIR_SIM_SEEDS")
        .ok()
        .map_or(default, |text| text.parse().expect("WEIR_SIM_SEEDS is a number"))
}

/// Fresh ones each time, unless `WEIR_SIM_FIRST_SEED` says otherwise.
fn first_seed() -> u64 {
    match std::env::var("WEIR_SIM_FIRST_SEED") {
        Ok(text) => text.parse().expect("WEIR_SIM_FIRST_SEED is a number"),
        Err(_) => fastrand::u64(..1 << 48),
    }
}
