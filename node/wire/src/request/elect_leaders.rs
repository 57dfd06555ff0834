//! Electing leaders by hand.

use serde::{Deserialize, Serialize};

use super::{Request, RequestKind};
use crate::error::WireError;
use crate::ids::{LeaderEpoch, NodeId, PartitionIndex};

/// Asks for leaders to be elected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ElectLeaders {
    /// The topic; `None` for all topics.
    pub topic: Option<String>,
    /// The partition; `None` for all of the topic's.
    pub partition: Option<PartitionIndex>,
    /// By which rule.
    pub kind: ElectionKind,
}

/// By which rule a leader is elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ElectionKind {
    /// The first assigned replica, where it is in sync.
    Preferred,
    /// Any live replica, where no clean choice is left: acknowledged records may be lost.
    Unclean,
}

/// What the election led to, for each partition whose leader changed or should have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeadersElected {
    /// By topic and index.
    pub elections: Vec<Election>,
}

/// One partition's election.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Election {
    /// The topic's name.
    pub topic: String,
    /// The partition.
    pub partition: PartitionIndex,
    /// The new leader and its reign, or why there is none.
    pub outcome: Result<(NodeId, LeaderEpoch), WireError>,
}

impl Request for ElectLeaders {
    const KIND: RequestKind = RequestKind(31);
    const NAME: &'static str = "elect_leaders";
    type Response = LeadersElected;
}
