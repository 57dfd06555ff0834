//! Every byte that leaves a Weir process: what travels between processes and what lies on disk.
//!
//! This package knows nothing of sockets, files, runtimes or who leads what. It turns bytes into values and values
//! into bytes, checks every length, count and depth against a named limit before believing it, and never panics
//! on what a stranger sent.
//!
//! | module | what it holds |
//! |---|---|
//! | [`ids`] | the numbers and names shared by all parts |
//! | [`frame`] | length, header, payload: how anything stands on a stream |
//! | [`open`] | the first frame of each stream: its kind, its version |
//! | [`request`] | the control stream: one file per request kind |
//! | [`lane`] | the produce stream |
//! | [`fetch`] | the fetch stream and its credit |
//! | [`forward`] | appends and questions that nodes pass on for clients |
//! | [`replication`] | the streams between a follower and its leader |
//! | [`metadata`] | the metadata connection between nodes |
//! | [`batch`] | Kafka's RecordBatch v2 |
//! | [`group_log`] | the records of `__consumer_offsets` |
//! | [`error`] | error codes, and what a receiver may do about each |
//! | [`stored`] | postcard values on disk: version and checksum |
//! | [`names`] | which topic and client names are legal |
//! | [`placement`] | the default partitioner's rule |
//! | [`plugin`] | plugins' names, components and lines |

pub mod batch;
pub mod error;
pub mod fetch;
pub mod forward;
pub mod frame;
pub mod group_log;
pub mod ids;
pub mod lane;
pub mod metadata;
pub mod names;
pub mod open;
pub mod placement;
pub mod plugin;
pub mod replication;
pub mod request;
pub mod stored;
