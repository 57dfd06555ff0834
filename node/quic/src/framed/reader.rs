//! Reading frames.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use serde::de::DeserializeOwned;
use weir_wire::frame::{self, FrameError, Limits, PREFIX_BYTES, Prefix};

use crate::ending::{ConnectionEnd, StreamCode};

/// Chunks taken from the connection per call: one lock and one round of flow control for a burst of datagrams.
const CHUNKS_PER_READ: usize = 32;

/// What a part of a frame gets at first when it does not lie in one chunk. It doubles as bytes arrive, so a peer
/// that claims much and sends little costs this much.
const PART_BYTES_FIRST: usize = 64 * 1024;

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
    limits: Limits,
    /// Arrived and not yet taken apart; at most what one read returned.
    arrived: VecDeque<Bytes>,
    state: State,
    refused: bool,
}

/// What of the frame at hand is there already.
#[derive(Debug)]
enum State {
    Prefix(Part),
    Header(Prefix, Part),
    Payload(Prefix, Bytes, Part),
}

impl FrameReader {
    /// Reads from `stream`, believing no frame beyond `limits`.
    #[must_use]
    pub fn new(stream: quinn::RecvStream, limits: Limits) -> FrameReader {
        let state = State::Prefix(Part::new(PREFIX_BYTES));
        FrameReader { stream, limits, arrived: VecDeque::new(), state, refused: false }
    }

    /// Changes the limits, from the next frame on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
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
            if let Some(frame) = self.take_frame()? {
                return Ok(Some(frame));
            }
            if !self.read().await? {
                return self.at_end();
            }
        }
    }

    /// The next frame if all of it has arrived in what was read already. It takes nothing from the connection, so
    /// it is how a batch of pipelined requests is handled before anything waits.
    ///
    /// # Errors
    /// As [`FrameReader::next`].
    pub fn next_buffered(&mut self) -> Result<Option<RawFrame>, ReadError> {
        Ok(self.take_frame()?)
    }

    /// Tells the peer to stop sending, and why. What it sent is thrown away.
    pub fn refuse(&mut self, code: StreamCode) {
        self.refused = true;
        self.arrived.clear();
        self.state = State::Prefix(Part::new(PREFIX_BYTES));
        // Already stopped or over: the peer knows.
        let _ = self.stream.stop(code.into());
    }

    /// The stream's number in its connection, for logs.
    #[must_use]
    pub fn id(&self) -> quinn::StreamId {
        self.stream.id()
    }

    /// Takes the frame at hand as far as the arrived chunks go.
    fn take_frame(&mut self) -> Result<Option<RawFrame>, FrameError> {
        loop {
            let part = match &mut self.state {
                State::Prefix(part) | State::Header(_, part) | State::Payload(_, _, part) => part,
            };
            let Some(bytes) = part.take(&mut self.arrived) else { return Ok(None) };
            let first = State::Prefix(Part::new(PREFIX_BYTES));
            self.state = match std::mem::replace(&mut self.state, first) {
                State::Prefix(_) => {
                    let bytes = bytes[..].try_into().expect("the part is as long as a prefix");
                    let prefix = frame::parse_prefix(bytes, &self.limits)?;
                    State::Header(prefix, Part::new(prefix.header_len))
                }
                State::Header(prefix, _) => State::Payload(prefix, bytes, Part::new(prefix.payload_len)),
                State::Payload(_, header, _) => return Ok(Some(RawFrame { header, payload: bytes })),
            };
        }
    }

    /// Waits for chunks; `false` at the end of the stream.
    async fn read(&mut self) -> Result<bool, ReadError> {
        if self.refused {
            // quinn would report the end of the stream.
            return Err(ReadError::ClosedHere);
        }
        let mut chunks: [Bytes; CHUNKS_PER_READ] = Default::default();
        let Some(count) = self.stream.read_chunks(&mut chunks).await? else { return Ok(false) };
        self.arrived.extend(chunks.into_iter().take(count).filter(|chunk| !chunk.is_empty()));
        Ok(true)
    }

    fn at_end(&self) -> Result<Option<RawFrame>, ReadError> {
        let (received, expected) = match &self.state {
            State::Prefix(part) if part.received == 0 => return Ok(None),
            State::Prefix(part) => (part.received, PREFIX_BYTES),
            State::Header(prefix, part) => (PREFIX_BYTES + part.received, whole(*prefix)),
            State::Payload(prefix, header, part) => {
                (PREFIX_BYTES + header.len() + part.received, whole(*prefix))
            }
        };
        Err(ReadError::Truncated { received, expected })
    }
}

fn whole(prefix: Prefix) -> usize {
    PREFIX_BYTES + prefix.header_len + prefix.payload_len
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

/// A run of bytes of known length, on its way.
#[derive(Debug)]
struct Part {
    length: usize,
    received: usize,
    /// Empty while nothing had to be joined.
    joined: Vec<u8>,
}

impl Part {
    fn new(length: usize) -> Part {
        Part { length, received: 0, joined: Vec::new() }
    }

    /// Takes from `arrived` what belongs to this part; the whole of it once it is there. A part that lies within
    /// one chunk is a slice of it; otherwise each byte is copied once, while it is still warm from decryption, and
    /// the datagram's memory is given back at once.
    fn take(&mut self, arrived: &mut VecDeque<Bytes>) -> Option<Bytes> {
        while self.received < self.length {
            let chunk = arrived.front_mut()?;
            let missing = self.length - self.received;
            if self.received == 0 && chunk.len() >= missing {
                self.received = missing;
                return Some(split(arrived, missing));
            }
            let count = missing.min(chunk.len());
            self.grow(count);
            self.joined.extend_from_slice(&chunk[..count]);
            self.received += count;
            split(arrived, count);
        }
        Some(Bytes::from(std::mem::take(&mut self.joined)))
    }

    /// Makes room for `count` more bytes that are there: by doubling, and never beyond the part's length.
    fn grow(&mut self, count: usize) {
        let needed = self.received + count;
        if needed > self.joined.capacity() {
            let capacity = (2 * self.joined.capacity()).max(PART_BYTES_FIRST).min(self.length).max(needed);
            self.joined.reserve_exact(capacity - self.joined.len());
        }
    }
}

/// Takes `count` bytes off the first chunk, and the chunk away when it is used up.
fn split(arrived: &mut VecDeque<Bytes>, count: usize) -> Bytes {
    let chunk = arrived.front_mut().expect("the caller looked at the first chunk");
    let taken = chunk.split_to(count);
    if !chunk.has_remaining() {
        arrived.pop_front();
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_within_one_chunk_is_not_copied() {
        let chunk = Bytes::from(vec![7_u8; 100]);
        let mut arrived = VecDeque::from([chunk.clone()]);
        let part = Part::new(60).take(&mut arrived).unwrap();
        assert_eq!(part.as_ptr(), chunk.as_ptr());
        assert_eq!((part.len(), arrived[0].len()), (60, 40));
        assert_eq!(Part::new(0).take(&mut arrived).unwrap().len(), 0);
        assert_eq!(Part::new(40).take(&mut arrived).unwrap().len(), 40);
        assert!(arrived.is_empty());
    }

    #[test]
    fn memory_grows_with_what_arrived_not_with_what_was_claimed() {
        const CLAIMED: usize = 32 * 1024 * 1024;
        let mut part = Part::new(CLAIMED);
        let mut arrived = VecDeque::new();
        let mut sent = 0;
        while sent < CLAIMED / 4 {
            arrived.push_back(Bytes::from(vec![1; 1100]));
            sent += 1100;
            assert_eq!(part.take(&mut arrived), None);
            assert!(part.joined.capacity() <= (2 * sent).max(PART_BYTES_FIRST), "{}", part.joined.capacity());
        }
        assert_eq!(part.received, sent);
    }

    #[test]
    fn a_part_ends_exactly_where_it_ends() {
        for length in [1, 7, 8, 1000, PART_BYTES_FIRST, PART_BYTES_FIRST + 1, 200_000] {
            for chunk in [1, 3, 999, 70_000] {
                let bytes: Vec<u8> = (0..length + 5).map(|i| u8::try_from(i % 251).unwrap()).collect();
                let mut arrived: VecDeque<_> = bytes.chunks(chunk).map(Bytes::copy_from_slice).collect();
                let taken = Part::new(length).take(&mut arrived).unwrap();
                assert_eq!(taken, bytes[..length], "{length} by {chunk}");
                assert_eq!(arrived.iter().map(Bytes::len).sum::<usize>(), 5);
            }
        }
    }
}
