//! What an entry node decides about a batch on its way to the partitions: where its records go, how it is split,
//! and how the answers of the parts become the answer to the client.

pub mod entry;
pub mod placing;
pub mod splitting;
