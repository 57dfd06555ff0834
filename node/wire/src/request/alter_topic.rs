//! Changing a topic: its configuration, or more partitions.

use serde::{Deserialize, Serialize};

use super::{Request, RequestKind};
use crate::ids::{Revision, TopicId};

/// Asks for a topic to be changed: first its configuration, then its partitions. Each of the two happens whole or not
/// at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlterTopic {
    /// Its name.
    pub name: String,
    /// Configuration keys to set, under Kafka's names, or, with `None`, to put back to the default.
    pub configs: Vec<(String, Option<String>)>,
    /// How many partitions it should have; never fewer than it has.
    pub partitions: Option<u32>,
}

/// The topic is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicAltered {
    /// Its id.
    pub id: TopicId,
    /// How many partitions it has now.
    pub partitions: u32,
    /// The pipeline revision in force now: a new partition count is a new revision.
    pub revision: Revision,
}

impl Request for AlterTopic {
    const KIND: RequestKind = RequestKind(32);
    const NAME: &'static str = "alter_topic";
    type Response = TopicAltered;
}
