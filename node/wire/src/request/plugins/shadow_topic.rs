//! Shadow runs of staged pipelines, on the node that is asked.

use serde::{Deserialize, Serialize};

use super::{BoundPlugin, PluginFigures};
use crate::ids::{NodeId, Offset, PartitionIndex, Revision};
use crate::request::{Request, RequestKind};

/// Starts, ends or reports the shadow run of a topic on the node that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowTopic {
    /// The topic.
    pub topic: String,
    /// What is wanted.
    pub action: ShadowAction,
}

/// What is wanted of a shadow run. Each answers the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShadowAction {
    /// Only the report.
    Report,
    /// A new run of the staged pipeline, in place of an earlier run.
    Start {
        /// The staged revision; `None` for whichever is staged.
        revision: Option<Revision>,
        /// Every how-manieth batch is taken; 1 for all.
        every: u32,
    },
    /// The end of the run.
    Stop,
}

/// The report of the latest shadow run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicShadowed {
    /// The node that answers.
    pub node: NodeId,
    /// `None` if there was none in this life of the node.
    pub run: Option<ShadowReport>,
}

/// What a shadow run came to so far on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowReport {
    /// The staged revision.
    pub revision: Revision,
    /// Its plugins.
    pub plugins: Vec<BoundPlugin>,
    /// Every how-manieth batch is taken.
    pub every: u32,
    /// Why it ended; `None` while it runs.
    pub ended: Option<String>,
    /// How long it ran, in microseconds.
    pub ran_us: u64,
    /// How much of that it held a thread, comparing too.
    pub busy_us: u64,
    /// Batches that were left out, as there was no room for them.
    pub dropped: u64,
    /// Batches compared.
    pub batches: u64,
    /// Records compared.
    pub records: u64,
    /// Those for which both pipelines answer the same.
    pub same: u64,
    /// Those for which they do not, by kind: `decision`, `content`, `partition`, `failure`.
    pub different: Vec<(String, u64)>,
    /// The first examples of each kind.
    pub samples: Vec<ShadowSample>,
    /// What the staged plugins did.
    pub figures: Vec<PluginFigures>,
}

/// A record that the two pipelines treat differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShadowSample {
    /// In what.
    pub kind: String,
    /// Where the record lies, if it was stored and that is known.
    pub stored: Option<(PartitionIndex, Offset)>,
    /// The number of its batch in its lane.
    pub ordinal: u64,
    /// Its place in the batch, from 0.
    pub index: u32,
    /// The key that it came with, in short.
    pub key: String,
    /// What became of it, in short.
    pub in_force: String,
    /// What would have become of it, in short.
    pub staged: String,
}

impl Request for ShadowTopic {
    const KIND: RequestKind = RequestKind(69);
    const NAME: &'static str = "shadow_topic";
    type Response = TopicShadowed;
}
