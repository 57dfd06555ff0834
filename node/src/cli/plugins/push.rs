//! `weir plugins push`: a component, made known to the cluster.

use std::path::PathBuf;

use weir_client::{Client, NewPlugin};

use crate::cli::files;
use crate::cli::output::{Done, Exit, Output, grouped};
use crate::plugins::COMPONENT_BYTES_MAX;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The component (.wasm), or a core module that says which world it implements
    file: PathBuf,
    /// Its name
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Its version: a name and version stand for the same bytes for good
    #[arg(long, value_name = "V")]
    version: String,
    /// Grant an empty WASI to a language runtime that cannot do without
    #[arg(long, value_name = "wasi", value_parser = ["wasi"])]
    allow: Option<String>,
    /// One instance serves many batches: for runtimes that start slowly. Try it with `weir plugins test --reuse` first:
    /// one that remembers what it saw is not staged
    #[arg(long)]
    reuse: bool,
}

pub(super) async fn run(args: Args, client: &Client, output: Output) -> Done {
    let file = files::read_bytes(&args.file, COMPONENT_BYTES_MAX as u64)?;
    let plugin = NewPlugin {
        name: args.name.clone(),
        version: args.version.clone(),
        wasi: args.allow.is_some(),
        reuse: args.reuse,
        file,
    };
    let pushed = client.push_plugin(plugin).await?;
    let nodes: Vec<u32> = pushed.nodes.iter().map(|node| node.0).collect();
    output.line(&format!(
        "pushed {}@{}: {}, {} bytes, on {} nodes, digest {}",
        args.name,
        args.version,
        pushed.kind.name(),
        grouped(pushed.component_bytes),
        nodes.len(),
        pushed.digest
    ))?;
    output.result(&serde_json::json!({
        "name": args.name, "version": args.version, "digest": pushed.digest.to_string(),
        "kind": pushed.kind.name(), "shape": pushed.shape.name(), "bytes": pushed.component_bytes, "nodes": nodes,
    }))?;
    Ok(Exit::Success)
}
