//! `weir plugins logs`: what plugins write, as they write it.

use weir_client::{Client, NodeId, PluginLines};

use crate::cli::output::{Done, Failure, Output};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only lines about this topic
    topic: Option<String>,
    /// Only lines of this plugin
    #[arg(long, value_name = "NAME")]
    plugin: Option<String>,
    /// Follow until Ctrl-C; nodes keep no lines, so without it nothing would be shown
    #[arg(short, long, required = true)]
    follow: bool,
}

pub(super) async fn run(args: Args, client: &Client, output: Output) -> Done {
    let mut lines = client.follow_plugin_lines(args.topic, args.plugin).await?;
    output.note("following; Ctrl-C ends");
    while let Some((node, line)) = lines.next().await {
        show(node, &line, output)?;
    }
    Err(Failure::new("no node sends lines any more; is one of them up?"))
}

fn show(node: NodeId, line: &PluginLines, output: Output) -> Result<(), Failure> {
    match line {
        PluginLines::Line(line) => {
            let partition = line.partition.map(|partition| format!("-{partition}")).unwrap_or_default();
            output.line(&format!(
                "node {node} {} {}{partition} {}@{}: {}",
                line.level, line.topic, line.plugin, line.version, line.message
            ))?;
            output.result(&serde_json::json!({
                "node": node.0, "wall_ms": line.wall_ms, "level": line.level, "topic": line.topic,
                "partition": line.partition, "plugin": line.plugin, "version": line.version, "message": line.message,
            }))
        }
        PluginLines::Missed(count) => {
            output.note(&format!("node {node}: {count} lines were written faster than they could be shown"));
            Ok(())
        }
    }
}
