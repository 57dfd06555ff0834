//! The command line: one file or folder per command, and what they share.
//!
//! | module | what it holds |
//! |---|---|
//! | [`Cli`] | the commands and the flags that all of them take |
//! | `global` | those flags, and connecting with them |
//! | `output` | who gets which line: results on stdout, everything else on stderr |
//! | `progress` | progress on a terminal, silence in a pipe |
//! | `signals` | Ctrl-C and SIGTERM |
//! | `files` | the door to the machine's files |
//! | `child` | nodes of a command's own |
//! | `text` | bytes of records as JSON |
//!
//! Exit codes: 0 done; 1 something failed, as a sentence on stderr says; 2 the command line itself is wrong; 130
//! interrupted by Ctrl-C or SIGTERM before it was done.
//!
//! What does not exist here: a rule of its own. What nodes and clients promise is decided in their packages.

mod bench;
mod certs;
mod check;
mod child;
mod cluster;
mod consume;
mod demo;
mod explain;
mod files;
mod global;
mod groups;
mod log;
mod node;
mod output;
mod plugins;
mod produce;
mod progress;
mod signals;
mod text;
mod topics;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use global::Global;
use output::{Done, Output};

/// A partitioned, durable log over QUIC. Start with `weir demo`.
///
/// In one terminal `weir node`, in another `weir topics create quakes`,
/// `weir produce quakes --input FILE` and `weir consume quakes --from-beginning`: no further flags are needed.
#[derive(Debug, Parser)]
#[command(name = "weir", version, arg_required_else_help = true, disable_help_subcommand = true)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The whole story: three nodes, a million events, three kill -9, nothing lost
    Demo(demo::Args),
    /// Run a node until SIGTERM or Ctrl-C
    Node(node::Args),
    /// Create, list, describe, alter and delete topics
    Topics(topics::Args),
    /// Send the lines of a file or of standard input, one record a line
    Produce(produce::Args),
    /// Print the records of a topic
    Consume(consume::Args),
    /// See how far groups have come and who reads what; move them, choose their assignors
    Groups(groups::Args),
    /// Write, try, push, bind and watch plugins
    Plugins(plugins::Args),
    /// Say what would become of a record: plugins, partition, leader, promise
    Explain(explain::Args),
    /// See how the cluster is; elect leaders, move replicas, drain nodes
    Cluster(cluster::Args),
    /// Make and show certificates of the cluster's own authority
    Certs(certs::Args),
    /// Look into the files of a log, offline
    Log(log::Args),
    /// Check what clients did and were told against what Weir promises
    Check(check::Args),
    /// Measure a node: records and megabytes a second, times, CPU seconds
    Bench(bench::Args),
}

impl Cli {
    /// Starts the log, on stderr. `WEIR_LOG` overrides what is logged, in the syntax of tracing's `EnvFilter`.
    pub fn start_logging(&self) {
        let quiet = match self.command {
            Command::Node(_) => "info",
            _ => "error",
        };
        let level = match self.global.verbose {
            0 => quiet,
            1 => "info",
            2 => "debug",
            _ => "trace",
        };
        // The controller says what matters of consensus; openraft repeats each failed request at level error.
        let consensus = if self.global.verbose > 2 { "" } else { ",openraft=off" };
        let filter = EnvFilter::try_from_env("WEIR_LOG")
            .unwrap_or_else(|_| EnvFilter::new(format!("{level}{consensus}")));
        // Colours are for people: a file or a pipe gets plain lines.
        let colours = std::io::stderr().is_terminal();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_ansi(colours)
            .with_writer(std::io::stderr)
            .init();
    }

    /// Runs the command and says what went wrong, if anything did.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let output = Output::new(self.global.output);
        // One thread is enough for a client, and what a node's main thread must be.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let outcome = match runtime {
            Ok(runtime) => {
                let outcome = runtime.block_on(self.dispatch(output));
                // What still blocks, such as a read of a terminal, does not hold up the end.
                runtime.shutdown_background();
                outcome
            }
            Err(error) => Err(error.into()),
        };
        output.exit_code(outcome)
    }

    async fn dispatch(self, output: Output) -> Done {
        let Cli { global, command } = self;
        match command {
            Command::Demo(args) => demo::run(&args, output).await,
            Command::Node(args) => node::run(args, &global, output).await,
            Command::Topics(args) => topics::run(args, &global, output).await,
            Command::Produce(args) => produce::run(args, &global, output).await,
            Command::Consume(args) => consume::run(args, &global, output).await,
            Command::Groups(args) => groups::run(args, &global, output).await,
            Command::Plugins(args) => plugins::run(args, &global, output).await,
            Command::Explain(args) => explain::run(args, &global, output).await,
            Command::Cluster(args) => cluster::run(args, &global, output).await,
            Command::Certs(args) => certs::run(args, &global, output),
            Command::Log(args) => log::run(args, &global, output).await,
            Command::Check(args) => check::run(&args, output),
            Command::Bench(args) => bench::run(args, &global, output).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn help_fits_a_page() {
        let help = Cli::command().render_help().to_string();
        assert!(help.lines().count() <= 40, "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    }
}
