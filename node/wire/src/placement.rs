//! The default partitioner's rule, which clients may compute beforehand to enter at the right leader; and which
//! partition of `__consumer_offsets` a group belongs to.
//!
//! With a key: `xxh3_64(key, seed 0) mod partitions`. Without one: the partition that the lane guesses, if it does,
//! else `(producer id + batch ordinal) mod partitions`, which spreads batches without state.

use xxhash_rust::xxh3::xxh3_64;

use crate::ids::{PartitionIndex, ProducerId};

/// The partition of a keyed record under the default partitioner.
///
/// # Panics
/// If `partitions` is 0: no topic has none.
#[must_use]
pub fn of_key(key: &[u8], partitions: u32) -> PartitionIndex {
    assert!(partitions > 0, "a topic has at least one partition");
    remainder(xxh3_64(key), partitions)
}

/// The partition of an unkeyed batch whose lane guesses none, under the default partitioner.
///
/// # Panics
/// If `partitions` is 0: no topic has none.
#[must_use]
pub fn of_batch(producer: ProducerId, ordinal: u64, partitions: u32) -> PartitionIndex {
    assert!(partitions > 0, "a topic has at least one partition");
    remainder(producer.0.wrapping_add(ordinal), partitions)
}

/// The partition of `__consumer_offsets` whose leader coordinates a group.
///
/// # Panics
/// If `partitions` is 0: no topic has none.
#[must_use]
pub fn coordinator_of(group: &str, partitions: u32) -> PartitionIndex {
    of_key(group.as_bytes(), partitions)
}

#[expect(clippy::cast_possible_truncation, reason = "a remainder by a u32 fits a u32")]
fn remainder(number: u64, partitions: u32) -> PartitionIndex {
    PartitionIndex((number % u64::from(partitions)) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers that the `hash` plugin and clients in other languages must reproduce; they agree with the
    /// reference implementation of xxHash (checked with the Python package `xxhash`).
    #[test]
    fn keys_have_fixed_partitions() {
        let placed: Vec<_> = ["", "a", "uw", "foobar", "a-little-bit-long-string"]
            .map(|k| of_key(k.as_bytes(), 12).0)
            .to_vec();
        assert_eq!(placed, [10, 7, 11, 8, 4]);
        assert_eq!(of_batch(ProducerId(7), 8, 4), PartitionIndex(3));
    }
}
