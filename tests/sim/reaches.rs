//! The schedules reach what they are made for. A simulation in which nothing interesting happens finds nothing either,
//! and nobody would notice that it went quiet.

use std::collections::BTreeMap;
use std::sync::Mutex;

use weir_tests::sim::hunt::{Scenario, run_guarded};
use weir_tests::sim::trace::{Event, Kind, Trace};

/// Seeds of each scenario among which each of the moments below must come.
const SEEDS: u64 = 40;

/// A kind of event, a part of its text, and what it shows.
const MOMENTS: [(Kind, &str, &str); 20] = [
    (Kind::Packet, ", lost", "datagrams are lost"),
    (Kind::Packet, ", doubled", "datagrams come twice"),
    (Kind::Fault, "Killed", "processes are killed"),
    (Kind::Fault, "PowerCut", "the power fails"),
    (Kind::Fault, "is now Ended(Ok", "nodes stop politely"),
    (Kind::Fault, "did not start", "nodes do not start, and are started again"),
    (Kind::Client, ", again", "producers are told of what is stored already"),
    (Kind::Client, "OutcomeUnknown", "producers give up without knowing"),
    (Kind::Client, "is done", "topics are deleted and created again"),
    (Kind::Log, "cut a torn write", "recovery cuts a torn tail"),
    (Kind::Log, "the disk is nearly full", "appends are refused for want of room"),
    (Kind::Log, "there is room again", "appends go on when there is room"),
    (Kind::Log, "fault=Write", "a write fails"),
    (Kind::Log, "fault=Flush", "a flush fails"),
    (Kind::Log, "the metadata log cannot be written", "the metadata cannot be stored"),
    (Kind::Core, "input=BecomeLeader", "reigns begin"),
    (Kind::Core, "effect=HighWatermark", "the high watermark moves"),
    (Kind::Disk, "/00000000000000000000.log", "logs are written"),
    (Kind::Disk, ".snapshot", "snapshots of producers are written"),
    (Kind::Disk, "sync folder", "folders are synced"),
];

#[test]
fn the_schedules_reach_what_they_are_made_for() {
    let reached: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    let seeds = |scenario: Scenario| {
        for seed in 0..SEEDS {
            let trace = Trace::keeping();
            // Whether it kept its promises is asserted elsewhere.
            let _ = run_guarded(&scenario.plan(seed), &trace);
            let mut reached = reached.lock().unwrap();
            for event in trace.events() {
                note(&mut reached, &event);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| seeds(Scenario::PowerLoss));
        seeds(Scenario::Chaos);
    });
    let mut reached = reached.into_inner().unwrap();
    for (.., what) in MOMENTS {
        println!("{:>8} {what}", reached.entry(what).or_default());
    }
    let missing: Vec<_> = reached.iter().filter(|(_, times)| **times == 0).map(|(what, _)| what).collect();
    assert!(missing.is_empty(), "in {SEEDS} seeds of each scenario it never came to this: {missing:?}");
}

fn note(reached: &mut BTreeMap<&'static str, u64>, event: &Event) {
    for (kind, text, what) in MOMENTS {
        if event.kind == kind && event.text.contains(text) {
            *reached.entry(what).or_default() += 1;
        }
    }
}
