//! What a partition needs to know of its topic's configuration.

use crate::topic_config::TopicConfig;

/// The most producers that one partition remembers; above it the one that wrote longest ago is forgotten, counted.
pub const PRODUCERS_MAX: usize = 10_000;

/// `replica.lag.time.max.ms`, in milliseconds: how long a replica in sync may be behind its leader's log end.
pub const REPLICA_LAG_TIME_MAX_MS: u64 = 10_000;

/// The part of a topic's configuration that the core decides by. May change at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionConfig {
    /// `write.caching`: whether what is written counts, or only what is flushed.
    pub write_caching: bool,
    /// `flush.ms`: how long what `write.caching` left may stay unflushed.
    pub flush_ms: u64,
    /// `flush.messages`: how many records may.
    pub flush_messages: u64,
    /// `min.insync.replicas`; `None` is half the replication factor plus one.
    pub min_insync_replicas: Option<u32>,
    /// `max.message.bytes`: the largest batch that is stored.
    pub max_message_bytes: u32,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: u64,
    /// See [`PRODUCERS_MAX`].
    pub producers_max: usize,
    /// See [`REPLICA_LAG_TIME_MAX_MS`].
    pub replica_lag_time_max_ms: u64,
}

impl PartitionConfig {
    /// How many replicas must be in sync for `acks=all` and for the high watermark to move: never more than there
    /// are (KIP-966 counts the same way).
    #[must_use]
    pub fn required_in_sync(&self, replication_factor: u32) -> u32 {
        self.min_insync_replicas.unwrap_or(replication_factor / 2 + 1).min(replication_factor)
    }
}

impl From<&TopicConfig> for PartitionConfig {
    fn from(topic: &TopicConfig) -> PartitionConfig {
        PartitionConfig {
            write_caching: topic.write_caching,
            flush_ms: topic.flush_ms,
            flush_messages: topic.flush_messages,
            min_insync_replicas: topic.min_insync_replicas,
            max_message_bytes: topic.max_message_bytes,
            producer_id_expiration_ms: topic.producer_id_expiration_ms,
            producers_max: PRODUCERS_MAX,
            replica_lag_time_max_ms: REPLICA_LAG_TIME_MAX_MS,
        }
    }
}

impl Default for PartitionConfig {
    fn default() -> PartitionConfig {
        PartitionConfig::from(&TopicConfig::default())
    }
}
