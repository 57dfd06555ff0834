//! A stream whose bytes are counted and thrown away: the transport, measured alone.

use bytes::Bytes;
use weir_quic::{FrameReader, FrameWriter};
use weir_wire::lane::LaneBatch;

/// Reads to the end, answering every frame with its ordinal.
pub(super) async fn serve(mut reader: FrameReader, mut writer: FrameWriter) {
    while let Ok(Some(frame)) = reader.next::<LaneBatch>().await {
        writer.queue(&frame.header.ordinal, Bytes::new());
        if writer.flush().await.is_err() {
            return;
        }
    }
    // A client that is gone already needs no end.
    let _ = writer.finish().await;
}
