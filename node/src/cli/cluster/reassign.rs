//! `weir cluster reassign`: other replicas for partitions. What is under way is kept by the cluster: the command may be
//! interrupted, and given again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use weir_client::{
    AlterReassignments, Client, NodeId, ReassignmentAltered, ReassignmentProgress, ReplicasWanted, Throttle,
};

use super::plan::{self, Named};
use crate::cli::output::{Done, Exit, Failure, Output, columns, grouped};
use crate::cli::progress::Progress;

/// How often it is looked how far it is.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    named: Named,
    /// Take back what is under way: of the partitions named, or with --all of all
    #[arg(long)]
    cancel: bool,
    /// With --cancel: everything that is under way
    #[arg(long, requires = "cancel", conflicts_with_all = ["topic", "plan"])]
    all: bool,
    /// Show what is under way, and how far it is
    #[arg(long, alias = "status", conflicts_with_all = ["topic", "plan", "cancel", "throttle", "wait"])]
    list: bool,
    /// How fast each node sends to replicas that are being added, in bytes a second, or 'off'
    #[arg(long, value_name = "RATE", value_parser = plan::throttle)]
    throttle: Option<Throttle>,
    /// Wait until the partitions named have their replicas
    #[arg(long, conflicts_with = "cancel")]
    wait: bool,
}

pub(super) async fn run(client: &Client, args: Args, output: Output) -> Done {
    let Args { named, cancel, all, list, throttle, wait } = args;
    if list {
        return show(client, output).await;
    }
    let wanted = match named.wanted(cancel)? {
        Some(wanted) => wanted,
        None if all => everything(client).await?,
        None if throttle.is_some() && !cancel => Vec::new(),
        None => {
            return Err(Failure::new(
                "say what to do: --topic T --partition P --replicas 1,2,3, or --plan FILE; --list shows what is under way",
            ));
        }
    };
    let request = AlterReassignments { partitions: wanted.clone(), throttle };
    let altered = client.alter_reassignments(&request).await?.partitions;
    let mut failed = false;
    for one in &altered {
        failed |= one.outcome.is_err();
        output.line(&said(one, cancel))?;
    }
    if altered.is_empty() && throttle.is_some() {
        output.line("the throttle is set")?;
    } else if altered.is_empty() {
        output.line("nothing is under way")?;
    }
    if wait {
        failed |= !wait_for(client, &wanted, output).await?;
    }
    output.result(&json!({ "partitions": altered.iter().map(shown).collect::<Vec<_>>() }))?;
    Ok(if failed { Exit::Failed } else { Exit::Success })
}

async fn everything(client: &Client) -> Result<Vec<ReplicasWanted>, Failure> {
    let listed = client.list_reassignments().await?.into_iter();
    let back = |one: ReassignmentProgress| ReplicasWanted {
        topic: one.topic,
        partition: one.partition,
        replicas: None,
    };
    Ok(listed.map(back).collect())
}

fn said(one: &ReassignmentAltered, cancel: bool) -> String {
    let ReassignmentAltered { topic, partition, outcome } = one;
    let what = match outcome {
        Err(error) => error.to_string(),
        Ok(true) => "under way".to_owned(),
        Ok(false) if cancel => "as it was before".to_owned(),
        Ok(false) => "has its replicas".to_owned(),
    };
    format!("{topic}-{partition}: {what}")
}

pub(super) fn shown(one: &ReassignmentAltered) -> Value {
    let mut shown = json!({ "topic": one.topic, "partition": one.partition.0 });
    match &one.outcome {
        Ok(under_way) => shown["under_way"] = json!(under_way),
        Err(error) => shown["error"] = json!(error.message),
    }
    shown
}

/// Waits until nothing of it is under way any more; whether all of them have the replicas that were wanted.
async fn wait_for(client: &Client, wanted: &[ReplicasWanted], output: Output) -> Result<bool, Failure> {
    let progress = Progress::towards(wanted.len() as u64, "partitions");
    let is_meant = |one: &ReassignmentProgress| {
        wanted.iter().any(|wanted| wanted.topic == one.topic && wanted.partition == one.partition)
    };
    loop {
        let mut left = client.list_reassignments().await?;
        left.retain(is_meant);
        progress.at((wanted.len() - left.len()) as u64);
        progress.say(format!("{} offsets to go", grouped(left.iter().filter_map(to_go).sum())));
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    progress.end();
    let mut known: BTreeMap<&str, Vec<Vec<NodeId>>> = BTreeMap::new();
    let mut all = true;
    for ReplicasWanted { topic, partition, replicas } in wanted {
        if !known.contains_key(topic.as_str()) {
            let Ok(described) = client.describe_topic(topic).await else {
                all = false;
                continue;
            };
            let nodes = described.partitions.into_iter();
            let nodes = nodes.map(|one| one.replicas.into_iter().map(|replica| replica.node).collect());
            known.insert(topic, nodes.collect());
        }
        let now = known.get(topic.as_str()).and_then(|partitions| partitions.get(partition.0 as usize));
        if now != replicas.as_ref() {
            output.line(&format!(
                "{topic}-{partition}: it did not get the replicas; somebody took that back"
            ))?;
            all = false;
        }
    }
    Ok(all)
}

async fn show(client: &Client, output: Output) -> Done {
    let listed = client.list_reassignments().await?;
    if listed.is_empty() {
        output.line("nothing is under way")?;
    } else {
        let head = ["partition", "from", "to", "in sync", "offsets to go"].map(str::to_owned);
        let row = |one: &ReassignmentProgress| {
            let to_go = to_go(one).map_or_else(|| "-".to_owned(), grouped);
            let name = format!("{}-{}", one.topic, one.partition);
            [name, nodes(&one.origin), nodes(&one.target), nodes(&one.isr), to_go]
        };
        let rows: Vec<_> = std::iter::once(head).chain(listed.iter().map(row)).collect();
        for line in columns(&rows) {
            output.line(&line)?;
        }
    }
    let shown = |one: &ReassignmentProgress| {
        let numbers = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
        json!({
            "topic": one.topic, "partition": one.partition.0, "origin": numbers(&one.origin),
            "target": numbers(&one.target), "isr": numbers(&one.isr), "offsets_to_go": to_go(one),
        })
    };
    output.result(&json!({ "reassignments": listed.iter().map(shown).collect::<Vec<_>>() }))?;
    Ok(Exit::Success)
}

fn nodes(nodes: &[NodeId]) -> String {
    nodes.iter().map(NodeId::to_string).collect::<Vec<_>>().join(",")
}

/// How many offsets the replicas that are being added lack together; `None` where the leader did not say.
pub(super) fn to_go(one: &ReassignmentProgress) -> Option<u64> {
    let end = |node: &NodeId| one.replicas.iter().find(|replica| replica.node == *node)?.log_end;
    let (start, leader_end) = (one.log_start?, end(&one.leader?)?);
    let added = one.target.iter().filter(|node| !one.origin.contains(node));
    Some(added.map(|node| leader_end.0.saturating_sub(end(node).unwrap_or(start).max(start).0)).sum())
}
