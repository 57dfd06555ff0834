//! Going back to the plugins of an earlier revision.

use serde::{Deserialize, Serialize};

use crate::ids::Revision;
use crate::request::{Request, RequestKind};

/// Asks for the plugins to be put in force again that were so before the last activation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollBackPipeline {
    /// The topic.
    pub topic: String,
    /// The revision that is to go, as the asker knows it; `None` for whatever is in force.
    pub expected: Option<Revision>,
}

/// They are in force again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineRolledBack {
    /// The new revision: a number is in force once.
    pub revision: Revision,
    /// The revision whose plugins it has.
    pub to: Revision,
}

impl Request for RollBackPipeline {
    const KIND: RequestKind = RequestKind(66);
    const NAME: &'static str = "roll_back_pipeline";
    type Response = PipelineRolledBack;
}
