//! Forwarding: parts of lanes that entered here go to their leaders on other nodes, each once.
//!
//! A lane has a stream of its own to each node that leads one of its partitions, so its order holds, and nothing of
//! another lane waits in front. QUIC's windows and the receiver's memory bound what is on its way; the entry node
//! counts a part against its own memory until it left. The two bounds do not wait for each other: the receiver appends
//! what it took whatever the entry node does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::AbortHandle;
use weir_quic::{FrameReader, FrameWriter, Priority};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::forward::{ForwardAnswer, ForwardOpen, ForwardPart};
use weir_wire::frame::Limits;
use weir_wire::ids::NodeId;
use weir_wire::lane::Outcome;
use weir_wire::open::{StreamAnswer, StreamKind, StreamOpen};
use weir_wire::request::encode_body;

use super::Replication;

/// How long a leader's node may take to serve a new stream. The client tries again, perhaps elsewhere.
const CONNECT_WAIT: Duration = Duration::from_secs(5);

/// A part on its way.
#[derive(Debug)]
pub struct Forwarded {
    /// Which, and how it is checked.
    pub header: ForwardPart,
    /// Its record batch.
    pub batch: Bytes,
    /// The memory that it takes here; given back when it left.
    pub memory: Option<Arc<OwnedSemaphorePermit>>,
}

/// One lane's way to one node. Every part is answered once, if need be by `retry`; dropping it ends it.
#[derive(Debug)]
pub struct ForwardLane {
    outbox: mpsc::UnboundedSender<Forwarded>,
    task: AbortHandle,
}

impl ForwardLane {
    /// Sends a part. Not bounded here: a lane bounds what it has in flight.
    pub fn send(&self, part: Forwarded) {
        // The task runs until this value is dropped.
        let _ = self.outbox.send(part);
    }
}

impl Drop for ForwardLane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Replication {
    /// Opens a way for a lane's parts to `node`. Their answers go to `answers`.
    #[must_use]
    pub fn forward(
        &self,
        node: NodeId,
        open: ForwardOpen,
        answers: mpsc::UnboundedSender<ForwardAnswer>,
    ) -> ForwardLane {
        let (outbox, parts) = mpsc::unbounded_channel();
        let task = tokio::spawn(run(self.clone(), node, open, parts, answers)).abort_handle();
        ForwardLane { outbox, task }
    }
}

async fn run(
    replication: Replication,
    node: NodeId,
    open: ForwardOpen,
    mut parts: mpsc::UnboundedReceiver<Forwarded>,
    answers: mpsc::UnboundedSender<ForwardAnswer>,
) {
    let mut open_parts = BTreeSet::new();
    let connecting = tokio::time::timeout(CONNECT_WAIT, connect(&replication, node, &open));
    let reason = match connecting.await {
        Ok(Ok((writer, reader))) => carry(writer, reader, &mut parts, &answers, &mut open_parts).await,
        Ok(Err(reason)) => reason,
        Err(_) => format!("it did not take the stream within {} ms", CONNECT_WAIT.as_millis()),
    };
    tracing::debug!(%node, reason, "a forward stream is over");
    // What is open may be stored or not; the client sends it again, and the partition knows what it has.
    let lost = |(ordinal, part)| {
        let sentence = format!("node {node}, which should lead the partition, was not reached; send again");
        let outcome = Outcome::Retry(WireError::new(ErrorCode::NotLeader, sentence));
        // The lane may be gone.
        let _ = answers.send(ForwardAnswer { ordinal, part, outcome, promise: None });
    };
    open_parts.into_iter().for_each(lost);
    while let Some(part) = parts.recv().await {
        lost((part.header.ordinal, part.header.part));
    }
}

async fn connect(
    replication: &Replication,
    node: NodeId,
    open: &ForwardOpen,
) -> Result<(FrameWriter, FrameReader), String> {
    let peer = replication.connection(node).await?;
    let (mut writer, mut reader) =
        peer.open(Priority::Produce, Limits::DATA).await.map_err(|end| end.to_string())?;
    let sent = writer.send(&StreamOpen::new(StreamKind::FORWARD), Bytes::from(encode_body(open))).await;
    match reader.next::<StreamAnswer>().await {
        Ok(Some(frame)) => match frame.header {
            StreamAnswer::Opened { .. } => Ok((writer, reader)),
            StreamAnswer::Refused(error) => Err(error.to_string()),
        },
        Ok(None) => Err("the stream ended".to_owned()),
        Err(error) => Err(sent.err().map_or_else(|| error.to_string(), |error| error.to_string())),
    }
}

/// Moves parts and answers until something ends it. Answers are taken also while parts cannot leave.
async fn carry(
    mut writer: FrameWriter,
    mut reader: FrameReader,
    parts: &mut mpsc::UnboundedReceiver<Forwarded>,
    answers: &mpsc::UnboundedSender<ForwardAnswer>,
    open: &mut BTreeSet<(u64, u32)>,
) -> String {
    // Given back together, when everything queued has left.
    let mut memory = Vec::new();
    loop {
        let has_queued = writer.queued_bytes() > 0;
        let may_queue = !writer.is_full();
        tokio::select! {
            biased;
            answer = reader.next::<ForwardAnswer>() => match answer {
                Ok(Some(frame)) => {
                    let ForwardAnswer { ordinal, part, .. } = frame.header;
                    // An answer to what was not asked, or twice, settles nothing.
                    if open.remove(&(ordinal, part)) && answers.send(frame.header).is_err() {
                        return "the lane is closed".to_owned();
                    }
                }
                Ok(None) => return "the node ended it".to_owned(),
                Err(error) => return error.to_string(),
            },
            part = parts.recv(), if may_queue => {
                let Some(Forwarded { header, batch, memory: held }) = part else {
                    return "the lane is closed".to_owned();
                };
                open.insert((header.ordinal, header.part));
                writer.queue(&header, batch);
                memory.extend(held);
            },
            flushed = writer.flush(), if has_queued => match flushed {
                Ok(()) => memory.clear(),
                Err(error) => return error.to_string(),
            },
        }
    }
}
