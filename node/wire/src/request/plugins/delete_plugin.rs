//! Forgetting a plugin.

use serde::{Deserialize, Serialize};

use crate::request::{Request, RequestKind};

/// Asks for a version of a plugin to be forgotten that no open pipeline names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletePlugin {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// It is forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginDeleted;

impl Request for DeletePlugin {
    const KIND: RequestKind = RequestKind(63);
    const NAME: &'static str = "delete_plugin";
    type Response = PluginDeleted;
}
