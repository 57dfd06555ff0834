//! Room for streams: an accepted connection may have so many open, and one more for each that proved its worth.
//!
//! Those that did share their socket's buffer, too: see [`crate::shared_buffer`].
//!
//! Memory goes with what a peer may open, not only with what it opens: quinn keeps what an ended stream was received with
//! for one of those that may come, some 360 bytes each. A client that writes to a thousand partitions by name needs a
//! stream for each, and shows with each that it may write; a stranger's streams never get that far. A node needs one for
//! each lane that it forwards; what it asks besides is answered in one stream after the other.

use std::sync::{Arc, Mutex, PoisonError};

use quinn::{Connection, VarInt};

use crate::config::{STREAMS_MAX, StreamLimits};
use crate::endpoint::Peer;
use crate::identity::Protocol;
use crate::shared_buffer::{BufferShare, SharedBuffer};

/// The room of one connection. Clones are handles to the same one.
#[derive(Clone, Debug)]
pub struct StreamRoom(Arc<Room>);

#[derive(Debug)]
struct Room {
    connection: Connection,
    /// How many the peer may open before any gave way.
    limits: StreamLimits,
    /// What a client that has a lane shares.
    buffer: Option<SharedBuffer>,
    given: Mutex<Given>,
}

#[derive(Debug, Default)]
struct Given {
    /// How many streams gave way.
    streams: u32,
    /// Held while any did.
    share: Option<BufferShare>,
}

/// One more stream that the peer may open, for as long as this is held.
#[derive(Debug)]
pub struct OneMore(StreamRoom);

impl StreamRoom {
    /// The room of an accepted connection.
    #[must_use]
    pub fn of(peer: &Peer) -> StreamRoom {
        let connection = peer.connection.clone();
        let buffer = (peer.protocol == Protocol::Client).then(|| peer.buffer.clone());
        let limits = StreamLimits::accepting(peer.protocol);
        StreamRoom(Arc::new(Room { connection, limits, buffer, given: Mutex::default() }))
    }

    /// Lets the peer open one more, up to [`STREAMS_MAX`].
    #[must_use]
    pub fn one_more(&self) -> OneMore {
        self.change(|given| given + 1);
        OneMore(self.clone())
    }

    fn change(&self, by: impl FnOnce(u32) -> u32) {
        let mut given = self.0.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.streams = by(given.streams);
        match given.streams {
            0 => given.share = None,
            _ if given.share.is_some() => {}
            _ => given.share = self.0.buffer.as_ref().map(|buffer| buffer.join(&self.0.connection)),
        }
        let limit = self.0.limits.bidirectional.saturating_add(given.streams);
        self.0.connection.set_max_concurrent_bi_streams(VarInt::from_u32(limit.min(STREAMS_MAX)));
    }
}

impl Drop for OneMore {
    fn drop(&mut self) {
        self.0.change(|given| given - 1);
    }
}
