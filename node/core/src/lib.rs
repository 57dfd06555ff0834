//! Every decision of a Weir node, and no IO.
//!
//! This package depends on nothing that can touch a file, a socket, a clock or a runtime, so what it decides can be
//! replayed. Time comes in as [`time::Now`], things that happened come in as inputs, things to do go out as effects.

pub mod config_keys;
pub mod group;
pub mod metadata;
pub mod node_config;
pub mod partition;
pub mod pipeline;
pub mod time;
pub mod topic_config;
