//! A client that breaks the protocol, against a real node process: in each case it is told, by a typed error or a code
//! with a sentence; the node lives, serves others, and takes no memory by a number that a stranger chose.
//!
//! The client is made of the frames of `weir_quic` and the messages of `weir_wire` alone: the real client library
//! does not break the protocol, even when asked to.

#![allow(clippy::unwrap_used, reason = "a helper that panics fails its test")]

mod batches;
mod bombs;
mod fetching;
mod floods;
mod groups;
mod handshakes;
mod lanes;
mod requests;
mod streams;
mod support;
