//! Deleting a group.

use serde::{Deserialize, Serialize};

use crate::request::{Request, RequestKind};

/// Deletes a group with everything it committed. Refused while it has members.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteGroup {
    /// Its name.
    pub group: String,
}

/// The group is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDeleted {}

impl Request for DeleteGroup {
    const KIND: RequestKind = RequestKind(48);
    const NAME: &'static str = "delete_group";
    type Response = GroupDeleted;
}
