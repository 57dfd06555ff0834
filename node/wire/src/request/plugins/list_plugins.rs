//! Which plugins there are.

use serde::{Deserialize, Serialize};

use crate::plugin::{PluginDigest, PluginKind, PluginShape};
use crate::request::{Request, RequestKind};

/// Asks for all plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPlugins;

/// All plugins, by name and version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginsListed {
    /// Those that ship with the node that answers, too.
    pub plugins: Vec<PluginEntry>,
}

/// One version of a plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginEntry {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its bytes.
    pub digest: PluginDigest,
    /// What it is for.
    pub kind: PluginKind,
    /// How it gets its records.
    pub shape: PluginShape,
    /// How many bytes the component has.
    pub component_bytes: u64,
    /// Whether it is granted an empty WASI.
    pub wasi: bool,
    /// Whether one instance serves many batches.
    pub reuse: bool,
    /// Whether it came with the node's program.
    pub is_shipped: bool,
    /// The topics whose pipelines in force name it.
    pub topics: Vec<String>,
}

impl Request for ListPlugins {
    const KIND: RequestKind = RequestKind(62);
    const NAME: &'static str = "list_plugins";
    type Response = PluginsListed;
}
