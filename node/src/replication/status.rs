//! Asking leaders on other nodes how far the replicas of their partitions are.

use std::time::Duration;

use bytes::Bytes;
use weir_quic::Priority;
use weir_wire::forward::{ReplicaProgress, StatusAnswer, StatusAsk};
use weir_wire::frame::Limits;
use weir_wire::ids::{NodeId, PartitionIndex, TopicId};
use weir_wire::open::{StreamAnswer, StreamKind, StreamOpen};
use weir_wire::request::{decode_body, encode_body};

use super::Replication;

/// How long a node is waited for: somebody looks at a screen.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

impl Replication {
    /// How far the replicas of some partitions are, as `node` knows, which should lead them. All `None` when it does
    /// not answer in time.
    pub async fn status(
        &self,
        node: NodeId,
        topic: TopicId,
        partitions: Vec<PartitionIndex>,
    ) -> Vec<Option<ReplicaProgress>> {
        let count = partitions.len();
        let asked = tokio::time::timeout(ANSWER_WAIT, self.ask(node, topic, partitions)).await;
        let reason = match asked {
            Ok(Ok(answer)) if answer.len() == count => return answer,
            Ok(Ok(_)) => "it answered for other partitions than were asked".to_owned(),
            Ok(Err(reason)) => reason,
            Err(_) => "it did not answer in time".to_owned(),
        };
        tracing::info!(%node, %topic, reason, "how far replicas are is not known");
        vec![None; count]
    }

    async fn ask(
        &self,
        node: NodeId,
        topic: TopicId,
        partitions: Vec<PartitionIndex>,
    ) -> Result<Vec<Option<ReplicaProgress>>, String> {
        let peer = self.connection(node).await?;
        let (mut writer, mut reader) =
            peer.open(Priority::Control, Limits::CONTROL).await.map_err(|end| end.to_string())?;
        let ask = StatusAsk { cluster: self.0.cluster, topic, partitions };
        writer.queue(&StreamOpen::new(StreamKind::STATUS), Bytes::from(encode_body(&ask)));
        writer.finish().await.map_err(|error| error.to_string())?;
        let answer = reader.next::<StreamAnswer>().await.map_err(|error| error.to_string())?;
        match answer {
            Some(frame) => match frame.header {
                StreamAnswer::Opened { .. } => decode_body::<StatusAnswer>(&frame.payload)
                    .map(|answer| answer.partitions)
                    .map_err(|error| error.to_string()),
                StreamAnswer::Refused(error) => Err(error.to_string()),
            },
            None => Err("it ended the stream".to_owned()),
        }
    }
}
