//! A few rounds of the torture, with every kind of fault; `weir-torture` runs for hours.

use std::collections::BTreeSet;
use std::sync::Mutex;

use weir_tests::torture::plan::{KINDS, Kind, Options, Plan};
use weir_tests::torture::{can_have_networks, run, write_down};

use super::{setting, weir};

/// How many nodes each round has, and what comes in any case besides what its seed says.
const ROUNDS: [(usize, &[Kind]); 5] = [
    (3, &[Kind::KillLeader, Kind::FlipSegments, Kind::CutLeader, Kind::Reassign]),
    (3, &[Kind::PauseLeader, Kind::FlipIndexes, Kind::CutOneWay, Kind::Halves, Kind::Swap]),
    (3, &[Kind::KillAll, Kind::Wipe, Kind::Loss, Kind::Drain, Kind::Swap]),
    (3, &[Kind::KillController, Kind::FlipCheckpoints, Kind::Delay, Kind::PauseAny]),
    (5, &[Kind::KillFollower, Kind::FullDisk, Kind::CutController, Kind::RollingRestart, Kind::Drain]),
];
/// How many rounds run at once.
const AT_ONCE: usize = 2;

#[test]
fn clusters_survive_everything_at_once() {
    let seed = setting("WEIR_SEED").unwrap_or_else(|| fastrand::u64(..1 << 48));
    let has_network = can_have_networks();
    println!("WEIR_SEED={seed}");
    if let Err(why) = &has_network {
        println!("all nodes are on loopback, without faults of the network: {why}");
    }
    let left = Mutex::new(ROUNDS.iter().zip(seed..).collect::<Vec<_>>());
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((round, seed)) = { left.lock().unwrap().pop() } {
                    let what = one(seed, *round, has_network.is_ok());
                    failed.lock().unwrap().extend(what);
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What was wrong with a round, if anything was.
fn one(seed: u64, (nodes, must): (usize, &[Kind]), has_network: bool) -> Option<String> {
    let allowed = |kind: &Kind| has_network || !kind.needs_network();
    let kinds = KINDS.into_iter().map(|(kind, _)| kind).filter(allowed).collect();
    let must: Vec<Kind> = must.iter().copied().filter(allowed).collect();
    let names: Vec<String> = must.iter().map(Kind::to_string).collect();
    let plan = Plan::new(seed, &Options { nodes, kinds, must, patient: false });
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(&plan, &weir(), folder.path(), has_network);
    println!("{plan}  {:?}", outcome.counts);
    if outcome.findings.is_empty() {
        return None;
    }
    let kept = folder.keep();
    write_down(&outcome, &plan, &kept).unwrap();
    let found = outcome.findings.join("\n  ");
    let must = names.join(",");
    Some(format!(
        "seed {seed}: {found}\n  kept in {}; again: weir-torture --nodes {nodes} --seed {seed} --must {must}",
        kept.display()
    ))
}

#[test]
fn every_kind_of_fault_comes() {
    let named: BTreeSet<Kind> = ROUNDS.iter().flat_map(|(_, must)| must.iter().copied()).collect();
    let all = KINDS.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(named, all);
}
