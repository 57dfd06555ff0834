//! `StrongIsr` (INVARIANTS 31; `KafkaReplication` in the TLA+ modules by Hachikuji): every replica that may be elected
//! cleanly has everything that was ever committed.

use super::{Committed, Verdict};
use crate::controller::Controller;
use crate::node::Node;

pub(crate) fn isr_has_all_that_is_committed(
    controller: &Controller,
    nodes: &[Node],
    committed: &Committed,
) -> Verdict {
    let version = controller.current();
    let may_lead = |node: &&Node| {
        let is_in = version.isr.contains(&node.me.node) || version.elr.contains(&node.me.node);
        is_in && node.is_up && version.nodes[&node.me.node].0 == node.me.incarnation
    };
    for node in nodes.iter().filter(may_lead) {
        if !node.disk.batches.starts_with(&committed.batches) {
            let (node, end, has) = (node.me.node, committed.end(), node.disk.end());
            return Err(format!("node {node} is in the ISR and lacks what is committed up to {end}: {has}"));
        }
    }
    Ok(())
}
