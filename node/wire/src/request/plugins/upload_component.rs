//! Sending a component to a node, part by part, before it is pushed.

use serde::{Deserialize, Serialize};

use crate::request::{Request, RequestKind};

/// A part of a component. Parts go to one node, in order; the node forgets an upload that nobody goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadComponent {
    /// Chosen by the client: which upload this is a part of.
    pub upload: [u8; 16],
    /// Where the part begins.
    pub at: u64,
    /// How many bytes the component has.
    pub total: u64,
    /// The part.
    pub bytes: Vec<u8>,
}

impl UploadComponent {
    /// The most bytes of one part.
    pub const BYTES_MAX: usize = 1024 * 1024;
}

/// The part is with the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkTaken {
    /// How many bytes the node has of the upload.
    pub received: u64,
}

impl Request for UploadComponent {
    const KIND: RequestKind = RequestKind(60);
    const NAME: &'static str = "upload_component";
    type Response = ChunkTaken;
}
