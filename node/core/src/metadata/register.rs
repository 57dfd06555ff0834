//! Registration: a node begins a life, and what its earlier one held is judged.

use std::collections::BTreeMap;

use weir_wire::ids::{Incarnation, PartitionIndex};

use super::partition::{Around, Reign};
use super::rules::{Rule, Rules};
use super::{Applied, EARLIER_PROCESSES_MAX, Image, MetadataError, NodeState, ProcessId, Registration};

impl Registration {
    /// Whether this is the data folder from which the node registered last. Its earlier process is then dead, as
    /// the folder is locked.
    fn is_of_same_folder(&self, known: &NodeState) -> bool {
        self.process == known.process
            || self.last.is_some_and(|last| last.incarnation == known.incarnation)
            || self.counted_earlier().contains(&known.process)
    }

    fn counted_earlier(&self) -> &[ProcessId] {
        &self.earlier[self.earlier.len().saturating_sub(EARLIER_PROCESSES_MAX)..]
    }
}

impl Image {
    /// No reign outlives an incarnation: bytes that the earlier one sent out or acknowledged without storing must
    /// not share an (offset, epoch) with what this one writes. So each partition that the node leads starts a new
    /// reign, also where it is the only replica (INVARIANTS 57).
    ///
    /// A node with another folder lost everything, and leaves every ISR and ELR (KIP-903). One that stopped
    /// uncleanly leaves those of partitions whose records count before they are flushed (KIP-966), or did and are not
    /// flushed yet, and those whose logs it had to cut.
    pub(super) fn register_node(
        &mut self,
        rules: Rules,
        asked: &Registration,
    ) -> Result<Applied, MetadataError> {
        let known = self.nodes.get(&asked.node);
        if let Some(known) = known {
            if known.process == asked.process && !known.fenced {
                return Ok(Applied::Registered(known.incarnation));
            }
            let is_other = !known.fenced && !asked.is_of_same_folder(known);
            if is_other || known.earlier.contains(&asked.process) {
                let address = known.address.clone();
                return Err(MetadataError::DuplicateNode { node: asked.node, address });
            }
        }
        if known.is_none() && asked.last.is_some() && self.removed_nodes.contains_key(&asked.node) {
            return Err(MetadataError::NodeRemoved(asked.node));
        }
        let earlier = known.map(|known| known.incarnation);
        let earlier = earlier.or(self.removed_nodes.get(&asked.node).copied());
        // A process whose lease ran out registers again with the replicas that it has.
        let is_new_process = known.is_none_or(|known| known.process != asked.process);
        let lost_everything = known.is_some_and(|known| !asked.is_of_same_folder(known));
        let state = NodeState {
            incarnation: Incarnation(earlier.map_or(0, |earlier| earlier.0) + 1),
            process: asked.process,
            earlier: asked.counted_earlier().to_vec(),
            address: asked.address.clone(),
            rack: asked.rack.clone(),
            fenced: false,
            stopping: false,
            configs: known.map(|known| known.configs.clone()).unwrap_or_default(),
            draining: known.is_some_and(|known| known.draining),
        };
        let applied = Applied::Registered(state.incarnation);
        self.nodes.insert(asked.node, state);
        self.removed_nodes.remove(&asked.node);
        self.judge_logs(rules, asked, lost_everything, is_new_process);
        Ok(applied)
    }

    fn judge_logs(
        &mut self,
        rules: Rules,
        asked: &Registration,
        lost_everything: bool,
        is_new_process: bool,
    ) {
        let node = asked.node;
        let stopped_uncleanly = asked.last.is_some_and(|last| !last.clean);
        let cut: BTreeMap<_, _> =
            asked.cut.iter().map(|log| ((log.topic, log.partition), log.tail)).collect();
        let Image { nodes, topics, .. } = self;
        for topic in topics.values_mut() {
            let around = Around { nodes, config: &topic.config(), rules };
            let is_caching = topic.config().write_caching;
            for (index, partition) in (0..).map(PartitionIndex).zip(&mut topic.partitions) {
                if !partition.is_on(node) {
                    continue;
                }
                let may_lack_unflushed =
                    stopped_uncleanly && (is_caching || partition.unflushed.contains(&node));
                let tail = cut.get(&(topic.id, index)).copied();
                let left = tail.or(may_lack_unflushed.then(Default::default)).filter(|_| !lost_everything);
                partition.change(around, |partition| {
                    let led = partition.leader == Some(node);
                    if led {
                        partition.leader = None;
                    }
                    if is_new_process {
                        partition.failed.remove(&node);
                    }
                    if lost_everything || left.is_some() {
                        partition.lose(around, node, left);
                    }
                    partition.elect(around);
                    if led && rules.hold(Rule::RegistrationEndsReigns) { Reign::Ends } else { Reign::GoesOn }
                });
            }
        }
    }
}
