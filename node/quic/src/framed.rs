//! Frames on streams.
//!
//! A reader believes no number that the peer chose before the bytes are there: memory grows with what arrived. A
//! writer never copies a large payload. Both can be dropped at any `await` without harm: what was read or queued
//! stays in the reader or writer, and the next call goes on from there.

mod assembly;
mod reader;
mod writer;

pub use reader::{Frame, FrameReader, RawFrame, ReadError};
pub use writer::{FrameWriter, QUEUED_BYTES_GOAL, WriteError};

use weir_wire::frame::Limits;

use crate::ending::ConnectionEnd;

/// What leaves first when a connection cannot send everything at once. A stream starves those below it, so the
/// higher ones must carry little or be held back by something else (credit, acknowledgements).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Catching up and whatever else has time.
    Background,
    /// Records to consumers.
    Fetch,
    /// Records from producers, and their answers.
    Produce,
    /// Records to in-sync followers: producers wait for them.
    Replication,
    /// Requests and responses: few bytes, and somebody waits.
    Control,
}

impl Priority {
    fn number(self) -> i32 {
        match self {
            Priority::Background => -1,
            Priority::Fetch => 0,
            Priority::Produce => 1,
            Priority::Replication => 2,
            Priority::Control => 3,
        }
    }
}

/// Opens a stream in both directions. Waits while the peer's limit of streams is used up. The peer learns of the
/// stream with the first frame that is flushed.
///
/// # Errors
/// Why the connection is over.
pub async fn open(
    connection: &quinn::Connection,
    priority: Priority,
    limits: Limits,
) -> Result<(FrameWriter, FrameReader), ConnectionEnd> {
    let (send, receive) = connection.open_bi().await?;
    Ok((FrameWriter::new(send, priority), FrameReader::new(receive, limits)))
}

/// Takes the next stream that the peer opened, with the limits of opening frames, which strangers send. Call
/// [`FrameReader::set_limits`] and [`FrameWriter::set_priority`] once its kind is known.
///
/// # Errors
/// Why the connection is over.
pub async fn accept(connection: &quinn::Connection) -> Result<(FrameWriter, FrameReader), ConnectionEnd> {
    let (send, receive) = connection.accept_bi().await?;
    Ok((FrameWriter::new(send, Priority::Control), FrameReader::new(receive, Limits::OPENING)))
}
