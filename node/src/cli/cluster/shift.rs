//! `weir cluster drain` and `weir cluster add-node`: all replicas away from a node, or a fair share of them to it. Each may
//! be interrupted, and given again: it goes on where it was.

use serde_json::json;
use weir_client::{
    Client, ClusterDescription, NodeDescription, NodeId, NodeStanding, ReassignmentAltered, Shift,
    ShiftReplicas, Throttle,
};

use super::plan;
use super::reassign::{LOOK_EVERY, shown, to_go};
use crate::cli::output::{Done, Exit, Failure, Output, grouped};
use crate::cli::progress::Progress;

#[derive(Debug, clap::Args)]
pub(super) struct DrainArgs {
    /// The node that is to be emptied
    node: u32,
    /// How fast each node sends to replicas that are being added, in bytes a second, or 'off'
    #[arg(long, value_name = "RATE", value_parser = plan::throttle)]
    throttle: Option<Throttle>,
    /// Do not wait until it is empty; 'weir cluster reassign --list' shows how far it is
    #[arg(long)]
    no_wait: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct AddArgs {
    /// The node, once it runs [default: say how to start one]
    node: Option<u32>,
    /// Move a fair share of all replicas to it
    #[arg(long, requires = "node")]
    move_replicas: bool,
    /// How fast each node sends to replicas that are being added, in bytes a second, or 'off'
    #[arg(long, value_name = "RATE", value_parser = plan::throttle, requires = "move_replicas")]
    throttle: Option<Throttle>,
}

pub(super) async fn drain(client: &Client, args: DrainArgs, output: Output) -> Done {
    let node = NodeId(args.node);
    let request = ShiftReplicas { node, shift: Shift::Away, throttle: args.throttle };
    let before = client.shift_replicas(&request).await?;
    let mut failed = report(&before.partitions, output)?;
    let again = ShiftReplicas { throttle: None, ..request };
    let progress = Progress::towards(u64::from(before.replicas), "replicas");
    let mut left = before.replicas;
    while left > 0 && !failed && !args.no_wait {
        tokio::time::sleep(LOOK_EVERY).await;
        let under_way = client.list_reassignments().await?;
        let leaving =
            under_way.iter().filter(|one| one.origin.contains(&node) && !one.target.contains(&node));
        let to_go: u64 = leaving.clone().filter_map(to_go).sum();
        let is_moving = leaving.count() > 0;
        left = described(&client.describe_cluster().await?, node).map_or(0, |state| state.replicas);
        progress.at(u64::from(before.replicas.saturating_sub(left)));
        progress.say(format!("{} offsets to go", grouped(to_go)));
        // Somebody took it back, or gave the node something meanwhile.
        if left > 0 && !is_moving {
            failed = report(&client.shift_replicas(&again).await?.partitions, output)?;
        }
    }
    progress.end();
    match (left, failed) {
        (0, _) => output.line(&format!(
            "node {node} has no replicas, and gets none: stop it, and take it out with 'weir cluster remove-node {node}'; \
             'weir cluster add-node {node}' takes it in again"
        ))?,
        (left, true) => output.line(&format!("node {node} has {left} replicas left that cannot be moved"))?,
        (left, false) => output.line(&format!("node {node} has {left} replicas, which are on their way"))?,
    }
    let moved: Vec<_> = before.partitions.iter().map(shown).collect();
    output.result(&json!({ "node": node.0, "replicas": left, "partitions": moved }))?;
    Ok(if failed { Exit::Failed } else { Exit::Success })
}

pub(super) async fn add(client: &Client, args: AddArgs, output: Output) -> Done {
    let cluster = client.describe_cluster().await?;
    let Some(number) = args.node else { return how_to_start(&cluster, None, output) };
    let node = NodeId(number);
    match described(&cluster, node).map(|state| state.standing) {
        None => return how_to_start(&cluster, Some(node), output),
        Some(NodeStanding::Live) => {}
        Some(_) => {
            return Err(Failure::new(format!("node {node} is not alive, or stopping; start it first")));
        }
    }
    let shift = if args.move_replicas { Shift::Onto } else { Shift::Allow };
    let request = ShiftReplicas { node, shift, throttle: args.throttle };
    let shifting = client.shift_replicas(&request).await?;
    let failed = report(&shifting.partitions, output)?;
    let moving = shifting.partitions.iter().filter(|one| one.outcome.is_ok()).count();
    let what = match (args.move_replicas, moving) {
        (false, _) => {
            "new partitions may come to it; --move-replicas gives it a fair share of those there are"
        }
        (true, 0) => "it has its fair share already",
        (true, _) => "replicas are on their way to it; 'weir cluster reassign --list' shows how far they are",
    };
    output.line(&format!("node {node} takes part: {what}"))?;
    let moved: Vec<_> = shifting.partitions.iter().map(shown).collect();
    output.result(&json!({ "node": node.0, "replicas": shifting.replicas, "partitions": moved }))?;
    Ok(if failed { Exit::Failed } else { Exit::Success })
}

/// A node joins by itself when it is started: what to type for that.
fn how_to_start(cluster: &ClusterDescription, node: Option<NodeId>, output: Output) -> Done {
    let next = cluster.nodes.iter().map(|known| known.node.0).max().unwrap_or(0).saturating_add(1);
    let number = node.map_or(next, |node| node.0);
    let live = cluster.nodes.iter().filter(|known| known.standing == NodeStanding::Live);
    let join: Vec<String> = live.map(|known| format!("--join {}", known.address)).collect();
    let command = format!(
        "weir node --node-id {number} --listen HOST:PORT --data DIR --certs CERTS {}",
        join.join(" ")
    );
    if let Some(node) = node {
        output.line(&format!("node {node} is not part of the cluster yet"))?;
    }
    output.line("start it there, with certificates of 'weir certs node'; it joins by itself:")?;
    output.line(&format!("  {command}"))?;
    output.line(&format!(
        "then give it a fair share of the replicas: weir cluster add-node {number} --move-replicas"
    ))?;
    output.result(&json!({ "node": number, "command": command }))?;
    Ok(if node.is_some() { Exit::Failed } else { Exit::Success })
}

fn described(cluster: &ClusterDescription, node: NodeId) -> Option<&NodeDescription> {
    cluster.nodes.iter().find(|known| known.node == node)
}

/// Says which partitions could not be moved; whether there are any.
fn report(partitions: &[ReassignmentAltered], output: Output) -> Result<bool, Failure> {
    let mut failed = false;
    for ReassignmentAltered { topic, partition, outcome } in partitions {
        if let Err(error) = outcome {
            failed = true;
            output.line(&format!("{topic}-{partition}: {error}"))?;
        }
    }
    Ok(failed)
}
