//! What an entry node decides about a batch on its way to the partitions: what an interceptor's answer means, where
//! records go, how the batch is split, how the answers of the parts become the answer to the client, and what
//! happens when a plugin fails.

pub mod answer;
pub mod assignment;
pub mod budget;
pub mod dead_letters;
pub mod draft;
pub mod entry;
pub mod failing;
pub mod moving;
pub mod parts;
pub mod placing;
pub mod purity;
pub mod relapse;
pub mod shadow;
pub mod splitting;
pub mod throttle;
