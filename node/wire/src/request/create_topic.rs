//! Creating a topic.

use serde::{Deserialize, Serialize};

use super::{Request, RequestKind};
use crate::ids::TopicId;

/// Asks for a new topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTopic {
    /// Its name, see [`crate::names`].
    pub name: String,
    /// How many partitions; `None` for the cluster's default.
    pub partitions: Option<u32>,
    /// How many replicas of each; `None` for the cluster's default.
    pub replication_factor: Option<u32>,
    /// Configuration under Kafka's key names; later entries of the same key win.
    pub configs: Vec<(String, String)>,
}

impl CreateTopic {
    /// The most partitions that one topic may have.
    pub const PARTITIONS_MAX: u32 = 10_000;
    /// The most configuration entries that one request may carry.
    pub const CONFIGS_MAX: usize = 100;
}

/// The topic exists now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicCreated {
    /// Its id.
    pub id: TopicId,
    /// How many partitions it got.
    pub partitions: u32,
    /// How many replicas each of them has.
    pub replication_factor: u32,
}

impl Request for CreateTopic {
    const KIND: RequestKind = RequestKind(2);
    const NAME: &'static str = "create_topic";
    type Response = TopicCreated;
}
