//! Plugins: what they are called by, how their components travel between nodes, and the lines that they write.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::ClusterId;

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

/// Payload of the opening frame of a component stream, between nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentAsk {
    /// The cluster that both nodes belong to.
    pub cluster: ClusterId,
    /// Which component.
    pub digest: PluginDigest,
    /// What is wanted.
    pub purpose: ComponentPurpose,
}

/// What a node wants of another one that has a component, or should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ComponentPurpose {
    /// Its bytes: frames with a [`ComponentChunk`] as header follow until all is sent.
    Send,
    /// That the other node holds a copy: the stream is opened once it does.
    Hold,
}

/// Header of a frame with a part of a component as payload, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentChunk {
    /// Where the part begins.
    pub at: u64,
}

impl ComponentChunk {
    /// The most bytes of one part.
    pub const BYTES_MAX: usize = 1024 * 1024;
}

/// Payload of the opening frame of a stream of lines that the plugins of one node write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginLinesOpen {
    /// The cluster that the client believes it talks to.
    pub cluster: ClusterId,
    /// Only lines about this topic.
    pub topic: Option<String>,
    /// Only lines of this plugin.
    pub plugin: Option<String>,
}

/// Header of a frame on a stream of lines; there is no payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PluginLines {
    /// A plugin wrote a line.
    Line(PluginLine),
    /// The reader was too slow, and misses so many lines.
    Missed(u64),
}

/// A line that a plugin wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginLine {
    /// When, in milliseconds since 1970.
    pub wall_ms: i64,
    /// How grave it is: error, warn, info, debug.
    pub level: String,
    /// The plugin.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// The topic that it was called for.
    pub topic: String,
    /// The partition that the batch is for, where that is known.
    pub partition: Option<u32>,
    /// What it says.
    pub message: String,
}
