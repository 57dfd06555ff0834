//! `weir plugins`: plugins from their author's first line to a node.

mod group_file;
mod new;
mod records;
mod test;
mod trial;

use clap::Subcommand;

use super::output::{Done, Output};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: PluginsCommand,
}

#[derive(Debug, Subcommand)]
enum PluginsCommand {
    /// Write a project for a new plugin in Rust: it builds, does something, and has a test
    New(new::Args),
    /// Run a component on records, twice, under a node's limits, without a node
    Test(test::Args),
}

pub(super) async fn run(args: Args, output: Output) -> Done {
    match args.command {
        PluginsCommand::New(args) => new::run(&args, output),
        PluginsCommand::Test(args) => test::run(args, output).await,
    }
}
