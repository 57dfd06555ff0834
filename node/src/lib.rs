//! The Weir node: the shell around [`weir_core`], and the `weir` command line.
//!
//! The map is in `node/docs/ARCHITECTURE.md`.

pub mod admin;
pub mod check;
pub mod cli;
pub mod components;
pub mod controller;
pub mod groups;
pub mod handlers;
pub mod outside;
pub mod partitions;
pub mod pipelines;
pub mod plugins;
pub mod replication;
pub mod server;
pub mod storage;
pub mod transport;
pub mod watched;
