//! Registration: a node begins a life, and what its earlier one held is judged.

use std::collections::BTreeMap;

use weir_wire::ids::{Incarnation, PartitionIndex};

use super::partition::{Around, Reign};
use super::rules::{Rule, Rules};
use super::{Applied, Image, MetadataError, NodeState, Registration};

impl Registration {
    /// Whether this is the data folder from which the node registered last. Its earlier process is then dead, as
    /// the folder is locked.
    fn is_of_same_folder(&self, known: &NodeState) -> bool {
        self.process == known.process
            || self.last.is_some_and(|last| last.incarnation == known.incarnation)
            || self.unanswered.contains(&known.process)
    }
}

impl Image {
    /// No reign outlives an incarnation: bytes that the earlier one sent out or acknowledged without storing must
    /// not share an (offset, epoch) with what this one writes. So each partition that the node leads starts a new
    /// reign, also where it is the only replica (INVARIANTS 57).
    ///
    /// A node with another folder lost everything, and leaves every ISR and ELR (KIP-903). One that stopped
    /// uncleanly leaves those of partitions whose records count before they are flushed (KIP-966), and those whose
    /// logs it had to cut.
    pub(super) fn register_node(
        &mut self,
        rules: Rules,
        asked: &Registration,
    ) -> Result<Applied, MetadataError> {
        let known = self.nodes.get(&asked.node);
        if let Some(known) = known.filter(|known| !known.fenced) {
            if known.process == asked.process {
                return Ok(Applied::Registered(known.incarnation));
            }
            if !asked.is_of_same_folder(known) {
                let address = known.address.clone();
                return Err(MetadataError::DuplicateNode { node: asked.node, address });
            }
        }
        let lost_everything = known.is_some_and(|known| !asked.is_of_same_folder(known));
        let state = NodeState {
            incarnation: Incarnation(known.map_or(0, |known| known.incarnation.0) + 1),
            process: asked.process,
            address: asked.address.clone(),
            rack: asked.rack.clone(),
            fenced: false,
            stopping: false,
            configs: known.map(|known| known.configs.clone()).unwrap_or_default(),
        };
        let applied = Applied::Registered(state.incarnation);
        self.nodes.insert(asked.node, state);
        self.judge_logs(rules, asked, lost_everything);
        Ok(applied)
    }

    fn judge_logs(&mut self, rules: Rules, asked: &Registration, lost_everything: bool) {
        let node = asked.node;
        let stopped_uncleanly = asked.last.is_some_and(|last| !last.clean);
        let cut: BTreeMap<_, _> =
            asked.cut.iter().map(|log| ((log.topic, log.partition), log.tail)).collect();
        let Image { nodes, topics, .. } = self;
        for topic in topics.values_mut() {
            let around = Around { nodes, required_in_sync: topic.required_in_sync(), rules };
            let may_lack_unflushed = stopped_uncleanly && topic.config().write_caching;
            for (index, partition) in (0..).map(PartitionIndex).zip(&mut topic.partitions) {
                if !partition.is_on(node) {
                    continue;
                }
                let tail = cut.get(&(topic.id, index)).copied();
                let left = tail.or(may_lack_unflushed.then(Default::default)).filter(|_| !lost_everything);
                partition.change(rules, |partition| {
                    let led = partition.leader == Some(node);
                    if led {
                        partition.leader = None;
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
