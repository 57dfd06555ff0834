//! `hash`: the default partitioner as a plugin, for topics that leave another one and as a place to start from.
//!
//! A record with a key goes to partition `xxh3_64(key) mod partitions`, with seed 0; records without a key go where
//! the producer's lane guesses, else batch by batch round the partitions. It is exactly the rule by which the
//! client library chooses where to enter, so that batches of one partition keep their bytes.
//!
//! It has no options.

use weir_plugin::{Context, Keys, Partitioner, Produced, Result};
use xxhash_rust::xxh3::xxh3_64;

/// The partitioner.
pub struct Hash {
    partitions: u32,
}

impl Partitioner for Hash {
    fn configure(context: &Context) -> Result<Hash> {
        context.options.allow(&[])?;
        Ok(Hash { partitions: context.partitions })
    }

    fn partition(&mut self, batch: &Produced, keys: Keys<'_>) -> Result<Vec<u32>> {
        let unkeyed = batch.partition_without_key(self.partitions);
        Ok(keys.map(|key| key.map_or(unkeyed, |key| of_key(key, self.partitions))).collect())
    }
}

fn of_key(key: &[u8], partitions: u32) -> u32 {
    u32::try_from(xxh3_64(key) % u64::from(partitions)).expect("a remainder is smaller than what it is of")
}

weir_plugin::export!(Hash as partitioner);
