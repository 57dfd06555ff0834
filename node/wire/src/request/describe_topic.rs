//! Everything that a node knows about one topic, for people and scripts.

use serde::{Deserialize, Serialize};

use super::{Request, RequestKind};
use crate::ids::{LeaderEpoch, NodeId, Offset, PartitionIndex, Revision, TopicId};

/// Asks for a topic's description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribeTopic {
    /// Its name.
    pub name: String,
}

/// A topic, described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicDescription {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: TopicId,
    /// The pipeline revision in force.
    pub revision: Revision,
    /// Every configuration key with the value in force.
    pub configs: Vec<ConfigEntry>,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionState>,
}

/// A configuration key and the value in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigEntry {
    /// Kafka's key name.
    pub key: String,
    /// The value in force.
    pub value: String,
    /// Whether the value was set for this topic; otherwise it is the default.
    pub is_set: bool,
}

/// A partition, described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    /// Its index in the topic.
    pub index: PartitionIndex,
    /// Its leader, if there is one.
    pub leader: Option<NodeId>,
    /// The current reign.
    pub leader_epoch: LeaderEpoch,
    /// The replicas in sync.
    pub isr: Vec<NodeId>,
    /// The replicas eligible for a clean election beyond the ISR (KIP-966).
    pub elr: Vec<NodeId>,
    /// Assigned replicas whose node is not alive, or whose disk failed.
    pub offline: Vec<NodeId>,
    /// The first offset still stored; `None` where the leader did not answer.
    pub log_start: Option<Offset>,
    /// The end of what consumers may read; `None` where the leader did not answer.
    pub high_watermark: Option<Offset>,
    /// All assigned replicas, the preferred leader first.
    pub replicas: Vec<ReplicaState>,
}

/// A replica of a partition, described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaState {
    /// The node that hosts it.
    pub node: NodeId,
    /// Its log end offset as the leader knows it; `None` when unknown.
    pub log_end: Option<Offset>,
}

impl Request for DescribeTopic {
    const KIND: RequestKind = RequestKind(4);
    const NAME: &'static str = "describe_topic";
    type Response = TopicDescription;
}
