//! The control stream: requests come in one after the other, are worked on side by side, and are answered as they
//! finish.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use weir_core::metadata::Image;
use weir_quic::{FrameReader, FrameWriter, Principal};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::MetadataIndex;
use weir_wire::request::{
    ActivatePipeline, AlterNodeConfigs, AlterReassignments, AlterTopic, ChangeNode, CommitOffsets,
    CreateTopic, DeleteGroup, DeleteOffsets, DeletePlugin, DeleteRecords, DeleteTopic, DescribeCluster,
    DescribeGroup, DescribeNodeConfigs, DescribePipelines, DescribeTopic, ElectLeaders, ExplainGroup,
    ExplainTopic, FetchOffsets, GroupHeartbeat, InitProducer, JoinGroup, LeaveGroup, ListGroups, ListOffsets,
    ListPlugins, ListReassignments, Metadata, PushPlugin, Request, RequestHeader, ResetOffsets,
    ResponseHeader, RollBackPipeline, SetAssignor, ShadowTopic, ShiftReplicas, StagePipeline,
    UploadComponent, decode_body, encode_body,
};

use super::{Caller, Services, broken};
use super::{
    alter_topic, change_node, create_topic, delete_records, delete_topic, describe_cluster, describe_topic,
    elect_leaders, groups, reassignments,
};
use super::{init_producer, list_offsets, metadata, node_configs, plugins};
use crate::controller::SubmitError;

/// Requests of one stream that are worked on at a time; the node reads no further until one is answered.
const REQUESTS_IN_FLIGHT_MAX: usize = 64;
/// Heartbeats of one stream that may wait for news beside those: a client that is a member of many groups has one waiting
/// for each of them, nearly always.
const HEARTBEATS_IN_FLIGHT_MAX: usize = 4096;

/// What a request handler works with.
#[derive(Clone)]
pub(super) struct Context {
    pub(super) services: Arc<Services>,
    pub(super) principal: Arc<Principal>,
    /// Where it is.
    pub(super) host: IpAddr,
    /// Metadata at least as new as the client has seen.
    pub(super) image: Arc<Image>,
}

/// What a request handler returns: the metadata it answers from or led to, and the response.
pub(super) type Answer<T> = Result<(MetadataIndex, T), WireError>;

/// Serves a control stream until the client finishes it.
pub(super) async fn serve(
    services: Arc<Services>,
    caller: Caller,
    mut reader: FrameReader,
    writer: FrameWriter,
) {
    let (responses, outbox) = mpsc::channel(REQUESTS_IN_FLIGHT_MAX);
    let sending = tokio::spawn(send(outbox, writer));
    let (mut working, mut beating) = (JoinSet::new(), JoinSet::new());
    loop {
        let frame = match reader.next::<RequestHeader>().await {
            Ok(Some(frame)) => frame,
            Ok(None) => break,
            Err(error) => {
                broken("control", &mut reader, None, &error);
                break;
            }
        };
        let (those, most) = match frame.header.kind {
            GroupHeartbeat::KIND => (&mut beating, HEARTBEATS_IN_FLIGHT_MAX),
            _ => (&mut working, REQUESTS_IN_FLIGHT_MAX),
        };
        while those.len() >= most {
            those.join_next().await;
        }
        while those.try_join_next().is_some() {}
        let (services, caller, responses) = (Arc::clone(&services), caller.clone(), responses.clone());
        those.spawn(async move {
            let response = answer(services, caller, frame.header, frame.payload).await;
            // The client may be gone; what it asked for is done all the same.
            let _ = responses.send(response).await;
        });
    }
    while working.join_next().await.is_some() {}
    while beating.join_next().await.is_some() {}
    drop(responses);
    let _ = sending.await;
}

async fn send(mut outbox: mpsc::Receiver<(ResponseHeader, Vec<u8>)>, mut writer: FrameWriter) {
    while let Some((header, body)) = outbox.recv().await {
        writer.queue(&header, Bytes::from(body));
        // What is answered already leaves together.
        while let Ok((header, body)) = outbox.try_recv() {
            writer.queue(&header, Bytes::from(body));
        }
        if writer.flush().await.is_err() {
            return;
        }
    }
    // A client that is gone already needs no end.
    let _ = writer.finish().await;
}

async fn answer(
    services: Arc<Services>,
    caller: Caller,
    header: RequestHeader,
    body: Bytes,
) -> (ResponseHeader, Vec<u8>) {
    let answered = match prepare(services, caller, &header).await {
        Ok(context) => dispatch(context, &header, &body).await,
        Err(error) => Err(error),
    };
    let correlation = header.correlation;
    match answered {
        Ok((metadata_index, body)) => (ResponseHeader { correlation, metadata_index, error: None }, body),
        Err(error) => {
            tracing::debug!(kind = header.kind.0, %error, "a request was refused");
            let metadata_index = header.metadata_index;
            (ResponseHeader { correlation, metadata_index, error: Some(error) }, Vec::new())
        }
    }
}

async fn prepare(
    services: Arc<Services>,
    caller: Caller,
    header: &RequestHeader,
) -> Result<Context, WireError> {
    if let Some(cluster) = header.cluster {
        services.check_cluster(cluster)?;
    }
    let Some(image) = services.controller.at_least(header.metadata_index).await else {
        let sentence = format!("this node has not seen metadata {} yet; ask again", header.metadata_index);
        return Err(WireError::new(ErrorCode::TimedOut, sentence));
    };
    Ok(Context { services, principal: caller.principal, host: caller.host, image })
}

async fn dispatch(context: Context, header: &RequestHeader, body: &[u8]) -> Answer<Vec<u8>> {
    match header.kind {
        Metadata::KIND => run::<Metadata, _>(context, body, metadata::handle).await,
        CreateTopic::KIND => run::<CreateTopic, _>(context, body, create_topic::handle).await,
        DeleteRecords::KIND => run::<DeleteRecords, _>(context, body, delete_records::handle).await,
        DeleteTopic::KIND => run::<DeleteTopic, _>(context, body, delete_topic::handle).await,
        DescribeTopic::KIND => run::<DescribeTopic, _>(context, body, describe_topic::handle).await,
        AlterTopic::KIND => run::<AlterTopic, _>(context, body, alter_topic::handle).await,
        DescribeCluster::KIND => run::<DescribeCluster, _>(context, body, describe_cluster::handle).await,
        ElectLeaders::KIND => run::<ElectLeaders, _>(context, body, elect_leaders::handle).await,
        AlterReassignments::KIND => run::<AlterReassignments, _>(context, body, reassignments::alter).await,
        ListReassignments::KIND => run::<ListReassignments, _>(context, body, reassignments::list).await,
        AlterNodeConfigs::KIND => run::<AlterNodeConfigs, _>(context, body, node_configs::alter).await,
        DescribeNodeConfigs::KIND => {
            run::<DescribeNodeConfigs, _>(context, body, node_configs::describe).await
        }
        ChangeNode::KIND => run::<ChangeNode, _>(context, body, change_node::handle).await,
        ShiftReplicas::KIND => run::<ShiftReplicas, _>(context, body, reassignments::shift).await,
        InitProducer::KIND => run::<InitProducer, _>(context, body, init_producer::handle).await,
        ListOffsets::KIND => run::<ListOffsets, _>(context, body, list_offsets::handle).await,
        JoinGroup::KIND => run::<JoinGroup, _>(context, body, groups::join_group::handle).await,
        GroupHeartbeat::KIND => {
            run::<GroupHeartbeat, _>(context, body, groups::group_heartbeat::handle).await
        }
        LeaveGroup::KIND => run::<LeaveGroup, _>(context, body, groups::leave_group::handle).await,
        CommitOffsets::KIND => run::<CommitOffsets, _>(context, body, groups::commit_offsets::handle).await,
        FetchOffsets::KIND => run::<FetchOffsets, _>(context, body, groups::fetch_offsets::handle).await,
        DeleteOffsets::KIND => run::<DeleteOffsets, _>(context, body, groups::delete_offsets::handle).await,
        ListGroups::KIND => run::<ListGroups, _>(context, body, groups::list_groups::handle).await,
        DescribeGroup::KIND => run::<DescribeGroup, _>(context, body, groups::describe_group::handle).await,
        DeleteGroup::KIND => run::<DeleteGroup, _>(context, body, groups::delete_group::handle).await,
        ResetOffsets::KIND => run::<ResetOffsets, _>(context, body, groups::reset_offsets::handle).await,
        SetAssignor::KIND => run::<SetAssignor, _>(context, body, groups::set_assignor::handle).await,
        ExplainGroup::KIND => run::<ExplainGroup, _>(context, body, groups::explain_group::handle).await,
        UploadComponent::KIND => run::<UploadComponent, _>(context, body, plugins::upload::handle).await,
        PushPlugin::KIND => run::<PushPlugin, _>(context, body, plugins::push::handle).await,
        ListPlugins::KIND => run::<ListPlugins, _>(context, body, plugins::list::handle).await,
        DeletePlugin::KIND => run::<DeletePlugin, _>(context, body, plugins::delete::handle).await,
        StagePipeline::KIND => run::<StagePipeline, _>(context, body, plugins::stage::handle).await,
        ActivatePipeline::KIND => run::<ActivatePipeline, _>(context, body, plugins::activate::handle).await,
        RollBackPipeline::KIND => run::<RollBackPipeline, _>(context, body, plugins::roll_back::handle).await,
        DescribePipelines::KIND => {
            run::<DescribePipelines, _>(context, body, plugins::describe::handle).await
        }
        ShadowTopic::KIND => run::<ShadowTopic, _>(context, body, plugins::shadow::handle).await,
        ExplainTopic::KIND => run::<ExplainTopic, _>(context, body, plugins::explain::handle).await,
        unknown => {
            let sentence = format!("request kind {} is not known to this node; use a newer one", unknown.0);
            Err(WireError::new(ErrorCode::UnsupportedRequest, sentence))
        }
    }
}

/// Decodes a request of kind `R`, has it handled, encodes the response.
async fn run<R: Request, F: Future<Output = Answer<R::Response>>>(
    context: Context,
    body: &[u8],
    handle: impl FnOnce(Context, R) -> F,
) -> Answer<Vec<u8>> {
    let request = decode_body::<R>(body)?;
    metrics::counter!("weir_requests_total", "request" => R::NAME).increment(1);
    let (index, response) = handle(context, request).await?;
    Ok((index, encode_body(&response)))
}

/// A refused command, as the client sees it.
pub(super) fn submit_error(error: SubmitError) -> WireError {
    use weir_core::metadata::MetadataError;
    let code = match &error {
        SubmitError::Stopping => ErrorCode::ShuttingDown,
        SubmitError::Storage(_) => ErrorCode::StorageFailed,
        SubmitError::NoQuorum { .. } => ErrorCode::TimedOut,
        SubmitError::Unknown => ErrorCode::OutcomeUnknown,
        SubmitError::Refused(refusal) => match refusal {
            MetadataError::InvalidName(_)
            | MetadataError::InternalName(_)
            | MetadataError::InternalTopic(_) => ErrorCode::InvalidTopicName,
            MetadataError::TopicExists(_) => ErrorCode::TopicAlreadyExists,
            MetadataError::UnknownTopic(_) | MetadataError::UnknownTopicId(_) => ErrorCode::UnknownTopic,
            MetadataError::UnknownPartition { .. } => ErrorCode::UnknownPartition,
            MetadataError::Partitions { .. }
            | MetadataError::TooManyPartitions
            | MetadataError::NotMorePartitions { .. } => ErrorCode::InvalidPartitions,
            MetadataError::ReplicationFactor { .. } => ErrorCode::InvalidReplicationFactor,
            MetadataError::Config(_) => ErrorCode::InvalidConfig,
            MetadataError::NotLeader { .. } => ErrorCode::NotLeader,
            MetadataError::NoCandidate { .. } | MetadataError::NoLiveNode => ErrorCode::LeaderNotAvailable,
            MetadataError::UnknownNode(_)
            | MetadataError::ElectionNotNeeded { .. }
            | MetadataError::NoPlugins(_)
            | MetadataError::NoRollback { .. }
            | MetadataError::TooManyPlugins
            | MetadataError::TooManyRevisions(_) => ErrorCode::InvalidRequest,
            MetadataError::InvalidPluginName(_)
            | MetadataError::WrongKind { .. }
            | MetadataError::InvalidBinding(_) => ErrorCode::InvalidPlugin,
            MetadataError::PluginExists { .. } => ErrorCode::PluginAlreadyExists,
            MetadataError::UnknownPlugin(_) => ErrorCode::UnknownPlugin,
            MetadataError::PluginInUse { .. } => ErrorCode::PluginInUse,
            MetadataError::StaleRevision { .. } | MetadataError::NotStaged { .. } => {
                ErrorCode::PipelineChanged
            }
            MetadataError::NotReady { .. } => ErrorCode::PipelineNotReady,
            MetadataError::NoReplicas
            | MetadataError::ReplicaNamedTwice(_)
            | MetadataError::TakesNoReplicas { .. }
            | MetadataError::TooFewWouldStay { .. }
            | MetadataError::NoRoom { .. } => ErrorCode::InvalidReplicaAssignment,
            MetadataError::NodeInUse { .. } => ErrorCode::InvalidRequest,
            // What only nodes ask, and nodes are not asked here.
            MetadataError::AlreadyInitialised(_)
            | MetadataError::NoProducerIds
            | MetadataError::DuplicateNode { .. }
            | MetadataError::NodeRemoved(_)
            | MetadataError::StaleIncarnation { .. }
            | MetadataError::StalePartitionEpoch { .. }
            | MetadataError::IneligibleReplica { .. } => ErrorCode::Internal,
        },
    };
    WireError::new(code, error.to_string())
}
