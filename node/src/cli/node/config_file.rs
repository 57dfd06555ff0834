//! A node's configuration file: TOML under Kafka's key names, where Kafka has the key.
//!
//! ```toml
//! node.id = 1
//! listeners = "10.0.0.7:9440"
//! advertised.listeners = "node1.example:9440"
//! log.dirs = "/var/lib/weir"
//! num.network.threads = 2
//! certs.dir = "/etc/weir/certs"
//! metrics.listener = "127.0.0.1:9441"
//! broker.rack = "a"
//! controller.quorum.bootstrap.servers = "10.0.0.5:9440,10.0.0.6:9440"
//! controller.quorum.voters.max = 3
//! controller.quorum.election.timeout.ms = 800
//! broker.heartbeat.interval.ms = 200
//! broker.session.timeout.ms = 1000
//! replica.lag.time.max.ms = 10000
//! auto.leader.rebalance.enable = true
//! leader.imbalance.check.interval.seconds = 300
//! leader.imbalance.per.broker.percentage = 10
//! group.consumer.assignor = "roundrobin"
//! group.consumer.session.timeout.ms = 15000
//! group.consumer.heartbeat.interval.ms = 3000
//! group.consumer.max.size = 1000
//! log.retention.check.interval.ms = 30000
//! offsets.retention.check.interval.ms = 600000
//! offsets.retention.minutes = 10080
//! ```

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};
use weir_core::config_keys::Configurable;
use weir_core::node_config::NodeConfig as Settings;

use super::super::files;
use super::super::output::Failure;
use crate::transport::NETWORK_THREADS_MAX;

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// How much a key must resemble a known one to be taken for it misspelt.
const SIMILAR: f64 = 0.6;

/// What a file may say. Everything is optional.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ConfigFile {
    pub(super) data: Option<PathBuf>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) advertised: Option<String>,
    pub(super) node_id: Option<u32>,
    pub(super) network_threads: Option<usize>,
    pub(super) certs: Option<PathBuf>,
    pub(super) metrics_listen: Option<SocketAddr>,
    pub(super) rack: Option<String>,
    pub(super) join: Vec<String>,
    pub(super) voters: Option<u32>,
    pub(super) election_timeout: Option<Duration>,
    pub(super) heartbeat_interval: Option<Duration>,
    pub(super) session_timeout: Option<Duration>,
    /// What the node goes by while it runs, unless the cluster says otherwise.
    pub(super) settings: Settings,
}

/// A key, what it takes, and how it is set from the text of its value; `None` if the text is not valid.
struct Key {
    name: &'static str,
    takes: &'static str,
    set: fn(&mut ConfigFile, &str) -> Option<()>,
}

/// What only a process that starts can be told. What can be changed while it runs are the keys of [`Settings`].
const KEYS: [Key; 13] = [
    Key {
        name: "advertised.listeners",
        takes: "the HOST:PORT under which clients reach this node",
        set: |config, text| {
            let (host, port) = text.rsplit_once(':')?;
            let valid = !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0);
            valid.then(|| config.advertised = Some(text.to_owned()))
        },
    },
    Key {
        name: "broker.heartbeat.interval.ms",
        takes: "milliseconds, 100 to 600000",
        set: |config, text| milliseconds(text, &mut config.heartbeat_interval),
    },
    Key {
        name: "broker.rack",
        takes: "a name",
        set: |config, text| (!text.is_empty()).then(|| config.rack = Some(text.to_owned())),
    },
    Key {
        name: "broker.session.timeout.ms",
        takes: "milliseconds, 100 to 600000",
        set: |config, text| milliseconds(text, &mut config.session_timeout),
    },
    Key { name: "certs.dir", takes: "a folder", set: |config, text| folder(text, &mut config.certs) },
    Key {
        name: "controller.quorum.bootstrap.servers",
        takes: "nodes to join, HOST:PORT,HOST:PORT",
        set: |config, text| {
            config.join = text.split(',').map(|address| address.trim().to_owned()).collect();
            config.join.iter().all(|address| address.contains(':')).then_some(())
        },
    },
    Key {
        name: "controller.quorum.election.timeout.ms",
        takes: "milliseconds, 100 to 600000",
        set: |config, text| milliseconds(text, &mut config.election_timeout),
    },
    Key {
        name: "controller.quorum.voters.max",
        takes: "1, 3, 5 or 7",
        set: |config, text| {
            config.voters = Some(super::voters(text).ok()?);
            Some(())
        },
    },
    Key {
        name: "listeners",
        takes: "one UDP address, IP:PORT",
        set: |config, text| parse(text, &mut config.listen),
    },
    Key { name: "log.dirs", takes: "one folder", set: |config, text| folder(text, &mut config.data) },
    Key {
        name: "metrics.listener",
        takes: "one TCP address, IP:PORT",
        set: |config, text| parse(text, &mut config.metrics_listen),
    },
    Key {
        name: "node.id",
        takes: "a whole number from 0 to 4294967295",
        set: |config, text| parse(text, &mut config.node_id),
    },
    Key {
        name: "num.network.threads",
        takes: "a whole number from 1 to 64",
        set: |config, text| {
            let threads = text.parse().ok().filter(|threads| (1..=NETWORK_THREADS_MAX).contains(threads))?;
            config.network_threads = Some(threads);
            Some(())
        },
    },
];

impl ConfigFile {
    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let invalid = |takes: &str| format!("{name} = {text} is not valid: it takes {takes}");
        if let Some(key) = KEYS.iter().find(|key| key.name == name) {
            return (key.set)(self, text).ok_or_else(|| invalid(key.takes));
        }
        let key = Settings::KEYS.iter().find(|key| key.name == name).ok_or_else(|| unknown(name))?;
        let set = self.settings.set_all(&BTreeMap::from([(name.to_owned(), text.to_owned())]));
        set.map_err(|_| invalid(key.valid))
    }

    /// Reads a file.
    pub(super) fn read(path: &Path) -> Result<ConfigFile, Failure> {
        let text = files::read_text(path, FILE_BYTES_MAX)?;
        ConfigFile::parse(&text).map_err(|reason| Failure::new(format!("{}: {reason}", path.display())))
    }

    fn parse(text: &str) -> Result<ConfigFile, String> {
        let table: Table = text.parse().map_err(|error: toml::de::Error| one_line(&error, text))?;
        let mut values = Vec::new();
        flatten("", &table, &mut values)?;
        let mut config = ConfigFile::default();
        for (name, value) in &values {
            config.set(name, value)?;
        }
        Ok(config)
    }
}

/// TOML reads `node.id` as `id` in a table `node`; here it is one name again.
fn flatten(prefix: &str, table: &Table, values: &mut Vec<(String, String)>) -> Result<(), String> {
    for (name, value) in table {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match value {
            Value::Table(inner) => flatten(&name, inner, values)?,
            Value::String(text) => values.push((name, text.clone())),
            Value::Integer(number) => values.push((name, number.to_string())),
            Value::Boolean(on) => values.push((name, on.to_string())),
            _ if known().any(|known| known == name) => {
                return Err(format!("{name} takes text, a number, true or false, not {}", value.type_str()));
            }
            _ => return Err(unknown(&name)),
        }
    }
    Ok(())
}

fn known() -> impl Iterator<Item = &'static str> {
    KEYS.iter().map(|key| key.name).chain(Settings::KEYS.iter().map(|key| key.name))
}

fn unknown(name: &str) -> String {
    let similarity = |key: &&str| strsim::normalized_damerau_levenshtein(name, key);
    let nearest = known().max_by(|one, other| similarity(one).total_cmp(&similarity(other)));
    let hint = match nearest {
        Some(key) if similarity(&key) >= SIMILAR => format!(", did you mean '{key}'?"),
        _ => String::new(),
    };
    let mut known: Vec<&str> = known().collect();
    known.sort_unstable();
    format!("unknown key '{name}'{hint}; known are: {}", known.join(", "))
}

/// What the parser says, with the line where it says it.
fn one_line(error: &toml::de::Error, text: &str) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.map_or(1, |before| before.matches('\n').count() + 1);
    format!("line {line} is not TOML: {}", error.message().replace('\n', ", "))
}

fn parse<T: std::str::FromStr>(text: &str, target: &mut Option<T>) -> Option<()> {
    *target = Some(text.parse().ok()?);
    Some(())
}

fn milliseconds(text: &str, target: &mut Option<Duration>) -> Option<()> {
    let milliseconds = text.parse().ok().filter(|ms| (100..=600_000).contains(ms))?;
    *target = Some(Duration::from_millis(milliseconds));
    Some(())
}

fn folder(text: &str, target: &mut Option<PathBuf>) -> Option<()> {
    // Kafka takes several folders separated by commas; one that was meant so must not become one odd name.
    (!text.is_empty() && !text.contains(',')).then(|| *target = Some(PathBuf::from(text)))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn refused(text: &str, expected: &Expect) {
        expected.assert_eq(&ConfigFile::parse(text).unwrap_err());
    }

    #[test]
    fn every_key_is_read_dotted_or_in_tables() {
        let dotted = r#"
            node.id = 7
            listeners = "10.0.0.7:9440"
            advertised.listeners = "node7.example:9440"
            log.dirs = "/var/lib/weir"
            num.network.threads = 2
            certs.dir = "/etc/weir"
            metrics.listener = "127.0.0.1:9441"
            broker.rack = "a"
            controller.quorum.bootstrap.servers = "10.0.0.5:9440, 10.0.0.6:9440"
            controller.quorum.voters.max = 5
            controller.quorum.election.timeout.ms = 2000
            broker.heartbeat.interval.ms = 300
            broker.session.timeout.ms = 3000
            replica.lag.time.max.ms = 500
            auto.leader.rebalance.enable = false
            leader.imbalance.check.interval.seconds = 2
            leader.imbalance.per.broker.percentage = 0
        "#;
        let expected = ConfigFile {
            data: Some("/var/lib/weir".into()),
            listen: Some(([10, 0, 0, 7], 9440).into()),
            advertised: Some("node7.example:9440".to_owned()),
            node_id: Some(7),
            network_threads: Some(2),
            certs: Some("/etc/weir".into()),
            metrics_listen: Some(([127, 0, 0, 1], 9441).into()),
            rack: Some("a".to_owned()),
            join: vec!["10.0.0.5:9440".to_owned(), "10.0.0.6:9440".to_owned()],
            voters: Some(5),
            election_timeout: Some(Duration::from_secs(2)),
            heartbeat_interval: Some(Duration::from_millis(300)),
            session_timeout: Some(Duration::from_secs(3)),
            settings: Settings {
                replica_lag_time_max_ms: 500,
                auto_leader_rebalance: false,
                leader_imbalance_check_interval_s: 2,
                leader_imbalance_percentage: 0,
                ..Settings::default()
            },
        };
        assert_eq!(ConfigFile::parse(dotted), Ok(expected));
        let tables = "[node]\nid = 7\n[num.network]\nthreads = \"2\"\n";
        let read = ConfigFile::parse(tables).unwrap();
        assert_eq!((read.node_id, read.network_threads), (Some(7), Some(2)));
        assert_eq!(ConfigFile::parse(""), Ok(ConfigFile::default()));
    }

    #[test]
    fn an_unknown_key_is_answered_with_the_nearest() {
        let known = "known are: advertised.listeners, auto.leader.rebalance.enable, broker.heartbeat.interval.ms, broker.rack, broker.session.timeout.ms, certs.dir, controller.quorum.bootstrap.servers, controller.quorum.election.timeout.ms, controller.quorum.voters.max, default.replication.factor, group.consumer.assignor, group.consumer.heartbeat.interval.ms, group.consumer.max.size, group.consumer.session.timeout.ms, leader.imbalance.check.interval.seconds, leader.imbalance.per.broker.percentage, leader.replication.throttled.rate, listeners, log.dirs, log.retention.check.interval.ms, metrics.listener, node.id, num.network.threads, num.partitions, offsets.retention.check.interval.ms, offsets.retention.minutes, replica.lag.time.max.ms";
        let says = |text: &str| ConfigFile::parse(text).unwrap_err();
        assert_eq!(
            says("log.dir = 'x'"),
            format!("unknown key 'log.dir', did you mean 'log.dirs'?; {known}")
        );
        assert_eq!(
            says("listners = 'x'"),
            format!("unknown key 'listners', did you mean 'listeners'?; {known}")
        );
        assert_eq!(says("zookeeper.connect = 'x'"), format!("unknown key 'zookeeper.connect'; {known}"));
        assert_eq!(says("x = [1]"), format!("unknown key 'x'; {known}"));
    }

    #[test]
    fn a_value_that_is_not_valid_is_answered_with_what_is() {
        refused(
            "node.id = -1",
            &expect!["node.id = -1 is not valid: it takes a whole number from 0 to 4294967295"],
        );
        refused(
            "num.network.threads = 65",
            &expect!["num.network.threads = 65 is not valid: it takes a whole number from 1 to 64"],
        );
        refused(
            "listeners = 'PLAINTEXT://:9092'",
            &expect!["listeners = PLAINTEXT://:9092 is not valid: it takes one UDP address, IP:PORT"],
        );
        refused(
            "replica.lag.time.max.ms = 99",
            &expect!["replica.lag.time.max.ms = 99 is not valid: it takes milliseconds, from 100 to 3600000"],
        );
        refused("log.dirs = '/a,/b'", &expect!["log.dirs = /a,/b is not valid: it takes one folder"]);
        refused("log.dirs = ['/a']", &expect!["log.dirs takes text, a number, true or false, not array"]);
        refused(
            "advertised.listeners = 'host'",
            &expect![
                "advertised.listeners = host is not valid: it takes the HOST:PORT under which clients reach this node"
            ],
        );
    }

    #[test]
    fn what_is_not_toml_is_said_with_its_line() {
        let said = ConfigFile::parse("node.id = 1\nlisteners 127.0.0.1\n").unwrap_err();
        assert!(said.starts_with("line 2 is not TOML: "), "{said}");
        assert!(!said.contains('\n'), "{said}");
    }
}
