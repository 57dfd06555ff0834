//! Choosing who assigns the partitions of a group.

use serde::{Deserialize, Serialize};

use crate::ids::GroupEpoch;
use crate::request::{Request, RequestKind};

/// Chooses a group's assignor. Members go on; only partitions whose owner changes move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAssignor {
    /// The group; it begins to exist if it does not.
    pub group: String,
    /// The assignor's name; `None` for the cluster's default.
    pub assignor: Option<String>,
}

/// The choice holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignorSet {
    /// The epoch of the group from which on it does.
    pub epoch: GroupEpoch,
    /// The assignor now in force.
    pub assignor: String,
}

impl Request for SetAssignor {
    const KIND: RequestKind = RequestKind(50);
    const NAME: &'static str = "set_assignor";
    type Response = AssignorSet;
}
