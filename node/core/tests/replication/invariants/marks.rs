//! Log start <= high watermark <= log end on every replica, and a leader's high watermark never falls within its reign
//! (INVARIANTS 13 and 15; Kafka's `UnifiedLog.updateHighWatermark`, `Partition.maybeIncrementLeaderHW`).

use std::collections::BTreeMap;

use weir_wire::ids::{LeaderEpoch, Offset};

use super::Verdict;
use crate::node::Node;

/// The high watermark of each reign so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks {
    reigns: BTreeMap<LeaderEpoch, Offset>,
}

impl Marks {
    pub(crate) fn observe(&mut self, nodes: &[Node]) -> Verdict {
        for node in nodes.iter().filter(|node| node.is_up) {
            let Some(epoch) = node.partition.leading() else { continue };
            let after = node.partition.high_watermark();
            let before = self.reigns.insert(epoch, after).unwrap_or_default();
            if after < before {
                return Err(format!("the high watermark of reign {epoch} fell from {before} to {after}"));
            }
        }
        Ok(())
    }
}

pub(crate) fn marks_are_in_order(node: &Node) -> Verdict {
    let p = &node.partition;
    let marks = [p.log_start(), p.high_watermark(), p.written_end(), p.log_end()];
    if node.is_up && (!marks.is_sorted() || p.log_end() != node.disk.end()) {
        return Err(format!("node {}: marks {marks:?}, the disk ends at {}", node.me.node, node.disk.end()));
    }
    Ok(())
}
