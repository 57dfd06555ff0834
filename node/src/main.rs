//! The `weir` program: reads the command line, starts the log, runs the command.

use std::process::ExitCode;

use clap::Parser;
use weir_node::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    cli.start_logging();
    cli.run()
}
