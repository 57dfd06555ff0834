//! `weir plugins delete`: a version that no pipeline uses, forgotten.

use weir_client::{Client, DeletePlugin};

use crate::cli::output::{Done, Exit, Failure, Output};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The plugin, as NAME@VERSION
    #[arg(value_name = "NAME@V")]
    plugin: String,
}

pub(super) async fn run(args: Args, client: &Client, output: Output) -> Done {
    let Some((name, version)) = args.plugin.split_once('@') else {
        return Err(Failure::new(format!("say which version: {}@VERSION", args.plugin)));
    };
    client.delete_plugin(&DeletePlugin { name: name.to_owned(), version: version.to_owned() }).await?;
    output.line(&format!("deleted {}", args.plugin))?;
    output.result(&serde_json::json!({ "name": name, "version": version }))?;
    Ok(Exit::Success)
}
