//! The same seed gives the same trace: datagrams, disk operations, inputs and effects of partitions, logs, and all
//! that clients did and learned.

use weir_tests::sim::hunt::{Scenario, run_guarded};
use weir_tests::sim::plan::Plan;
use weir_tests::sim::trace::{Event, Kind, Trace, first_difference};

#[test]
fn the_same_seed_gives_the_same_trace() {
    for scenario in [Scenario::Chaos, Scenario::PowerLoss, Scenario::Cluster { nodes: 3 }] {
        for seed in 0..3 {
            let (first, second) = (events(scenario, seed), events(scenario, seed));
            if let Some(difference) = first_difference(&first, &second) {
                panic!("{scenario}, seed {seed}: {difference}");
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_with_a_group() {
    for seed in 0..2 {
        let events = || {
            let trace = Trace::keeping();
            let _ = run_guarded(&Plan::cluster(seed, 3).with_group(), &trace);
            trace.events()
        };
        if let Some(difference) = first_difference(&events(), &events()) {
            panic!("seed {seed}: {difference}");
        }
    }
}

#[test]
fn another_seed_gives_another_trace_and_every_kind_of_event_is_in_it() {
    let (first, second) = (events(Scenario::Chaos, 1), events(Scenario::Chaos, 2));
    assert!(first_difference(&first, &second).is_some());
    for kind in [Kind::Fault, Kind::Client, Kind::Log, Kind::Core, Kind::Disk, Kind::Packet] {
        assert!(first.iter().any(|event| event.kind == kind), "no {kind:?}");
    }
}

fn events(scenario: Scenario, seed: u64) -> Vec<Event> {
    let trace = Trace::keeping();
    // A run that breaks a promise has to repeat itself too; that none does is asserted elsewhere.
    let _ = run_guarded(&scenario.plan(seed), &trace);
    trace.events()
}
