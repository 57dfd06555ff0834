//! Configuration of topics and nodes (KIP-339: keys that are not named stay as they are).

use std::collections::BTreeMap;

use weir_wire::ids::NodeId;

use super::partition::{Around, Reign};
use super::rules::{Rule, Rules};
use super::{Applied, ConfigChange, Image, MetadataError, PartitionState, TopicState};
use crate::config_keys::{ConfigError, Configurable};
use crate::node_config::NodeConfig;
use crate::topic_config::TopicConfig;

impl ConfigChange {
    /// What the change makes of a configuration.
    fn of<C: Configurable>(
        &self,
        configs: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, ConfigError> {
        self.delete.iter().try_for_each(|key| C::check_key(key))?;
        let mut changed = configs.clone();
        changed.retain(|key, _| !self.delete.contains(key));
        changed.extend(self.set.iter().map(|(key, value)| (key.clone(), value.clone())));
        C::from_overrides(&changed)?.check_together()?;
        Ok(changed)
    }
}

impl TopicState {
    /// The configuration in force.
    #[must_use]
    pub fn config(&self) -> TopicConfig {
        TopicConfig::from_overrides(&self.configs).expect("the metadata takes only configurations that parse")
    }

    /// How many replicas of a partition of it must be in sync for anything to be committed.
    #[must_use]
    pub fn required_in_sync(&self, partition: &PartitionState) -> usize {
        self.config().required_in_sync(partition.replication_factor())
    }
}

impl Image {
    /// The configuration in force for all nodes.
    #[must_use]
    pub fn cluster_config(&self) -> NodeConfig {
        NodeConfig::from_overrides(&self.node_configs)
            .expect("the metadata takes only configurations that parse")
    }

    /// The configuration in force for a node: its own values over those for all, over those that it started with.
    #[must_use]
    pub fn node_config(&self, node: NodeId, started_with: &NodeConfig) -> NodeConfig {
        let mut config = started_with.clone();
        let for_all = config.set_all(&self.node_configs);
        for_all.expect("the metadata takes only configurations that parse");
        if let Some(state) = self.nodes.get(&node) {
            config.set_all(&state.configs).expect("the metadata takes only configurations that parse");
        }
        config
    }

    /// With another `min.insync.replicas` other replicas are eligible: with a lower one the ISR alone may have
    /// committed what the ELR lacks.
    ///
    /// When `write.caching` is switched off, what was acknowledged under it may be in memory still, on every replica:
    /// that holds until the leader says who has flushed it. What it said before the switch is over.
    pub(super) fn alter_topic_configs(
        &mut self,
        rules: Rules,
        name: &str,
        change: &ConfigChange,
    ) -> Result<Applied, MetadataError> {
        let Image { nodes, topics, .. } = self;
        let topic = topics.get_mut(name).ok_or_else(|| MetadataError::UnknownTopic(name.to_owned()))?;
        let was_caching = topic.config().write_caching;
        topic.configs = change.of::<TopicConfig>(&topic.configs)?;
        let is_caching = topic.config().write_caching;
        let around = Around { nodes, config: &topic.config(), rules };
        for partition in &mut topic.partitions {
            let edit = |partition: &mut PartitionState| {
                let isr = partition.isr.clone();
                partition.set_isr(around, |node| isr.contains(&node));
                if was_caching && !is_caching && rules.hold(Rule::CachedUntilFlushed) {
                    partition.unflushed = partition.replicas.iter().copied().collect();
                }
                Reign::GoesOn
            };
            if was_caching == is_caching {
                partition.change(around, edit);
            } else {
                partition.change_and_count(around, edit);
            }
        }
        Ok(Applied::ConfigsAltered)
    }

    pub(super) fn alter_node_configs(
        &mut self,
        node: Option<NodeId>,
        change: &ConfigChange,
    ) -> Result<Applied, MetadataError> {
        match node {
            None => self.node_configs = change.of::<NodeConfig>(&self.node_configs)?,
            Some(node) => {
                let state = self.nodes.get_mut(&node).ok_or(MetadataError::UnknownNode(node))?;
                let configs = change.of::<NodeConfig>(&state.configs)?;
                NodeConfig::check_per_node(&configs)?;
                state.configs = configs;
            }
        }
        Ok(Applied::ConfigsAltered)
    }
}
