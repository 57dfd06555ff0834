//! Places records by what stands before a colon in their key, so that `customer-7:order-1` and `customer-7:order-2`
//! lie in one partition, in order. It has no options.

use weir_plugin::{Context, Keys, Partitioner, Produced, Result};

/// The partitioner.
pub struct Plugin {
    partitions: u32,
}

impl Partitioner for Plugin {
    fn configure(context: &Context) -> Result<Plugin> {
        context.options.allow(&[])?;
        Ok(Plugin { partitions: context.partitions })
    }

    fn partition(&mut self, batch: &Produced, keys: Keys<'_>) -> Result<Vec<u32>> {
        let unkeyed = batch.partition_without_key(self.partitions);
        let of_key = |key: &[u8]| {
            let group = key.split(|byte| *byte == b':').next().unwrap_or_default();
            fnv(group) % self.partitions
        };
        Ok(keys.map(|key| key.map_or(unkeyed, of_key)).collect())
    }
}

/// The FNV-1a hash: short enough to be written down here.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

weir_plugin::export!(Plugin as partitioner);

#[cfg(test)]
mod tests {
    use weir_plugin::testing::Binding;

    use super::*;

    #[test]
    fn orders_of_a_customer_lie_together() {
        let keys = ["customer-7:order-1", "customer-7:order-2", "customer-7"].map(|key| Some(key.as_bytes()));
        let placed = Binding::default().partitions(12).partition::<Plugin>(&keys).unwrap();
        assert!(placed.iter().all(|partition| *partition == placed[0]), "{placed:?}");
    }
}
