//! Putting a staged pipeline in force.

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, Revision};
use crate::request::{Request, RequestKind};

/// Asks for a staged pipeline to be put in force. Waits a while for nodes that are not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivatePipeline {
    /// The topic.
    pub topic: String,
    /// The staged revision; `None` for whatever is staged.
    pub revision: Option<Revision>,
    /// The revision in force as the asker knows it; `None` for whatever it is.
    pub expected: Option<Revision>,
    /// Nodes that need not be ready.
    pub without: Vec<NodeId>,
}

/// It is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineActivated {
    /// The revision.
    pub revision: Revision,
    /// The one that it supersedes.
    pub previous: Revision,
}

impl Request for ActivatePipeline {
    const KIND: RequestKind = RequestKind(65);
    const NAME: &'static str = "activate_pipeline";
    type Response = PipelineActivated;
}
