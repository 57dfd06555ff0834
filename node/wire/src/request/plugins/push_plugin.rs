//! Making an uploaded component a plugin.

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;
use crate::plugin::{PluginDigest, PluginKind, PluginShape};
use crate::request::{Request, RequestKind};

/// Asks for an uploaded component to be known under a name and a version, for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushPlugin {
    /// The upload, complete.
    pub upload: [u8; 16],
    /// The plugin's name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Whether it is granted an empty WASI.
    pub wasi: bool,
    /// Whether one instance serves many batches.
    pub reuse: bool,
}

/// The plugin can be bound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginPushed {
    /// Its bytes, as they are stored.
    pub digest: PluginDigest,
    /// What it is for.
    pub kind: PluginKind,
    /// How it gets its records.
    pub shape: PluginShape,
    /// How many bytes the component has.
    pub component_bytes: u64,
    /// The nodes that hold a copy by now.
    pub nodes: Vec<NodeId>,
}

impl Request for PushPlugin {
    const KIND: RequestKind = RequestKind(61);
    const NAME: &'static str = "push_plugin";
    type Response = PluginPushed;
}
