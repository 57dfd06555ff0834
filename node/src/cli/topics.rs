//! `weir topics`: create, list, describe, alter and delete topics.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde::Serialize;
use weir_client::{
    AlterTopic, Client, NewTopic, NodeId, Offset, PartitionIndex, PartitionState, ReassignmentProgress,
    TopicDescription, TopicEntry,
};

use super::global::Global;
use super::output::{Done, Exit, Failure, Output, columns};
use super::signals::Interrupts;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: TopicsCommand,
}

#[derive(Debug, Subcommand)]
enum TopicsCommand {
    /// Create a topic
    Create {
        /// Its name: 1 to 249 of the characters a-z A-Z 0-9 . _ -
        name: String,
        /// How many partitions [default: the cluster's]
        #[arg(long, value_name = "N")]
        partitions: Option<u32>,
        /// How many replicas each partition has [default: the cluster's]
        #[arg(long, value_name = "N")]
        replication_factor: Option<u32>,
        /// A topic setting under Kafka's name, such as retention.ms=86400000; may be repeated
        #[arg(long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
        configs: Vec<(String, String)>,
    },
    /// List all topics
    List,
    /// Show a topic's partitions, offsets and settings; all topics without a name. While replicas move, `4+` among a
    /// partition's replicas is about to be one, and `2-` about to be none
    Describe {
        /// The topic
        name: Option<String>,
    },
    /// Change a topic's settings, or add partitions to it
    Alter {
        /// The topic
        name: String,
        /// A topic setting under Kafka's name; may be repeated
        #[arg(long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
        configs: Vec<(String, String)>,
        /// A setting to put back to its default; may be repeated
        #[arg(long = "delete-config", value_name = "KEY")]
        deleted: Vec<String>,
        /// How many partitions it should have: never fewer than it has. Keys may move to other partitions
        #[arg(long, value_name = "N")]
        partitions: Option<u32>,
    },
    /// Delete the oldest records of a partition
    DeleteRecords {
        /// The topic
        name: String,
        /// The partition
        #[arg(long, value_name = "N")]
        partition: u32,
        /// The first offset that stays; -1 deletes all that is committed
        #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = before_offset)]
        before_offset: BeforeOffset,
    },
    /// Delete a topic with all its records
    Delete {
        /// The topic
        name: String,
    },
}

pub(super) async fn run(args: Args, global: &Global, output: Output) -> Done {
    let mut interrupts = Interrupts::listen()?;
    tokio::select! {
        done = carry_out(args.command, global, output) => done,
        () = interrupts.next() => Ok(Exit::Interrupted),
    }
}

async fn carry_out(command: TopicsCommand, global: &Global, output: Output) -> Done {
    let client = global.connect(output).await?;
    match command {
        TopicsCommand::Create { name, partitions, replication_factor, configs } => {
            let topic = NewTopic { name, partitions, replication_factor, configs };
            create(&client, topic, output).await?;
        }
        TopicsCommand::List => list(&client, output).await?,
        TopicsCommand::Describe { name } => describe(&client, name, output).await?,
        TopicsCommand::Alter { name, configs, deleted, partitions } => {
            let set = configs.into_iter().map(|(key, value)| (key, Some(value)));
            let configs = set.chain(deleted.into_iter().map(|key| (key, None))).collect();
            alter(&client, AlterTopic { name, configs, partitions }, output).await?;
        }
        TopicsCommand::DeleteRecords { name, partition, before_offset } => {
            delete_records(&client, &name, PartitionIndex(partition), before_offset, output).await?;
        }
        TopicsCommand::Delete { name } => delete(&client, &name, output).await?,
    }
    client.close().await;
    Ok(Exit::Success)
}

async fn create(client: &Client, topic: NewTopic, output: Output) -> Result<(), Failure> {
    let name = topic.name.clone();
    let created = client.create_topic(topic).await?;
    let (partitions, factor) = (created.partitions, created.replication_factor);
    output.line(&format!("created topic {name}: {partitions} partitions, replication factor {factor}"))?;
    output.result(&Listed { name, id: created.id.to_string(), partitions, replication_factor: factor })
}

async fn list(client: &Client, output: Output) -> Result<(), Failure> {
    let topics: Vec<Listed> = client.list_topics().await?.into_iter().map(Listed::of).collect();
    if topics.is_empty() {
        output.note("no topics yet; create one with: weir topics create NAME");
    }
    for topic in &topics {
        output.line(&topic.name)?;
    }
    output.result(&serde_json::json!({ "topics": topics }))
}

async fn describe(client: &Client, name: Option<String>, output: Output) -> Result<(), Failure> {
    // Who may see the topic and not the cluster is not told.
    let under_way = client.list_reassignments().await.unwrap_or_default();
    if let Some(name) = name {
        let topic = Described::of(client.describe_topic(&name).await?, &under_way);
        topic.show(output)?;
        return output.result(&topic);
    }
    let mut topics = Vec::new();
    for entry in client.list_topics().await? {
        let topic = Described::of(client.describe_topic(&entry.name).await?, &under_way);
        topic.show(output)?;
        topics.push(topic);
    }
    output.result(&serde_json::json!({ "topics": topics }))
}

async fn alter(client: &Client, request: AlterTopic, output: Output) -> Result<(), Failure> {
    if request.configs.is_empty() && request.partitions.is_none() {
        return Err(Failure::new("nothing to change: pass --config, --delete-config or --partitions"));
    }
    let altered = client.alter_topic(&request).await?;
    let (name, partitions, revision) = (request.name, altered.partitions, altered.revision.0);
    output.line(&format!("altered topic {name}: {partitions} partitions, revision {revision}"))?;
    output.result(&serde_json::json!({
        "name": name, "id": altered.id.to_string(), "partitions": partitions, "revision": revision,
    }))
}

async fn delete_records(
    client: &Client,
    name: &str,
    partition: PartitionIndex,
    before: BeforeOffset,
    output: Output,
) -> Result<(), Failure> {
    let deleted = client.delete_records(name, partition, before.0).await?;
    let log_start = deleted.log_start.0;
    output.line(&format!("deleted records of {name}-{partition}: it starts at offset {log_start}"))?;
    output.result(&serde_json::json!({ "name": name, "partition": partition.0, "log_start": log_start }))
}

async fn delete(client: &Client, name: &str, output: Output) -> Result<(), Failure> {
    let deleted = client.delete_topic(name).await?;
    output.line(&format!("deleted topic {name}"))?;
    output.result(&serde_json::json!({ "name": name, "id": deleted.id.to_string() }))
}

/// A topic in a list.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    id: String,
    partitions: u32,
    replication_factor: u32,
}

impl Listed {
    fn of(entry: TopicEntry) -> Listed {
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let replicas = entry.partitions.first().map_or(0, |partition| partition.replicas.len());
        Listed {
            name: entry.name,
            id: entry.id.to_string(),
            partitions: count(entry.partitions.len()),
            replication_factor: count(replicas),
        }
    }
}

/// A topic with all that is known about it.
#[derive(Debug, Serialize)]
struct Described {
    name: String,
    id: String,
    revision: u32,
    /// Every setting in force.
    configs: BTreeMap<String, String>,
    /// Those of them that were set for this topic.
    configs_set: Vec<String>,
    partitions: Vec<DescribedPartition>,
}

#[derive(Debug, Serialize)]
struct DescribedPartition {
    partition: u32,
    leader: Option<u32>,
    leader_epoch: u32,
    replicas: Vec<u32>,
    /// Those of them that a reassignment gives the partition, until they take over.
    adding_replicas: Vec<u32>,
    /// Those of them that it takes away then.
    removing_replicas: Vec<u32>,
    isr: Vec<u32>,
    elr: Vec<u32>,
    offline: Vec<u32>,
    log_start: Option<u64>,
    high_watermark: Option<u64>,
    /// The leader's.
    log_end: Option<u64>,
    /// Each replica's, as the leader knows it.
    replica_states: Vec<DescribedReplica>,
}

#[derive(Debug, Serialize)]
struct DescribedReplica {
    node: u32,
    log_end_offset: Option<u64>,
}

impl Described {
    fn of(topic: TopicDescription, under_way: &[ReassignmentProgress]) -> Described {
        let mine: Vec<_> = under_way.iter().filter(|one| one.topic == topic.name).collect();
        let moving =
            |partition: &PartitionState| mine.iter().find(|one| one.partition == partition.index).copied();
        let set =
            topic.configs.iter().filter(|config| config.is_set).map(|config| config.key.clone()).collect();
        Described {
            name: topic.name,
            id: topic.id.to_string(),
            revision: topic.revision.0,
            configs_set: set,
            configs: topic.configs.into_iter().map(|config| (config.key, config.value)).collect(),
            partitions: topic
                .partitions
                .into_iter()
                .map(|partition| {
                    let moving = moving(&partition);
                    DescribedPartition::of(partition, moving)
                })
                .collect(),
        }
    }

    fn show(&self, output: Output) -> Result<(), Failure> {
        output.line(&format!("topic {}  id {}  revision {}", self.name, self.id, self.revision))?;
        for key in &self.configs_set {
            output.line(&format!("  {key}={}", self.configs[key]))?;
        }
        let head =
            ["partition", "leader", "epoch", "replicas", "isr", "offline", "log start", "high watermark"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(self.partitions.iter().map(DescribedPartition::row));
        for line in columns(&rows) {
            output.line(&format!("  {line}"))?;
        }
        Ok(())
    }
}

impl DescribedPartition {
    fn of(partition: PartitionState, moving: Option<&ReassignmentProgress>) -> DescribedPartition {
        let leader = partition.leader;
        let only_in = |one: &[NodeId], other: &[NodeId]| {
            one.iter().filter(|node| !other.contains(node)).map(|node| node.0).collect()
        };
        let adding = moving.map(|moving| only_in(&moving.target, &moving.origin)).unwrap_or_default();
        let removing = moving.map(|moving| only_in(&moving.origin, &moving.target)).unwrap_or_default();
        let log_end = partition.replicas.iter().find(|replica| Some(replica.node) == leader);
        DescribedPartition {
            partition: partition.index.0,
            leader: leader.map(|node| node.0),
            leader_epoch: partition.leader_epoch.0,
            log_end: log_end.and_then(|replica| replica.log_end).map(|offset| offset.0),
            replica_states: partition
                .replicas
                .iter()
                .map(|replica| DescribedReplica {
                    node: replica.node.0,
                    log_end_offset: replica.log_end.map(|offset| offset.0),
                })
                .collect(),
            replicas: partition.replicas.iter().map(|replica| replica.node.0).collect(),
            adding_replicas: adding,
            removing_replicas: removing,
            isr: partition.isr.iter().map(|node| node.0).collect(),
            elr: partition.elr.iter().map(|node| node.0).collect(),
            offline: partition.offline.iter().map(|node| node.0).collect(),
            log_start: partition.log_start.map(|offset| offset.0),
            high_watermark: partition.high_watermark.map(|offset| offset.0),
        }
    }

    /// `4+` is about to be a replica, `2-` about to be none.
    fn marked(&self, node: u32) -> String {
        let mark = match () {
            () if self.adding_replicas.contains(&node) => "+",
            () if self.removing_replicas.contains(&node) => "-",
            () => "",
        };
        format!("{node}{mark}")
    }

    fn row(&self) -> [String; 8] {
        let or_dash = |value: Option<u64>| value.map_or("-".to_owned(), |value| value.to_string());
        let nodes = |nodes: &[u32]| match nodes {
            [] => "-".to_owned(),
            _ => nodes.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
        };
        [
            self.partition.to_string(),
            or_dash(self.leader.map(u64::from)),
            self.leader_epoch.to_string(),
            self.replicas.iter().map(|node| self.marked(*node)).collect::<Vec<_>>().join(","),
            nodes(&self.isr),
            nodes(&self.offline),
            or_dash(self.log_start),
            or_dash(self.high_watermark),
        ]
    }
}

pub(super) fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// An offset, or none for the high watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BeforeOffset(Option<Offset>);

fn before_offset(text: &str) -> Result<BeforeOffset, String> {
    if text == "-1" {
        return Ok(BeforeOffset(None));
    }
    let offset = text.parse().ok().map(Offset).filter(|offset| *offset <= Offset::MAX);
    offset
        .map(|offset| BeforeOffset(Some(offset)))
        .ok_or_else(|| "write an offset, or -1 for all that is committed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_deleted_before_an_offset_or_all_of_them() {
        assert_eq!(before_offset("42"), Ok(BeforeOffset(Some(Offset(42)))));
        assert_eq!(before_offset("-1"), Ok(BeforeOffset(None)));
        assert!(before_offset("-2").is_err() && before_offset("").is_err());
        assert!(before_offset("18446744073709551615").is_err());
    }

    #[test]
    fn settings_are_key_and_value() {
        assert_eq!(key_value("a.b=c=d"), Ok(("a.b".to_owned(), "c=d".to_owned())));
        assert_eq!(key_value("a="), Ok(("a".to_owned(), String::new())));
        assert!(key_value("a").is_err());
        assert!(key_value("=a").is_err());
    }
}
