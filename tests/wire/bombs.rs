//! Small batches that unpack to large ones.

use bytes::Bytes;
use weir_wire::batch::{BatchBuilder, Compression};
use weir_wire::error::ErrorCode;
use weir_wire::ids::ProducerId;

use crate::support::{Lane, assert_grew_less, attack, batch, is_stored, stamp};

/// What the node may grow by for unpacking one batch after the other, whatever they claim.
const GROWTH_MIB_MAX: u64 = 200;

/// A batch of one record of zeros.
fn zeros(producer: ProducerId, codec: Compression, mebibytes: usize) -> Bytes {
    let mut builder = BatchBuilder::new(codec);
    builder.push(0, None, Some(&vec![0; mebibytes << 20]), &[]);
    builder.finish(Some(stamp(producer, 0)))
}

/// A good batch's header over other packed records.
fn packed_as(producer: ProducerId, codec: Compression, packed: &[u8]) -> Bytes {
    let whole = zeros(producer, codec, 0);
    let mut bytes = [&whole[..61], packed].concat();
    let length = i32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc_fast::crc32_iscsi(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}

async fn goes_on(lane: &mut Lane, ordinal: u64) {
    lane.send(ordinal, batch(lane.producer, 0, 1)).await;
    assert!(is_stored(&lane.answer().await));
}

#[test]
fn a_bomb_of_every_codec_that_can_be_one_is_refused() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let before = target.node.resident_bytes();
        for codec in [Compression::Gzip, Compression::Lz4, Compression::Zstd] {
            let mut lane = client.lane(&topic).await;
            for (ordinal, mebibytes) in [(0, 40), (1, 100)] {
                let bomb = zeros(lane.producer, codec, mebibytes);
                assert!(bomb.len() < 1 << 20, "{codec}: {} bytes are no bomb", bomb.len());
                assert_eq!(lane.failed(ordinal, bomb).await, ErrorCode::DecompressionLimit, "{codec}");
            }
            goes_on(&mut lane, 2).await;
        }
        assert_grew_less(&target.node, before, GROWTH_MIB_MAX);
    });
}

#[test]
fn a_packed_length_that_lies_is_not_believed() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let mut lane = client.lane(&topic).await;
        let before = target.node.resident_bytes();
        let four_gib = [0xff, 0xff, 0xff, 0xff, 0x0f];
        let lies: [(Compression, Vec<u8>); 5] = [
            (Compression::Snappy, [&four_gib[..], &[0, 0]].concat()),
            // As the Java library frames it: a block that claims 2 GiB.
            (
                Compression::Snappy,
                [&b"\x82SNAPPY\0"[..], &[0, 0, 0, 1, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff], &four_gib].concat(),
            ),
            // An lz4 frame with blocks of 4 MiB, whose first claims 2 GiB.
            (Compression::Lz4, vec![0x04, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73, 0xff, 0xff, 0xff, 0x7f, 0]),
            // A zstd frame that claims a window of 3.75 TiB.
            (Compression::Zstd, vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x01, 0x00, 0x00]),
            (Compression::Gzip, vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ];
        let count = lies.len() as u64;
        for (ordinal, (codec, packed)) in (0..).zip(lies) {
            let code = lane.failed(ordinal, packed_as(lane.producer, codec, &packed)).await;
            let expected = [ErrorCode::CorruptBatch, ErrorCode::DecompressionLimit];
            assert!(expected.contains(&code), "{codec}: {code}");
        }
        goes_on(&mut lane, count).await;
        assert_grew_less(&target.node, before, 60);
    });
}

#[test]
fn a_million_empty_records_are_too_many_or_quickly_counted() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let mut lane = client.lane(&topic).await;
        let before = target.node.resident_bytes();
        let mut builder = BatchBuilder::new(Compression::Zstd);
        for _ in 0..1_500_000 {
            builder.push(0, None, None, &[]);
        }
        let many = builder.finish(Some(stamp(lane.producer, 0)));
        let code = lane.failed(0, many).await;
        assert!(matches!(code, ErrorCode::DecompressionLimit | ErrorCode::MessageTooLarge), "{code}");
        goes_on(&mut lane, 1).await;
        assert_grew_less(&target.node, before, GROWTH_MIB_MAX);
    });
}
