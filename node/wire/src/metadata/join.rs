//! How a node becomes part of a cluster.

use serde::{Deserialize, Serialize};

use super::Member;
use crate::ids::ClusterId;
use crate::request::{Request, RequestKind};

/// Asks to take part in the cluster. Any node takes it, and passes it on to the active controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Who asks, and where it is reached.
    pub member: Member,
    /// Whether its data folder holds nothing of a cluster's metadata.
    pub is_empty: bool,
}

/// The answer to [`Join`]: the node is a learner, and will be told everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joined {
    /// Which cluster it is.
    pub cluster: ClusterId,
    /// Who takes part.
    pub members: Vec<Member>,
}

impl Request for Join {
    const KIND: RequestKind = RequestKind(105);
    const NAME: &'static str = "join";
    type Response = Joined;
}
