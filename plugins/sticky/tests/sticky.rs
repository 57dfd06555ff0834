//! Batches stay, then go on.

use weir_plugin::testing::{Binding, golden};
use weir_plugin_sticky::Sticky;

fn placed(options: &[(&str, &str)], producer: u64, ordinal: u64) -> u32 {
    let mut binding = Binding::of(options).partitions(4);
    binding.produced.producer_id = Some(producer);
    binding.produced.ordinal = ordinal;
    let placed = binding.partition::<Sticky>(&[None, None]).expect("the plugin answers");
    assert_eq!(placed[0], placed[1], "a batch is not split");
    placed[0]
}

#[test]
fn a_lane_goes_round_the_partitions_in_stretches() {
    let by_ordinal: Vec<_> = (0..13).map(|ordinal| placed(&[("batches", "3")], 2, ordinal)).collect();
    assert_eq!(by_ordinal, [2, 2, 2, 3, 3, 3, 0, 0, 0, 1, 1, 1, 2]);
}

#[test]
fn producers_start_in_different_partitions() {
    let by_producer: Vec<_> = (0..5).map(|producer| placed(&[], producer, 15)).collect();
    assert_eq!(by_producer, [0, 1, 2, 3, 0]);
}

#[test]
fn golden() {
    let answers = golden::partitioner::<Sticky>(include_str!("../golden/keys.ndjson"));
    expect_test::expect_file!["../golden/keys.out"].assert_eq(&answers);
}
