//! One opening of a lane as a task: connects, opens the stream, then moves frames both ways until either end is done.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use weir_quic::{FrameReader, FrameWriter, Priority};
use weir_wire::frame::Limits;
use weir_wire::ids::NodeId;
use weir_wire::lane::{LaneAnswer, LaneBatch, LaneOpen};
use weir_wire::open::StreamKind;

use super::lane::{Input, Opening};
use crate::client::Inner;
use crate::net::Opened;

/// The lane's end of a stream task; dropping it ends the task.
pub(super) struct LaneStream {
    outbox: mpsc::UnboundedSender<(LaneBatch, Bytes)>,
    task: JoinHandle<()>,
}

impl LaneStream {
    /// Opens a stream in the background. What happens to it is told to `inputs`.
    pub(super) fn open(
        client: &Arc<Inner>,
        opening: Opening,
        node: NodeId,
        open: LaneOpen,
        inputs: &mpsc::UnboundedSender<Input>,
    ) -> LaneStream {
        // Not bounded here: a lane sends at most `in_flight_batches` per opening.
        let (outbox, frames) = mpsc::unbounded_channel();
        let (client, inputs) = (Arc::clone(client), inputs.clone());
        let task = tokio::spawn(async move {
            let end = run(&client, opening, node, open, frames, &inputs).await;
            // The lane may be gone.
            let _ = inputs.send(end);
        });
        LaneStream { outbox, task }
    }

    pub(super) fn send(&self, header: LaneBatch, batch: Bytes) {
        // When the task has ended, the lane hears of it and sends again.
        let _ = self.outbox.send((header, batch));
    }
}

impl Drop for LaneStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    client: &Inner,
    opening: Opening,
    node: NodeId,
    open: LaneOpen,
    frames: mpsc::UnboundedReceiver<(LaneBatch, Bytes)>,
    inputs: &mpsc::UnboundedSender<Input>,
) -> Input {
    let lost = |why: String| {
        tracing::debug!(opening = opening.0, node = node.0, why, "a lane's stream is lost");
        Input::Lost(opening)
    };
    let Some(address) = client.metadata.image().nodes.get(&node).cloned() else {
        return lost("the node's address is not known".to_owned());
    };
    let connection = match client.net.connection(&address).await {
        Ok(connection) => connection,
        Err(error) => return lost(error.to_string()),
    };
    let (reader, writer) =
        match connection.open(StreamKind::PRODUCE, Priority::Produce, Limits::DATA, &open).await {
            Opened::Stream(reader, writer) => (reader, writer),
            Opened::Refused(error) => return Input::Refused(opening, error),
            Opened::Lost(why) => return lost(why),
        };
    if inputs.send(Input::Opened(opening)).is_err() {
        return Input::Lost(opening);
    }
    let end = tokio::select! {
        biased;
        end = read(reader, opening, inputs) => end,
        end = write(writer, frames) => end,
    };
    lost(end)
}

async fn read(mut reader: FrameReader, opening: Opening, inputs: &mpsc::UnboundedSender<Input>) -> String {
    loop {
        match reader.next::<LaneAnswer>().await {
            Ok(Some(frame)) => {
                if inputs.send(Input::Answer(opening, frame.header)).is_err() {
                    return "the lane is closed".to_owned();
                }
            }
            Ok(None) => return "the node ended the stream".to_owned(),
            Err(error) => {
                if let Some(code) = error.refusal() {
                    reader.refuse(code);
                }
                return error.to_string();
            }
        }
    }
}

async fn write(mut writer: FrameWriter, mut frames: mpsc::UnboundedReceiver<(LaneBatch, Bytes)>) -> String {
    while let Some((header, batch)) = frames.recv().await {
        writer.queue(&header, batch);
        while !writer.is_full()
            && let Ok((header, batch)) = frames.try_recv()
        {
            writer.queue(&header, batch);
        }
        if let Err(error) = writer.flush().await {
            // The node may have said more than that on the other half.
            return error.to_string();
        }
    }
    "the lane is closed".to_owned()
}
