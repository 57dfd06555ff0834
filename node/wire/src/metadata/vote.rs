//! The election of the active controller.

use serde::{Deserialize, Serialize};

use super::{LogPosition, Vote};
use crate::request::{Request, RequestKind};

/// Asks for a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskVote {
    /// The vote that is asked for.
    pub vote: Vote,
    /// The candidate's last entry.
    pub last: Option<LogPosition>,
}

/// The answer to [`AskVote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoteAnswered {
    /// The answering node's vote now.
    pub vote: Vote,
    /// Whether the candidate got it.
    pub granted: bool,
    /// The answering node's last entry.
    pub last: Option<LogPosition>,
}

impl Request for AskVote {
    const KIND: RequestKind = RequestKind(102);
    const NAME: &'static str = "ask-vote";
    type Response = VoteAnswered;
}
