//! The pictures of replicas in `node/docs/delivery.md`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use weir_core::partition::Partition;
use weir_wire::ids::{NodeId, Offset};

use super::interpreter;
use crate::book;

/// Draws the log of a leader, node 0, and what it knows of its followers.
pub(super) fn draw(partition: &Partition) -> String {
    let followers = partition.followers();
    let in_sync = partition.isr().cloned().unwrap_or_default();
    let end = partition.log_end();
    let mut picture = String::new();
    let offsets: Vec<String> = (0..end.0).map(|offset| offset.to_string()).collect();
    row(&mut picture, "offset", &offsets, "");
    let mut replica = |who: &str, node: NodeId, flushed: Offset, written: Offset| {
        let records: Vec<&str> =
            (0..written.0).map(|offset| if offset < flushed.0 { "#" } else { "." }).collect();
        let sync = if in_sync.contains(&node) { "in sync" } else { "out of sync" };
        row(&mut picture, &format!("{who} {node}"), &records, &format!("LEO {flushed}, {sync}"));
    };
    replica("leader", NodeId(0), partition.flushed_end(), partition.written_end());
    for follower in &followers {
        let [flushed, written] = [follower.flushed_end, follower.log_end].map(Option::unwrap_or_default);
        replica("follower", follower.member.node, flushed, written);
    }
    let readable = vec!["^"; usize::try_from(partition.high_watermark().0).unwrap()];
    row(&mut picture, "consumers", &readable, &format!("HW {}", partition.high_watermark()));
    let all: BTreeSet<NodeId> =
        followers.iter().map(|follower| follower.member.node).chain([NodeId(0)]).collect();
    let set = |nodes: Vec<NodeId>| {
        let nodes: Vec<String> = nodes.iter().map(NodeId::to_string).collect();
        if nodes.is_empty() { "nobody".to_owned() } else { nodes.join(", ") }
    };
    let [ar, isr, osr] = [
        all.iter().copied().collect(),
        in_sync.iter().copied().collect(),
        all.difference(&in_sync).copied().collect(),
    ]
    .map(set);
    writeln!(picture, "AR: {ar}   ISR: {isr}   OSR: {osr}").unwrap();
    picture
}

fn row(picture: &mut String, who: &str, cells: &[impl AsRef<str>], what: &str) {
    let cells: String = cells.iter().map(|cell| format!("{} ", cell.as_ref())).collect();
    writeln!(picture, "{}", format!("{who:<12}{cells:<16}{what}").trim_end()).unwrap();
}

/// What a script draws last.
fn drawn(script: &str) -> String {
    let said = interpreter::run(&format!("{script}\ndraw"));
    let (_, drawn) = said.rsplit_once("> draw\n").unwrap();
    drawn.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect()
}

/// Three replicas; six records, of which everybody has the first two.
const THREE: &str = "
    lead 1 of=3 isr=0,1,2
    subscribe 1/1 sub=1 end=0
    subscribe 2/1 sub=2 end=0
    append r1 n=2
    written
    flushed
    report 1/1 sub=1 end=2
    report 2/1 sub=2 end=2
";

#[test]
fn the_page_shows_what_replicas_do() {
    book::shows("in-sync", &drawn(THREE));
    let four = "append r2\nappend r3\nappend r4\nappend r5\nwritten\nflushed\n";
    let more = format!("{THREE}{four}report 1/1 sub=1 end=5 flushed=4\n");
    book::shows("lagging", &drawn(&more));
    let late = format!("{more}report 1/1 sub=1 end=6\nwait 10001\nreport 1/1 sub=1 end=6\ntick\n");
    assert!(interpreter::run(&late).contains("propose 1: isr 0/1, 1/1 in"), "{}", interpreter::run(&late));
    let without = format!("{late}lead 1 of=3 isr=0,1 pe=2\n");
    book::shows("out-of-sync", &drawn(&without));
    let alone = format!(
        "{without}wait 10001\nlead 1 of=3 isr=0 pe=3\nappend r6 acks=1\nwritten\nflushed\nappend r7\n"
    );
    book::shows("alone", &drawn(&alone));
    assert!(interpreter::run(&alone).contains("NotEnoughReplicas"), "{}", interpreter::run(&alone));
}
