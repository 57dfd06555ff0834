//! What a person wants moved: named on the command line, or in a file of the shape that Kafka's reassignment tool takes.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use weir_client::{NodeId, PartitionIndex, ReplicasWanted, Throttle};

use crate::cli::files;
use crate::cli::output::Failure;

/// The longest plan that is read.
const PLAN_BYTES_MAX: u64 = 16 << 20;
/// The version of Kafka's plans.
const VERSION: u32 = 1;

/// Which partitions are meant.
#[derive(Debug, clap::Args)]
pub(super) struct Named {
    /// The topic
    #[arg(long, value_name = "NAME", requires = "partition", conflicts_with = "plan")]
    topic: Option<String>,
    /// Its partition
    #[arg(long, value_name = "N", requires = "topic")]
    partition: Option<u32>,
    /// Nodes that shall have it, the preferred leader first: 1,2,3
    #[arg(long, value_name = "NODES", requires = "topic", value_delimiter = ',', conflicts_with = "cancel")]
    replicas: Option<Vec<u32>>,
    /// A file of them: {"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2,3]}]}
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
}

impl Named {
    /// Which partitions get which replicas; `None` where nothing is named.
    pub(super) fn wanted(self, is_cancelled: bool) -> Result<Option<Vec<ReplicasWanted>>, Failure> {
        let Named { topic, partition, replicas, plan } = self;
        if let Some(plan) = plan {
            let mut wanted = read(&plan)?;
            if is_cancelled {
                wanted.iter_mut().for_each(|wanted| wanted.replicas = None);
            }
            return Ok(Some(wanted));
        }
        let (Some(topic), Some(partition)) = (topic, partition) else { return Ok(None) };
        if replicas.is_none() && !is_cancelled {
            return Err(Failure::new(
                "name the nodes that shall have the partition with --replicas 1,2,3, or take back what is under way \
                 with --cancel",
            ));
        }
        let replicas = replicas.map(|nodes| nodes.into_iter().map(NodeId).collect());
        Ok(Some(vec![ReplicasWanted { topic, partition: PartitionIndex(partition), replicas }]))
    }
}

#[derive(Deserialize)]
struct Plan {
    version: u32,
    partitions: Vec<Planned>,
}

#[derive(Deserialize)]
struct Planned {
    topic: String,
    partition: u32,
    replicas: Vec<u32>,
}

fn read(path: &Path) -> Result<Vec<ReplicasWanted>, Failure> {
    let text = files::read_text(path, PLAN_BYTES_MAX)?;
    parse(&text).map_err(|why| Failure::new(format!("{} is no plan: {why}", path.display())))
}

fn parse(text: &str) -> Result<Vec<ReplicasWanted>, String> {
    let plan: Plan = serde_json::from_str(text).map_err(|error| {
        let shape = r#"{"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2,3]}]}"#;
        format!("{error}; it should look like {shape}")
    })?;
    if plan.version != VERSION {
        return Err(format!("it is of version {}, and only {VERSION} is known", plan.version));
    }
    if plan.partitions.is_empty() {
        return Err("it names no partition".to_owned());
    }
    let mut seen = std::collections::BTreeSet::new();
    for Planned { topic, partition, .. } in &plan.partitions {
        if !seen.insert((topic, partition)) {
            return Err(format!("it names partition {partition} of topic '{topic}' twice"));
        }
    }
    let wanted = |planned: Planned| ReplicasWanted {
        topic: planned.topic,
        partition: PartitionIndex(planned.partition),
        replicas: Some(planned.replicas.into_iter().map(NodeId).collect()),
    };
    Ok(plan.partitions.into_iter().map(wanted).collect())
}

/// What `--throttle` takes.
pub(super) fn throttle(text: &str) -> Result<Throttle, String> {
    if text == "off" {
        return Ok(Throttle::Off);
    }
    match text.parse() {
        Ok(0) => Err("at 0 bytes a second nothing would ever arrive; name a rate, or 'off'".to_owned()),
        Ok(rate) => Ok(Throttle::BytesPerSecond(rate)),
        Err(_) => Err("it is a number of bytes a second, or 'off'".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_as_kafkas_tool_writes_it() {
        let text = r#"{"version":1,"partitions":[
            {"topic":"a","partition":1,"replicas":[3,1],"log_dirs":["any","any"]},
            {"topic":"a","partition":0,"replicas":[2]}]}"#;
        let wanted = |partition, nodes: &[u32]| ReplicasWanted {
            topic: "a".to_owned(),
            partition: PartitionIndex(partition),
            replicas: Some(nodes.iter().copied().map(NodeId).collect()),
        };
        assert_eq!(parse(text), Ok(vec![wanted(1, &[3, 1]), wanted(0, &[2])]));
    }

    #[test]
    fn what_is_no_plan_is_refused_with_a_reason() {
        for (text, says) in [
            ("", "EOF"),
            ("[]", "it should look like"),
            (r#"{"version":1}"#, "missing field `partitions`"),
            (r#"{"version":2,"partitions":[]}"#, "version 2"),
            (r#"{"version":1,"partitions":[]}"#, "no partition"),
            (r#"{"version":1,"partitions":[{"topic":"a","partition":-1,"replicas":[1]}]}"#, "-1"),
            (
                r#"{"version":1,"partitions":[{"topic":"a","partition":0,"replicas":[1]},{"topic":"a","partition":0,"replicas":[2]}]}"#,
                "twice",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_throttle_is_a_rate_or_off() {
        assert_eq!(throttle("off"), Ok(Throttle::Off));
        assert_eq!(throttle("1000"), Ok(Throttle::BytesPerSecond(1000)));
        assert!(throttle("0").unwrap_err().contains("nothing would ever arrive"));
        assert!(throttle("-1").is_err() && throttle("fast").is_err());
    }
}
