//! What the machine gives without Weir: bare quinn and bare files, for Weir's figures to stand beside.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use weir_tests::bare::{self, Settings};

/// Measures bare quinn between two processes on loopback, and bare files; prints one JSON object.
#[derive(Parser)]
#[command(name = "weir-bare")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One stream, as many bytes as go.
    Bulk {
        /// How quinn is set.
        #[arg(long, value_enum, default_value_t = Settings::Tuned)]
        settings: Settings,
        /// How long.
        #[arg(long, value_name = "S", default_value_t = 3.0)]
        seconds: f64,
    },
    /// One request at a time on one stream.
    PingPong {
        /// How quinn is set.
        #[arg(long, value_enum, default_value_t = Settings::Tuned)]
        settings: Settings,
        /// How long.
        #[arg(long, value_name = "S", default_value_t = 3.0)]
        seconds: f64,
        /// Bytes of a request; an answer has 64.
        #[arg(long, value_name = "N", default_value_t = 64)]
        bytes: usize,
    },
    /// Appends to a file and syncs it, one write after the other.
    Disk {
        /// Where the file is made.
        #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
        folder: PathBuf,
        /// Bytes of a write.
        #[arg(long, value_name = "N", default_value_t = 4096)]
        bytes: usize,
        /// How long.
        #[arg(long, value_name = "S", default_value_t = 3.0)]
        seconds: f64,
    },
    /// The other end of the first two, which they start themselves.
    #[command(hide = true)]
    Serve {
        #[arg(long, value_enum)]
        settings: Settings,
    },
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Bulk { settings, seconds } => bare::quic::bulk(settings, seconds),
        Command::PingPong { settings, seconds, bytes } => bare::quic::ping_pong(settings, seconds, bytes),
        Command::Disk { folder, bytes, seconds } => bare::disk::append_and_sync(&folder, bytes, seconds),
        Command::Serve { settings } => bare::quic::serve(settings).map(|()| serde_json::Value::Null),
    };
    match outcome {
        Ok(serde_json::Value::Null) => ExitCode::SUCCESS,
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("weir-bare: {error}");
            ExitCode::FAILURE
        }
    }
}
