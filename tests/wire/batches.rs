//! Batches that no producer should send, on a lane that goes on behind them.

use bytes::Bytes;
use weir_quic::StreamCode;
use weir_wire::batch::control::{RevisionMarker, encode_revision};
use weir_wire::batch::{BatchBuilder, Compression};
use weir_wire::error::ErrorCode;
use weir_wire::ids::{ProducerId, Revision};
use weir_wire::lane::{LaneBatch, LaneOpen};

use crate::support::{Lane, attack, batch, is_stored, stamp, stopped};

/// Where the header's fields begin; see `weir_wire::batch`.
const LENGTH: usize = 8;
const CRC: usize = 17;
const COVERED: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const RECORD_COUNT: usize = 57;

/// The batch with some bytes replaced and its checksum put right.
fn changed(batch: &[u8], at: usize, bytes: &[u8]) -> Bytes {
    let mut batch = batch.to_vec();
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = crc_fast::crc32_iscsi(&batch[COVERED..]);
    batch[CRC..COVERED].copy_from_slice(&crc.to_be_bytes());
    batch.into()
}

/// The lane takes a good batch: what was refused before left no mark.
async fn goes_on(lane: &mut Lane, ordinal: u64) {
    lane.send(ordinal, batch(lane.producer, 0, 2)).await;
    let answer = lane.answer().await;
    assert!(is_stored(&answer), "{answer:?}");
}

#[test]
fn every_flipped_bit_of_a_batch_is_noticed() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let mut lane = client.lane(&topic).await;
        let good = batch(lane.producer, 0, 1);
        let mut ordinal = 0;
        // Base offset and leader epoch are the leader's to write: what a producer put there does not count.
        let ours = (LENGTH..12).chain(16..good.len());
        for byte in ours {
            let mut bad = good.to_vec();
            bad[byte] ^= 1 << (byte % 8);
            let code = lane.failed(ordinal, bad.into()).await;
            let expected =
                [ErrorCode::CorruptBatch, ErrorCode::MessageTooLarge, ErrorCode::DecompressionLimit];
            assert!(expected.contains(&code), "byte {byte}: {code}");
            ordinal += 1;
        }
        goes_on(&mut lane, ordinal).await;
    });
}

#[test]
fn what_is_no_batch_is_refused() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let mut lane = client.lane(&topic).await;
        let good = batch(lane.producer, 0, 3);
        let more = |by: i32| (i32::try_from(good.len() - 12).unwrap() + by).to_be_bytes();
        let no_batches = [
            Bytes::new(),
            Bytes::from_static(b"x"),
            good.slice(..60),
            good.slice(..good.len() - 1),
            [&good[..], &good[..]].concat().into(),
            changed(&good, LENGTH, &more(1)),
            changed(&good, LENGTH, &more(-1)),
            changed(&good, LENGTH, &i32::MAX.to_be_bytes()),
            changed(&good, LENGTH, &(-1_i32).to_be_bytes()),
            changed(&good, RECORD_COUNT, &4_i32.to_be_bytes()),
            changed(&good, RECORD_COUNT, &2_i32.to_be_bytes()),
            changed(&good, RECORD_COUNT, &0_i32.to_be_bytes()),
            changed(&good, RECORD_COUNT, &i32::MAX.to_be_bytes()),
            changed(&good, RECORD_COUNT, &(-1_i32).to_be_bytes()),
            changed(&good, LAST_OFFSET_DELTA, &9_i32.to_be_bytes()),
            changed(&good, LAST_OFFSET_DELTA, &i32::MAX.to_be_bytes()),
            // The first record claims to be as long as can be.
            changed(&good, 61, &[0xff, 0xff, 0xff]),
            Bytes::from(vec![0; 1000]),
        ];
        let count = no_batches.len() as u64;
        for (ordinal, bad) in (0..).zip(no_batches) {
            let code = lane.failed(ordinal, bad).await;
            let expected =
                [ErrorCode::CorruptBatch, ErrorCode::MessageTooLarge, ErrorCode::DecompressionLimit];
            assert!(expected.contains(&code), "batch {ordinal}: {code}");
        }
        goes_on(&mut lane, count).await;
    });
}

#[test]
fn a_batch_of_another_producer_than_its_lanes_is_refused() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let mut lane = client.lane(&topic).await;
        let other = ProducerId(lane.producer.0 + 1);
        assert_eq!(lane.failed(0, batch(other, 0, 1)).await, ErrorCode::InvalidRequest);
        let mut nobody = BatchBuilder::new(Compression::None);
        nobody.push(0, None, Some(b"x"), &[]);
        assert_eq!(lane.failed(1, nobody.finish(None)).await, ErrorCode::InvalidRequest);
        let mut later = stamp(lane.producer, 0);
        later.epoch.0 += 1;
        nobody.push(0, None, Some(b"x"), &[]);
        assert_eq!(lane.failed(2, nobody.finish(Some(later))).await, ErrorCode::InvalidRequest);
        goes_on(&mut lane, 3).await;

        let anonymous = LaneOpen { producer: None, ..client.lane_open(&topic).await };
        let mut anonymous = client.lane_as(&anonymous).await.unwrap();
        assert_eq!(anonymous.failed(0, batch(other, 0, 1)).await, ErrorCode::InvalidRequest);
    });
}

#[test]
fn only_the_log_writes_control_batches() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let anonymous = LaneOpen { producer: None, ..client.lane_open(&topic).await };
        let mut lane = client.lane_as(&anonymous).await.unwrap();
        let marker = encode_revision(&RevisionMarker { revision: Revision(9), plugins: Vec::new() }, 0);
        assert_eq!(lane.failed(0, marker).await, ErrorCode::CorruptBatch);
        // Transactions are not there yet, and unknown flags may mean anything one day.
        let mut lane = client.lane(&topic).await;
        let good = batch(lane.producer, 0, 1);
        let flags = [
            (0x10_i16, "transactional"),
            (0x08, "log append time"),
            (0x40, "delete horizon"),
            (0x80, "unknown"),
        ];
        for (ordinal, (flag, name)) in (0..).zip(flags) {
            let code = lane.failed(ordinal, changed(&good, COVERED, &flag.to_be_bytes())).await;
            assert!(matches!(code, ErrorCode::CorruptBatch | ErrorCode::InvalidRequest), "{name}: {code}");
        }
        goes_on(&mut lane, 4).await;
    });
}

#[test]
fn a_batch_beyond_the_topics_limit_is_refused_by_name() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[("max.message.bytes", "1000")]).await;
        assert_eq!(topic.batch_bytes_max, 1000);
        let mut lane = client.lane(&topic).await;
        assert_eq!(lane.failed(0, batch(lane.producer, 0, 100)).await, ErrorCode::MessageTooLarge);
        goes_on(&mut lane, 1).await;
        // Far beyond it, the frame is not even read.
        lane.writer.queue_parts(&LaneBatch { ordinal: 2, resent: false }, [Bytes::from(vec![0; 1 << 20])]);
        // The node stops the stream while it is being sent, or after.
        let _ = lane.writer.flush().await;
        assert_eq!(stopped(&lane.writer).await, StreamCode::TooLarge);
    });
}
