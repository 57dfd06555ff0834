//! The plugin host, driven as the node drives it: with guests that pass everything through, and with guests that try
//! what they can.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

mod caching;
mod chains;
mod compiling;
mod hostile;
mod leftovers;
mod observing;
mod sandbox;
mod shares;
mod support;
