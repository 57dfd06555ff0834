//! Which groups a coordinator has.

use serde::{Deserialize, Serialize};

use super::GroupState;
use crate::request::{Request, RequestKind};

/// Asks one node for the groups that it coordinates. The groups of a cluster are those of all its nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListGroups {}

/// The groups of one node, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupsListed {
    /// One entry per group.
    pub groups: Vec<GroupListing>,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupListing {
    /// Its name.
    pub group: String,
    /// What it is doing.
    pub state: GroupState,
    /// How many members it has.
    pub members: u32,
    /// Who assigns its partitions.
    pub assignor: String,
}

impl Request for ListGroups {
    const KIND: RequestKind = RequestKind(46);
    const NAME: &'static str = "list_groups";
    type Response = GroupsListed;
}
