//! Random schedules: nodes start, crash, lose their disks, are fenced, stop; leaders change who is in sync, with messages
//! that come late; topics come, grow and go; operators elect, configure and swap plugins.
//!
//! After every command everything in [`crate::invariants`] must hold. At the end the same commands must lead to the same
//! image again. Then every rule is taken away in turn, and the schedules must notice.
//!
//! Every failure names its seed; `WEIR_SEED=N cargo test -p weir-core --test metadata schedules -- --nocapture` plays that
//! schedule alone and prints each step. `WEIR_SCHEDULES=N` plays more of them.

mod reassigning;
mod swaps;
mod world;

use std::collections::BTreeMap;

use weir_core::metadata::rules::Rule;

use world::World;

const SCHEDULES: u64 = 2_000;
const SCHEDULES_UNTIL_NOTICED_MAX: u64 = 1_000;

#[test]
fn whatever_happens_the_invariants_hold() {
    if let Ok(seed) = std::env::var("WEIR_SEED") {
        let seed = seed.parse().expect("WEIR_SEED is a number");
        World::new(seed, None, true).play().unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        return;
    }
    let schedules = std::env::var("WEIR_SCHEDULES").map_or(SCHEDULES, |n| n.parse().expect("a number"));
    println!("seeds 0 to {}", schedules - 1);
    let mut tally = BTreeMap::new();
    for seed in 0..schedules {
        let mut world = World::new(seed, None, false);
        if let Err(broken) = world.play() {
            panic!("seed {seed}: {broken} (replay with WEIR_SEED={seed})");
        }
        for (what, count) in world.tally {
            *tally.entry(what).or_insert(0) += count;
        }
    }
    println!("{tally:#?}");
    for what in world::SITUATIONS {
        assert!(tally.contains_key(what), "no schedule led to: {what}");
    }
}

#[test]
fn every_missing_rule_is_noticed() {
    for rule in Rule::ALL {
        let noticed = (0..SCHEDULES_UNTIL_NOTICED_MAX)
            .find_map(|seed| World::new(seed, Some(rule), false).play().err().map(|broken| (seed, broken)));
        let (seed, broken) = noticed.unwrap_or_else(|| panic!("nobody noticed that {rule:?} is missing"));
        println!("{rule:?}: noticed at seed {seed}: {broken}");
    }
}
