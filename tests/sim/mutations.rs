//! Rules taken away from whole nodes, one at a time: the simulation must notice, or what it says of nodes that keep all
//! of them is worth nothing. `.ci/mutations` runs these and those that the schedules of `node/core` notice, and says
//! who noticed what.

use weir_tests::sim::disk::Lie;
use weir_tests::sim::hunt::{Limits, Scenario, hunt, rule_name, rules_to_break};
use weir_tests::sim::plan::Plan;

/// Rules of which whole nodes show soon that they are missing.
const RULES: [&str; 4] =
    ["TruncateByEpoch", "NewLeaderNewEpoch", "AcknowledgedIsCommitted", "ActivationComparesRevisions"];
/// The same of rules of group coordinators, in clusters that have a group.
const RULES_OF_GROUPS: [&str; 1] = ["OneOwner"];
/// Seeds of a cluster within which a missing rule must have been noticed.
const SEEDS: u64 = 30;
/// Seeds of power loss within which a lying disk must have been noticed.
const POWER_LOSS_SEEDS: u64 = 200;

#[test]
fn a_missing_rule_is_noticed_by_whole_nodes() {
    for name in RULES {
        let rule = rules_to_break().into_iter().find(|rule| rule_name(*rule) == name).unwrap();
        is_noticed(name, SEEDS, |seed| Scenario::Cluster { nodes: 3 }.plan(seed).without(rule));
    }
}

#[test]
fn a_missing_rule_of_groups_is_noticed_by_whole_nodes() {
    for name in RULES_OF_GROUPS {
        let rule = rules_to_break().into_iter().find(|rule| rule_name(*rule) == name).unwrap();
        is_noticed(name, SEEDS, |seed| Plan::cluster(seed, 3).with_group().without(rule));
    }
}

/// A node that acknowledges before it flushed must be noticed; so must one that forgets the folders.
#[test]
fn a_disk_that_lies_is_noticed() {
    for lie in [Lie::FileSyncs, Lie::FolderSyncs] {
        let plan = |seed| Scenario::PowerLoss.plan(seed).with_lie(lie);
        is_noticed(&format!("{lie:?}"), POWER_LOSS_SEEDS, plan);
    }
}

fn is_noticed(what: &str, seeds: u64, plan: impl Fn(u64) -> Plan + Sync) {
    let tally = hunt(plan, 0, Limits { seeds, time: None, failures: 1, twice: false });
    let Some((seed, failure)) = tally.failures.first() else {
        panic!("{what}: nobody noticed in {seeds} seeds: {tally}");
    };
    let why = failure.violations.first().map_or("", String::as_str);
    println!("{what}: noticed at seed {seed}: {why}");
}
