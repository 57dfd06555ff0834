//! Fetch streams that ask for what is not there, for too much, or twice.

use bytes::Bytes;
use weir_quic::StreamCode;
use weir_wire::error::ErrorCode;
use weir_wire::fetch::{FETCH_SUBSCRIPTIONS_MAX, FetchCommand, FetchEnd, FetchEvent, Position};
use weir_wire::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use weir_wire::request::{DeleteTopic, TopicEntry};

use crate::support::{
    A_WHILE, Client, Fetch, assert_grew_less, attack, batch, is_stored, next_epoch, said, stopped, subscribe,
};

/// A topic with ten records, in one batch.
async fn ten_records(client: &mut Client) -> TopicEntry {
    let topic = client.create("t", 1, &[]).await;
    let mut lane = client.lane(&topic).await;
    lane.send(0, batch(lane.producer, 0, 10)).await;
    assert!(is_stored(&lane.answer().await));
    topic
}

async fn gets_its_records(fetch: &mut Fetch, subscription: u64) {
    loop {
        match fetch.event().await {
            FetchEvent::Data { subscription: number, next_offset, .. } if number == subscription => {
                assert_eq!(next_offset, Offset(10));
                return;
            }
            FetchEvent::Ended { subscription: number, reason } if number == subscription => {
                panic!("{reason:?}")
            }
            _ => {}
        }
    }
}

#[test]
fn credit_cannot_overflow() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = ten_records(&mut client).await;
        let mut fetch = client.fetch().await;
        for bytes in [u64::MAX, u64::MAX, i64::MAX.unsigned_abs(), 0] {
            fetch.command(&FetchCommand::Credit { bytes }).await;
        }
        fetch.subscribe(1, &topic, 0).await;
        gets_its_records(&mut fetch, 1).await;
    });
}

#[test]
fn without_credit_nothing_is_sent() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = ten_records(&mut client).await;
        let mut fetch = client.fetch().await;
        fetch.subscribe(1, &topic, 0).await;
        let early = tokio::time::timeout(A_WHILE, fetch.event()).await;
        assert!(early.is_err(), "sent without credit: {early:?}");
        fetch.command(&FetchCommand::Credit { bytes: 1 }).await;
        gets_its_records(&mut fetch, 1).await;
    });
}

#[test]
fn a_subscription_number_used_twice_ends_the_stream() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = ten_records(&mut client).await;
        let mut fetch = client.fetch().await;
        fetch.subscribe(7, &topic, 0).await;
        fetch.subscribe(7, &topic, 5).await;
        assert_eq!(stopped(&fetch.writer).await, StreamCode::Protocol);
    });
}

#[test]
fn too_many_subscriptions_end_the_stream() {
    attack(|target| async move {
        let before = target.node.resident_bytes();
        let mut client = target.client().await;
        let topic = ten_records(&mut client).await;
        let mut fetch = client.fetch().await;
        for number in 0..=FETCH_SUBSCRIPTIONS_MAX as u64 {
            fetch.writer.queue(&subscribe(number, &topic, 0), Bytes::new());
        }
        fetch.writer.flush().await.unwrap();
        assert_eq!(stopped(&fetch.writer).await, StreamCode::Protocol);
        assert_grew_less(&target.node, before, 60);
    });
}

#[test]
fn subscriptions_to_what_is_not_there_end_one_by_one() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = ten_records(&mut client).await;
        let mut fetch = client.fetch().await;
        let good =
            |subscription| (subscription, topic.id, PartitionIndex(0), topic.partitions[0].leader_epoch, 0);
        let (_, id, index, epoch, offset) = good(0);
        let bad = [
            ((1, TopicId([3; 16]), index, epoch, offset), Some(ErrorCode::UnknownTopic)),
            ((2, id, PartitionIndex(1), epoch, offset), Some(ErrorCode::UnknownPartition)),
            ((3, id, PartitionIndex(u32::MAX), epoch, offset), Some(ErrorCode::UnknownPartition)),
            ((4, id, index, next_epoch(&topic), offset), Some(ErrorCode::UnknownLeaderEpoch)),
            ((5, id, index, LeaderEpoch(u32::MAX), offset), Some(ErrorCode::UnknownLeaderEpoch)),
            ((6, id, index, epoch, 11), None),
            ((7, id, index, epoch, u64::MAX), None),
        ];
        for ((subscription, topic, partition, leader_epoch, offset), code) in bad {
            let position = Position { offset: Offset(offset), epoch: None };
            let command = FetchCommand::Subscribe { subscription, topic, partition, leader_epoch, position };
            fetch.command(&command).await;
            let FetchEvent::Ended { subscription: ended, reason } = fetch.event().await else {
                panic!("served")
            };
            assert_eq!(ended, subscription);
            match (reason, code) {
                (FetchEnd::Error(error), Some(code)) => assert_eq!(said(error).code, code),
                (FetchEnd::OutOfRange { log_start, high_watermark }, None) => {
                    assert_eq!((log_start, high_watermark), (Offset(0), Offset(10)));
                }
                (reason, code) => panic!("subscription {subscription}: {reason:?}, not {code:?}"),
            }
        }
        // The stream lives.
        fetch.command(&FetchCommand::Credit { bytes: 1 << 20 }).await;
        fetch.subscribe(8, &topic, 0).await;
        gets_its_records(&mut fetch, 8).await;
    });
}

#[test]
fn a_position_of_another_history_is_told_where_it_parts() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = ten_records(&mut client).await;
        let mut fetch = client.fetch().await;
        let position = Position { offset: Offset(10), epoch: Some(LeaderEpoch(u32::MAX)) };
        let command = FetchCommand::Subscribe {
            subscription: 1,
            topic: topic.id,
            partition: PartitionIndex(0),
            leader_epoch: topic.partitions[0].leader_epoch,
            position,
        };
        fetch.command(&command).await;
        let event = fetch.event().await;
        assert!(matches!(event, FetchEvent::Ended { subscription: 1, .. }), "{event:?}");
    });
}

#[test]
fn commands_without_meaning_are_ignored_or_end_the_stream() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = ten_records(&mut client).await;
        let mut fetch = client.fetch().await;
        fetch.command(&FetchCommand::Unsubscribe { subscription: 99 }).await;
        fetch
            .writer
            .send(&FetchCommand::Credit { bytes: 1 << 20 }, Bytes::from_static(b"no payload here"))
            .await
            .unwrap();
        fetch.subscribe(1, &topic, 0).await;
        gets_its_records(&mut fetch, 1).await;
        fetch.writer.send(&[0xfe_u8; 9], Bytes::new()).await.unwrap();
        assert_eq!(stopped(&fetch.writer).await, StreamCode::Protocol);
    });
}

#[test]
fn a_consumer_that_reads_nothing_holds_nobody_up() {
    attack(|target| async move {
        let before = target.node.resident_bytes();
        let mut client = target.client().await;
        let topic = client.create("t", 1, &[]).await;
        // Streams with all the credit there is, which nobody reads.
        let mut idle = Vec::new();
        for _ in 0..20 {
            let mut fetch = client.fetch().await;
            fetch.command(&FetchCommand::Credit { bytes: u64::MAX }).await;
            fetch.subscribe(1, &topic, 0).await;
            idle.push(fetch);
        }
        let mut other = target.client().await;
        let mut lane = other.lane(&topic).await;
        for number in 0..40 {
            let mut builder = weir_wire::batch::BatchBuilder::new(weir_wire::batch::Compression::None);
            builder.push(0, None, Some(&vec![7; 900_000]), &[]);
            lane.send(
                number,
                builder.finish(Some(crate::support::stamp(lane.producer, u32::try_from(number).unwrap()))),
            )
            .await;
            assert!(is_stored(&lane.answer().await));
        }
        assert_grew_less(&target.node, before, 300);
    });
}

#[test]
fn a_subscription_ends_with_its_topic() {
    attack(|target| async move {
        let mut client = target.client().await;
        let topic = ten_records(&mut client).await;
        let mut fetch = client.fetch().await;
        fetch.command(&FetchCommand::Credit { bytes: 1 << 20 }).await;
        fetch.subscribe(1, &topic, 10).await;
        let event = fetch.event().await;
        assert!(matches!(event, FetchEvent::CaughtUp { subscription: 1, .. }), "{event:?}");
        client.request(&DeleteTopic { name: "t".to_owned() }).await.unwrap();
        let event = fetch.event().await;
        assert!(matches!(event, FetchEvent::Ended { subscription: 1, .. }), "{event:?}");
        fetch.subscribe(2, &topic, 10).await;
        let FetchEvent::Ended { subscription: 2, reason: FetchEnd::Error(error) } = fetch.event().await
        else {
            panic!("served");
        };
        assert_eq!(said(error).code, ErrorCode::UnknownTopic);
    });
}
