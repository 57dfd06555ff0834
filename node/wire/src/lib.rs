//! Every byte that leaves a Weir process: what travels between processes and what lies on disk.
//!
//! This package knows nothing of sockets, files, runtimes or who leads what. It turns bytes into values and values
//! into bytes, checks every length, count and depth against a named limit before believing it, and never panics
//! on what a stranger sent.

pub mod batch;
pub mod ids;
