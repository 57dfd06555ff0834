//! The client against a node that fails on demand: real QUIC on loopback, no real node.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod connecting;
mod consuming;
mod fake;
mod producing;
