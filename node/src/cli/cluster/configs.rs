//! `weir cluster configs`: what nodes go by while they run, one or all of them.

use serde_json::{Value, json};
use weir_client::{AlterNodeConfigs, Client, ConfigSource, NodeConfigsDescribed, NodeId};

use crate::cli::output::{Done, Exit, Failure, Output, columns};
use crate::cli::topics::key_value;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// For this node only [default: for all nodes]
    #[arg(long, value_name = "NODE")]
    node: Option<u32>,
    /// A setting under Kafka's name, such as replica.lag.time.max.ms=5000; may be repeated
    #[arg(long = "config", value_name = "KEY=VALUE", value_parser = key_value)]
    configs: Vec<(String, String)>,
    /// A setting that is not to be set here any more; may be repeated
    #[arg(long = "delete-config", value_name = "KEY")]
    deleted: Vec<String>,
}

pub(super) async fn run(client: &Client, args: Args, output: Output) -> Done {
    let node = args.node.map(NodeId);
    let set = args.configs.into_iter().map(|(key, value)| (key, Some(value)));
    let configs: Vec<_> = set.chain(args.deleted.into_iter().map(|key| (key, None))).collect();
    if configs.is_empty() {
        show(client, node, output).await
    } else {
        alter(client, node, configs, output).await
    }
}

async fn alter(
    client: &Client,
    node: Option<NodeId>,
    configs: Vec<(String, Option<String>)>,
    output: Output,
) -> Done {
    let altered = client.alter_node_configs(&AlterNodeConfigs { node, configs }).await?;
    let whose = node.map_or("all nodes".to_owned(), |node| format!("node {node}"));
    let set: Vec<String> = altered.set.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let set_now = if set.is_empty() { "nothing".to_owned() } else { set.join(" ") };
    output.line(&format!("set for {whose} now: {set_now}"))?;
    let set: serde_json::Map<String, Value> =
        altered.set.into_iter().map(|(key, value)| (key, value.into())).collect();
    output.result(&json!({ "node": node.map(|node| node.0), "set": set }))?;
    Ok(Exit::Success)
}

async fn show(client: &Client, wanted: Option<NodeId>, output: Output) -> Done {
    let (mut exit, mut shown) = (Exit::Success, Vec::new());
    let mut is_known = false;
    for (node, answer) in client.describe_node_configs().await? {
        if wanted.is_some_and(|wanted| wanted != node) {
            continue;
        }
        is_known = true;
        match answer {
            Ok(described) => shown.push(show_one(&described, output)?),
            Err(error) => {
                output.line(&format!("node {node}: {error}"))?;
                shown.push(json!({ "node": node.0, "error": error.to_string() }));
                exit = Exit::Failed;
            }
        }
    }
    if let Some(node) = wanted.filter(|_| !is_known) {
        let sentence = format!("there is no node {node}; 'weir cluster nodes' lists those there are");
        return Err(Failure::new(sentence));
    }
    output.result(&json!({ "nodes": shown }))?;
    Ok(exit)
}

fn show_one(described: &NodeConfigsDescribed, output: Output) -> Result<Value, Failure> {
    output.line(&format!("node {}", described.node))?;
    let rows: Vec<_> = described
        .configs
        .iter()
        .map(|config| [config.key.clone(), config.value.clone(), said_by(config.source).to_owned()])
        .collect();
    for line in columns(&rows) {
        output.line(&format!("  {line}"))?;
    }
    let configs: Vec<Value> = described
        .configs
        .iter()
        .map(|one| json!({ "key": one.key, "value": one.value, "source": said_by(one.source) }))
        .collect();
    Ok(json!({ "node": described.node.0, "configs": configs }))
}

fn said_by(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::ThisNode => "this node",
        ConfigSource::AllNodes => "all nodes",
        ConfigSource::Start => "start",
        ConfigSource::Default => "default",
    }
}
