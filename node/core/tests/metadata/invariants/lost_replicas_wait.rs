//! A replica that lost something, or may have, is in neither ISR nor ELR until a leader admitted it as the incarnation
//! that caught up, or it leads although it lost something (INVARIANTS 27, 28; KIP-903, KIP-966).

use std::collections::BTreeMap;

use weir_core::metadata::{AlterPartition, Applied, Command};
use weir_wire::ids::{Incarnation, NodeId};

use super::{Place, Step};

/// Every replica that has to catch up, and the life in which it found that out.
#[derive(Debug, Default)]
pub(super) struct LostReplicas {
    since: BTreeMap<(Place, NodeId), Incarnation>,
}

impl LostReplicas {
    pub(super) fn check(&mut self, step: &Step<'_>) -> Result<(), String> {
        match (step.command, step.result) {
            (Command::RegisterNode(_), Ok(Applied::Registered(incarnation))) => {
                let lost =
                    step.lost.iter().map(|(topic, index, node)| (((*topic, *index), *node), *incarnation));
                self.since.extend(lost);
            }
            (Command::AlterPartition(asked), Ok(_)) => self.admit(asked),
            _ => {}
        }
        for (name, topic, index, state) in step.after.partitions() {
            let place = (topic.id, index);
            // Of replicas that all lost something one may lead, alone, and says what was the truth from then on.
            let is_marked = state.unclean || state.replicas.len() == 1;
            if let Some(leader) = state.leader.filter(|leader| is_marked && state.isr == [*leader]) {
                self.since.remove(&(place, leader));
            }
            let has_lost = |node: &&NodeId| self.since.contains_key(&(place, **node));
            if let Some(node) = state.isr.iter().chain(&state.elr).find(has_lost) {
                return Err(format!("{name}/{index}: {node} lost something and did not catch up: {state:?}"));
            }
        }
        Ok(())
    }

    fn admit(&mut self, asked: &AlterPartition) {
        for (node, incarnation) in &asked.isr {
            let replica = ((asked.topic, asked.partition), *node);
            if self.since.get(&replica).is_some_and(|since| incarnation >= since) {
                self.since.remove(&replica);
            }
        }
    }
}
