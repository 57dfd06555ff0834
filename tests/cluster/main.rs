//! The command line and the node as their users run them: real processes, real QUIC, real disks. See
//! `tests/README.md`.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]
#![expect(clippy::disallowed_methods, reason = "the tests write inputs and look at files as a person would")]

mod benches;
mod bursts;
mod certificates;
mod checking;
mod compaction;
mod configs;
mod damage;
mod delete_records;
mod delivery;
mod exactly_once;
mod examples;
mod full_disk;
mod group_assignors;
mod group_churn;
mod group_clients;
mod group_commands;
mod group_log;
mod group_members;
mod group_support;
mod groups;
mod interrupt;
mod kill9;
mod leaders;
mod lost_majority;
mod membership;
mod plugin_authors;
mod plugins;
mod quorum;
mod reassigning;
mod redrive;
mod refusals;
mod roundtrip;
mod shadows;
mod signals;
mod successors;
mod swaps;
mod terminals;
mod three_nodes;
mod topics;
mod torture;
mod upkeep;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use weir_tests::process::{Node, Weir, free_address};

/// The program under test.
const PROGRAM: &str = env!("CARGO_BIN_EXE_weir-under-test");
/// A week of real earthquakes, a JSON object a line.
const EARTHQUAKES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/earthquakes.ndjson");

/// A node on a folder of its own, and room beside it for what a test needs.
struct Place {
    // Before the folder, so that the process is gone when its files go.
    node: Node,
    weir: Weir,
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        Place::at(any_port())
    }

    /// On a port that is still free when the node comes back.
    fn that_restarts() -> Place {
        Place::at(free_address())
    }

    fn at(listen: SocketAddr) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let node = weir().node(&folder.path().join("data"), listen);
        let weir = node.client();
        Place { node, weir, folder }
    }

    /// A path in the folder.
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file with these bytes; returns its path as an argument.
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        text(&path)
    }

    fn create(&self, topic: &str, flags: &[&str]) {
        self.weir.run(&[&["topics", "create", topic], flags].concat()).ok();
    }

    /// All values of a topic, each with a newline.
    fn stored(&self, topic: &str) -> Vec<u8> {
        self.weir.run(&["consume", topic, "--from-beginning", "--until-end"]).ok().stdout
    }

    /// Requires that the node does its work, whatever was asked of it before.
    fn assert_serves(&self) {
        assert!(self.node.process().is_running(), "the node ended");
        let name = "still-serving";
        self.create(name, &[]);
        self.weir.run_with_input(&["produce", name], b"a record\n").ok();
        assert_eq!(self.stored(name), b"a record\n");
    }
}

/// How much a test is to do, from an environment variable.
fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is a whole number, not '{text}'")))
}

fn weir() -> Weir {
    Weir::new(PROGRAM)
}

fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn text(path: &Path) -> String {
    path.to_str().expect("temporary folders have plain names").to_owned()
}
