//! The lines that this node's plugins write, to whoever follows.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::broadcast::error::RecvError;
use weir_quic::{FrameReader, FrameWriter};
use weir_wire::plugin::{PluginLine, PluginLines, PluginLinesOpen};

use crate::handlers::Services;
use crate::plugins::Line;

/// Sends lines until the reader goes or the node stops. A reader that is too slow hears how many it missed.
pub(in crate::handlers) async fn serve(
    services: Arc<Services>,
    open: PluginLinesOpen,
    mut reader: FrameReader,
    mut writer: FrameWriter,
) {
    let mut lines = services.pipelines.plugins().follow_lines();
    loop {
        let frame = tokio::select! {
            biased;
            () = services.stopping() => break,
            // Nothing comes from the reader but its end.
            _ = reader.next::<()>() => break,
            line = lines.recv() => match line {
                Ok(line) if is_asked_for(&line, &open) => PluginLines::Line(on_the_wire(&line)),
                Ok(_) => continue,
                Err(RecvError::Lagged(count)) => PluginLines::Missed(count),
                Err(RecvError::Closed) => break,
            },
        };
        if writer.send(&frame, Bytes::new()).await.is_err() {
            return;
        }
    }
    // A reader that is gone already needs no end.
    let _ = writer.finish().await;
}

fn is_asked_for(line: &Line, open: &PluginLinesOpen) -> bool {
    open.topic.as_ref().is_none_or(|topic| *topic == line.topic)
        && open.plugin.as_ref().is_none_or(|plugin| *plugin == line.plugin)
}

fn on_the_wire(line: &Line) -> PluginLine {
    PluginLine {
        wall_ms: line.wall_ms,
        level: line.level.to_owned(),
        plugin: line.plugin.clone(),
        version: line.version.clone(),
        topic: line.topic.clone(),
        partition: line.partition,
        message: line.message.clone(),
    }
}
