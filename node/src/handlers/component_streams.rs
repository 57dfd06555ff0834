//! Components of plugins, handed to other nodes.

use bytes::Bytes;
use weir_quic::FrameWriter;
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::open::StreamAnswer;
use weir_wire::plugin::{ComponentAsk, ComponentChunk, ComponentPurpose};
use weir_wire::request::decode_body;

use super::Services;

/// Answers what another node asks for: the component, or that this node holds it. What is refused is left to the caller.
pub(super) async fn serve(
    services: &Services,
    body: &[u8],
    opened: StreamAnswer,
    writer: &mut FrameWriter,
) -> Result<(), WireError> {
    let ask = decode_body::<ComponentAsk>(body)?;
    services.check_cluster(ask.cluster)?;
    let component = match ask.purpose {
        // Only what lies here: who has none must not ask others in turn, or two nodes without would ask each other.
        ComponentPurpose::Send => services.components.held(ask.digest).await.ok().flatten(),
        ComponentPurpose::Hold => services.components.get(ask.digest).await.ok(),
    };
    let Some(component) = component else {
        return Err(WireError::new(ErrorCode::UnknownPlugin, "this node does not have it"));
    };
    writer.queue(&opened, Bytes::new());
    if ask.purpose == ComponentPurpose::Send {
        let mut at = 0;
        while at < component.len() {
            let part = component.slice(at..component.len().min(at + ComponentChunk::BYTES_MAX));
            writer.queue(&ComponentChunk { at: at as u64 }, part.clone());
            // Who asked may have gone.
            if writer.flush().await.is_err() {
                return Ok(());
            }
            at += part.len();
        }
    }
    let _ = writer.finish().await;
    Ok(())
}
