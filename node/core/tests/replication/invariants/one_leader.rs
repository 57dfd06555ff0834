//! At most one leader per leader epoch, and it is one life of a node (INVARIANTS 26 and 57; KIP-320).

use std::collections::BTreeMap;

use weir_core::partition::Member;
use weir_wire::ids::LeaderEpoch;

use super::Verdict;
use crate::node::Node;

/// Who led each reign.
#[derive(Clone, Debug, Default)]
pub(crate) struct Leaders {
    reigns: BTreeMap<LeaderEpoch, Member>,
}

impl Leaders {
    pub(crate) fn observe(&mut self, nodes: &[Node]) -> Verdict {
        for node in nodes.iter().filter(|node| node.is_up) {
            let Some(epoch) = node.partition.leading() else { continue };
            let first = *self.reigns.entry(epoch).or_insert(node.me);
            if first != node.me {
                return Err(format!("reign {epoch} is led by {first:?} and by {:?}", node.me));
            }
        }
        Ok(())
    }
}
