//! Reading frames.

use bytes::Bytes;
use serde::de::DeserializeOwned;
use weir_wire::frame::{self, FrameError, Limits};

use super::assembly::{Assembly, Truncated};
use crate::ending::{ConnectionEnd, StreamCode};

/// Chunks taken from the connection per call: one lock and one round of flow control for a burst of datagrams.
const CHUNKS_PER_READ: usize = 32;

/// A frame whose header is still bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// The encoded header.
    pub header: Bytes,
    /// The payload.
    pub payload: Bytes,
}

/// A frame whose header was decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<T> {
    /// The header.
    pub header: T,
    /// The payload, in one piece.
    pub payload: Bytes,
}

/// Why no frame came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The peer broke the protocol: [`FrameReader::refuse`] the stream.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The stream ended inside a frame: the peer broke the protocol.
    #[error("the stream ended in the middle of a frame: {received} of {expected} bytes arrived")]
    Truncated {
        /// Bytes of the frame that arrived.
        received: usize,
        /// Bytes that its prefix promised, or the prefix itself has.
        expected: usize,
    },
    /// The peer gave the stream up.
    #[error("the peer gave up the stream because {0}")]
    Reset(StreamCode),
    /// This side refused the stream earlier.
    #[error("the stream was refused on this side")]
    ClosedHere,
    /// The connection is over.
    #[error(transparent)]
    Connection(#[from] ConnectionEnd),
}

impl ReadError {
    /// The code to [`FrameReader::refuse`] the stream with, if the peer is to blame.
    #[must_use]
    pub fn refusal(&self) -> Option<StreamCode> {
        match self {
            ReadError::Frame(FrameError::HeaderTooLarge { .. } | FrameError::PayloadTooLarge { .. }) => {
                Some(StreamCode::TooLarge)
            }
            ReadError::Frame(FrameError::Header { .. }) | ReadError::Truncated { .. } => {
                Some(StreamCode::Protocol)
            }
            ReadError::Reset(_) | ReadError::ClosedHere | ReadError::Connection(_) => None,
        }
    }
}

/// Reads frames from a stream, one after the other.
#[derive(Debug)]
pub struct FrameReader {
    stream: quinn::RecvStream,
    assembly: Assembly,
    refused: bool,
}

impl FrameReader {
    /// Reads from `stream`, believing no frame beyond `limits`.
    #[must_use]
    pub fn new(stream: quinn::RecvStream, limits: Limits) -> FrameReader {
        FrameReader { stream, assembly: Assembly::new(limits), refused: false }
    }

    /// Changes the limits, from the next frame on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.assembly.set_limits(limits);
    }

    /// The next frame, its header decoded; `None` when the peer finished the stream after a whole frame.
    ///
    /// # Errors
    /// [`ReadError`]. After [`FrameError::Header`] the stream stands behind the bad frame, and could be read on;
    /// after any other error there is nothing more to read.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the next call goes on where it was.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<Frame<T>>, ReadError> {
        let Some(RawFrame { header, payload }) = self.next_raw().await? else { return Ok(None) };
        Ok(Some(Frame { header: frame::decode_header(&header)?, payload }))
    }

    /// As [`FrameReader::next`], for positions where the header's type is decided by its first bytes.
    ///
    /// # Errors
    /// As [`FrameReader::next`].
    ///
    /// # Cancel safety
    /// As [`FrameReader::next`].
    pub async fn next_raw(&mut self) -> Result<Option<RawFrame>, ReadError> {
        loop {
            if let Some(frame) = self.assembly.take_frame()? {
                return Ok(Some(frame));
            }
            if !self.read().await? {
                return match self.assembly.end() {
                    Ok(()) => Ok(None),
                    Err(Truncated { received, expected }) => Err(ReadError::Truncated { received, expected }),
                };
            }
        }
    }

    /// The next frame if all of it has arrived in what was read already. It takes nothing from the connection, so
    /// it is how a batch of pipelined requests is handled before anything waits.
    ///
    /// # Errors
    /// As [`FrameReader::next`].
    pub fn next_buffered(&mut self) -> Result<Option<RawFrame>, ReadError> {
        Ok(self.assembly.take_frame()?)
    }

    /// Tells the peer to stop sending, and why. What it sent is thrown away.
    pub fn refuse(&mut self, code: StreamCode) {
        self.refused = true;
        self.assembly.clear();
        // Already stopped or over: the peer knows.
        let _ = self.stream.stop(code.into());
    }

    /// The stream's number in its connection, for logs.
    #[must_use]
    pub fn id(&self) -> quinn::StreamId {
        self.stream.id()
    }

    /// Waits for chunks; `false` at the end of the stream.
    async fn read(&mut self) -> Result<bool, ReadError> {
        if self.refused {
            // quinn would report the end of the stream.
            return Err(ReadError::ClosedHere);
        }
        let mut chunks: [Bytes; CHUNKS_PER_READ] = Default::default();
        let Some(count) = self.stream.read_chunks(&mut chunks).await? else { return Ok(false) };
        self.assembly.push(chunks.into_iter().take(count));
        Ok(true)
    }
}

impl From<quinn::ReadError> for ReadError {
    fn from(error: quinn::ReadError) -> ReadError {
        match error {
            quinn::ReadError::Reset(code) => ReadError::Reset(code.into()),
            quinn::ReadError::ConnectionLost(error) => ReadError::Connection(error.into()),
            quinn::ReadError::ClosedStream => ReadError::ClosedHere,
            quinn::ReadError::IllegalOrderedRead | quinn::ReadError::ZeroRttRejected => {
                unreachable!("this reader reads in order, and nobody asks for early data")
            }
        }
    }
}
