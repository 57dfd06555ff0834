//! The schedules reach what they are made for. A simulation in which nothing interesting happens finds nothing either,
//! and nobody would notice that it went quiet.

use std::collections::BTreeMap;
use std::sync::Mutex;

use weir_tests::sim::hunt::{Scenario, run_guarded};
use weir_tests::sim::plan::Plan;
use weir_tests::sim::trace::{Event, Kind, Trace};

/// Seeds of each scenario among which each of the moments below must come.
const SEEDS: u64 = 40;

/// Seeds of clusters with a group among which each of theirs must come.
const GROUPS: u64 = 16;
/// Two more: a member that lives seldom stays unheard for longer than its session.
const SILENT_MEMBERS: [u64; 2] = [28, 47];

/// A kind of event, a part of its text, and what it shows.
type Moment = (Kind, &'static str, &'static str);

const MOMENTS: [Moment; 20] = [
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

/// The same of clusters whose plan has a group.
const MOMENTS_OF_GROUPS: [Moment; 12] = [
    (Kind::Client, "tenure ", "members are given partitions"),
    (Kind::Client, "has to let go of", "partitions are taken from members"),
    (Kind::Client, "lost [", "members hear that their session is over"),
    (Kind::Client, "is committed", "commits are answered"),
    (Kind::Client, "was refused", "commits of former owners are refused"),
    (Kind::Client, "politely: true", "members leave"),
    (Kind::Client, "AddPartition is done", "the topic grows"),
    (Kind::Client, "Assign(\"range\") is done", "the assignor is swapped"),
    (Kind::Log, "a member's session ended", "sessions end"),
    (Kind::Log, "was expelled", "members are expelled"),
    (Kind::Fault, "KillMember", "members are killed"),
    (Kind::Fault, "strikes Coordinator: [NodeId", "the coordinator fails"),
];

#[test]
fn the_schedules_reach_what_they_are_made_for() {
    let plans = (0..SEEDS).flat_map(|seed| [Scenario::Chaos.plan(seed), Scenario::PowerLoss.plan(seed)]);
    all_come(plans.collect(), &MOMENTS);
}

#[test]
fn the_schedules_of_groups_reach_what_they_are_made_for() {
    all_come(
        (0..GROUPS).chain(SILENT_MEMBERS).map(|seed| Plan::cluster(seed, 3).with_group()).collect(),
        &MOMENTS_OF_GROUPS,
    );
}

fn all_come(plans: Vec<Plan>, moments: &[Moment]) {
    let (tried, next) = (plans.len(), Mutex::new(plans.into_iter()));
    let reached: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    let work = || {
        while let Some(plan) = { next.lock().unwrap().next() } {
            let trace = Trace::keeping();
            // Whether it kept its promises is asserted elsewhere.
            let _ = run_guarded(&plan, &trace);
            let mut reached = reached.lock().unwrap();
            for event in trace.events() {
                note(&mut reached, moments, &event);
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    let mut reached = reached.into_inner().unwrap();
    for (.., what) in moments {
        println!("{:>8} {what}", reached.entry(what).or_default());
    }
    let missing: Vec<_> = reached.iter().filter(|(_, times)| **times == 0).map(|(what, _)| what).collect();
    assert!(missing.is_empty(), "in {tried} plans it never came to this: {missing:?}");
}

fn note(reached: &mut BTreeMap<&'static str, u64>, moments: &[Moment], event: &Event) {
    for (kind, text, what) in moments {
        if event.kind == *kind && event.text.contains(text) {
            *reached.entry(what).or_default() += 1;
        }
    }
}
