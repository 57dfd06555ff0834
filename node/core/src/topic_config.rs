//! What can be configured per topic: Kafka's names, and only what the node honours.

use std::collections::BTreeMap;

use weir_wire::batch::Compression;
use weir_wire::frame::Limits;

use crate::config_keys::{
    ConfigKey, Configurable, or_unlimited, per_mille, show_or_unlimited, show_per_mille, whole, whole_u32,
};

pub use crate::config_keys::{ConfigError, ConfigValue};

/// The largest `max.message.bytes`: what fits one produce or fetch frame.
pub const MESSAGE_BYTES_MAX: u32 = Limits::DATA.payload_bytes_max;

/// The longest `pipeline.revision.grace.ms`: producers are remembered longer than anybody may resend.
pub const PIPELINE_GRACE_MAX_MS: u64 = 60 * 60 * 1000;

/// The smallest `producer.id.expiration.ms`: a producer must not be forgotten while a client may still resend. A
/// client gives up after `delivery.timeout.ms` (2 min), and resends are taken for `pipeline.revision.grace.ms` (1 h).
pub const PRODUCER_EXPIRATION_MIN_MS: u64 = 2 * 60 * 1000 + PIPELINE_GRACE_MAX_MS;

/// The configuration of a topic, every value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type`; `None` is whatever the producer chose.
    pub compression: Option<Compression>,
    /// `delete.retention.ms`.
    pub delete_retention_ms: u64,
    /// `flush.messages`.
    pub flush_messages: u64,
    /// `flush.ms`.
    pub flush_ms: u64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `max.compaction.lag.ms`; `None` is for ever.
    pub max_compaction_lag_ms: Option<u64>,
    /// `max.message.bytes`.
    pub max_message_bytes: u32,
    /// `min.cleanable.dirty.ratio`, in thousandths.
    pub min_cleanable_dirty_per_mille: u32,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag_ms: u64,
    /// `min.insync.replicas`; `None` is half the replication factor plus one.
    pub min_insync_replicas: Option<u32>,
    /// `pipeline.revision.grace.ms`.
    pub pipeline_revision_grace_ms: u64,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: u64,
    /// `retention.bytes`; `None` is no limit.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`; `None` is for ever.
    pub retention_ms: Option<u64>,
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.ms`.
    pub segment_ms: u64,
    /// `write.caching`.
    pub write_caching: bool,
}

/// What happens to old records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CleanupPolicy {
    /// Segments beyond `retention.ms` or `retention.bytes` are deleted.
    Delete,
    /// Records with a newer one of their key are deleted.
    Compact,
    /// Both.
    CompactAndDelete,
}

impl CleanupPolicy {
    const ALL: [(CleanupPolicy, &str); 3] = [
        (CleanupPolicy::Delete, "delete"),
        (CleanupPolicy::Compact, "compact"),
        (CleanupPolicy::CompactAndDelete, "compact,delete"),
    ];

    /// Whether records go because a newer one has their key.
    #[must_use]
    pub fn compacts(self) -> bool {
        self != CleanupPolicy::Delete
    }

    /// Whether segments go because they are old, or too many.
    #[must_use]
    pub fn deletes(self) -> bool {
        self != CleanupPolicy::Compact
    }

    fn parse(text: &str) -> Option<CleanupPolicy> {
        // Kafka takes a list, in any order.
        let text = if text == "delete,compact" { "compact,delete" } else { text };
        Self::ALL.into_iter().find(|(_, name)| *name == text).map(|(policy, _)| policy)
    }

    fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(policy, _)| *policy == self).map_or("delete", |(_, name)| name)
    }
}

impl Default for TopicConfig {
    fn default() -> TopicConfig {
        const DAY_MS: u64 = 24 * 60 * 60 * 1000;
        const WEEK_MS: u64 = 7 * DAY_MS;
        TopicConfig {
            cleanup_policy: CleanupPolicy::Delete,
            compression: None,
            delete_retention_ms: DAY_MS,
            flush_messages: i64::MAX as u64,
            flush_ms: 30_000,
            index_interval_bytes: 4096,
            max_compaction_lag_ms: None,
            max_message_bytes: 1024 * 1024 + 12,
            min_cleanable_dirty_per_mille: 500,
            min_compaction_lag_ms: 0,
            min_insync_replicas: None,
            pipeline_revision_grace_ms: 60 * 60 * 1000,
            producer_id_expiration_ms: DAY_MS,
            retention_bytes: None,
            retention_ms: Some(WEEK_MS),
            segment_bytes: 1024 * 1024 * 1024,
            segment_ms: WEEK_MS,
            write_caching: false,
        }
    }
}

impl TopicConfig {
    /// The defaults with these values over them.
    ///
    /// # Errors
    /// For the first key, by name, that is unknown or has a value that is not valid.
    pub fn from_overrides(overrides: &BTreeMap<String, String>) -> Result<TopicConfig, ConfigError> {
        Configurable::from_overrides(overrides)
    }

    /// Every value in force, by name.
    #[must_use]
    pub fn values(&self) -> Vec<ConfigValue> {
        Configurable::values(self)
    }

    /// How long a segment is written to at most: of a compacted topic no longer than a record may wait for compaction,
    /// which takes closed segments only (KIP-354).
    #[must_use]
    pub fn segment_ms_max(&self) -> u64 {
        let lag_ms = self.max_compaction_lag_ms.filter(|_| self.cleanup_policy.compacts());
        lag_ms.map_or(self.segment_ms, |lag_ms| lag_ms.min(self.segment_ms))
    }

    /// How many replicas must be in sync for anything to be committed: never more than there are (KIP-966 counts
    /// the same way).
    #[must_use]
    pub fn required_in_sync(&self, replication_factor: usize) -> usize {
        let asked = self.min_insync_replicas.and_then(|count| usize::try_from(count).ok());
        asked.unwrap_or(replication_factor / 2 + 1).min(replication_factor)
    }
}

impl Configurable for TopicConfig {
    const WHAT: &'static str = "topic config";

    fn check_together(&self) -> Result<(), ConfigError> {
        match self.max_compaction_lag_ms.filter(|max| *max < self.min_compaction_lag_ms) {
            None => Ok(()),
            Some(max) => Err(ConfigError::Contradiction {
                what: Self::WHAT.into(),
                one: format!("max.compaction.lag.ms={max}"),
                other: format!("min.compaction.lag.ms={}", self.min_compaction_lag_ms),
                reason: "a record would be due for compaction before it may be touched".into(),
            }),
        }
    }

    const KEYS: &'static [ConfigKey<TopicConfig>] = &[
        ConfigKey {
            name: "cleanup.policy",
            doc: "What happens to old records.",
            valid: "'delete', 'compact' or 'compact,delete'",
            set: |config, text| CleanupPolicy::parse(text).map(|policy| config.cleanup_policy = policy),
            get: |config| config.cleanup_policy.name().into(),
        },
        ConfigKey {
            name: "compression.type",
            doc: "The codec that batches are stored with; any other but the producer's costs the node packing them anew.",
            valid: "'producer' (as it was sent), 'uncompressed', 'gzip', 'snappy', 'lz4' or 'zstd'",
            set: |config, text| {
                config.compression = match text {
                    "producer" => None,
                    "uncompressed" => Some(Compression::None),
                    "none" => return None,
                    codec => Some(codec.parse().ok()?),
                };
                Some(())
            },
            get: |config| match config.compression {
                None => "producer".into(),
                Some(Compression::None) => "uncompressed".into(),
                Some(codec) => codec.name().into(),
            },
        },
        ConfigKey {
            name: "delete.retention.ms",
            doc: "How long compaction keeps a tombstone after it first met it, for readers that are behind.",
            valid: "milliseconds, from 0",
            set: |config, text| whole(text, 0..=i64::MAX as u64).map(|ms| config.delete_retention_ms = ms),
            get: |config| config.delete_retention_ms.to_string(),
        },
        ConfigKey {
            name: "flush.messages",
            doc: "How many records write.caching leaves unflushed before they are flushed. What is acknowledged does not \
                  wait for that.",
            valid: "a number of records, from 1 to 9223372036854775807 (which says nothing)",
            set: |config, text| whole(text, 1..=i64::MAX as u64).map(|count| config.flush_messages = count),
            get: |config| config.flush_messages.to_string(),
        },
        ConfigKey {
            name: "flush.ms",
            doc: "How long write.caching leaves a record unflushed before it is flushed, and up to a quarter of a \
                  second more. What is acknowledged does not wait for that.",
            valid: "milliseconds, from 0",
            set: |config, text| whole(text, 0..=i64::MAX as u64).map(|ms| config.flush_ms = ms),
            get: |config| config.flush_ms.to_string(),
        },
        ConfigKey {
            name: "index.interval.bytes",
            doc: "How many bytes of log lie between two index entries: less finds faster, more saves memory.",
            valid: "bytes, from 0 to 2147483647",
            set: |config, text| {
                whole_u32(text, 0..=i32::MAX as u32).map(|bytes| config.index_interval_bytes = bytes)
            },
            get: |config| config.index_interval_bytes.to_string(),
        },
        ConfigKey {
            name: "max.compaction.lag.ms",
            doc: "How long a record may wait for compaction, however little else is to be done; at least \
                  min.compaction.lag.ms. The segment that is written to is ended in time for that.",
            valid: "milliseconds from 1, or -1 for ever",
            set: |config, text| {
                or_unlimited(text).filter(|ms| *ms != Some(0)).map(|ms| config.max_compaction_lag_ms = ms)
            },
            get: |config| show_or_unlimited(config.max_compaction_lag_ms),
        },
        ConfigKey {
            name: "max.message.bytes",
            doc: "The largest record batch that is stored, as it is stored (compressed, header included).",
            valid: "bytes, from 1 to 33554432",
            set: |config, text| {
                whole_u32(text, 1..=MESSAGE_BYTES_MAX).map(|bytes| config.max_message_bytes = bytes)
            },
            get: |config| config.max_message_bytes.to_string(),
        },
        ConfigKey {
            name: "min.cleanable.dirty.ratio",
            doc: "How much of a log must be new since its last compaction for the next one to begin.",
            valid: "a share from 0 to 1, such as 0.5",
            set: |config, text| {
                per_mille(text).map(|per_mille| config.min_cleanable_dirty_per_mille = per_mille)
            },
            get: |config| show_per_mille(config.min_cleanable_dirty_per_mille),
        },
        ConfigKey {
            name: "min.compaction.lag.ms",
            doc: "How old a record must be before compaction touches it.",
            valid: "milliseconds, from 0",
            set: |config, text| whole(text, 0..=i64::MAX as u64).map(|ms| config.min_compaction_lag_ms = ms),
            get: |config| config.min_compaction_lag_ms.to_string(),
        },
        ConfigKey {
            name: "min.insync.replicas",
            doc: "How many replicas must be in sync for acks=all, and for anything to become readable.",
            valid: "a number of replicas, from 1 to 1000, or 'majority' (half the replication factor plus one)",
            set: |config, text| {
                let count = if text == "majority" { None } else { Some(whole_u32(text, 1..=1000)?) };
                config.min_insync_replicas = count;
                Some(())
            },
            get: |config| config.min_insync_replicas.map_or("majority".into(), |count| count.to_string()),
        },
        ConfigKey {
            name: "pipeline.revision.grace.ms",
            doc: "How long batches that were sent under a superseded pipeline may be sent again. Above the \
                  delivery.timeout.ms of every producer, or what they still resend fails.",
            valid: "milliseconds, from 0 to 3600000",
            set: |config, text| {
                whole(text, 0..=PIPELINE_GRACE_MAX_MS).map(|ms| config.pipeline_revision_grace_ms = ms)
            },
            get: |config| config.pipeline_revision_grace_ms.to_string(),
        },
        ConfigKey {
            name: "producer.id.expiration.ms",
            doc: "How long a quiet idempotent producer is remembered, so that a resend is stored once.",
            valid: "milliseconds, from 3720000 (longer than any client resends)",
            set: |config, text| {
                whole(text, PRODUCER_EXPIRATION_MIN_MS..=i64::MAX as u64)
                    .map(|ms| config.producer_id_expiration_ms = ms)
            },
            get: |config| config.producer_id_expiration_ms.to_string(),
        },
        ConfigKey {
            name: "retention.bytes",
            doc: "How large a partition may grow before its oldest segments go.",
            valid: "bytes from 0, or -1 for no limit",
            set: |config, text| or_unlimited(text).map(|bytes| config.retention_bytes = bytes),
            get: |config| show_or_unlimited(config.retention_bytes),
        },
        ConfigKey {
            name: "retention.ms",
            doc: "How old the newest record of a segment may be before the segment goes.",
            valid: "milliseconds from 0, or -1 for ever",
            set: |config, text| or_unlimited(text).map(|ms| config.retention_ms = ms),
            get: |config| show_or_unlimited(config.retention_ms),
        },
        ConfigKey {
            name: "segment.bytes",
            doc: "How large a segment file grows before the next one is begun.",
            valid: "bytes, from 1024 to 2147483647",
            set: |config, text| {
                whole_u32(text, 1024..=i32::MAX as u32).map(|bytes| config.segment_bytes = bytes)
            },
            get: |config| config.segment_bytes.to_string(),
        },
        ConfigKey {
            name: "segment.ms",
            doc: "How long a segment file is written to before the next one is begun, however small it is.",
            valid: "milliseconds, from 1",
            set: |config, text| whole(text, 1..=i64::MAX as u64).map(|ms| config.segment_ms = ms),
            get: |config| config.segment_ms.to_string(),
        },
        ConfigKey {
            name: "write.caching",
            doc: "Whether a record counts as stored when it is written but not yet flushed to the disk: faster, and \
                  lost if as many replicas as min.insync.replicas asks for lose power before it is flushed, which \
                  flush.ms and flush.messages bring about.",
            valid: "'true' or 'false'",
            set: |config, text| text.parse().ok().map(|on| config.write_caching = on),
            get: |config| config.write_caching.to_string(),
        },
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    fn parse(overrides: &[(&str, &str)]) -> Result<TopicConfig, ConfigError> {
        TopicConfig::from_overrides(&overrides.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    fn refused(key: &str, value: &str, expected: &Expect) {
        expected.assert_eq(&parse(&[(key, value)]).unwrap_err().to_string());
    }

    #[test]
    fn keys_are_in_order_and_their_defaults_are_valid() {
        assert!(TopicConfig::KEYS.is_sorted_by(|one, next| one.name < next.name));
        for value in TopicConfig::default().values() {
            assert!(value.is_default);
            assert_eq!(parse(&[(value.name, &value.value)]), Ok(TopicConfig::default()), "{}", value.name);
        }
    }

    #[test]
    fn defaults_are_kafkas_where_kafka_has_one() {
        let shown: Vec<String> =
            TopicConfig::default().values().iter().map(|v| format!("{}={}\n", v.name, v.value)).collect();
        expect![[r#"
            cleanup.policy=delete
            compression.type=producer
            delete.retention.ms=86400000
            flush.messages=9223372036854775807
            flush.ms=30000
            index.interval.bytes=4096
            max.compaction.lag.ms=-1
            max.message.bytes=1048588
            min.cleanable.dirty.ratio=0.5
            min.compaction.lag.ms=0
            min.insync.replicas=majority
            pipeline.revision.grace.ms=3600000
            producer.id.expiration.ms=86400000
            retention.bytes=-1
            retention.ms=604800000
            segment.bytes=1073741824
            segment.ms=604800000
            write.caching=false
        "#]]
        .assert_eq(&shown.concat());
    }

    #[test]
    fn a_segment_of_a_compacted_topic_is_ended_in_time_for_its_compaction() {
        let segment_ms_max = |overrides: &[(&str, &str)]| parse(overrides).unwrap().segment_ms_max();
        let lag = ("max.compaction.lag.ms", "1000");
        assert_eq!(segment_ms_max(&[lag]), 7 * 24 * 60 * 60 * 1000, "nothing is compacted");
        assert_eq!(segment_ms_max(&[lag, ("cleanup.policy", "compact")]), 1000);
        assert_eq!(segment_ms_max(&[lag, ("cleanup.policy", "compact,delete")]), 1000);
        assert_eq!(segment_ms_max(&[lag, ("cleanup.policy", "compact"), ("segment.ms", "999")]), 999);
        assert_eq!(segment_ms_max(&[("cleanup.policy", "compact"), ("segment.ms", "999")]), 999);
    }

    #[test]
    fn every_key_can_be_set_and_is_shown_as_set() {
        let given = [
            ("cleanup.policy", "compact,delete"),
            ("compression.type", "uncompressed"),
            ("delete.retention.ms", "0"),
            ("flush.messages", "1"),
            ("flush.ms", "0"),
            ("index.interval.bytes", "1"),
            ("max.compaction.lag.ms", "1"),
            ("max.message.bytes", "33554432"),
            ("min.cleanable.dirty.ratio", "0.125"),
            ("min.compaction.lag.ms", "60000"),
            ("min.insync.replicas", "2"),
            ("pipeline.revision.grace.ms", "1000"),
            ("producer.id.expiration.ms", "3720000"),
            ("retention.bytes", "0"),
            ("retention.ms", "-1"),
            ("segment.bytes", "1024"),
            ("segment.ms", "1"),
            ("write.caching", "true"),
        ];
        let shown = parse(&given).unwrap().values();
        let shown: Vec<(&str, &str)> = shown.iter().map(|value| (value.name, value.value.as_str())).collect();
        assert_eq!(shown, given);
    }

    #[test]
    fn a_list_of_policies_may_come_in_any_order() {
        let policy = |text| parse(&[("cleanup.policy", text)]).unwrap().cleanup_policy;
        assert_eq!(policy("delete,compact"), policy("compact,delete"));
        assert!(policy("compact").compacts() && !policy("compact").deletes());
        assert!(policy("delete").deletes() && !policy("delete").compacts());
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        refused(
            "retnetion.ms",
            "1",
            &expect![
                "unknown topic config 'retnetion.ms', did you mean 'retention.ms'?; known are: cleanup.policy, compression.type, delete.retention.ms, flush.messages, flush.ms, index.interval.bytes, max.compaction.lag.ms, max.message.bytes, min.cleanable.dirty.ratio, min.compaction.lag.ms, min.insync.replicas, pipeline.revision.grace.ms, producer.id.expiration.ms, retention.bytes, retention.ms, segment.bytes, segment.ms, write.caching"
            ],
        );
        refused(
            "xyz",
            "1",
            &expect![
                "unknown topic config 'xyz'; known are: cleanup.policy, compression.type, delete.retention.ms, flush.messages, flush.ms, index.interval.bytes, max.compaction.lag.ms, max.message.bytes, min.cleanable.dirty.ratio, min.compaction.lag.ms, min.insync.replicas, pipeline.revision.grace.ms, producer.id.expiration.ms, retention.bytes, retention.ms, segment.bytes, segment.ms, write.caching"
            ],
        );
    }

    #[test]
    fn an_invalid_value_is_answered_with_what_is_valid() {
        refused(
            "retention.ms",
            "-2",
            &expect![
                "topic config retention.ms=-2 is not valid: retention.ms takes milliseconds from 0, or -1 for ever"
            ],
        );
        refused(
            "segment.bytes",
            "1023",
            &expect![
                "topic config segment.bytes=1023 is not valid: segment.bytes takes bytes, from 1024 to 2147483647"
            ],
        );
        refused(
            "max.message.bytes",
            "33554433",
            &expect![
                "topic config max.message.bytes=33554433 is not valid: max.message.bytes takes bytes, from 1 to 33554432"
            ],
        );
        refused(
            "min.insync.replicas",
            "0",
            &expect![
                "topic config min.insync.replicas=0 is not valid: min.insync.replicas takes a number of replicas, from 1 to 1000, or 'majority' (half the replication factor plus one)"
            ],
        );
        refused(
            "producer.id.expiration.ms",
            "1000",
            &expect![
                "topic config producer.id.expiration.ms=1000 is not valid: producer.id.expiration.ms takes milliseconds, from 3720000 (longer than any client resends)"
            ],
        );
        refused(
            "write.caching",
            "yes",
            &expect!["topic config write.caching=yes is not valid: write.caching takes 'true' or 'false'"],
        );
        refused(
            "cleanup.policy",
            "compress",
            &expect![
                "topic config cleanup.policy=compress is not valid: cleanup.policy takes 'delete', 'compact' or 'compact,delete'"
            ],
        );
        refused(
            "min.cleanable.dirty.ratio",
            "1.001",
            &expect![
                "topic config min.cleanable.dirty.ratio=1.001 is not valid: min.cleanable.dirty.ratio takes a share from 0 to 1, such as 0.5"
            ],
        );
        refused(
            "segment.ms",
            "",
            &expect!["topic config segment.ms= is not valid: segment.ms takes milliseconds, from 1"],
        );
        refused(
            "index.interval.bytes",
            "99999999999999999999",
            &expect![
                "topic config index.interval.bytes=99999999999999999999 is not valid: index.interval.bytes takes bytes, from 0 to 2147483647"
            ],
        );
    }
}
