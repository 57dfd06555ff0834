//! `murmur2`: records with a key go where Kafka's producers put them.
//!
//! `(murmur2(key) & 0x7fffffff) mod partitions`, over all partitions. A topic that was copied from Kafka, or is joined
//! with one that was, keeps its placement. Records without a key go where the producer's lane guesses, else batch by
//! batch round the partitions.
//!
//! It has no options.

use weir_plugin::{Context, Keys, Partitioner, Produced, Result};

/// The partitioner.
pub struct Murmur2 {
    partitions: u32,
}

impl Partitioner for Murmur2 {
    fn configure(context: &Context) -> Result<Murmur2> {
        context.options.allow(&[])?;
        Ok(Murmur2 { partitions: context.partitions })
    }

    fn partition(&mut self, batch: &Produced, keys: Keys<'_>) -> Result<Vec<u32>> {
        let unkeyed = batch.partition_without_key(self.partitions);
        Ok(keys.map(|key| key.map_or(unkeyed, |key| of_key(key, self.partitions))).collect())
    }
}

/// Kafka takes the sign away by a mask, not by the absolute value.
fn of_key(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// Austin Appleby's MurmurHash2, 32 bit, with the seed that Kafka chose.
#[must_use]
pub fn murmur2(bytes: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    const R: u32 = 24;

    let (words, rest) = bytes.as_chunks::<4>();
    #[expect(clippy::cast_possible_truncation, reason = "the reference counts in 32 bits")]
    let mut hash = SEED ^ bytes.len() as u32;
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> R;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        let mut tail = [0; 4];
        tail[..rest.len()].copy_from_slice(rest);
        hash = (hash ^ u32::from_le_bytes(tail)).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

weir_plugin::export!(Murmur2 as partitioner);
