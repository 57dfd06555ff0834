//! Metadata: which nodes there are, which topics, and who leads what.

use serde::{Deserialize, Serialize};

use super::{Request, RequestKind};
use crate::ids::{ClusterId, LeaderEpoch, NodeId, PartitionEpoch, PartitionIndex, Revision, TopicId};

/// Asks for the cluster's metadata.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The topics asked for; `None` for all. A topic that does not exist is absent from the answer.
    pub topics: Option<Vec<String>>,
}

impl Metadata {
    /// The most topics that one request may name.
    pub const TOPICS_MAX: usize = 10_000;
}

/// The cluster as the answering node knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterMetadata {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The node that decides about metadata, if one is known.
    pub controller: Option<NodeId>,
    /// All registered nodes.
    pub nodes: Vec<NodeEntry>,
    /// The topics asked for, by name.
    pub topics: Vec<TopicEntry>,
}

/// A registered node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeEntry {
    /// The node's number.
    pub id: NodeId,
    /// Where clients reach it, as `host:port`.
    pub address: String,
}

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicEntry {
    /// Its name.
    pub name: String,
    /// Its id: what produce and fetch name.
    pub id: TopicId,
    /// The pipeline revision in force: what lanes open at.
    pub revision: Revision,
    /// The largest batch it takes, in bytes (`max.message.bytes`).
    pub batch_bytes_max: u32,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionEntry>,
}

/// A partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionEntry {
    /// Its index in the topic.
    pub index: PartitionIndex,
    /// Its leader, if there is one.
    pub leader: Option<NodeId>,
    /// The current reign.
    pub leader_epoch: LeaderEpoch,
    /// Counts the changes of this entry.
    pub partition_epoch: PartitionEpoch,
    /// All assigned replicas (AR), the preferred leader first.
    pub replicas: Vec<NodeId>,
    /// The replicas in sync (ISR).
    pub isr: Vec<NodeId>,
    /// The replicas eligible for a clean election beyond the ISR (ELR, KIP-966).
    pub elr: Vec<NodeId>,
}

impl Request for Metadata {
    const KIND: RequestKind = RequestKind(1);
    const NAME: &'static str = "metadata";
    type Response = ClusterMetadata;
}
