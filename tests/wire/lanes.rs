//! Lanes that are opened for what is not there, and lanes that lose their order.

use weir_quic::StreamCode;
use weir_wire::error::ErrorCode;
use weir_wire::ids::{ClusterId, PartitionIndex, ProducerEpoch, ProducerId, Revision, TopicId};
use weir_wire::lane::{LaneBatch, LaneOpen, LaneTarget, Outcome};

use crate::support::{Lane, attack, batch, is_stored, next_epoch, said, stopped};

#[test]
fn a_lane_for_what_is_not_there_is_refused() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 2, &[]).await;
        let good = client.lane_open(&topic).await;
        let epoch = topic.partitions[0].leader_epoch;
        let nowhere = LaneTarget::Explicit { partition: PartitionIndex(2), leader_epoch: epoch };
        for (bad, code) in [
            (LaneOpen { cluster: ClusterId([1; 16]), ..good }, ErrorCode::WrongCluster),
            (LaneOpen { topic: TopicId([1; 16]), ..good }, ErrorCode::UnknownTopic),
            (LaneOpen { target: nowhere, ..good }, ErrorCode::UnknownPartition),
            (LaneOpen { revision: Revision(0), ..good }, ErrorCode::StaleRevision),
            // One that is not there yet may come.
            (LaneOpen { revision: Revision(u32::MAX), ..good }, ErrorCode::PipelineNotReady),
        ] {
            assert_eq!(client.lane_as(&bad).await.err().unwrap().code, code, "{bad:?}");
        }
        assert!(client.lane_as(&good).await.is_ok());
    });
}

#[test]
fn a_guess_of_a_partition_that_does_not_exist_stores_nothing() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 2, &[]).await;
        let epoch = topic.partitions[0].leader_epoch;
        for index in [2, u32::MAX] {
            let guess = LaneTarget::Guessed { partition: PartitionIndex(index), leader_epoch: epoch };
            let open = LaneOpen { target: guess, ..client.lane_open(&topic).await };
            match client.lane_as(&open).await {
                Err(error) => assert_eq!(error.code, ErrorCode::UnknownPartition),
                Ok(mut lane) => {
                    lane.send(0, batch(lane.producer, 0, 3)).await;
                    let answer = lane.answer().await;
                    let stored = answer.outcomes.iter().any(
                        |outcome| matches!(outcome, Outcome::Stored { partition, .. } if partition.0 >= 2),
                    );
                    assert!(!stored, "{answer:?}");
                }
            }
        }
    });
}

#[test]
fn a_reign_that_is_not_in_force_stores_nothing() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let target = LaneTarget::Explicit { partition: PartitionIndex(0), leader_epoch: next_epoch(&topic) };
        let open = LaneOpen { target, ..client.lane_open(&topic).await };
        let mut lane = client.lane_as(&open).await.unwrap();
        lane.send(0, batch(lane.producer, 0, 1)).await;
        let answer = lane.answer().await;
        let [Outcome::Retry(error)] = answer.outcomes.as_slice() else { panic!("{answer:?}") };
        assert_eq!(said(error.clone()).code, ErrorCode::UnknownLeaderEpoch);
    });
}

/// Sends ordinals; the last of them breaks the order.
async fn out_of_order(lane: &mut Lane, ordinals: &[u64]) {
    for (sequence, ordinal) in (0..).zip(ordinals) {
        let header = LaneBatch { ordinal: *ordinal, resent: false };
        lane.writer.send(&header, batch(lane.producer, sequence, 1)).await.unwrap();
    }
}

#[test]
fn ordinals_out_of_order_end_the_lane() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        for ordinals in [&[0, 2][..], &[0, 0], &[5, 4], &[0, u64::MAX], &[0, 1, 2, 2]] {
            let mut lane = client.lane(&topic).await;
            out_of_order(&mut lane, ordinals).await;
            assert_eq!(stopped(&lane.writer).await, StreamCode::Protocol, "{ordinals:?}");
        }
    });
}

#[test]
fn the_last_ordinal_there_is_is_no_trap() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let mut lane = client.lane(&topic).await;
        out_of_order(&mut lane, &[u64::MAX, 0]).await;
        // Either it is taken, and nothing can follow, or it is refused; the process must not stumble.
        let _ = stopped(&lane.writer).await;
    });
}

#[test]
fn nobody_reads_the_answers() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let mut lane = client.lane(&topic).await;
        // Many more than may be in flight; the node takes them as it answers.
        const COUNT: u32 = 500;
        for number in 0..COUNT {
            lane.writer
                .queue(&LaneBatch { ordinal: number.into(), resent: false }, batch(lane.producer, number, 1));
        }
        lane.writer.flush().await.unwrap();
        for number in 0..COUNT {
            let answer = lane.answer().await;
            assert!(is_stored(&answer), "batch {number}: {answer:?}");
        }
    });
}

#[test]
fn sequences_at_the_end_of_their_range_are_no_trap() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        for sequence in [(1 << 30) - 1, 1 << 30, i32::MAX.unsigned_abs() - 1, i32::MAX.unsigned_abs()] {
            let mut lane = client.lane(&topic).await;
            lane.send(0, batch(lane.producer, sequence, 4)).await;
            let answer = lane.answer().await;
            assert_eq!(answer.ordinal, 0, "{answer:?}");
            // Again: whatever became of it, it is not stored a second time.
            let producer = Some((lane.producer, ProducerEpoch(0)));
            let open = LaneOpen { producer, ..client.lane_open(&topic).await };
            let mut again = client.lane_as(&open).await.unwrap();
            again.send(0, batch(lane.producer, sequence, 4)).await;
            let second = again.answer().await;
            assert!(!(is_stored(&answer) && is_stored(&second)), "{sequence} was stored twice: {second:?}");
        }
    });
}

#[test]
fn two_openings_of_one_producer_store_a_batch_once() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let open = client.lane_open(&topic).await;
        let (mut one, mut two) = (client.lane_as(&open).await.unwrap(), client.lane_as(&open).await.unwrap());
        let same = batch(one.producer, 0, 3);
        one.send(0, same.clone()).await;
        two.send(0, same).await;
        let (first, second) = (one.answer().await, two.answer().await);
        let stored = [&first, &second].iter().filter(|answer| is_stored(answer)).count();
        assert_eq!(stored, 1, "{first:?} {second:?}");
    });
}

#[test]
fn a_lane_of_a_producer_that_was_never_granted_harms_nobody() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        let made_up = ProducerId(i64::MAX.unsigned_abs());
        let open = LaneOpen { producer: Some((made_up, ProducerEpoch(0))), ..client.lane_open(&topic).await };
        let mut lane = client.lane_as(&open).await.unwrap();
        lane.send(0, batch(made_up, 0, 1)).await;
        assert_eq!(lane.answer().await.ordinal, 0);
    });
}
