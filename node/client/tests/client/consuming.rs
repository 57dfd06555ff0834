//! The consumer.

use std::time::Duration;

use weir_client::{
    Client, ClientError, Consumer, ConsumerConfig, ConsumerEvent, ErrorCode, LeaderEpoch, Offset,
    PartitionIndex, Position, ProducerConfig, Record, ResetPolicy, StartAt, WireError,
};
use weir_wire::fetch::FetchEnd;

use crate::fake::Fake;

const P0: PartitionIndex = PartitionIndex(0);

/// Stores the numbers, ten to a batch, in partition 0 of topic `a`.
async fn store(client: &Client, numbers: std::ops::Range<u32>) {
    let config = ProducerConfig { linger: Duration::from_secs(60), ..ProducerConfig::default() };
    let producer = client.producer(config).unwrap();
    for number in numbers {
        let value = number.to_string();
        let record = Record::to("a").partition(P0).value(value.as_bytes()).timestamp_ms(i64::from(number));
        drop(producer.send(record).await.unwrap());
        if number % 10 == 9 {
            producer.flush().await;
        }
    }
    producer.close().await;
}

async fn with(numbers: u32, config: ConsumerConfig) -> (Fake, Client, Consumer) {
    let fake = Fake::start();
    fake.world.create("a", 1);
    let client = Client::connect(fake.config()).await.unwrap();
    store(&client, 0..numbers).await;
    let consumer = client.consumer(config).unwrap();
    (fake, client, consumer)
}

/// Reads until the consumer says that it is caught up.
async fn read_all(consumer: &mut Consumer) -> Vec<u32> {
    let mut read = Vec::new();
    loop {
        match consumer.next_event().await.unwrap() {
            ConsumerEvent::Records(batch) => read.extend(numbers(&batch)),
            ConsumerEvent::CaughtUp { high_watermark, .. } => {
                assert_eq!(consumer.position("a", P0).unwrap().offset, high_watermark);
                assert_eq!(consumer.high_watermark("a", P0), Some(high_watermark));
                return read;
            }
            ConsumerEvent::Reset { .. } | ConsumerEvent::Group(_) => {}
        }
    }
}

fn numbers(batch: &weir_client::ConsumedBatch) -> Vec<u32> {
    let number = |record: weir_client::ConsumedRecord<'_>| {
        let number = std::str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap();
        assert_eq!(record.offset, Offset(u64::from(number)));
        number
    };
    batch.iter().map(number).collect()
}

#[tokio::test]
async fn every_start_starts_where_it_says() {
    let (_fake, client, mut consumer) = with(100, ConsumerConfig::default()).await;
    for (start, first) in [
        (StartAt::Earliest, 0),
        (StartAt::Offset(Offset(55)), 55),
        // The fake finds batches by time, as an index does.
        (StartAt::Timestamp(42), 40),
        (StartAt::Position(Position { offset: Offset(99), epoch: Some(LeaderEpoch(0)) }), 99),
    ] {
        consumer.assign("a", P0, start).await.unwrap();
        assert_eq!(read_all(&mut consumer).await, (first..100).collect::<Vec<_>>(), "{start:?}");
    }
    consumer.assign("a", P0, StartAt::Latest).await.unwrap();
    assert_eq!(read_all(&mut consumer).await, []);
    store(&client, 100..110).await;
    assert_eq!(read_all(&mut consumer).await, (100..110).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_node_never_sends_more_than_the_application_has_room_for() {
    let config = ConsumerConfig { fetch_bytes: 500, ..ConsumerConfig::default() };
    let (fake, _client, mut consumer) = with(1000, config).await;
    consumer.assign("a", P0, StartAt::Earliest).await.unwrap();
    assert_eq!(read_all(&mut consumer).await.len(), 1000);
    let batch = fake.world.lock().topics["a"].partitions[0].batches[50].1.len();
    let overdrawn = fake.world.lock().overdrawn_max;
    assert!(
        overdrawn < i64::try_from(batch).unwrap(),
        "{overdrawn} bytes beyond a credit, batches of {batch}"
    );
}

#[tokio::test]
async fn nothing_from_before_a_seek_comes_after_it() {
    let (_fake, _client, mut consumer) = with(100, ConsumerConfig::default()).await;
    consumer.assign("a", P0, StartAt::Earliest).await.unwrap();
    let first = consumer.next_batch().await.unwrap();
    assert_eq!(numbers(&first), (0..10).collect::<Vec<_>>());
    consumer.seek("a", P0, StartAt::Offset(Offset(73))).unwrap();
    assert_eq!(numbers(&consumer.next_batch().await.unwrap()), (73..80).collect::<Vec<_>>());
    consumer.seek("a", P0, StartAt::Earliest).unwrap();
    assert_eq!(read_all(&mut consumer).await, (0..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_paused_partition_waits_and_goes_on_where_it_was() {
    let (_fake, _client, mut consumer) = with(100, ConsumerConfig::default()).await;
    consumer.assign("a", P0, StartAt::Earliest).await.unwrap();
    consumer.next_batch().await.unwrap();
    consumer.pause("a", P0).unwrap();
    assert!(consumer.poll(Duration::from_millis(50)).await.unwrap().is_none());
    assert_eq!(consumer.position("a", P0).unwrap().offset, Offset(10));
    consumer.resume("a", P0).unwrap();
    assert_eq!(read_all(&mut consumer).await, (10..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn out_of_range_follows_the_policy() {
    for (reset, first) in [(ResetPolicy::Earliest, Some(30)), (ResetPolicy::Latest, None)] {
        let (fake, client, mut consumer) =
            with(100, ConsumerConfig { reset, ..ConsumerConfig::default() }).await;
        fake.world.change(|state| {
            let log = &mut state.topics.get_mut("a").unwrap().partitions[0];
            log.start = Offset(30);
            log.batches.drain(..3);
        });
        consumer.assign("a", P0, StartAt::Offset(Offset(5))).await.unwrap();
        let event = consumer.next_event().await.unwrap();
        let to = first.map_or(100, u64::from);
        assert!(
            matches!(event, ConsumerEvent::Reset { from: Offset(5), to: Offset(at), .. } if at == to),
            "{event:?}"
        );
        assert_eq!(read_all(&mut consumer).await, (first.unwrap_or(100)..100).collect::<Vec<_>>());
        drop(client);
    }
    let (_fake, _client, mut consumer) = with(10, ConsumerConfig::default()).await;
    consumer.assign("a", P0, StartAt::Offset(Offset(11))).await.unwrap();
    let error = consumer.next_event().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "offset 11 of a-0 is not stored; 0 to 10 is: seek there, or set a reset policy"
    );
    consumer.seek("a", P0, StartAt::Offset(Offset(9))).unwrap();
    assert_eq!(read_all(&mut consumer).await, [9]);
}

#[tokio::test]
async fn a_truncated_log_is_reported_behind_everything_that_came_before() {
    let (fake, _client, mut consumer) = with(50, ConsumerConfig::default()).await;
    consumer.assign("a", P0, StartAt::Offset(Offset(40))).await.unwrap();
    let diverges_at = Position { offset: Offset(35), epoch: Some(LeaderEpoch(0)) };
    fake.world.change(|state| state.end_fetch = Some(FetchEnd::Truncated { diverges_at }));
    let error = consumer.next_event().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::LogTruncated { position, diverges_at: at, .. }
            if position.offset == Offset(40) && *at == diverges_at),
        "{error:?}"
    );
    assert!(consumer.poll(Duration::from_millis(50)).await.unwrap().is_none(), "it waits for a seek");
    consumer.seek("a", P0, StartAt::Position(diverges_at)).unwrap();
    assert_eq!(read_all(&mut consumer).await, (35..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn passing_refusals_and_lost_connections_are_no_errors() {
    let (mut fake, client, mut consumer) = with(50, ConsumerConfig::default()).await;
    let refusal = FetchEnd::Error(WireError::new(ErrorCode::NotLeader, "asked for"));
    fake.world.change(|state| state.end_fetch = Some(refusal));
    consumer.assign("a", P0, StartAt::Earliest).await.unwrap();
    assert_eq!(read_all(&mut consumer).await, (0..50).collect::<Vec<_>>());
    fake.stop().await;
    assert!(consumer.poll(Duration::from_millis(50)).await.unwrap().is_none());
    fake.come_back().await;
    store(&client, 50..100).await;
    let mut read = Vec::new();
    while read.len() < 50 {
        read.extend(numbers(&consumer.next_batch().await.unwrap()));
    }
    assert_eq!(read, (50..100).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_damaged_batch_is_reported_and_can_be_passed_by_a_seek() {
    let (fake, _client, mut consumer) = with(30, ConsumerConfig::default()).await;
    fake.world.change(|state| {
        let bytes = &mut state.topics.get_mut("a").unwrap().partitions[0].batches[1].1;
        let mut damaged = bytes.to_vec();
        damaged[80] ^= 1;
        *bytes = damaged.into();
    });
    consumer.assign("a", P0, StartAt::Earliest).await.unwrap();
    assert_eq!(numbers(&consumer.next_batch().await.unwrap()), (0..10).collect::<Vec<_>>());
    let error = consumer.next_batch().await.unwrap_err();
    assert!(matches!(error, ClientError::CorruptBatch { offset: Offset(10), .. }), "{error:?}");
    consumer.seek("a", P0, StartAt::Offset(Offset(20))).unwrap();
    assert_eq!(read_all(&mut consumer).await, (20..30).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_is_not_assigned_cannot_be_moved_and_what_is_unassigned_is_silent() {
    let (_fake, _client, mut consumer) = with(10, ConsumerConfig::default()).await;
    let error = consumer.seek("a", P0, StartAt::Earliest).unwrap_err();
    assert!(matches!(error, ClientError::NotAssigned { .. }));
    let error = consumer.assign("a", PartitionIndex(1), StartAt::Earliest).await.unwrap_err();
    assert!(matches!(error, ClientError::UnknownPartition { count: 1, .. }), "{error}");
    let error = consumer.assign_all("b", StartAt::Earliest).await.unwrap_err();
    assert!(matches!(error, ClientError::UnknownTopic { .. }), "{error}");
    assert_eq!(consumer.assign_all("a", StartAt::Earliest).await.unwrap(), 1);
    assert_eq!(consumer.assignment(), [("a".to_owned(), P0)]);
    consumer.unassign("a", P0);
    assert!(consumer.poll(Duration::from_millis(50)).await.unwrap().is_none());
    assert_eq!(consumer.position("a", P0), None);
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing() {
    let (_fake, client, mut consumer) = with(0, ConsumerConfig::default()).await;
    consumer.assign("a", P0, StartAt::Earliest).await.unwrap();
    let storing = tokio::spawn(async move { store(&client, 0..500).await });
    let mut read = Vec::new();
    while read.len() < 500 {
        // Given up at once wherever it would wait.
        if let Some(batch) = consumer.poll(Duration::ZERO).await.unwrap() {
            read.extend(numbers(&batch));
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(read, (0..500).collect::<Vec<_>>());
    storing.await.unwrap();
}

#[tokio::test]
async fn a_topic_created_again_is_not_what_was_read() {
    let (fake, client, mut consumer) = with(10, ConsumerConfig::default()).await;
    consumer.assign("a", P0, StartAt::Earliest).await.unwrap();
    assert_eq!(read_all(&mut consumer).await.len(), 10);
    fake.world.delete("a");
    fake.world.create("a", 1);
    client.topic("a").await.unwrap();
    store(&client, 0..20).await;
    consumer.seek("a", P0, StartAt::Earliest).unwrap();
    let error = consumer.next_event().await.unwrap_err();
    assert!(matches!(error, ClientError::TopicRecreated { .. }), "{error:?}");
    consumer.assign("a", P0, StartAt::Earliest).await.unwrap();
    assert_eq!(read_all(&mut consumer).await.len(), 20);
}

#[tokio::test]
async fn what_was_read_is_counted() {
    let (fake, _client, mut consumer) = with(100, ConsumerConfig::default()).await;
    consumer.assign("a", P0, StartAt::Offset(Offset(35))).await.unwrap();
    assert_eq!(read_all(&mut consumer).await.len(), 65);
    let bytes: usize =
        fake.world.lock().topics["a"].partitions[0].batches[3..].iter().map(|b| b.1.len()).sum();
    let metrics = consumer.metrics();
    assert_eq!((metrics.batches, metrics.records, metrics.subscriptions), (7, 65, 1));
    assert_eq!(metrics.bytes, bytes as u64);
    consumer.seek("a", P0, StartAt::Latest).unwrap();
    assert_eq!(read_all(&mut consumer).await, []);
    assert_eq!(consumer.metrics().subscriptions, 2);
}

/// Adds a partition as another client would, and stores a record there.
async fn add_partition(fake: &Fake, client: &Client, value: &[u8]) -> PartitionIndex {
    let count = fake.world.change(|state| {
        state.index += 1;
        let topic = state.topics.get_mut("a").unwrap();
        let count = topic.partitions.len();
        topic.revision.0 += 1;
        topic.partitions.resize_with(count + 1, Default::default);
        count
    });
    let added = PartitionIndex(u32::try_from(count).unwrap());
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let record = Record::to("a").partition(added).value(value);
    assert!(producer.send(record).await.unwrap().await.is_stored());
    producer.close().await;
    added
}

#[tokio::test]
async fn who_reads_a_whole_topic_reads_the_partitions_that_are_added_to_it() {
    let (fake, client, mut consumer) = with(10, ConsumerConfig::default()).await;
    // Another client's doing: this one hears of it when its metadata is fresh again.
    let other = Client::connect(fake.config()).await.unwrap();
    assert_eq!(consumer.assign_all("a", StartAt::Latest).await.unwrap(), 1);
    assert_eq!(read_all(&mut consumer).await, []);
    let added = add_partition(&fake, &other, b"late").await;
    assert!(consumer.poll(Duration::from_millis(50)).await.unwrap().is_none());
    client.topic("a").await.unwrap();
    let batch = consumer.next_batch().await.unwrap();
    assert_eq!((batch.partition(), batch.iter().next().unwrap().value), (added, Some(&b"late"[..])));
    // Of a topic that was let go nothing comes any more, and of one partition nothing but that.
    consumer.unassign("a", P0);
    consumer.unassign("a", added);
    consumer.assign("a", P0, StartAt::Latest).await.unwrap();
    add_partition(&fake, &other, b"later").await;
    client.topic("a").await.unwrap();
    assert!(consumer.poll(Duration::from_millis(50)).await.unwrap().is_none());
    assert_eq!(consumer.assignment(), [("a".to_owned(), P0)]);
}
