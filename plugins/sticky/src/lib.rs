//! `sticky`: a producer's unkeyed batches stay in one partition for a while, then go on to the next.
//!
//! Kafka's sticky partitioning (KIP-480, KIP-794) counts bytes in the producer's memory. Here the batch's number in
//! its lane takes their place, since a batch that is sent again must go where it went before: partition
//! `(producer id + ordinal / batches) mod partitions`. A lane that guesses a partition is taken by its word, which is
//! cheapest.
//!
//! | option | default | meaning |
//! |---|---|---|
//! | `batches` | 16 | how many batches of a lane stay in a partition; at least 1 |
//! | `keys` | `hash` | `hash`: records with a key go where the plugin `hash` puts them. `ignore`: with their batch |
//!
//! With `keys=ignore` no batch is ever split, and records with equal keys are neither in one partition nor in order.

use weir_plugin::{Context, Error, Keys, Partitioner, Produced, Result};
use xxhash_rust::xxh3::xxh3_64;

/// The partitioner.
pub struct Sticky {
    partitions: u32,
    batches: u64,
    ignores_keys: bool,
}

impl Partitioner for Sticky {
    fn configure(context: &Context) -> Result<Sticky> {
        let options = &context.options;
        options.allow(&["batches", "keys"])?;
        let batches = options.parse("batches", 16)?;
        if batches == 0 {
            return Err(Error::new("option batches=0: at least 1"));
        }
        let ignores_keys = options.choice("keys", &["hash", "ignore"])? == "ignore";
        Ok(Sticky { partitions: context.partitions, batches, ignores_keys })
    }

    fn partition(&mut self, batch: &Produced, keys: Keys<'_>) -> Result<Vec<u32>> {
        let stretch = Produced { ordinal: batch.ordinal / self.batches, ..*batch };
        let current = stretch.partition_without_key(self.partitions);
        Ok(keys
            .map(|key| match key {
                Some(key) if !self.ignores_keys => of_key(key, self.partitions),
                _ => current,
            })
            .collect())
    }
}

fn of_key(key: &[u8], partitions: u32) -> u32 {
    u32::try_from(xxh3_64(key) % u64::from(partitions)).expect("a remainder is smaller than what it is of")
}

weir_plugin::export!(Sticky as partitioner);
