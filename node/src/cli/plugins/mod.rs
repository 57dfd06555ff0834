//! `weir plugins`: plugins from their author's first line to a node.

mod activate;
pub(super) mod bind;
mod delete;
mod group_file;
mod kit;
mod list;
mod logs;
mod new;
mod push;
mod records;
mod redrive;
mod shadow;
pub(super) mod show;
mod status;
mod test;
mod trial;

use clap::Subcommand;

use super::global::Global;
use super::output::{Done, Exit, Output};
use super::signals::Interrupts;

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
    /// Make a component known to the cluster, under a name and a version
    Push(push::Args),
    /// List the plugins that can be bound, those that ship too
    List,
    /// Change a topic's plugins: made ready on every node, then put in force between two batches
    Bind(bind::Args),
    /// As bind, but only have them made ready
    Stage(bind::Args),
    /// Have staged plugins see live records beside those in force, and show what they would do differently
    Shadow(shadow::Args),
    /// Put staged plugins in force
    Activate(activate::ActivateArgs),
    /// Go back to the plugins before the last activation
    Rollback(activate::RollbackArgs),
    /// Show which plugins are in force, from which offset on, and what they did
    Status(status::Args),
    /// Show what plugins write
    Logs(logs::Args),
    /// Send records again that a plugin failed on
    Redrive(redrive::Args),
    /// Forget a version that no topic uses
    Delete(delete::Args),
}

pub(super) async fn run(args: Args, global: &Global, output: Output) -> Done {
    match args.command {
        PluginsCommand::New(args) => new::run(&args, output),
        PluginsCommand::Test(args) => test::run(args, output).await,
        command => {
            let mut interrupts = Interrupts::listen()?;
            tokio::select! {
                done = ask(command, global, output) => done,
                () = interrupts.next() => Ok(Exit::Interrupted),
            }
        }
    }
}

/// What a node is needed for.
async fn ask(command: PluginsCommand, global: &Global, output: Output) -> Done {
    let client = global.connect(output).await?;
    let exit = match command {
        PluginsCommand::Push(args) => push::run(args, &client, output).await?,
        PluginsCommand::List => list::run(&client, output).await?,
        PluginsCommand::Bind(args) => bind::run(args, &client, output, false).await?,
        PluginsCommand::Stage(args) => bind::run(args, &client, output, true).await?,
        PluginsCommand::Shadow(args) => shadow::run(args, &client, output).await?,
        PluginsCommand::Activate(args) => activate::activate(args, &client, output).await?,
        PluginsCommand::Rollback(args) => activate::roll_back(args, &client, output).await?,
        PluginsCommand::Status(args) => status::run(args, &client, output).await?,
        PluginsCommand::Redrive(args) => redrive::run(args, &client, output).await?,
        PluginsCommand::Logs(args) => logs::run(args, &client, output).await?,
        PluginsCommand::Delete(args) => delete::run(args, &client, output).await?,
        PluginsCommand::New(_) | PluginsCommand::Test(_) => Exit::Success,
    };
    client.close().await;
    Ok(exit)
}
