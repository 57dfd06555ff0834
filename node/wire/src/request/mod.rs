//! The control stream: requests and responses, pipelined, answered in any order.
//!
//! A request is a frame whose header is a [`RequestHeader`] and whose payload is the postcard body of one type of
//! this module; the response is a frame with a [`ResponseHeader`] and the body of the matching response type. The
//! kind stands in the header, so that an unknown one can be answered with a typed error while the stream lives.

mod alter_topic;
mod change_node;
mod create_topic;
mod delete_records;
mod delete_topic;
mod describe_cluster;
mod describe_topic;
mod elect_leaders;
mod group;
mod init_producer;
mod list_offsets;
mod metadata;
mod node_configs;
mod plugins;
mod reassignments;

pub use alter_topic::{AlterTopic, TopicAltered};
pub use change_node::{ChangeNode, NodeChange, NodeChanged};
pub use create_topic::{CreateTopic, TopicCreated};
pub use delete_records::{DeleteRecords, RecordsDeleted};
pub use delete_topic::{DeleteTopic, TopicDeleted};
pub use describe_cluster::{
    ClusterDescription, DescribeCluster, NodeDescription, NodeStanding, PartitionFigures, QuorumView,
};
pub use describe_topic::{ConfigEntry, DescribeTopic, PartitionState, ReplicaState, TopicDescription};
pub use elect_leaders::{ElectLeaders, Election, ElectionKind, LeadersElected};
pub use group::{
    AssignorSet, CommitOffsets, CommittedOffset, Committer, DeleteGroup, DeleteOffsets, DescribeGroup,
    ExplainGroup, FetchOffsets, GroupDeleted, GroupDescription, GroupExplanation, GroupHeartbeat, GroupLeft,
    GroupListing, GroupPartition, GroupState, GroupsListed, JoinGroup, LeaveGroup, ListGroups,
    MemberDescription, MemberLoad, MemberState, Membership, OffsetsCommitted, OffsetsDeleted, OffsetsFetched,
    OffsetsReset, PARTITIONS_PER_REQUEST_MAX, PartitionMove, PartitionOffset, ResetOffsets, SetAssignor,
    Subscription, TopicPartitions,
};
pub use init_producer::{InitProducer, ProducerGranted};
pub use list_offsets::{ListOffsets, ListedOffset, OffsetSpec, OffsetsListed};
pub use metadata::{ClusterMetadata, Metadata, NodeEntry, PartitionEntry, TopicEntry};
pub use node_configs::{
    AlterNodeConfigs, ConfigSource, DescribeNodeConfigs, NodeConfigEntry, NodeConfigsAltered,
    NodeConfigsDescribed,
};
pub use plugins::{
    ActivatePipeline, BoundPlugin, ChunkTaken, DeletePlugin, DescribePipelines, ExplainTopic, ListPlugins,
    PartitionRevision, PipelineActivated, PipelineChange, PipelineDescription, PipelineLanes,
    PipelineRolledBack, PipelineStaged, PipelinesDescribed, PlacementExplained, PluginBinding, PluginDeleted,
    PluginEntry, PluginFigures, PluginPushed, PluginsListed, PushPlugin, RollBackPipeline, ShadowAction,
    ShadowReport, ShadowSample, ShadowTopic, StagePipeline, StagedDescription, TopicExplained, TopicShadowed,
    UploadComponent,
};

pub use reassignments::{
    AlterReassignments, ListReassignments, ReassignmentAltered, ReassignmentProgress, ReassignmentsAltered,
    ReassignmentsListed, ReplicasShifting, ReplicasWanted, Shift, ShiftReplicas, Throttle,
};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::{ErrorCode, WireError};
use crate::ids::{ClusterId, MetadataIndex};

/// Which request a frame holds. Numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestKind(pub u16);

/// A request with its place in the protocol.
pub trait Request: Serialize + DeserializeOwned {
    /// The number in the header.
    const KIND: RequestKind;
    /// What a person calls it, for messages and metrics.
    const NAME: &'static str;
    /// What a success answers.
    type Response: Serialize + DeserializeOwned;
}

/// Header of a request frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestHeader {
    /// Chosen by the client, repeated in the response.
    pub correlation: u64,
    /// Which request the payload holds.
    pub kind: RequestKind,
    /// The cluster that the client believes it talks to; `None` before it knows.
    pub cluster: Option<ClusterId>,
    /// The node answers from metadata at least this new, so that a client reads its own writes.
    pub metadata_index: MetadataIndex,
}

/// Header of a response frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseHeader {
    /// The request's number.
    pub correlation: u64,
    /// The metadata that the answer was made from, or that the request led to.
    pub metadata_index: MetadataIndex,
    /// `None`: the payload is the response. Otherwise the payload is empty.
    pub error: Option<WireError>,
}

/// Encodes the body of a request or a response.
///
/// # Panics
/// If the value cannot be encoded, which is our own mistake.
#[must_use]
pub fn encode_body(body: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(body, Vec::new()).expect("our own message types always encode")
}

/// Decodes the body of a request or a response, all of it.
///
/// # Errors
/// [`ErrorCode::InvalidRequest`] when the bytes are not exactly one `T`.
pub fn decode_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    crate::frame::decode_exactly(bytes).ok_or_else(|| {
        let name = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
        WireError::new(ErrorCode::InvalidRequest, format!("the body does not decode as {name}"))
    })
}
