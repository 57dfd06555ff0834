//! Writing frames.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::Serialize;
use weir_wire::frame;

use super::Priority;
use crate::ending::{ConnectionEnd, StreamCode};

/// Payloads up to this many bytes are copied behind their header: cheaper than one more chunk for the stream to
/// keep track of. Larger ones are never copied.
const COPIED_BYTES_MAX: usize = 1024;

/// Headers and small payloads share buffers up to about this size. The send window counts a buffer until all of
/// it is acknowledged, so they are not endless.
const SHARED_BYTES_MAX: usize = 32 * 1024;

/// A writer with this much queued should be flushed before more is queued.
pub const QUEUED_BYTES_GOAL: usize = 256 * 1024;

/// Why a frame could not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The peer wants no more of this stream.
    #[error("the peer stopped the stream because {0}")]
    Stopped(StreamCode),
    /// This side finished or reset the stream earlier.
    #[error("the stream was closed on this side")]
    ClosedHere,
    /// The connection is over.
    #[error(transparent)]
    Connection(#[from] ConnectionEnd),
}

impl From<quinn::WriteError> for WriteError {
    fn from(error: quinn::WriteError) -> WriteError {
        match error {
            quinn::WriteError::Stopped(code) => WriteError::Stopped(code.into()),
            quinn::WriteError::ConnectionLost(error) => WriteError::Connection(error.into()),
            quinn::WriteError::ClosedStream => WriteError::ClosedHere,
            quinn::WriteError::ZeroRttRejected => unreachable!("nobody asks for early data"),
        }
    }
}

/// Writes frames to a stream.
///
/// Frames are queued without waiting and leave together in [`FrameWriter::flush`]: a few small frames then cost
/// one datagram and one system call. A writer that is dropped with a part of a frame still queued resets the
/// stream with [`StreamCode::Cancelled`], so that the peer never takes a cut-off frame for the end.
#[derive(Debug)]
pub struct FrameWriter {
    stream: quinn::SendStream,
    /// Ready to leave, in order.
    chunks: VecDeque<Bytes>,
    /// Headers and small payloads, behind all chunks.
    shared: Vec<u8>,
    /// Bytes in `chunks`.
    chunk_bytes: usize,
    finished: bool,
}

impl FrameWriter {
    /// Writes to `stream`, at this priority.
    #[must_use]
    pub fn new(stream: quinn::SendStream, priority: Priority) -> FrameWriter {
        let writer = FrameWriter {
            stream,
            chunks: VecDeque::new(),
            shared: Vec::new(),
            chunk_bytes: 0,
            finished: false,
        };
        writer.set_priority(priority);
        writer
    }

    /// Changes what leaves first, for what is flushed from now on.
    pub fn set_priority(&self, priority: Priority) {
        // A stream that is over has no priority any more; the next flush says so.
        let _ = self.stream.set_priority(priority.number());
    }

    /// Queues a frame. It leaves with the next [`FrameWriter::flush`].
    pub fn queue(&mut self, header: &impl Serialize, payload: Bytes) {
        self.queue_parts(header, [payload]);
    }

    /// Queues a frame whose payload stands in several pieces, such as consecutive record batches of a segment.
    pub fn queue_parts<P>(&mut self, header: &impl Serialize, payload: P)
    where
        P: IntoIterator<Item = Bytes, IntoIter: Clone>,
    {
        let parts = payload.into_iter();
        let payload_len = parts.clone().map(|part| part.len()).sum();
        frame::encode_into(&mut self.shared, header, payload_len);
        for part in parts {
            if part.len() <= COPIED_BYTES_MAX {
                self.shared.extend_from_slice(&part);
            } else {
                self.seal();
                self.chunk_bytes += part.len();
                self.chunks.push_back(part);
            }
        }
        if self.shared.len() >= SHARED_BYTES_MAX {
            self.seal();
        }
    }

    /// Bytes that wait for a flush.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.chunk_bytes + self.shared.len()
    }

    /// Whether so much is queued that it should leave before more is queued.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.queued_bytes() >= QUEUED_BYTES_GOAL
    }

    /// Hands everything that is queued to the connection. Waits while the peer's windows are full: this is where a
    /// slow receiver holds its sender back.
    ///
    /// # Errors
    /// [`WriteError`]; nothing more can be sent on this stream.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: what did not leave stays queued, and the next flush goes on with it.
    pub async fn flush(&mut self) -> Result<(), WriteError> {
        self.seal();
        while !self.chunks.is_empty() {
            let written = self.stream.write_chunks(self.chunks.make_contiguous()).await?;
            self.chunk_bytes -= written.bytes;
            self.chunks.drain(..written.chunks);
        }
        Ok(())
    }

    /// Queues a frame and flushes.
    ///
    /// # Errors
    /// As [`FrameWriter::flush`].
    ///
    /// # Cancel safety
    /// Once polled, the frame is queued: do not send it again, flush.
    pub async fn send(&mut self, header: &impl Serialize, payload: Bytes) -> Result<(), WriteError> {
        self.queue(header, payload);
        self.flush().await
    }

    /// Flushes and ends the stream: the peer sees the end after the last frame.
    ///
    /// # Errors
    /// As [`FrameWriter::flush`].
    ///
    /// # Cancel safety
    /// As [`FrameWriter::flush`].
    pub async fn finish(&mut self) -> Result<(), WriteError> {
        self.flush().await?;
        self.finished = true;
        self.stream.finish().map_err(|_| WriteError::ClosedHere)
    }

    /// Gives the stream up: what is queued or not yet acknowledged need not arrive.
    pub fn reset(&mut self, code: StreamCode) {
        self.chunks.clear();
        self.shared.clear();
        self.chunk_bytes = 0;
        self.finished = true;
        // Finished or reset before: the peer knows.
        let _ = self.stream.reset(code.into());
    }

    /// Completes when the peer stops the stream (with its code) or has received all of a finished one (`None`).
    ///
    /// # Errors
    /// Why the connection is over.
    pub async fn stopped(&self) -> Result<Option<StreamCode>, ConnectionEnd> {
        match self.stream.stopped().await {
            Ok(code) => Ok(code.map(StreamCode::from)),
            Err(quinn::StoppedError::ConnectionLost(error)) => Err(error.into()),
            Err(quinn::StoppedError::ZeroRttRejected) => unreachable!("nobody asks for early data"),
        }
    }

    /// The stream's number in its connection, for logs.
    #[must_use]
    pub fn id(&self) -> quinn::StreamId {
        self.stream.id()
    }

    /// Makes a chunk of the shared buffer.
    fn seal(&mut self) {
        if !self.shared.is_empty() {
            self.chunk_bytes += self.shared.len();
            self.chunks.push_back(Bytes::from(std::mem::take(&mut self.shared)));
        }
    }
}

impl Drop for FrameWriter {
    fn drop(&mut self) {
        if !self.finished && self.queued_bytes() > 0 {
            self.reset(StreamCode::Cancelled);
        }
    }
}
