//! Asking other nodes for the components of plugins.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use weir_quic::Priority;
use weir_wire::frame::Limits;
use weir_wire::ids::NodeId;
use weir_wire::open::{StreamAnswer, StreamKind, StreamOpen};
use weir_wire::plugin::{ComponentAsk, ComponentChunk, ComponentPurpose, PluginDigest};
use weir_wire::request::encode_body;

use super::Replication;

/// How long a node is waited for that shall hand a component over.
const PULL_WAIT: Duration = Duration::from_secs(30);
/// How long a node is waited for that shall get hold of a component.
const HOLD_WAIT: Duration = Duration::from_secs(10);

impl Replication {
    /// A component that another node holds, unchecked.
    ///
    /// # Errors
    /// Why it did not come, for people.
    pub async fn component(
        &self,
        node: NodeId,
        digest: PluginDigest,
        bytes_max: usize,
    ) -> Result<Bytes, String> {
        let pulling = self.pull(node, digest, bytes_max);
        tokio::time::timeout(PULL_WAIT, pulling)
            .await
            .unwrap_or_else(|_| Err("it did not answer in time".to_owned()))
    }

    /// Has another node get hold of a component, perhaps from this one; says whether it holds it now.
    pub async fn hold_component(&self, node: NodeId, digest: PluginDigest) -> bool {
        let holding = self.ask_component(node, digest, ComponentPurpose::Hold);
        match tokio::time::timeout(HOLD_WAIT, holding).await {
            Ok(Ok(_)) => true,
            Ok(Err(reason)) => {
                tracing::info!(%node, %digest, reason, "a node does not hold a component");
                false
            }
            Err(_) => false,
        }
    }

    async fn pull(&self, node: NodeId, digest: PluginDigest, bytes_max: usize) -> Result<Bytes, String> {
        let mut reader = self.ask_component(node, digest, ComponentPurpose::Send).await?;
        let mut component = BytesMut::new();
        while let Some(frame) = reader.next::<ComponentChunk>().await.map_err(|error| error.to_string())? {
            if component.len() + frame.payload.len() > bytes_max {
                return Err(format!("it sends more than {bytes_max} bytes"));
            }
            component.extend_from_slice(&frame.payload);
        }
        Ok(component.freeze())
    }

    async fn ask_component(
        &self,
        node: NodeId,
        digest: PluginDigest,
        purpose: ComponentPurpose,
    ) -> Result<weir_quic::FrameReader, String> {
        let peer = self.connection(node).await?;
        let (mut writer, mut reader) =
            peer.open(Priority::Control, Limits::CONTROL).await.map_err(|end| end.to_string())?;
        let ask = ComponentAsk { cluster: self.0.cluster, digest, purpose };
        writer.queue(&StreamOpen::new(StreamKind::COMPONENT), Bytes::from(encode_body(&ask)));
        writer.finish().await.map_err(|error| error.to_string())?;
        let answer = reader.next::<StreamAnswer>().await.map_err(|error| error.to_string())?;
        match answer.map(|frame| frame.header) {
            Some(StreamAnswer::Opened { .. }) => Ok(reader),
            Some(StreamAnswer::Refused(error)) => Err(error.message),
            None => Err("it ended the stream".to_owned()),
        }
    }
}
