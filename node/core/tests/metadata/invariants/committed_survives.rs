//! Every record that was committed is on every member of ISR and ELR (INVARIANTS 31; `StrongIsr` in the TLA+ modules by
//! Hachikuji), unless a leader was elected from those that lost something: by an operator's order, or since all had.
//!
//! Logs are counted, not kept: after every command each leader writes one record, and everybody in sync takes it. It is
//! committed if the ISR is not below `min.insync.replicas`.

use std::collections::BTreeMap;

use weir_core::metadata::{Command, PartitionState};
use weir_wire::ids::NodeId;

use super::{Place, Step};

/// What every replica holds, and what is committed.
#[derive(Debug, Default)]
pub(super) struct Records {
    logs: BTreeMap<Place, Logs>,
}

#[derive(Debug, Default)]
struct Logs {
    committed: u64,
    held: BTreeMap<NodeId, u64>,
}

impl Records {
    pub(super) fn check(&mut self, step: &Step<'_>) -> Result<(), String> {
        for (topic, partition, node) in step.lost.iter().filter(|_| step.result.is_ok()) {
            self.logs.entry((*topic, *partition)).or_default().held.remove(node);
        }
        for (name, topic, index, state) in step.after.partitions() {
            let place = (topic.id, index);
            let logs = self.logs.entry(place).or_default();
            logs.admit(step, place);
            // Whoever is not assigned any more deletes what it has.
            logs.held.retain(|node, _| state.replicas.contains(node));
            logs.follow(state);
            let members = state.isr.iter().chain(&state.elr);
            if let Some(node) = members.into_iter().find(|node| logs.held(**node) < logs.committed) {
                return Err(format!("{name}/{index}: {node} lacks what was committed: {logs:?}, {state:?}"));
            }
            logs.write(state, topic.required_in_sync(state));
        }
        Ok(())
    }
}

impl Logs {
    fn held(&self, node: NodeId) -> u64 {
        self.held.get(&node).copied().unwrap_or(0)
    }

    /// Who is admitted to the ISR caught up, if it still runs as the incarnation that did.
    fn admit(&mut self, step: &Step<'_>, (topic, partition): Place) {
        let (Command::AlterPartition(asked), Ok(_)) = (step.command, step.result) else { return };
        if asked.topic == topic && asked.partition == partition {
            let end = self.held(asked.leader);
            for (node, _) in asked.isr.iter().filter(|(node, incarnation)| {
                step.after.nodes.get(node).is_some_and(|known| known.incarnation == *incarnation)
            }) {
                self.held.insert(*node, end);
            }
        }
    }

    /// Followers drop what their leader lacks. A leader that reigns uncleanly says what is committed.
    fn follow(&mut self, state: &PartitionState) {
        let Some(leader) = state.leader else { return };
        let end = self.held(leader);
        self.held.values_mut().for_each(|held| *held = (*held).min(end));
        if state.isr == [leader] && (state.unclean || state.replicas.len() == 1) {
            self.committed = self.committed.min(end);
        }
    }

    fn write(&mut self, state: &PartitionState, required: usize) {
        let Some(leader) = state.leader else { return };
        let end = self.held(leader) + 1;
        for node in &state.isr {
            self.held.insert(*node, end);
        }
        if state.isr.len() >= required {
            self.committed = end;
        }
    }
}
