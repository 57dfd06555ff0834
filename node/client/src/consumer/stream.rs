//! One fetch stream to one node as a task: connects, opens, then moves frames both ways until either end is done.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use weir_quic::{FrameReader, FrameWriter, Priority};
use weir_wire::error::WireError;
use weir_wire::fetch::{FetchCommand, FetchEvent, FetchOpen};
use weir_wire::frame::Limits;
use weir_wire::ids::NodeId;
use weir_wire::open::StreamKind;

use crate::client::Inner;
use crate::net::Opened;

/// Which of the consumer's streams: a node gets a new number each time a stream to it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamNumber(pub(super) u64);

/// What a stream tells the consumer.
#[derive(Debug)]
pub(super) enum Told {
    /// A frame came.
    Event(FetchEvent, Bytes),
    /// The stream is over: why, and the node's typed refusal where there is one.
    Over(String, Option<WireError>),
}

/// The consumer's end of a stream; dropping it ends the stream.
#[derive(Debug)]
pub(super) struct FetchStream {
    pub(super) number: StreamNumber,
    /// When it said something, or was last asked about for want of it.
    pub(super) heard: Instant,
    /// Credit that was used, came back and was not granted anew yet.
    pub(super) owed: u64,
    commands: mpsc::UnboundedSender<FetchCommand>,
    task: JoinHandle<()>,
}

impl FetchStream {
    /// Opens a stream in the background. What happens to it is told to `told`, whose length the credit bounds.
    pub(super) fn open(
        client: &Arc<Inner>,
        number: StreamNumber,
        node: NodeId,
        frame_bytes_max: u32,
        told: &mpsc::UnboundedSender<(StreamNumber, Told)>,
    ) -> FetchStream {
        // Not bounded: a consumer sends a few commands per partition, and one per batch that was taken.
        let (commands, outbox) = mpsc::unbounded_channel();
        let (client, told) = (Arc::clone(client), told.clone());
        let task = tokio::spawn(async move {
            let over = run(&client, number, node, frame_bytes_max, outbox, &told).await;
            // The consumer may be gone.
            let _ = told.send((number, over));
        });
        FetchStream { number, heard: Instant::now(), owed: 0, commands, task }
    }

    pub(super) fn send(&self, command: FetchCommand) {
        // When the task has ended, the consumer hears of it and subscribes anew elsewhere.
        let _ = self.commands.send(command);
    }
}

impl Drop for FetchStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(
    client: &Inner,
    number: StreamNumber,
    node: NodeId,
    frame_bytes_max: u32,
    outbox: mpsc::UnboundedReceiver<FetchCommand>,
    told: &mpsc::UnboundedSender<(StreamNumber, Told)>,
) -> Told {
    let Some(address) = client.metadata.image().nodes.get(&node).cloned() else {
        return Told::Over("the node's address is not known".to_owned(), None);
    };
    let connection = match client.net.connection(&address).await {
        Ok(connection) => connection,
        Err(error) => return Told::Over(error.to_string(), None),
    };
    let open = FetchOpen { cluster: client.net.cluster(), frame_bytes_max };
    let (reader, writer) =
        match connection.open(StreamKind::FETCH, Priority::Control, Limits::DATA, &open).await {
            Opened::Stream(reader, writer) => (reader, writer),
            Opened::Refused(error) => return Told::Over(error.to_string(), Some(error)),
            Opened::Lost(why) => return Told::Over(why, None),
        };
    let why = tokio::select! {
        biased;
        why = read(reader, number, told) => why,
        why = write(writer, outbox) => why,
    };
    Told::Over(why, None)
}

async fn read(
    mut reader: FrameReader,
    number: StreamNumber,
    told: &mpsc::UnboundedSender<(StreamNumber, Told)>,
) -> String {
    loop {
        match reader.next::<FetchEvent>().await {
            Ok(Some(frame)) => {
                if told.send((number, Told::Event(frame.header, frame.payload))).is_err() {
                    return "the consumer is closed".to_owned();
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

async fn write(mut writer: FrameWriter, mut outbox: mpsc::UnboundedReceiver<FetchCommand>) -> String {
    while let Some(command) = outbox.recv().await {
        writer.queue(&command, Bytes::new());
        while let Ok(command) = outbox.try_recv() {
            writer.queue(&command, Bytes::new());
        }
        if let Err(error) = writer.flush().await {
            return error.to_string();
        }
    }
    "the consumer is closed".to_owned()
}
