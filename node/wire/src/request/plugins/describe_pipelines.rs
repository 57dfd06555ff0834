//! What topics' pipelines are like, and what they did.

use serde::{Deserialize, Serialize};

use super::BoundPlugin;
use crate::ids::{NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId, Revision, TopicId};
use crate::request::{Request, RequestKind};

/// Asks for the pipelines of one topic, or of all that have plugins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DescribePipelines {
    /// The topic; `None` for all that have plugins.
    pub topic: Option<String>,
}

/// The pipelines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelinesDescribed {
    /// By the topic's name.
    pub topics: Vec<PipelineDescription>,
}

/// The pipeline of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineDescription {
    /// The topic.
    pub topic: String,
    /// Its id.
    pub id: TopicId,
    /// The revision in force.
    pub revision: Revision,
    /// How it came into force, for people.
    pub origin: String,
    /// Its plugins.
    pub plugins: Vec<BoundPlugin>,
    /// What is made ready, if anything is.
    pub staged: Option<StagedDescription>,
    /// Earlier revisions under which batches may still be sent again.
    pub open: Vec<Revision>,
    /// From where on the revision in force made the records of each partition.
    pub partitions: Vec<PartitionRevision>,
    /// What its plugins did on the node that answers.
    pub figures: Vec<PluginFigures>,
    /// The lanes that the node which answers has seen; `None` if it cannot say.
    pub lanes: Option<PipelineLanes>,
}

/// The lanes of a topic on one node: what can still follow under earlier revisions than the one in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineLanes {
    /// Lanes that are open under an earlier revision, or ended with parts on their way.
    pub open: u64,
    /// Producers that this node has not seen at the revision in force.
    pub behind: Vec<(ProducerId, ProducerEpoch)>,
    /// Producers that it has.
    pub moved: Vec<(ProducerId, ProducerEpoch)>,
}

/// A pipeline that is made ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedDescription {
    /// Its revision.
    pub revision: Revision,
    /// Its plugins.
    pub plugins: Vec<BoundPlugin>,
    /// The nodes that are ready.
    pub ready: Vec<NodeId>,
    /// The nodes that are waited for.
    pub waiting: Vec<NodeId>,
    /// The nodes that cannot run it, with the reason.
    pub failed: Vec<(NodeId, String)>,
}

/// From where on the revision in force made the records of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRevision {
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset of its first record; `None` while there is none, or its leader does not answer.
    pub first_offset: Option<Offset>,
    /// From here on nothing of an earlier revision follows, since their grace is over; `None` while it is not.
    pub settled_offset: Option<Offset>,
    /// The end of what earlier revisions made up to now; `None` as with `first_offset`.
    pub older_end: Option<Offset>,
}

/// What a plugin did for a topic on one node, since the revision was made ready there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginFigures {
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Of which revision.
    pub revision: Revision,
    /// Calls of the hook, failed ones too.
    pub calls: u64,
    /// Records left as they were.
    pub kept: u64,
    /// Records changed.
    pub replaced: u64,
    /// Records dropped.
    pub dropped: u64,
    /// Records rejected.
    pub rejected: u64,
    /// Failed calls by cause.
    pub failures: Vec<(String, u64)>,
    /// How many calls took less than so many microseconds, and not less than half of it.
    pub times: Vec<(u64, u64)>,
    /// The most memory that an instance had.
    pub memory_high_bytes: u64,
    /// Instances alive now.
    pub instances: u64,
    /// How long its calls held a thread, in microseconds.
    pub busy_us: u64,
    /// How long calls waited since it had its share, in microseconds, by which: `failing`, `time`, `memory`.
    pub throttled_us: Vec<(String, u64)>,
}

impl Request for DescribePipelines {
    const KIND: RequestKind = RequestKind(67);
    const NAME: &'static str = "describe_pipelines";
    type Response = PipelinesDescribed;
}
