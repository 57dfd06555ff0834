//! Random schedules: two or three replicas, idempotent producers with retries and others without, a network that
//! reorders, repeats and loses frames, crashes that lose what was not flushed, late metadata, elections, ISR proposals
//! that are lost, repeated, refused and late, pauses, `write.caching` switched while it runs. After the faults
//! everything heals: every replica joins the ISR, all logs are the same, and every producer is done.
//!
//! Each invariant is checked after each step. Then every rule between replicas is taken away in turn, and the schedules
//! must notice.
//!
//! Every failure names its seed; `WEIR_SEED=N cargo test -p weir-core --test replication schedules -- --nocapture`
//! plays that schedule alone and prints each step. `WEIR_SCHEDULES=N` plays more of them.

mod clients;
mod faults;
mod healing;
mod tally;
mod world;

use weir_core::partition::Rule;

use tally::Tally;
use world::World;

/// How many schedules a run plays.
const SCHEDULES: u64 = 1_500;

/// How many schedules may pass before a missing rule is noticed.
const SCHEDULES_UNTIL_NOTICED_MAX: u64 = 6_000;

#[test]
fn what_is_acknowledged_stays_and_the_replicas_agree() {
    if let Ok(seed) = std::env::var("WEIR_SEED") {
        let seed = seed.parse().expect("WEIR_SEED is a number");
        let mut tally = Tally::default();
        World::new(seed, None, true)
            .play(&mut tally)
            .unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        println!("seed {seed} holds: {tally:?}");
        return;
    }
    let schedules = std::env::var("WEIR_SCHEDULES").map_or(SCHEDULES, |n| n.parse().expect("a number"));
    println!("seeds 0 to {}", schedules - 1);
    let mut tally = Tally::default();
    for seed in 0..schedules {
        if let Err(broken) = World::new(seed, None, false).play(&mut tally) {
            panic!("seed {seed}: {broken} (replay with WEIR_SEED={seed})");
        }
    }
    println!("{tally:?}");
    tally.assert_everything_happened();
}

#[test]
fn each_missing_rule_is_noticed() {
    for rule in Rule::OF_REPLICATION {
        let noticed = (0..SCHEDULES_UNTIL_NOTICED_MAX).find_map(|seed| {
            World::new(seed, Some(rule), false).play(&mut Tally::default()).err().map(|why| (seed, why))
        });
        let Some((seed, why)) = noticed else {
            panic!("{rule:?}: nobody noticed in {SCHEDULES_UNTIL_NOTICED_MAX} schedules");
        };
        println!("{rule:?}: noticed at seed {seed}: {why}");
    }
}
