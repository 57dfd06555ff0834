//! What would become of a record.

use serde::{Deserialize, Serialize};

use super::BoundPlugin;
use crate::ids::{LeaderEpoch, NodeId, PartitionIndex, Revision};
use crate::request::{Request, RequestKind};

/// Asks what would become of a record of a topic. Stores nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainTopic {
    /// The topic.
    pub topic: String,
    /// The record's key; `None` to explain the topic alone.
    pub key: Option<Vec<u8>>,
}

/// What a record meets on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicExplained {
    /// The revision in force.
    pub revision: Revision,
    /// Its plugins, in the order in which records meet them.
    pub plugins: Vec<BoundPlugin>,
    /// How many partitions the topic has.
    pub partitions: u32,
    /// Where the record would go, if a key was given.
    pub placement: Option<PlacementExplained>,
    /// How many replicas must be in sync for anything to be committed.
    pub required_in_sync: u32,
    /// Whether a record counts as stored before it is flushed.
    pub write_caching: bool,
}

/// Where a record with a key goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlacementExplained {
    /// The partition.
    pub partition: PartitionIndex,
    /// Its leader, if it has one.
    pub leader: Option<NodeId>,
    /// The leader's reign.
    pub leader_epoch: LeaderEpoch,
    /// The replicas in sync.
    pub isr: Vec<NodeId>,
}

impl Request for ExplainTopic {
    const KIND: RequestKind = RequestKind(68);
    const NAME: &'static str = "explain_topic";
    type Response = TopicExplained;
}
