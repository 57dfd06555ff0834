//! Topics: made, grown, and gone.

use std::collections::BTreeMap;

use weir_wire::ids::{PartitionIndex, Revision, TopicId};
use weir_wire::names;
use weir_wire::request::CreateTopic as WireCreateTopic;

use super::{
    Applied, Image, MetadataError, Origin, PARTITIONS_PER_CLUSTER_MAX, PartitionState, PipelineSpec,
    PipelineState, TopicState, placement,
};
use crate::config_keys::Configurable;
use crate::topic_config::TopicConfig;

/// How many replicas a partition gets when nobody says, as far as there are nodes.
const REPLICATION_FACTOR_DEFAULT: u32 = 3;

impl TopicState {
    /// A topic that begins with this pipeline.
    #[must_use]
    pub fn new(
        id: TopicId,
        configs: BTreeMap<String, String>,
        partitions: Vec<PartitionState>,
        spec: PipelineSpec,
    ) -> TopicState {
        let first = Revision(1);
        TopicState {
            id,
            revision: first,
            created_at_revision: first,
            newest_revision: first,
            pipelines: BTreeMap::from([(first, PipelineState::new(spec, Origin::Created))]),
            staged: None,
            configs,
            partitions,
        }
    }

    /// The partition of this index.
    pub(super) fn partition_mut(
        &mut self,
        name: &str,
        index: PartitionIndex,
    ) -> Result<&mut PartitionState, MetadataError> {
        let count = self.partition_count();
        let at = usize::try_from(index.0).unwrap_or(usize::MAX);
        self.partitions.get_mut(at).ok_or_else(|| MetadataError::UnknownPartition {
            topic: name.to_owned(),
            partition: index,
            count,
        })
    }

    pub(super) fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions.len()).unwrap_or(u32::MAX)
    }
}

impl Image {
    pub(super) fn create_topic(
        &mut self,
        name: &str,
        id: TopicId,
        partitions: Option<u32>,
        replication_factor: Option<u32>,
        configs: &BTreeMap<String, String>,
    ) -> Result<Applied, MetadataError> {
        names::check_topic_name(name).map_err(|error| MetadataError::InvalidName(error.to_string()))?;
        if names::is_internal(name) {
            return Err(MetadataError::InternalName(name.to_owned()));
        }
        if self.topics.contains_key(name) {
            return Err(MetadataError::TopicExists(name.to_owned()));
        }
        let defaults = self.cluster_config();
        let partitions = partitions.unwrap_or(defaults.num_partitions);
        self.check_partition_count(partitions, partitions)?;
        let replication_factor = replication_factor
            .or(defaults.default_replication_factor)
            .unwrap_or_else(|| REPLICATION_FACTOR_DEFAULT.min(self.active_count()));
        self.insert_topic(name, id, partitions, replication_factor, configs)
    }

    /// Whoever asks may come second: several nodes find at once that the topic is missing.
    pub(super) fn ensure_internal_topic(
        &mut self,
        name: &str,
        id: TopicId,
        partitions: u32,
        configs: &BTreeMap<String, String>,
    ) -> Result<Applied, MetadataError> {
        names::check_topic_name(name).map_err(|error| MetadataError::InvalidName(error.to_string()))?;
        if !names::is_internal(name) {
            let sentence = format!("'{name}' is no name for a topic of the cluster's own");
            return Err(MetadataError::InvalidName(sentence));
        }
        if let Some(known) = self.topics.get(name) {
            let replicas = known.partitions.first().map_or(0, |partition| partition.replicas.len());
            return Ok(Applied::TopicCreated {
                id: known.id,
                partitions: known.partition_count(),
                replication_factor: u32::try_from(replicas).unwrap_or(u32::MAX),
            });
        }
        self.check_partition_count(partitions, partitions)?;
        let replication_factor = REPLICATION_FACTOR_DEFAULT.min(self.active_count());
        self.insert_topic(name, id, partitions, replication_factor, configs)
    }

    fn insert_topic(
        &mut self,
        name: &str,
        id: TopicId,
        partitions: u32,
        replication_factor: u32,
        configs: &BTreeMap<String, String>,
    ) -> Result<Applied, MetadataError> {
        TopicConfig::from_overrides(configs)?.check_together()?;
        self.check_replication_factor(replication_factor)?;
        let placed = placement::spread(self, partitions, replication_factor);
        let partitions_placed = placed.into_iter().map(PartitionState::new).collect();
        // Topics of the cluster's own run no plugins.
        let new =
            if names::is_internal(name) { PipelineSpec::default() } else { self.new_topic_pipeline.clone() };
        let spec = PipelineSpec { partitions, ..new };
        let topic = TopicState::new(id, configs.clone(), partitions_placed, spec);
        self.topics.insert(name.to_owned(), topic);
        self.topic_names.insert(id, name.to_owned());
        Ok(Applied::TopicCreated { id, partitions, replication_factor })
    }

    pub(super) fn delete_topic(&mut self, name: &str, id: Option<TopicId>) -> Result<Applied, MetadataError> {
        if names::is_internal(name) && self.topics.contains_key(name) {
            return Err(MetadataError::InternalTopic(name.to_owned()));
        }
        let is_meant = |topic: &TopicState| id.is_none_or(|id| id == topic.id);
        if !self.topics.get(name).is_some_and(is_meant) {
            return Err(MetadataError::UnknownTopic(name.to_owned()));
        }
        let topic = self.topics.remove(name).expect("it was just found");
        self.topic_names.remove(&topic.id);
        self.log_starts.retain(|(id, _), _| *id != topic.id);
        Ok(Applied::TopicDeleted(topic.id))
    }

    /// The number of partitions is part of what places a record: a grown topic has the next pipeline revision. Asking
    /// for what there is changes nothing: who got no answer asks again.
    pub(super) fn create_partitions(&mut self, name: &str, count: u32) -> Result<Applied, MetadataError> {
        let topic = self.topics.get(name).ok_or_else(|| MetadataError::UnknownTopic(name.to_owned()))?;
        if names::is_internal(name) {
            return Err(MetadataError::InternalTopic(name.to_owned()));
        }
        let known = topic.partition_count();
        if count == known {
            return Ok(Applied::PartitionsCreated { id: topic.id, partitions: known });
        }
        if count < known {
            return Err(MetadataError::NotMorePartitions { topic: name.to_owned(), known });
        }
        topic.check_openable(name)?;
        let added = count - known;
        self.check_partition_count(count, added)?;
        let replicas = topic.partitions.first().map_or(1, |partition| partition.intended().len());
        let replication_factor = u32::try_from(replicas).unwrap_or(u32::MAX);
        self.check_replication_factor(replication_factor)?;
        let placed = placement::spread(self, added, replication_factor);
        let id = self.topics.get_mut(name).map_or(TopicId::default(), |topic| {
            topic.partitions.extend(placed.into_iter().map(PartitionState::new));
            topic.grow_pipeline(count);
            topic.id
        });
        Ok(Applied::PartitionsCreated { id, partitions: count })
    }

    fn check_partition_count(&self, asked: u32, added: u32) -> Result<(), MetadataError> {
        let max = WireCreateTopic::PARTITIONS_MAX;
        if asked == 0 || asked > max {
            return Err(MetadataError::Partitions { asked, max });
        }
        if self.partition_count() + added as usize > PARTITIONS_PER_CLUSTER_MAX {
            return Err(MetadataError::TooManyPartitions);
        }
        Ok(())
    }

    fn check_replication_factor(&self, asked: u32) -> Result<(), MetadataError> {
        let live = self.active_count();
        if live == 0 {
            return Err(MetadataError::NoLiveNode);
        }
        if asked == 0 || asked > live {
            return Err(MetadataError::ReplicationFactor { asked, live });
        }
        Ok(())
    }
}
