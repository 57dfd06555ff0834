//! The plugin and the client's own rule are one.

use weir_plugin::testing::{Binding, golden};
use weir_plugin_hash::Hash;
use weir_wire::ids::ProducerId;
use weir_wire::placement;

#[test]
fn keys_go_where_clients_expect_them() {
    let mut random = fastrand::Rng::with_seed(1);
    for partitions in [1, 2, 3, 12, 1000] {
        let keys: Vec<Vec<u8>> = (0..600).map(|length| vec_of(&mut random, length)).collect();
        let keys: Vec<_> = keys.iter().map(|key| Some(key.as_slice())).collect();
        let placed = Binding::default().partitions(partitions).partition::<Hash>(&keys).unwrap();
        let expected = keys.iter().flatten().map(|key| placement::of_key(key, partitions).0);
        assert_eq!(placed, expected.collect::<Vec<_>>());
    }
}

fn vec_of(random: &mut fastrand::Rng, length: usize) -> Vec<u8> {
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

#[test]
fn unkeyed_batches_go_where_clients_expect_them() {
    for (producer_id, ordinal) in [(None, 0), (Some(7), 8), (Some(u64::MAX), 3)] {
        let mut binding = Binding::default().partitions(5);
        binding.produced.producer_id = producer_id;
        binding.produced.ordinal = ordinal;
        let placed = binding.partition::<Hash>(&[None, None]).unwrap();
        let producer = ProducerId(producer_id.unwrap_or_default());
        assert_eq!(placed, [placement::of_batch(producer, ordinal, 5).0; 2]);
        binding.produced.guess = Some(4);
        assert_eq!(binding.partition::<Hash>(&[None]).unwrap(), [4]);
    }
}

#[test]
fn golden() {
    let answers = golden::partitioner::<Hash>(include_str!("../golden/keys.ndjson"));
    expect_test::expect_file!["../golden/keys.out"].assert_eq(&answers);
}
