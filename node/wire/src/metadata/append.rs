//! The active controller's entries, and its sign of life.

use serde::{Deserialize, Serialize};

use super::{Entry, LogPosition, Vote};
use crate::request::{Request, RequestKind};

/// Appends to the metadata log of the node that is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppendEntries {
    /// The reign that asks.
    pub vote: Vote,
    /// The entry that the first one follows.
    pub previous: Option<LogPosition>,
    /// The entries; none in a mere sign of life.
    pub entries: Vec<Entry>,
    /// Up to where a majority has the log.
    pub committed: Option<LogPosition>,
}

/// The answer to [`AppendEntries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Appended {
    /// All of them are durable.
    All,
    /// They are durable up to here.
    UpTo(Option<LogPosition>),
    /// The entry before them is another one here.
    Conflict,
    /// There is a newer reign.
    Superseded(Vote),
}

impl Request for AppendEntries {
    const KIND: RequestKind = RequestKind(101);
    const NAME: &'static str = "append-entries";
    type Response = Appended;
}
