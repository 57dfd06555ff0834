//! What nodes said of their replicas and what plugins made: each is a promise of its own.

use std::collections::BTreeMap;

use weir_wire::ids::{Offset, PartitionIndex};

use super::history::{History, Made, Snapshot};
use super::report::{Report, Rule};

pub(super) fn check(history: &History, report: &mut Report) {
    bounds(&history.snapshots, report);
    reigns(&history.snapshots, report);
    leaders(&history.snapshots, report);
    made(&history.made, report);
}

/// log start ≤ high watermark ≤ log end, on every replica.
fn bounds(snapshots: &[Snapshot], report: &mut Report) {
    for Snapshot { node, partition, log_start, high_watermark, log_end, .. } in snapshots {
        if log_start > high_watermark || high_watermark > log_end {
            report.find(Rule::OffsetBounds, || {
                format!(
                    "node {node} said of partition {partition}: log start {log_start}, high watermark \
                     {high_watermark}, log end {log_end}"
                )
            });
        }
    }
}

/// A node never goes back to an earlier reign, and within a reign the leader's high watermark never falls.
fn reigns(snapshots: &[Snapshot], report: &mut Report) {
    let mut known: BTreeMap<(u64, PartitionIndex), (u32, Option<Offset>)> = BTreeMap::new();
    for snapshot in snapshots {
        let Snapshot { node, partition, leads, leader_epoch, high_watermark, .. } = *snapshot;
        let led_to = leads.then_some(high_watermark);
        let Some((epoch, reached)) = known.get_mut(&(node, partition)) else {
            known.insert((node, partition), (leader_epoch, led_to));
            continue;
        };
        if leader_epoch < *epoch {
            report.find(Rule::EpochBackwards, || {
                format!("node {node} knew epoch {epoch} of partition {partition}, and then {leader_epoch}")
            });
        } else if leader_epoch > *epoch {
            (*epoch, *reached) = (leader_epoch, led_to);
        } else if let Some(now) = led_to {
            if let Some(before) = reached.filter(|before| now < *before) {
                report.find(Rule::HighWatermarkBackwards, || {
                    format!(
                        "node {node} led partition {partition} in epoch {epoch}: its high watermark fell from \
                         {before} to {now}"
                    )
                });
            }
            *reached = Some(reached.map_or(now, |before| before.max(now)));
        }
    }
}

/// One reign has one leader.
fn leaders(snapshots: &[Snapshot], report: &mut Report) {
    let mut leaders: BTreeMap<(PartitionIndex, u32), u64> = BTreeMap::new();
    for Snapshot { node, partition, leader_epoch, .. } in snapshots.iter().filter(|said| said.leads) {
        let leader = *leaders.entry((*partition, *leader_epoch)).or_insert(*node);
        if leader != *node {
            report.find(Rule::TwoLeaders, || {
                format!("nodes {leader} and {node} both led partition {partition} in epoch {leader_epoch}")
            });
        }
    }
}

/// A record goes through the plugins once, and stays what they made of it.
fn made(made: &[Made], report: &mut Report) {
    let mut digests = BTreeMap::new();
    for Made { place, digest, transforms } in made {
        if *transforms > 1 {
            report.find(Rule::TransformedTwice, || format!("{place} was transformed {transforms} times"));
        }
        let first = *digests.entry(*place).or_insert(digest);
        if first != digest {
            report.find(Rule::MadeDifferently, || {
                format!("{place} was made by '{first}', and then by '{digest}'")
            });
        }
    }
}
