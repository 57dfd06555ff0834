//! The cluster's metadata as a state machine: commands in, one image out, the same on every node.
//!
//! ```text
//! Command --apply--> Image at index n+1 (or a refusal, and the image stays as it was)
//! ```
//!
//! `apply` is deterministic: ids, times and addresses arrive inside the commands. It does no IO and keeps no order
//! that depends on hashing. Who persists and replicates the commands is the shell's business.

mod image;
mod placement;
#[cfg(test)]
mod tests;

pub use image::{Image, NodeState, PartitionState, TopicState};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_wire::ids::{ClusterId, Incarnation, NodeId, ProducerId, Revision, TopicId};
use weir_wire::names::{self, NameError};
use weir_wire::request::CreateTopic as WireCreateTopic;

use crate::topic_config::{ConfigError, TopicConfig};

/// The most partitions that one cluster of this version holds; each costs memory on every node.
pub const PARTITIONS_PER_CLUSTER_MAX: usize = 200_000;

/// A change that somebody wants made to the metadata. Stored and sent between nodes: new kinds go to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Names the cluster, once.
    Initialise {
        /// Random, from the node that forms the cluster.
        cluster: ClusterId,
    },
    /// A node started: it gets the next incarnation, and every reign of its earlier one ends.
    RegisterNode {
        /// The node's number.
        node: NodeId,
        /// Where clients reach it, as `host:port`.
        address: String,
    },
    /// Creates a topic.
    CreateTopic {
        /// Its name.
        name: String,
        /// Random, from the node that asks.
        id: TopicId,
        /// How many partitions; `None` for the default.
        partitions: Option<u32>,
        /// How many replicas of each; `None` for the default.
        replication_factor: Option<u32>,
        /// Configuration under Kafka's key names.
        configs: BTreeMap<String, String>,
    },
    /// Deletes a topic.
    DeleteTopic {
        /// Its name.
        name: String,
    },
    /// Takes producer ids out of the pool for good.
    GrantProducers {
        /// How many consecutive ids.
        count: u32,
    },
}

/// What a command led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The cluster has its name.
    Initialised,
    /// The node runs under this incarnation.
    Registered(Incarnation),
    /// The topic exists.
    TopicCreated {
        /// Its id.
        id: TopicId,
        /// How many partitions it got.
        partitions: u32,
        /// How many replicas each of them has.
        replication_factor: u32,
    },
    /// The topic with this id is gone.
    TopicDeleted(TopicId),
    /// `count` ids from `first` belong to the asker.
    ProducersGranted {
        /// The first of them.
        first: ProducerId,
        /// How many.
        count: u32,
    },
}

/// Why a command was refused. All of them are the caller's fault; the image stays as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// The cluster has a name already.
    #[error("this node belongs to cluster {0} already")]
    AlreadyInitialised(ClusterId),
    /// The topic's name is not legal.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The name belongs to the cluster itself.
    #[error("topic names that start with '__' belong to the cluster itself; choose another than '{0}'")]
    InternalName(String),
    /// There is such a topic.
    #[error("topic '{0}' exists already")]
    TopicExists(String),
    /// There is no such topic.
    #[error("there is no topic '{0}'; 'weir topics list' shows which there are")]
    UnknownTopic(String),
    /// A count outside of what is possible.
    #[error("a topic has 1 to {max} partitions, not {asked}")]
    Partitions {
        /// What was asked for.
        asked: u32,
        /// The most there may be.
        max: u32,
    },
    /// The cluster is full.
    #[error("the cluster holds at most {PARTITIONS_PER_CLUSTER_MAX} partitions; delete topics first")]
    TooManyPartitions,
    /// More replicas than nodes, or none.
    #[error("a replication factor of {asked} needs as many live nodes; there {} {live}", if *.live == 1 { "is" } else { "are" })]
    ReplicationFactor {
        /// What was asked for.
        asked: u32,
        /// How many nodes are alive.
        live: u32,
    },
    /// A configuration key or value is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Producer ids ran out: 2^63 were granted.
    #[error("all producer ids of this cluster are used up")]
    NoProducerIds,
}

/// How many partitions a topic gets when nobody says.
const PARTITIONS_DEFAULT: u32 = 1;
/// How many replicas a partition gets when nobody says, as far as there are nodes.
const REPLICATION_FACTOR_DEFAULT: u32 = 3;

impl Image {
    /// Applies one command.
    ///
    /// # Errors
    /// See [`MetadataError`]; the image is then unchanged, but for its index.
    pub fn apply(&mut self, command: &Command) -> Result<Applied, MetadataError> {
        self.index.0 += 1;
        match command {
            Command::Initialise { cluster } => self.initialise(*cluster),
            Command::RegisterNode { node, address } => Ok(self.register_node(*node, address)),
            Command::CreateTopic { name, id, partitions, replication_factor, configs } => {
                self.create_topic(name, *id, *partitions, *replication_factor, configs)
            }
            Command::DeleteTopic { name } => self.delete_topic(name),
            Command::GrantProducers { count } => self.grant_producers(*count),
        }
    }

    fn initialise(&mut self, cluster: ClusterId) -> Result<Applied, MetadataError> {
        if let Some(known) = self.cluster {
            return Err(MetadataError::AlreadyInitialised(known));
        }
        self.cluster = Some(cluster);
        Ok(Applied::Initialised)
    }

    /// No reign outlives an incarnation: bytes that the earlier one sent out or acknowledged without storing must
    /// not share an (offset, epoch) with what this one writes. So each partition that the node leads starts a new
    /// reign, also where it is the only replica.
    fn register_node(&mut self, node: NodeId, address: &str) -> Applied {
        let earlier = self.nodes.get(&node).map_or(Incarnation(0), |state| state.incarnation);
        let incarnation = Incarnation(earlier.0 + 1);
        self.nodes.insert(node, NodeState { incarnation, address: address.to_owned() });
        for partition in self.topics.values_mut().flat_map(|topic| &mut topic.partitions) {
            if partition.leader == Some(node) {
                partition.start_reign(Some(node));
            }
        }
        Applied::Registered(incarnation)
    }

    fn create_topic(
        &mut self,
        name: &str,
        id: TopicId,
        partitions: Option<u32>,
        replication_factor: Option<u32>,
        configs: &BTreeMap<String, String>,
    ) -> Result<Applied, MetadataError> {
        names::check_topic_name(name)?;
        if names::is_internal(name) {
            return Err(MetadataError::InternalName(name.to_owned()));
        }
        if self.topics.contains_key(name) {
            return Err(MetadataError::TopicExists(name.to_owned()));
        }
        let max = WireCreateTopic::PARTITIONS_MAX;
        let partitions = partitions.unwrap_or(PARTITIONS_DEFAULT);
        if partitions == 0 || partitions > max {
            return Err(MetadataError::Partitions { asked: partitions, max });
        }
        if self.partition_count() + partitions as usize > PARTITIONS_PER_CLUSTER_MAX {
            return Err(MetadataError::TooManyPartitions);
        }
        TopicConfig::from_overrides(configs)?;
        let live = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        let replication_factor = replication_factor.unwrap_or(REPLICATION_FACTOR_DEFAULT.min(live));
        if replication_factor == 0 || replication_factor > live {
            return Err(MetadataError::ReplicationFactor { asked: replication_factor, live });
        }
        let placed = placement::spread(self, partitions, replication_factor);
        let topic = TopicState {
            id,
            revision: Revision(1),
            configs: configs.clone(),
            partitions: placed.into_iter().map(PartitionState::new).collect(),
        };
        self.topics.insert(name.to_owned(), topic);
        Ok(Applied::TopicCreated { id, partitions, replication_factor })
    }

    fn delete_topic(&mut self, name: &str) -> Result<Applied, MetadataError> {
        match self.topics.remove(name) {
            Some(topic) => Ok(Applied::TopicDeleted(topic.id)),
            None => Err(MetadataError::UnknownTopic(name.to_owned())),
        }
    }

    fn grant_producers(&mut self, count: u32) -> Result<Applied, MetadataError> {
        let first = self.next_producer;
        // Kafka's stored field is a signed 64-bit number.
        match first.0.checked_add(u64::from(count)).filter(|next| i64::try_from(*next).is_ok()) {
            Some(next) => self.next_producer = ProducerId(next),
            None => return Err(MetadataError::NoProducerIds),
        }
        Ok(Applied::ProducersGranted { first, count })
    }
}
