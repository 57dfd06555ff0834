//! Kafka's own vectors (its `UtilsTest`), and the partitions that follow from them.

use weir_plugin::testing::{Binding, golden};
use weir_plugin_murmur2::{Murmur2, murmur2};

const VECTORS: [(&str, i32, [u32; 3]); 5] = [
    ("21", -973_932_308, [0, 0, 0]),
    ("foobar", -790_332_482, [0, 0, 6]),
    ("a-little-bit-long-string", -985_981_536, [2, 2, 8]),
    ("a-little-bit-longer-string", -1_486_304_829, [2, 5, 11]),
    ("abc", 479_470_107, [0, 3, 3]),
];

#[test]
fn hashes_are_those_of_kafka() {
    for (key, hash, _) in VECTORS {
        assert_eq!(murmur2(key.as_bytes()).cast_signed(), hash, "{key}");
    }
    assert_eq!(murmur2(b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8").cast_signed(), -58_897_971);
    assert_eq!(murmur2(b"").cast_signed(), 275_646_681);
}

#[test]
fn partitions_are_those_of_kafka() {
    let keys = VECTORS.map(|(key, ..)| Some(key.as_bytes()));
    for (at, partitions) in [3, 6, 12].into_iter().enumerate() {
        let placed = Binding::default().partitions(partitions).partition::<Murmur2>(&keys).unwrap();
        assert_eq!(placed, VECTORS.map(|(.., expected)| expected[at]), "{partitions} partitions");
    }
}

#[test]
fn golden() {
    let answers = golden::partitioner::<Murmur2>(include_str!("../golden/keys.ndjson"));
    expect_test::expect_file!["../golden/keys.out"].assert_eq(&answers);
}
