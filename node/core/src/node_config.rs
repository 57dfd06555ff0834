//! What can be configured for nodes while they run: Kafka's names, and only what is honoured.

use std::collections::BTreeMap;

use weir_wire::names;
use weir_wire::request::CreateTopic;

use crate::config_keys::{ConfigError, ConfigKey, Configurable, whole, whole_u32};

/// The configuration of a node, every value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// `auto.leader.rebalance.enable`.
    pub auto_leader_rebalance: bool,
    /// `default.replication.factor`; `None` is three, or as many as there are nodes.
    pub default_replication_factor: Option<u32>,
    /// `group.consumer.assignor`.
    pub group_assignor: String,
    /// `group.consumer.heartbeat.interval.ms`.
    pub group_heartbeat_interval_ms: u32,
    /// `group.consumer.max.size`.
    pub group_max_size: u32,
    /// `group.consumer.session.timeout.ms`.
    pub group_session_timeout_ms: u32,
    /// `leader.imbalance.check.interval.seconds`.
    pub leader_imbalance_check_interval_s: u64,
    /// `leader.imbalance.per.broker.percentage`.
    pub leader_imbalance_percentage: u64,
    /// `leader.replication.throttled.rate`, in bytes a second; `None` is as fast as it goes.
    pub throttled_rate: Option<u64>,
    /// `log.retention.check.interval.ms`.
    pub log_retention_check_interval_ms: u64,
    /// `num.partitions`.
    pub num_partitions: u32,
    /// `offsets.retention.check.interval.ms`.
    pub offsets_retention_check_interval_ms: u64,
    /// `offsets.retention.minutes`.
    pub offsets_retention_minutes: u32,
    /// `replica.lag.time.max.ms`.
    pub replica_lag_time_max_ms: u64,
}

impl Default for NodeConfig {
    fn default() -> NodeConfig {
        NodeConfig {
            auto_leader_rebalance: true,
            default_replication_factor: None,
            group_assignor: "roundrobin".to_owned(),
            group_heartbeat_interval_ms: 3_000,
            group_max_size: 1_000,
            group_session_timeout_ms: 15_000,
            leader_imbalance_check_interval_s: 300,
            leader_imbalance_percentage: 10,
            throttled_rate: None,
            log_retention_check_interval_ms: 30_000,
            num_partitions: 1,
            offsets_retention_check_interval_ms: 10 * 60 * 1000,
            offsets_retention_minutes: 7 * 24 * 60,
            replica_lag_time_max_ms: 10_000,
        }
    }
}

/// How fast a node sends to replicas that are being added.
pub const THROTTLE_KEY: &str = "leader.replication.throttled.rate";

/// The keys that may differ from node to node. The others are read by the active controller, whichever node that is.
const PER_NODE: [&str; 3] = [THROTTLE_KEY, "log.retention.check.interval.ms", "replica.lag.time.max.ms"];

impl NodeConfig {
    /// Whether these values can be set for one node.
    ///
    /// # Errors
    /// For a key that is unknown, holds for the whole cluster, or has a value that is not valid.
    pub fn check_per_node(overrides: &BTreeMap<String, String>) -> Result<(), ConfigError> {
        NodeConfig::from_overrides(overrides)?;
        match overrides.keys().find(|key| !PER_NODE.contains(&key.as_str())) {
            Some(key) => Err(ConfigError::NotPerNode { what: NodeConfig::WHAT.into(), key: key.clone() }),
            None => Ok(()),
        }
    }
}

impl Configurable for NodeConfig {
    const WHAT: &'static str = "node config";
    const KEYS: &'static [ConfigKey<NodeConfig>] = &[
        ConfigKey {
            name: "auto.leader.rebalance.enable",
            doc: "Whether leaderships go back to the preferred replicas by themselves.",
            valid: "'true' or 'false'",
            set: |config, text| text.parse().ok().map(|on| config.auto_leader_rebalance = on),
            get: |config| config.auto_leader_rebalance.to_string(),
        },
        ConfigKey {
            name: "default.replication.factor",
            doc: "How many replicas a partition gets when nobody says.",
            valid: "a number of replicas, from 1 to 1000, or 'auto' (three, or as many as there are nodes)",
            set: |config, text| {
                let count = if text == "auto" { None } else { Some(whole_u32(text, 1..=1000)?) };
                config.default_replication_factor = count;
                Some(())
            },
            get: |config| config.default_replication_factor.map_or("auto".into(), |count| count.to_string()),
        },
        ConfigKey {
            name: "group.consumer.assignor",
            doc: "Who assigns the partitions of groups that chose nobody.",
            valid: "'range', 'roundrobin', or NAME@VERSION of an assignor that was pushed",
            set: |config, text| {
                let is_name = |text: &str| names::check_topic_name(text).is_ok();
                let is_pushed =
                    text.split_once('@').is_some_and(|(name, version)| is_name(name) && is_name(version));
                (["range", "roundrobin"].contains(&text) || is_pushed)
                    .then(|| text.clone_into(&mut config.group_assignor))
            },
            get: |config| config.group_assignor.clone(),
        },
        // The longest of these is below the shortest session: whoever keeps to it is heard in time.
        ConfigKey {
            name: "group.consumer.heartbeat.interval.ms",
            doc: "How often members of groups are heard of.",
            valid: "milliseconds, from 100 to 5000",
            set: |config, text| {
                whole_u32(text, 100..=5_000).map(|ms| config.group_heartbeat_interval_ms = ms)
            },
            get: |config| config.group_heartbeat_interval_ms.to_string(),
        },
        ConfigKey {
            name: "group.consumer.max.size",
            doc: "The most members of one group.",
            valid: "a number of members, from 1 to 100000",
            set: |config, text| whole_u32(text, 1..=100_000).map(|count| config.group_max_size = count),
            get: |config| config.group_max_size.to_string(),
        },
        ConfigKey {
            name: "group.consumer.session.timeout.ms",
            doc: "How long a member may be silent before its partitions go to others.",
            valid: "milliseconds, from 6000 to 3600000",
            set: |config, text| {
                whole_u32(text, 6_000..=3_600_000).map(|ms| config.group_session_timeout_ms = ms)
            },
            get: |config| config.group_session_timeout_ms.to_string(),
        },
        ConfigKey {
            name: "leader.imbalance.check.interval.seconds",
            doc: "How often it is looked for leaderships that are not at their preferred replicas.",
            valid: "seconds, from 1 to 86400",
            set: |config, text| {
                whole(text, 1..=86_400).map(|seconds| config.leader_imbalance_check_interval_s = seconds)
            },
            get: |config| config.leader_imbalance_check_interval_s.to_string(),
        },
        ConfigKey {
            name: "leader.imbalance.per.broker.percentage",
            doc: "Up to which part of what a node is preferred for others may lead without being asked to give it back.",
            valid: "a percentage, from 0 to 100",
            set: |config, text| {
                whole(text, 0..=100).map(|percent| config.leader_imbalance_percentage = percent)
            },
            get: |config| config.leader_imbalance_percentage.to_string(),
        },
        ConfigKey {
            name: THROTTLE_KEY,
            doc: "How fast a node sends what they lack to replicas that are being added.",
            valid: "bytes per second, from 1, or 'off' (as fast as it goes)",
            set: |config, text| {
                let rate = if text == "off" { None } else { Some(whole(text, 1..=u64::MAX)?) };
                config.throttled_rate = rate;
                Some(())
            },
            get: |config| config.throttled_rate.map_or("off".into(), |rate| rate.to_string()),
        },
        ConfigKey {
            name: "log.retention.check.interval.ms",
            doc: "How often a node looks for segments that are too old or too many, or written to for too long.",
            valid: "milliseconds, from 100 to 3600000",
            set: |config, text| {
                whole(text, 100..=3_600_000).map(|ms| config.log_retention_check_interval_ms = ms)
            },
            get: |config| config.log_retention_check_interval_ms.to_string(),
        },
        ConfigKey {
            name: "num.partitions",
            doc: "How many partitions a topic gets when nobody says.",
            valid: "a number of partitions, from 1 to 10000",
            set: |config, text| {
                whole_u32(text, 1..=CreateTopic::PARTITIONS_MAX).map(|count| config.num_partitions = count)
            },
            get: |config| config.num_partitions.to_string(),
        },
        ConfigKey {
            name: "offsets.retention.check.interval.ms",
            doc: "How often it is looked for groups whose offsets are kept no longer.",
            valid: "milliseconds, from 1000 to 86400000",
            set: |config, text| {
                whole(text, 1_000..=86_400_000).map(|ms| config.offsets_retention_check_interval_ms = ms)
            },
            get: |config| config.offsets_retention_check_interval_ms.to_string(),
        },
        ConfigKey {
            name: "offsets.retention.minutes",
            doc: "How long a group without members keeps what it committed.",
            valid: "minutes, from 1 to 2147483647",
            set: |config, text| {
                whole_u32(text, 1..=i32::MAX as u32).map(|minutes| config.offsets_retention_minutes = minutes)
            },
            get: |config| config.offsets_retention_minutes.to_string(),
        },
        ConfigKey {
            name: "replica.lag.time.max.ms",
            doc: "How long a follower may lag behind before it no longer counts as in sync.",
            valid: "milliseconds, from 100 to 3600000",
            set: |config, text| whole(text, 100..=3_600_000).map(|ms| config.replica_lag_time_max_ms = ms),
            get: |config| config.replica_lag_time_max_ms.to_string(),
        },
    ];
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn overrides(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn keys_are_in_order_and_their_defaults_are_valid() {
        assert!(NodeConfig::KEYS.is_sorted_by(|one, next| one.name < next.name));
        let shown: Vec<String> =
            NodeConfig::default().values().iter().map(|v| format!("{}={}\n", v.name, v.value)).collect();
        expect![[r#"
            auto.leader.rebalance.enable=true
            default.replication.factor=auto
            group.consumer.assignor=roundrobin
            group.consumer.heartbeat.interval.ms=3000
            group.consumer.max.size=1000
            group.consumer.session.timeout.ms=15000
            leader.imbalance.check.interval.seconds=300
            leader.imbalance.per.broker.percentage=10
            leader.replication.throttled.rate=off
            log.retention.check.interval.ms=30000
            num.partitions=1
            offsets.retention.check.interval.ms=600000
            offsets.retention.minutes=10080
            replica.lag.time.max.ms=10000
        "#]]
        .assert_eq(&shown.concat());
        for value in NodeConfig::default().values() {
            let parsed = NodeConfig::from_overrides(&overrides(value.name, &value.value));
            assert_eq!(parsed, Ok(NodeConfig::default()), "{}", value.name);
        }
    }

    #[test]
    fn every_key_can_be_set_and_is_shown_as_set() {
        let given = [
            ("auto.leader.rebalance.enable", "false"),
            ("default.replication.factor", "2"),
            ("group.consumer.assignor", "fair@1"),
            ("group.consumer.heartbeat.interval.ms", "100"),
            ("group.consumer.max.size", "1"),
            ("group.consumer.session.timeout.ms", "6000"),
            ("leader.imbalance.check.interval.seconds", "1"),
            ("leader.imbalance.per.broker.percentage", "0"),
            ("leader.replication.throttled.rate", "1000000"),
            ("log.retention.check.interval.ms", "100"),
            ("num.partitions", "10000"),
            ("offsets.retention.check.interval.ms", "1000"),
            ("offsets.retention.minutes", "1"),
            ("replica.lag.time.max.ms", "100"),
        ];
        let all = given.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let shown = NodeConfig::from_overrides(&all).unwrap().values();
        let shown: Vec<(&str, &str)> = shown.iter().map(|value| (value.name, value.value.as_str())).collect();
        assert_eq!(shown, given);
    }

    #[test]
    fn refusals_say_what_is_valid() {
        let refused = |key: &str, value: &str| {
            NodeConfig::check_per_node(&overrides(key, value)).unwrap_err().to_string() + "\n"
        };
        expect![[r#"
            unknown node config 'replica.lag.max.ms', did you mean 'replica.lag.time.max.ms'?; known are: auto.leader.rebalance.enable, default.replication.factor, group.consumer.assignor, group.consumer.heartbeat.interval.ms, group.consumer.max.size, group.consumer.session.timeout.ms, leader.imbalance.check.interval.seconds, leader.imbalance.per.broker.percentage, leader.replication.throttled.rate, log.retention.check.interval.ms, num.partitions, offsets.retention.check.interval.ms, offsets.retention.minutes, replica.lag.time.max.ms
            node config replica.lag.time.max.ms=99 is not valid: replica.lag.time.max.ms takes milliseconds, from 100 to 3600000
            node config leader.replication.throttled.rate=0 is not valid: leader.replication.throttled.rate takes bytes per second, from 1, or 'off' (as fast as it goes)
            node config 'num.partitions' holds for the whole cluster: set it for all nodes, not for one
        "#]]
        .assert_eq(
            &[
                refused("replica.lag.max.ms", "1"),
                refused("replica.lag.time.max.ms", "99"),
                refused(THROTTLE_KEY, "0"),
                refused("num.partitions", "3"),
            ]
            .concat(),
        );
    }
}
