//! Configuration of topics and nodes.

use weir_wire::ids::NodeId;

use super::partition::{Around, Reign};
use super::rules::Rules;
use super::{Applied, ConfigChange, Image, MetadataError};
use crate::topic_config::TopicConfig;

impl Image {
    /// A lower `min.insync.replicas` may leave nothing that only the ELR could hold.
    pub(super) fn alter_topic_configs(
        &mut self,
        rules: Rules,
        name: &str,
        change: &ConfigChange,
    ) -> Result<Applied, MetadataError> {
        let Image { nodes, topics, .. } = self;
        let topic = topics.get_mut(name).ok_or_else(|| MetadataError::UnknownTopic(name.to_owned()))?;
        let mut configs = topic.configs.clone();
        configs.retain(|key, _| !change.delete.contains(key));
        configs.extend(change.set.clone());
        TopicConfig::from_overrides(&configs)?;
        topic.configs = configs;
        let around = Around { nodes, required_in_sync: topic.required_in_sync(), rules };
        for partition in &mut topic.partitions {
            partition.change(rules, |partition| {
                let isr = partition.isr.clone();
                partition.set_isr(around, |node| isr.contains(&node));
                Reign::GoesOn
            });
        }
        Ok(Applied::ConfigsAltered)
    }

    pub(super) fn alter_node_configs(
        &mut self,
        node: Option<NodeId>,
        change: &ConfigChange,
    ) -> Result<Applied, MetadataError> {
        let configs = match node {
            None => &mut self.node_configs,
            Some(node) => &mut self.nodes.get_mut(&node).ok_or(MetadataError::UnknownNode(node))?.configs,
        };
        configs.retain(|key, _| !change.delete.contains(key));
        configs.extend(change.set.clone());
        Ok(Applied::ConfigsAltered)
    }
}
