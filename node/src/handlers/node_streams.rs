//! Streams that other nodes open on replication connections.

use std::sync::Arc;

use bytes::Bytes;
use weir_quic::{FrameReader, FrameWriter, Principal, Priority, StreamRoom};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::forward::{ForwardOpen, ReplicaProgress, RevisionProgress, StatusAnswer, StatusAsk};
use weir_wire::frame::Limits;
use weir_wire::ids::{NodeId, Offset, PartitionIndex, TopicId};
use weir_wire::open::{StreamAnswer, StreamKind, StreamOpen};
use weir_wire::request::{CreateTopic, decode_body, encode_body};

use super::{Services, broken, choose_version, component_streams, forwarded};
use crate::partitions::{Progress, Standing};

/// Serves one stream of another node, from its opening frame on. Only a node's certificate gets here.
pub async fn serve(
    services: Arc<Services>,
    principal: Arc<Principal>,
    room: StreamRoom,
    mut reader: FrameReader,
    mut writer: FrameWriter,
) {
    let frame = match reader.next::<StreamOpen>().await {
        Ok(Some(frame)) => frame,
        Ok(None) => return,
        Err(error) => return broken("new", &mut reader, None, &error),
    };
    let opened = choose_version(&frame.header);
    let refused = match (frame.header.kind, opened) {
        (_, Err(error)) => error,
        (StreamKind::REPLICA_LIVE | StreamKind::REPLICA_CATCH_UP, Ok(version)) => {
            return services.replication.serve(&principal, &frame, version, reader, writer).await;
        }
        (StreamKind::FORWARD, Ok(version)) => match open_forward(&services, &frame.payload) {
            Ok(open) => {
                let _room_for_another = room.one_more();
                writer.set_priority(Priority::Produce);
                reader.set_limits(Limits::DATA);
                // The entry node sends nothing before it hears this.
                if writer.send(&opened_by(&services, version), Bytes::new()).await.is_ok() {
                    forwarded::serve(services, open, reader, writer).await;
                }
                return;
            }
            Err(error) => error,
        },
        (StreamKind::STATUS, Ok(version)) => match status(&services, &frame.payload).await {
            Ok(answer) => {
                writer.queue(&opened_by(&services, version), Bytes::from(encode_body(&answer)));
                // Who asked may have given up.
                let _ = writer.finish().await;
                return;
            }
            Err(error) => error,
        },
        (StreamKind::COMPONENT, Ok(version)) => {
            let opened = opened_by(&services, version);
            match component_streams::serve(&services, &frame.payload, opened, &mut writer).await {
                Ok(()) => return,
                Err(error) => error,
            }
        }
        (unknown, Ok(_)) => {
            let sentence = format!("stream kind {} is not served to nodes; use a newer one", unknown.0);
            WireError::new(ErrorCode::UnsupportedRequest, sentence)
        }
    };
    tracing::warn!(error = %refused, %principal, "a stream of another node was refused");
    writer.queue(&StreamAnswer::Refused(refused), Bytes::new());
    // Who is gone already needs no answer.
    let _ = writer.finish().await;
}

fn opened_by(services: &Services, version: u16) -> StreamAnswer {
    StreamAnswer::Opened { version, cluster: services.cluster, node: services.node }
}

fn open_forward(services: &Services, body: &[u8]) -> Result<ForwardOpen, WireError> {
    let open = decode_body::<ForwardOpen>(body)?;
    services.check_cluster(open.cluster)?;
    Ok(open)
}

async fn status(services: &Services, body: &[u8]) -> Result<StatusAnswer, WireError> {
    let ask = decode_body::<StatusAsk>(body)?;
    services.check_cluster(ask.cluster)?;
    if ask.partitions.len() > CreateTopic::PARTITIONS_MAX as usize {
        let sentence = format!("a topic has at most {} partitions", CreateTopic::PARTITIONS_MAX);
        return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
    }
    let mut partitions = Vec::with_capacity(ask.partitions.len());
    for partition in ask.partitions {
        partitions.push(progress(services, ask.topic, partition).await);
    }
    Ok(StatusAnswer { partitions })
}

/// How far the replicas of a partition are that this node leads; `None` if it does not.
pub(super) async fn progress(
    services: &Services,
    topic: TopicId,
    partition: PartitionIndex,
) -> Option<ReplicaProgress> {
    let handle = services.partitions.get(topic, partition)?;
    if !matches!(handle.view.standing(), Standing::Leading | Standing::Failed) {
        return None;
    }
    let Progress { mut log_ends, revision } = handle.progress().await.unwrap_or_default();
    log_ends.insert(services.node, handle.view.log_end());
    let log_ends: Vec<(NodeId, Offset)> = log_ends.into_iter().collect();
    let (log_start, high_watermark) = (handle.view.log_start(), handle.view.high_watermark());
    let revision = revision.map(|progress| RevisionProgress {
        revision: progress.revision,
        first_offset: progress.first_offset,
        older_end: progress.older_end,
    });
    Some(ReplicaProgress { log_start, high_watermark, log_ends, revision })
}
