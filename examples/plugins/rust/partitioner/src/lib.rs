//! The partitioner of `examples/plugins`, in Rust: a key goes to `xxh3_64(key) mod partitions`. `examples/plugins/README.md`
//! says what all languages do.

use weir_plugin::{Context, Keys, Partitioner, Produced, Result};
use xxhash_rust::xxh3::xxh3_64;

/// The partitioner.
pub struct ByKey {
    partitions: u32,
}

impl Partitioner for ByKey {
    fn configure(context: &Context) -> Result<ByKey> {
        context.options.allow(&[])?;
        Ok(ByKey { partitions: context.partitions })
    }

    fn partition(&mut self, batch: &Produced, keys: Keys<'_>) -> Result<Vec<u32>> {
        let unkeyed = batch.partition_without_key(self.partitions);
        Ok(keys.map(|key| key.map_or(unkeyed, |key| self.of_key(key))).collect())
    }
}

impl ByKey {
    #[expect(clippy::cast_possible_truncation, reason = "a remainder by a u32 fits a u32")]
    fn of_key(&self, key: &[u8]) -> u32 {
        (xxh3_64(key) % u64::from(self.partitions)) as u32
    }
}

weir_plugin::export!(ByKey as partitioner);

#[cfg(test)]
mod tests {
    use weir_plugin::testing::Binding;

    use super::*;

    /// The vectors of the client library.
    #[test]
    fn keys_go_where_clients_expect_them() {
        let keys = ["", "a", "uw", "foobar", "a-little-bit-long-string"].map(|key| Some(key.as_bytes()));
        let placed = Binding::default().partitions(12).partition::<ByKey>(&keys).unwrap();
        assert_eq!(placed, [10, 7, 11, 8, 4]);
    }

    #[test]
    fn records_without_a_key_go_where_the_producer_guesses() {
        let mut binding = Binding::default().partitions(4);
        binding.produced.ordinal = 8;
        assert_eq!(binding.partition::<ByKey>(&[None, None]).unwrap(), [3, 3]);
        binding.produced.guess = Some(2);
        assert_eq!(binding.partition::<ByKey>(&[None]).unwrap(), [2]);
    }
}
