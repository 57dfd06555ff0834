//! Deleting a topic with all its records.

use serde::{Deserialize, Serialize};

use super::{Request, RequestKind};
use crate::ids::TopicId;

/// Asks that a topic be deleted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTopic {
    /// Its name.
    pub name: String,
}

/// The topic is gone; its files are removed in the background.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicDeleted {
    /// The id it had.
    pub id: TopicId,
}

impl Request for DeleteTopic {
    const KIND: RequestKind = RequestKind(3);
    const NAME: &'static str = "delete_topic";
    type Response = TopicDeleted;
}
