//! In one leader epoch at most one node leads, in one life (INVARIANTS 26, 57): what it wrote under (offset, epoch) is
//! then the only content that ever had this name.

use std::collections::BTreeMap;

use weir_wire::ids::{Incarnation, LeaderEpoch, NodeId};

use super::{Place, Step};

/// Every reign so far.
#[derive(Debug, Default)]
pub(super) struct Reigns {
    seen: BTreeMap<(Place, LeaderEpoch), (NodeId, Incarnation)>,
}

impl Reigns {
    pub(super) fn check(&mut self, step: &Step<'_>) -> Result<(), String> {
        for (name, topic, index, state) in step.after.partitions() {
            let Some(leader) = state.leader else { continue };
            let life = (leader, step.after.nodes[&leader].incarnation);
            let reign = ((topic.id, index), state.leader_epoch);
            let first = *self.seen.entry(reign).or_insert(life);
            if first != life {
                return Err(format!("{name}/{index}: {first:?} and {life:?} lead in one epoch: {state:?}"));
            }
        }
        Ok(())
    }
}
