//! The state that commands lead to: what every node knows about the cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_wire::ids::{
    ClusterId, Incarnation, LeaderEpoch, MetadataIndex, NodeId, PartitionEpoch, PartitionIndex, ProducerId,
    Revision, TopicId,
};
use weir_wire::stored::Stored;

/// All metadata of a cluster at one index.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// How many commands led here, refused ones included.
    pub index: MetadataIndex,
    /// The cluster's name; `None` before it is formed.
    pub cluster: Option<ClusterId>,
    /// All registered nodes.
    pub nodes: BTreeMap<NodeId, NodeState>,
    /// All topics by name.
    pub topics: BTreeMap<String, TopicState>,
    /// The first producer id that nobody has yet.
    pub next_producer: ProducerId,
}

/// A registered node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Counts its registrations.
    pub incarnation: Incarnation,
    /// Where clients reach it, as `host:port`.
    pub address: String,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicState {
    /// Its id for good.
    pub id: TopicId,
    /// The pipeline revision in force.
    pub revision: Revision,
    /// What was set for it, under Kafka's key names.
    pub configs: BTreeMap<String, String>,
    /// Its partitions by index.
    pub partitions: Vec<PartitionState>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// All assigned replicas (AR), the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The replicas in sync.
    pub isr: Vec<NodeId>,
    /// The leader, if there is one.
    pub leader: Option<NodeId>,
    /// The current reign.
    pub leader_epoch: LeaderEpoch,
    /// Counts every change of this entry.
    pub partition_epoch: PartitionEpoch,
}

impl PartitionState {
    /// A partition whose replicas are all in sync, since all of them are empty.
    #[must_use]
    pub fn new(replicas: Vec<NodeId>) -> PartitionState {
        let leader = replicas.first().copied();
        PartitionState {
            isr: replicas.clone(),
            replicas,
            leader,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
        }
    }

    /// Begins the next reign.
    pub(super) fn start_reign(&mut self, leader: Option<NodeId>) {
        self.leader = leader;
        self.leader_epoch = self.leader_epoch.next();
        self.partition_epoch.0 += 1;
    }
}

impl Image {
    /// The topic with this id, and its name. Topics are few enough to look through.
    #[must_use]
    pub fn topic_by_id(&self, id: TopicId) -> Option<(&str, &TopicState)> {
        self.topics.iter().find(|(_, topic)| topic.id == id).map(|(name, topic)| (name.as_str(), topic))
    }

    /// Every partition with the name and id of its topic, in the order of names and indexes.
    pub fn partitions(&self) -> impl Iterator<Item = (&str, &TopicState, PartitionIndex, &PartitionState)> {
        self.topics.iter().flat_map(|(name, topic)| {
            (0..)
                .map(PartitionIndex)
                .zip(&topic.partitions)
                .map(move |(index, state)| (name.as_str(), topic, index, state))
        })
    }

    /// How many partitions all topics have together.
    #[must_use]
    pub fn partition_count(&self) -> usize {
        self.topics.values().map(|topic| topic.partitions.len()).sum()
    }
}

impl Stored for Image {
    const NAME: &'static str = "metadata image";
    const VERSION: u8 = 1;
}
