//! Random schedules over the lane protocol: one lane, a few partitions, each of them the real code.
//!
//! A client sends the batches of a lane through openings (an entry node each); parts travel as messages that are
//! reordered, duplicated and delayed, and overtaken openings go on sending, some of them with fresh metadata. Leaders
//! change and take the uncommitted tail with them, partitions are leaderless for a while, producers expire, the lane
//! rolls over to its next producer epoch close to 2^30, the pipeline's revision changes, clients give up. After the
//! faults everything heals and must settle.
//!
//! What must hold: the stored parts of a lane in a partition are a gapless prefix of the lane's share of it, each once
//! and in order; what was acknowledged is there, at the offset that was answered. Then every rule is taken away in
//! turn, in the partition and around it, and the schedules must notice.
//!
//! Every failure names its seed; `WEIR_SEED=N cargo test -p weir-core --test partition lane_schedules -- --nocapture`
//! plays that schedule alone and prints each step. `WEIR_SCHEDULES=N` plays more of them.

mod checks;
mod lane;
mod world;

use weir_core::partition::Rule;

use crate::replica::Fault;
use world::{Tally, World};

/// How many schedules a run plays.
const SCHEDULES: u64 = 10_000;

/// How many schedules may pass before a missing rule is noticed.
const SCHEDULES_UNTIL_NOTICED_MAX: u64 = 4_000;

/// Every rule of the partition and every rule around it, missing in turn.
fn faults() -> Vec<Fault> {
    let around = [
        Fault::ImpurePlacement,
        Fault::ResendsAtNewRevision,
        Fault::ResumesTooFar,
        Fault::ReusesSequence,
        Fault::ProducersLostAtRestart,
        Fault::ExpiresTooEarly,
    ];
    Rule::OF_APPENDS.into_iter().map(Fault::Partition).chain(around).collect()
}

#[test]
fn parts_are_stored_once_in_order_and_what_is_acknowledged_stays() {
    if let Ok(seed) = std::env::var("WEIR_SEED") {
        let seed = seed.parse().expect("WEIR_SEED is a number");
        let mut tally = Tally::default();
        World::new(seed, Fault::Nothing, true)
            .play(&mut tally)
            .unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        println!("seed {seed} holds: {tally:?}");
        return;
    }
    let schedules = std::env::var("WEIR_SCHEDULES").map_or(SCHEDULES, |n| n.parse().expect("a number"));
    println!("seeds 0 to {}", schedules - 1);
    let mut tally = Tally::default();
    for seed in 0..schedules {
        if let Err(broken) = World::new(seed, Fault::Nothing, false).play(&mut tally) {
            panic!("seed {seed}: {broken} (replay with WEIR_SEED={seed})");
        }
    }
    println!("{tally:?}");
    tally.assert_everything_happened();
}

#[test]
fn each_missing_rule_is_noticed() {
    for fault in faults() {
        let noticed = (0..SCHEDULES_UNTIL_NOTICED_MAX).find_map(|seed| {
            World::new(seed, fault, false).play(&mut Tally::default()).err().map(|why| (seed, why))
        });
        let Some((seed, why)) = noticed else {
            panic!("{fault:?}: nobody noticed in {SCHEDULES_UNTIL_NOTICED_MAX} schedules");
        };
        println!("{fault:?}: noticed at seed {seed}: {why}");
    }
}
