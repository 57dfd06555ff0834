//! Having a pipeline made ready.

use serde::{Deserialize, Serialize};

use super::BoundPlugin;
use crate::ids::Revision;
use crate::request::{Request, RequestKind};

/// Asks for a topic's pipeline to be changed: every node makes the changed one ready, and nothing else happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagePipeline {
    /// The topic; `None` for what topics get that are created later: that holds at once.
    pub topic: Option<String>,
    /// The revision in force as the asker knows it; `None` for whatever it is.
    pub expected: Option<Revision>,
    /// What changes.
    pub change: PipelineChange,
}

/// What changes in a pipeline; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineChange {
    /// The whole chain on the way into the log.
    pub producer_interceptors: Option<Vec<PluginBinding>>,
    /// Who places records; an empty list for the default rule, else one.
    pub partitioner: Option<Vec<PluginBinding>>,
    /// The whole chain on the way to consumers.
    pub consumer_interceptors: Option<Vec<PluginBinding>>,
}

/// A plugin to bind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginBinding {
    /// Its name.
    pub plugin: String,
    /// Its version; `None` for the newest.
    pub version: Option<String>,
    /// What it is configured with, in the order that it sees.
    pub options: Vec<(String, String)>,
    /// Limits that shall not be the default.
    pub limits: Vec<(String, String)>,
    /// What happens to records that it fails on; `None` for `reject`.
    pub on_failure: Option<String>,
}

/// The nodes make it ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineStaged {
    /// Its revision; `None` where topics get it that are created later.
    pub revision: Option<Revision>,
    /// The revision in force.
    pub in_force: Option<Revision>,
    /// All its plugins.
    pub plugins: Vec<BoundPlugin>,
}

impl Request for StagePipeline {
    const KIND: RequestKind = RequestKind(64);
    const NAME: &'static str = "stage_pipeline";
    type Response = PipelineStaged;
}
