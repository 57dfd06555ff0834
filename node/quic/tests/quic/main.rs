//! Endpoints, certificates and framed streams on real loopback sockets.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test's own helpers may fail, and touch files"
)]

mod certs;
mod framing;
mod handshake;
mod support;
mod transport;
