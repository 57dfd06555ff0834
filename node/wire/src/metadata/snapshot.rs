//! A whole metadata image for a node whose log is too far behind.

use serde::{Deserialize, Serialize};

use super::{LogPosition, Membership, Vote};
use crate::request::{Request, RequestKind};

/// Installs a snapshot in place of everything that the asked node has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallSnapshot {
    /// The reign that asks.
    pub vote: Vote,
    /// The last entry that the snapshot stands for.
    pub last: Option<LogPosition>,
    /// Where the membership was decided.
    pub membership_at: Option<LogPosition>,
    /// Who takes part.
    pub membership: Membership,
    /// The encoded image; opaque here.
    pub image: Vec<u8>,
}

/// The answer to [`InstallSnapshot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotInstalled {
    /// The answering node's vote now; a newer one than the asker's means that nothing was installed.
    pub vote: Vote,
}

impl Request for InstallSnapshot {
    const KIND: RequestKind = RequestKind(103);
    const NAME: &'static str = "install-snapshot";
    type Response = SnapshotInstalled;
}
