//! A command on its way to the active controller.

use serde::{Deserialize, Serialize};

use crate::ids::MetadataIndex;
use crate::request::{Request, RequestKind};

/// Asks the active controller to apply a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Propose {
    /// The encoded command; opaque here.
    pub command: Vec<u8>,
}

/// The answer to [`Propose`]: the command was decided on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposed {
    /// The metadata that it led to.
    pub index: MetadataIndex,
    /// What it led to, or why it was refused, encoded; opaque here.
    pub outcome: Vec<u8>,
}

impl Request for Propose {
    const KIND: RequestKind = RequestKind(104);
    const NAME: &'static str = "propose";
    type Response = Proposed;
}
