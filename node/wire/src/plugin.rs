//! What a plugin is called by: its digest, its kind, its shape. Both nodes and clients speak of them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The SHA-256 of a component: which bytes run is decided by this alone.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PluginDigest(pub [u8; 32]);

impl fmt::Display for PluginDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PluginDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PluginDigest({self})")
    }
}

/// What a plugin is for. New kinds go to the end: the number travels and is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PluginKind {
    /// Sees batches on their way into the log.
    ProducerInterceptor,
    /// Sees batches on their way to consumers.
    ConsumerInterceptor,
    /// Places records.
    Partitioner,
    /// Says who reads what.
    Assignor,
}

impl PluginKind {
    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PluginKind::ProducerInterceptor => "producer interceptor",
            PluginKind::ConsumerInterceptor => "consumer interceptor",
            PluginKind::Partitioner => "partitioner",
            PluginKind::Assignor => "assignor",
        }
    }
}

/// How a plugin gets its records. New shapes go to the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PluginShape {
    /// As lists of records.
    Typed,
    /// In one buffer.
    Flat,
}

impl PluginShape {
    /// The name that users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PluginShape::Typed => "typed",
            PluginShape::Flat => "flat",
        }
    }
}
