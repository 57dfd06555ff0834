//! Requests about plugins and about the pipelines that they make.

mod activate_pipeline;
mod delete_plugin;
mod describe_pipelines;
mod explain_topic;
mod list_plugins;
mod push_plugin;
mod roll_back_pipeline;
mod shadow_topic;
mod stage_pipeline;
mod upload_component;

use serde::{Deserialize, Serialize};

use crate::plugin::{PluginDigest, PluginKind};

pub use activate_pipeline::{ActivatePipeline, PipelineActivated};
pub use delete_plugin::{DeletePlugin, PluginDeleted};
pub use describe_pipelines::{
    DescribePipelines, PartitionRevision, PipelineDescription, PipelineLanes, PipelinesDescribed,
    PluginFigures, StagedDescription,
};
pub use explain_topic::{ExplainTopic, PlacementExplained, TopicExplained};
pub use list_plugins::{ListPlugins, PluginEntry, PluginsListed};
pub use push_plugin::{PluginPushed, PushPlugin};
pub use roll_back_pipeline::{PipelineRolledBack, RollBackPipeline};
pub use shadow_topic::{ShadowAction, ShadowReport, ShadowSample, ShadowTopic, TopicShadowed};
pub use stage_pipeline::{PipelineChange, PipelineStaged, PluginBinding, StagePipeline};
pub use upload_component::{ChunkTaken, UploadComponent};

/// A plugin as it is bound in a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundPlugin {
    /// The place in which it is bound.
    pub kind: PluginKind,
    /// Its name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Its bytes.
    pub digest: PluginDigest,
    /// What it is configured with.
    pub options: Vec<(String, String)>,
    /// Limits that are not the default.
    pub limits: Vec<(String, u64)>,
    /// What happens to records that it fails on: `reject`, `pass` or `dead-letter`.
    pub on_failure: String,
    /// Whether one instance serves many batches.
    pub reuse: bool,
}
