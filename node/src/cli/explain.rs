//! `weir explain`: what would become of a record, without storing anything.

use weir_client::{Client, ExplainTopic, TopicExplained};

use super::global::Global;
use super::output::{Done, Exit, Failure, Output};
use super::plugins::show;
use super::signals::Interrupts;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The topic
    topic: String,
    /// The record's key: says in which partition it would land
    #[arg(long, value_name = "K")]
    key: Option<String>,
}

pub(super) async fn run(args: Args, global: &Global, output: Output) -> Done {
    let mut interrupts = Interrupts::listen()?;
    tokio::select! {
        done = carry_out(args, global, output) => done,
        () = interrupts.next() => Ok(Exit::Interrupted),
    }
}

async fn carry_out(args: Args, global: &Global, output: Output) -> Done {
    let client: Client = global.connect(output).await?;
    let Args { topic, key } = args;
    let request = ExplainTopic { topic: topic.clone(), key: key.clone().map(String::into_bytes) };
    let explained = client.explain_topic(&request).await?;
    show_explained(&topic, key.as_deref(), &explained, output)?;
    let placement = explained.placement.as_ref().map(|placement| {
        let isr: Vec<u32> = placement.isr.iter().map(|node| node.0).collect();
        serde_json::json!({
            "partition": placement.partition.0, "leader": placement.leader.map(|node| node.0),
            "leader_epoch": placement.leader_epoch.0, "isr": isr,
        })
    });
    output.result(&serde_json::json!({
        "topic": topic, "key": key, "revision": explained.revision.0,
        "plugins": explained.plugins.iter().map(show::bound).collect::<Vec<_>>(),
        "partitions": explained.partitions, "placement": placement,
        "required_in_sync": explained.required_in_sync, "write_caching": explained.write_caching,
        "promise": promise(&explained),
    }))?;
    client.close().await;
    Ok(Exit::Success)
}

fn show_explained(
    topic: &str,
    key: Option<&str>,
    explained: &TopicExplained,
    output: Output,
) -> Result<(), Failure> {
    output.line(&format!(
        "topic {topic}, revision {}, {} partitions",
        explained.revision, explained.partitions
    ))?;
    output.line(&format!("plugins: {}", show::chain(&explained.plugins)))?;
    match (&explained.placement, key) {
        (Some(placement), Some(key)) => {
            let leader =
                placement.leader.map_or("nobody at the moment".to_owned(), |node| format!("node {node}"));
            let isr = placement.isr.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            output.line(&format!(
                "a record with key '{key}' goes to partition {}, led by {leader} in epoch {}, in sync: {isr}",
                placement.partition, placement.leader_epoch
            ))?;
        }
        _ => output.line("pass --key K to see in which partition a record lands")?,
    }
    output.line(&promise(explained))
}

/// What an acknowledgement says.
fn promise(explained: &TopicExplained) -> String {
    let replicas = match explained.required_in_sync {
        1 => "1 replica".to_owned(),
        count => format!("at least {count} replicas in sync"),
    };
    let durable = if explained.write_caching {
        "written but perhaps not flushed (write.caching)"
    } else {
        "flushed to disk"
    };
    format!("with acks=all an acknowledged record is {durable} on {replicas}")
}
