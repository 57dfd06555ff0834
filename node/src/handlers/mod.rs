//! What the node does for a client: one file per stream kind, one per request kind.
//!
//! A handler decodes, asks [`authorize`](authorize::authorize), calls the handles of controller and partitions, and
//! encodes. It knows no file, no QUIC type and no rule of its own.

mod alter_topic;
pub mod authorize;
mod change_node;
mod component_streams;
mod control;
mod create_topic;
mod delete_records;
mod delete_topic;
mod describe_cluster;
mod describe_topic;
mod elect_leaders;
mod fetch;
mod forwarded;
mod groups;
mod init_producer;
mod list_offsets;
mod metadata;
mod node_configs;
pub mod node_streams;
mod outcomes;
mod plugins;
mod produce;
mod reassignments;
mod sink;

pub use init_producer::ProducerIds;
pub use plugins::upload::Uploads;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{Instrument, Span};
use weir_quic::{FrameReader, FrameWriter, Principal, Priority, StreamRoom};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::fetch::FetchOpen;
use weir_wire::frame::Limits;
use weir_wire::ids::{ClusterId, LeaderEpoch, NodeId, PartitionIndex, TopicId};
use weir_wire::lane::LaneOpen;
use weir_wire::open::{StreamAnswer, StreamKind, StreamOpen, VERSIONS};
use weir_wire::plugin::PluginLinesOpen;
use weir_wire::request::decode_body;

use crate::components::ComponentStore;
use crate::controller::Controller;
use crate::groups::Groups;
use crate::outside::Outside;
use crate::partitions::{PartitionHandle, Partitions, Standing};
use crate::pipelines::Pipelines;
use crate::replication::Replication;
use crate::storage::ReadError;
use crate::watched::Watched;
use authorize::{Operation, Resource};

/// Memory of batches that were received and are not written yet, over all lanes of the node, in bytes. A lane that
/// finds none left waits, QUIC's windows fill, and the producer feels it.
pub const PRODUCE_MEMORY_BYTES: usize = 128 * 1024 * 1024;

/// As [`PRODUCE_MEMORY_BYTES`], for parts that entered at other nodes. Apart, so that two nodes that forward to each
/// other never wait for each other's memory.
pub const FORWARD_MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// As [`PRODUCE_MEMORY_BYTES`], for batches of topics with plugins. Apart, so that a plugin that takes its time makes no
/// other topic wait.
pub const PIPELINE_MEMORY_BYTES: usize = 64 * 1024 * 1024;

/// Everything that handlers work with.
pub struct Services {
    /// This node.
    pub node: NodeId,
    /// Its cluster.
    pub cluster: ClusterId,
    /// Clock, disk, randomness, workers.
    pub outside: Outside,
    /// The metadata.
    pub controller: Controller,
    /// The hosted replicas.
    pub partitions: Partitions,
    /// The coordinators of groups.
    pub groups: Groups,
    /// What happens between this node and others.
    pub replication: Replication,
    /// What happens to batches between producers, logs and consumers.
    pub pipelines: Pipelines,
    /// The components of plugins.
    pub components: ComponentStore,
    /// Components that clients upload.
    pub uploads: Uploads,
    /// Producer ids to hand out.
    pub producer_ids: ProducerIds,
    /// See [`PRODUCE_MEMORY_BYTES`].
    pub produce_memory: Arc<Semaphore>,
    /// See [`PIPELINE_MEMORY_BYTES`].
    pub pipeline_memory: Arc<Semaphore>,
    /// See [`FORWARD_MEMORY_BYTES`].
    pub forward_memory: Arc<Semaphore>,
    /// Becomes true when the node begins to stop.
    pub stopping: Arc<Watched<bool>>,
}

impl Services {
    /// Waits until the node begins to stop.
    async fn stopping(&self) {
        self.stopping.wait_until(|stopping| *stopping).await;
    }

    fn check_cluster(&self, cluster: ClusterId) -> Result<(), WireError> {
        if cluster == self.cluster {
            return Ok(());
        }
        let sentence =
            format!("this is cluster {}, not {cluster}; check the bootstrap addresses", self.cluster);
        Err(WireError::new(ErrorCode::WrongCluster, sentence))
    }
}

/// Who opened a stream, and from where.
#[derive(Clone, Debug)]
pub struct Caller {
    /// As its certificate says.
    pub principal: Arc<Principal>,
    /// As its packets say.
    pub host: IpAddr,
    /// The connection's room for streams.
    pub room: StreamRoom,
}

/// Serves one stream of a client, from its opening frame on.
pub async fn serve_stream(
    services: Arc<Services>,
    caller: Caller,
    mut reader: FrameReader,
    mut writer: FrameWriter,
) {
    let frame = match reader.next::<StreamOpen>().await {
        Ok(Some(frame)) => frame,
        Ok(None) => return,
        Err(error) => return broken("new", &mut reader, Some(&mut writer), &error),
    };
    let principal = Arc::clone(&caller.principal);
    match open(&services, &principal, &frame.header, &frame.payload).await {
        Ok((opened, answer)) => {
            writer.set_priority(opened.priority());
            reader.set_limits(opened.limits());
            writer.queue(&answer, Bytes::new());
            if writer.flush().await.is_err() {
                return;
            }
            let span = opened.span(&principal);
            let serving = async move {
                match opened {
                    Opened::Control => control::serve(services, caller, reader, writer).await,
                    Opened::Produce(lane) => {
                        let _room_for_another = caller.room.one_more();
                        produce::serve(services, *lane, reader, writer).await;
                    }
                    Opened::Fetch(open) => fetch::serve(services, principal, open, reader, writer).await,
                    Opened::Lines(open) => plugins::lines::serve(services, open, reader, writer).await,
                    Opened::Sink => sink::serve(reader, writer).await,
                }
            };
            serving.instrument(span).await;
        }
        Err(error) => {
            tracing::debug!(%error, %principal, "a stream was refused");
            writer.queue(&StreamAnswer::Refused(error), Bytes::new());
            // A client that is gone already needs no answer.
            let _ = writer.finish().await;
        }
    }
}

/// A stream that is served.
enum Opened {
    Control,
    Produce(Box<produce::Lane>),
    Fetch(FetchOpen),
    Lines(PluginLinesOpen),
    Sink,
}

impl Opened {
    /// What the log says with every line about the stream.
    fn span(&self, principal: &Principal) -> Span {
        match self {
            Opened::Control => tracing::info_span!("control", %principal),
            Opened::Produce(lane) => tracing::info_span!("lane", %principal, topic = lane.topic()),
            Opened::Fetch(_) => tracing::info_span!("fetch", %principal),
            Opened::Lines(_) => tracing::info_span!("plugin lines", %principal),
            Opened::Sink => tracing::info_span!("sink", %principal),
        }
    }

    /// Produce before fetch: what consumers read must be taken in first. Control is small, and a person waits for it.
    fn priority(&self) -> Priority {
        match self {
            Opened::Control | Opened::Lines(_) => Priority::Control,
            Opened::Produce(_) | Opened::Sink => Priority::Produce,
            Opened::Fetch(_) => Priority::Fetch,
        }
    }

    fn limits(&self) -> Limits {
        match self {
            Opened::Control => Limits::CONTROL,
            // Commands are small and carry nothing.
            Opened::Fetch(_) | Opened::Lines(_) => Limits::OPENING,
            Opened::Produce(lane) => Limits { payload_bytes_max: lane.payload_bytes_max(), ..Limits::DATA },
            Opened::Sink => Limits::DATA,
        }
    }
}

/// A stream that cannot be read on: tells the peer, if it is to blame, in both directions. A peer that ended its own
/// would not hear that the node stopped reading.
fn broken(
    kind: &'static str,
    reader: &mut FrameReader,
    writer: Option<&mut FrameWriter>,
    error: &weir_quic::ReadError,
) {
    tracing::debug!(%error, kind, "a stream broke");
    if let Some(code) = error.refusal() {
        reader.refuse(code);
        if let Some(writer) = writer {
            writer.reset(code);
        }
    }
}

async fn open(
    services: &Services,
    principal: &Arc<Principal>,
    open: &StreamOpen,
    body: &[u8],
) -> Result<(Opened, StreamAnswer), WireError> {
    let version = choose_version(open)?;
    let opened = match open.kind {
        StreamKind::CONTROL => Opened::Control,
        StreamKind::PRODUCE => {
            let lane = decode_body::<LaneOpen>(body)?;
            Opened::Produce(Box::new(produce::Lane::open(services, principal, lane).await?))
        }
        StreamKind::FETCH => {
            let fetch = decode_body::<FetchOpen>(body)?;
            services.check_cluster(fetch.cluster)?;
            Opened::Fetch(fetch)
        }
        StreamKind::PLUGIN_LINES => {
            let lines = decode_body::<PluginLinesOpen>(body)?;
            services.check_cluster(lines.cluster)?;
            let resource = lines.topic.as_deref().map_or(Resource::Cluster, Resource::Topic);
            authorize::authorize(principal, Operation::Describe, resource)?;
            Opened::Lines(lines)
        }
        StreamKind::SINK => Opened::Sink,
        unknown => {
            let sentence = format!("stream kind {} is not known to this node; use a newer one", unknown.0);
            return Err(WireError::new(ErrorCode::UnsupportedRequest, sentence));
        }
    };
    Ok((opened, StreamAnswer::Opened { version, cluster: services.cluster, node: services.node }))
}

/// The version that a stream is served in.
fn choose_version(open: &StreamOpen) -> Result<u16, WireError> {
    VERSIONS.newest_common(open.versions).ok_or_else(|| {
        let sentence = format!(
            "this node speaks protocol versions {} to {}, the other side {} to {}; update the older of the two",
            VERSIONS.min, VERSIONS.max, open.versions.min, open.versions.max
        );
        WireError::new(ErrorCode::UnsupportedVersion, sentence)
    })
}

/// Waits until there is memory for a batch.
async fn reserve(memory: &Arc<Semaphore>, bytes: usize) -> Option<Arc<OwnedSemaphorePermit>> {
    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
    let permit = Arc::clone(memory).acquire_many_owned(permits).await;
    // The semaphore is never closed; without a permit the batch would only not be counted.
    permit.ok().map(Arc::new)
}

/// The hosted replica that leads a partition.
fn find_partition(
    services: &Services,
    topic: TopicId,
    partition: PartitionIndex,
) -> Result<PartitionHandle, WireError> {
    let image = services.controller.image();
    let Some((name, state)) = image.topic_by_id(topic) else {
        let sentence =
            format!("there is no topic with id {topic}; it may have been deleted and created again");
        return Err(WireError::new(ErrorCode::UnknownTopic, sentence));
    };
    if partition.0 as usize >= state.partitions.len() {
        let sentence =
            format!("topic '{name}' has partitions 0 to {}, not {partition}", state.partitions.len() - 1);
        return Err(WireError::new(ErrorCode::UnknownPartition, sentence));
    }
    if state.partitions[partition.0 as usize].leader.is_none() {
        let sentence = format!(
            "partition {partition} of topic '{name}' has no leader at the moment; is one of its nodes up?"
        );
        return Err(WireError::new(ErrorCode::LeaderNotAvailable, sentence));
    }
    let handle = services.partitions.get(topic, partition);
    handle.filter(|handle| matches!(handle.view.standing(), Standing::Leading | Standing::Failed)).ok_or_else(
        || {
            let sentence = format!(
                "partition {partition} of topic '{name}' is not led by this node; refresh the metadata"
            );
            WireError::new(ErrorCode::NotLeader, sentence)
        },
    )
}

/// Compares the reign that a client believes in with the one in force (KIP-320).
fn check_leader_epoch(believed: Option<LeaderEpoch>, current: LeaderEpoch) -> Result<(), WireError> {
    match believed {
        Some(epoch) if epoch < current => {
            let sentence =
                format!("leader epoch {epoch} is over, {current} is in force; refresh the metadata");
            Err(WireError::new(ErrorCode::FencedLeaderEpoch, sentence))
        }
        Some(epoch) if epoch > current => {
            let sentence =
                format!("leader epoch {epoch} is not known here yet, {current} is the newest; try again");
            Err(WireError::new(ErrorCode::UnknownLeaderEpoch, sentence))
        }
        _ => Ok(()),
    }
}

/// A failed read, as the client sees it.
fn read_error(error: &ReadError) -> WireError {
    let code = match error {
        ReadError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Corrupt { .. } => ErrorCode::CorruptBatch,
        ReadError::Io(_) => ErrorCode::StorageFailed,
    };
    WireError::new(code, error.to_string())
}

/// The node is going away.
fn stopping() -> WireError {
    WireError::new(ErrorCode::ShuttingDown, "the node is shutting down; it or another one will answer later")
}
