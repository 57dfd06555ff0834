//! Metadata connections: other nodes ask this one.

use std::future::Future;

use bytes::Bytes;
use weir_quic::{FrameReader, FrameWriter};
use weir_wire::ids::NodeId;
use weir_wire::metadata::{METADATA_LIMITS, PeerAnswer, PeerRequest, Refusal};

/// Answers other nodes.
pub trait PeerHandler: Clone + Send + 'static {
    /// Answers one request of the node that the certificate names.
    fn answer(
        &self,
        from: NodeId,
        request: PeerRequest,
        body: Bytes,
    ) -> impl Future<Output = Result<Vec<u8>, Refusal>> + Send;
}

/// Serves one stream of another node: one request, one answer.
pub async fn serve_peer_stream(
    handler: impl PeerHandler,
    from: NodeId,
    mut reader: FrameReader,
    mut writer: FrameWriter,
) {
    reader.set_limits(METADATA_LIMITS);
    let frame = match reader.next::<PeerRequest>().await {
        Ok(Some(frame)) => frame,
        // It gave the request up.
        Ok(None) => return,
        Err(error) => {
            tracing::debug!(%error, %from, "a stream of another node broke");
            if let Some(code) = error.refusal() {
                reader.refuse(code);
            }
            return;
        }
    };
    let (refusal, body) = match handler.answer(from, frame.header, frame.payload).await {
        Ok(body) => (None, body),
        Err(refusal) => (Some(refusal), Vec::new()),
    };
    writer.queue(&PeerAnswer { refusal }, Bytes::from(body));
    // Who asked may have given up.
    let _ = writer.finish().await;
}
