//! The first frame of each stream: what kind of stream this is and which versions of it the opener speaks.
//!
//! The opener sends [`StreamOpen`] as header and, where the kind asks for one, the kind's own opening value as
//! payload. It may send on without waiting. The node answers with one [`StreamAnswer`]: the version chosen, or why
//! it will not serve the stream, after which it finishes the stream.

use serde::{Deserialize, Serialize};

use crate::error::WireError;
use crate::ids::{ClusterId, NodeId};

/// ALPN of connections between clients and nodes.
pub const ALPN_CLIENT: &[u8] = b"weir-client/1";
/// ALPN of replication connections between nodes.
pub const ALPN_REPLICATION: &[u8] = b"weir-repl/1";
/// ALPN of metadata connections between nodes: consensus and heartbeats, never bulk data.
pub const ALPN_METADATA: &[u8] = b"weir-meta/1";

/// The versions of the protocol that this program speaks.
pub const VERSIONS: VersionRange = VersionRange { min: 1, max: 1 };

/// A closed range of protocol versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    /// The oldest version spoken.
    pub min: u16,
    /// The newest version spoken.
    pub max: u16,
}

impl VersionRange {
    /// The newest version that both ranges hold.
    #[must_use]
    pub fn newest_common(self, other: VersionRange) -> Option<u16> {
        let newest = self.max.min(other.max);
        (newest >= self.min.max(other.min)).then_some(newest)
    }
}

/// The kind of a stream, as it travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamKind(pub u8);

impl StreamKind {
    /// Requests and responses ([`crate::request`]), pipelined.
    pub const CONTROL: StreamKind = StreamKind(1);
    /// A produce lane ([`crate::lane`]); the payload is a [`crate::lane::LaneOpen`].
    pub const PRODUCE: StreamKind = StreamKind(2);
    /// Fetching with credit ([`crate::fetch`]); the payload is a [`crate::fetch::FetchOpen`].
    pub const FETCH: StreamKind = StreamKind(3);
    /// Bytes that are counted and thrown away, to measure the transport alone.
    pub const SINK: StreamKind = StreamKind(4);
    /// A follower's subscriptions, and the data of those that are in sync ([`crate::replication`]); the payload is a
    /// [`crate::replication::ReplicaOpen`].
    pub const REPLICA_LIVE: StreamKind = StreamKind(5);
    /// Data of a follower's subscriptions that lag, as far as credit goes; the payload is a
    /// [`crate::replication::ReplicaOpen`].
    pub const REPLICA_CATCH_UP: StreamKind = StreamKind(6);
    /// Parts of a lane on their way to their leaders ([`crate::forward`]), between nodes; the payload is a
    /// [`crate::forward::ForwardOpen`].
    pub const FORWARD: StreamKind = StreamKind(7);
    /// How far replicas are, between nodes; the payload is a [`crate::forward::StatusAsk`].
    pub const STATUS: StreamKind = StreamKind(8);
    /// The component of a plugin, between nodes; the payload is a [`crate::plugin::ComponentAsk`].
    pub const COMPONENT: StreamKind = StreamKind(9);
    /// The lines that a node's plugins write, from now on; the payload is a [`crate::plugin::PluginLinesOpen`].
    pub const PLUGIN_LINES: StreamKind = StreamKind(10);
}

/// Header of the first frame of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamOpen {
    /// What the stream is for.
    pub kind: StreamKind,
    /// The versions that the opener speaks.
    pub versions: VersionRange,
}

impl StreamOpen {
    /// An opening at all the versions that this program speaks.
    #[must_use]
    pub fn new(kind: StreamKind) -> StreamOpen {
        StreamOpen { kind, versions: VERSIONS }
    }
}

/// The node's answer to an opening frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamAnswer {
    /// The stream is served.
    Opened {
        /// The version that the rest of the stream is in.
        version: u16,
        /// The cluster that answers.
        cluster: ClusterId,
        /// The node that answers.
        node: NodeId,
    },
    /// The stream is not served, and ends here.
    Refused(WireError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_common_version_is_chosen() {
        let range = |min, max| VersionRange { min, max };
        assert_eq!(range(1, 3).newest_common(range(2, 5)), Some(3));
        assert_eq!(range(2, 5).newest_common(range(1, 3)), Some(3));
        assert_eq!(range(1, 1).newest_common(range(1, 1)), Some(1));
        assert_eq!(range(1, 2).newest_common(range(3, 4)), None);
        assert_eq!(range(3, 4).newest_common(range(1, 2)), None);
    }
}
