//! The producer.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use weir_client::{
    Client, ClientError, Compression, DeliveryResult, ErrorCode, Lanes, NewTopic, Offset, PartitionIndex,
    Producer, ProducerConfig, Record, SendError,
};

use crate::fake::{Fake, begin};

/// Small batches at once, so that a few records make several.
fn small() -> ProducerConfig {
    ProducerConfig {
        batch_bytes: 200,
        linger: Duration::ZERO,
        retry_backoff: Duration::from_millis(1),
        retry_backoff_max: Duration::from_millis(20),
        ..ProducerConfig::default()
    }
}

async fn producer(fake: &Fake, config: ProducerConfig) -> Producer {
    Client::connect(fake.config()).await.unwrap().producer(config).unwrap()
}

/// Sends numbers under keys in turn and checks that each key's numbers are stored once and in order.
async fn send_numbers(
    producer: &Producer,
    topic: &str,
    numbers: std::ops::Range<u32>,
) -> Vec<weir_client::Delivery> {
    let mut deliveries = Vec::new();
    for number in numbers {
        let (key, value) = (format!("k{}", number % 7), number.to_string());
        let record = Record::to(topic).key(key.as_bytes()).value(value.as_bytes());
        deliveries.push(producer.send(record).await.unwrap());
    }
    deliveries
}

fn assert_stored_once_in_order(fake: &Fake, topic: &str, count: u32) {
    let mut by_key: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for (key, value) in fake.world.records(topic).into_iter().flatten() {
        by_key.entry(key).or_default().push(value.parse().unwrap());
    }
    for (key, numbers) in &by_key {
        assert!(numbers.is_sorted_by(|a, b| a < b), "{key}: {numbers:?}");
    }
    assert_eq!(by_key.values().map(Vec::len).sum::<usize>(), count as usize);
}

#[tokio::test]
async fn records_are_stored_where_their_results_say() {
    let fake = Fake::start();
    fake.world.create("a", 3);
    let producer = producer(&fake, small()).await;
    let deliveries = send_numbers(&producer, "a", 0..100).await;
    let explicit = Record::to("a").partition(PartitionIndex(2)).value(b"here").headers(&[("h", Some(b"x"))]);
    let explicit = producer.send(explicit).await.unwrap();
    for (number, delivery) in deliveries.into_iter().enumerate() {
        let DeliveryResult::Stored { partition, offset: Some(offset), .. } = delivery.await else {
            panic!("not stored");
        };
        let stored = &fake.world.records("a")[partition.0 as usize][usize::try_from(offset.0).unwrap()];
        assert_eq!(stored.1, number.to_string());
    }
    assert!(matches!(explicit.await, DeliveryResult::Stored { partition: PartitionIndex(2), .. }));
    let metrics = producer.metrics();
    assert_eq!((metrics.records, metrics.stored, metrics.pending()), (101, 101, 0));
    producer.close().await;
}

#[tokio::test]
async fn refused_batches_and_lost_answers_store_everything_once_and_in_order() {
    for lanes in [Lanes::Guessed, Lanes::Unguessed(3)] {
        for compression in Compression::ALL {
            let fake = Fake::start();
            fake.world.create("a", 3);
            let producer = producer(&fake, ProducerConfig { lanes, compression, ..small() }).await;
            for round in 0..5 {
                fake.world.change(|state| (state.refuse_batches, state.lose_answers) = (2, 2));
                let deliveries = send_numbers(&producer, "a", round * 100..(round + 1) * 100).await;
                producer.flush().await;
                for delivery in deliveries {
                    assert!(delivery.result().unwrap().is_stored());
                }
            }
            assert_stored_once_in_order(&fake, "a", 500);
            assert!(producer.metrics().batches_resent > 0 && producer.metrics().reopenings > 0);
        }
    }
}

#[tokio::test]
async fn a_node_that_is_killed_and_comes_back_has_everything_once_and_in_order() {
    let mut fake = Fake::start();
    fake.world.create("a", 3);
    let producer = producer(&fake, small()).await;
    let mut deliveries = Vec::new();
    for round in 0..3 {
        deliveries.extend(send_numbers(&producer, "a", round * 200..(round + 1) * 200).await);
        fake.stop().await;
        deliveries.extend(send_numbers(&producer, "a", 600 + round * 10..600 + (round + 1) * 10).await);
        fake.come_back().await;
        producer.flush().await;
    }
    for delivery in deliveries {
        assert!(delivery.await.is_stored());
    }
    let all: usize = fake.world.records("a").iter().map(Vec::len).sum();
    assert_eq!(all, 630);
}

#[tokio::test]
async fn a_full_buffer_holds_the_sender_back_until_there_is_room() {
    let fake = Fake::start();
    fake.world.create("a", 1);
    let max_block = Duration::from_millis(50);
    let config = ProducerConfig { buffer_bytes: 1000, max_block, ..small() };
    let producer = producer(&fake, config).await;
    fake.world.change(|state| state.hold = true);
    let mut taken = Vec::new();
    let error = loop {
        match producer.send(Record::to("a").value(&[b'x'; 100])).await {
            Ok(delivery) => taken.push(delivery),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SendError::BufferFull { .. }) && error.is_retryable(), "{error}");
    assert_eq!(taken.len(), 7, "records of 136 bytes at most fit 1000 bytes seven times");
    let metrics = producer.metrics();
    assert_eq!((metrics.buffer_total_bytes, metrics.sends_waiting), (1000, 0));
    assert!((700..=1000).contains(&metrics.buffer_used_bytes()), "{metrics:?}");
    assert!(metrics.buffer_wait >= max_block, "{metrics:?}");
    fake.world.change(|state| state.hold = false);
    producer.send(Record::to("a").value(&[b'y'; 100])).await.unwrap().await;
    for delivery in taken {
        assert!(delivery.await.is_stored());
    }
    producer.flush().await;
    assert_eq!(producer.metrics().buffer_used_bytes(), 0);
}

#[tokio::test]
async fn a_send_that_is_given_up_at_a_full_buffer_has_taken_nothing() {
    let fake = Fake::start();
    fake.world.create("a", 1);
    let producer = producer(&fake, ProducerConfig { buffer_bytes: 1000, ..small() }).await;
    fake.world.change(|state| state.hold = true);
    let mut taken = Vec::new();
    loop {
        let mut sending = pin!(producer.send(Record::to("a").value(&[b'x'; 100])));
        // The first one asks for the topic; after that there is room, or there is none.
        match begin(sending.as_mut()).await {
            Some(delivery) => taken.push(delivery.unwrap()),
            None if taken.is_empty() => taken.push(sending.await.unwrap()),
            None => {
                assert_eq!(producer.metrics().sends_waiting, 1);
                break;
            }
        }
    }
    let metrics = producer.metrics();
    assert_eq!((metrics.records, metrics.sends_waiting), (taken.len() as u64, 0), "{metrics:?}");
    fake.world.change(|state| state.hold = false);
    producer.flush().await;
    // Neither the record nor its room was kept.
    assert_eq!(fake.world.records("a")[0].len(), taken.len());
    assert_eq!(producer.metrics().buffer_used_bytes(), 0);
    assert!(producer.send(Record::to("a").value(&[b'y'; 100])).await.unwrap().await.is_stored());
}

#[tokio::test]
async fn a_flush_that_is_given_up_goes_on_in_every_topic() {
    let fake = Fake::start();
    let config = ProducerConfig { linger: Duration::from_secs(60), ..ProducerConfig::default() };
    let producer = producer(&fake, config).await;
    let mut lingering = Vec::new();
    for topic in ["a", "b"] {
        fake.world.create(topic, 2);
        lingering.push(producer.send(Record::to(topic).value(b"x")).await.unwrap());
    }
    {
        let mut flushing = pin!(producer.flush());
        assert!(begin(flushing.as_mut()).await.is_none(), "results take longer");
    }
    for delivery in lingering {
        let stored = tokio::time::timeout(Duration::from_secs(20), delivery).await;
        assert!(stored.expect("it does not linger any more").is_stored());
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_sent_fails_alone() {
    let fake = Fake::start();
    fake.world.create("a", 2);
    fake.world.change(|state| state.topics.get_mut("a").unwrap().batch_bytes_max = 1000);
    let producer = producer(&fake, ProducerConfig::default()).await;
    let before = producer.send(Record::to("a").value(b"before")).await.unwrap();
    let error = producer.send(Record::to("a").value(&[0; 1000])).await.unwrap_err();
    assert!(error.to_string().contains("topic 'a', which takes batches of at most 1000 bytes"), "{error}");
    let error = producer.send(Record::to("a").partition(PartitionIndex(2)).value(b"x")).await.unwrap_err();
    assert!(matches!(error, SendError::Client(ClientError::UnknownPartition { count: 2, .. })), "{error}");
    let error = producer.send(Record::to("b").value(b"x")).await.unwrap_err();
    assert!(matches!(error, SendError::Client(ClientError::UnknownTopic { .. })), "{error}");
    assert!(before.await.is_stored());
    assert_eq!(producer.metrics().records, 1);
}

#[tokio::test]
async fn what_was_sent_and_never_answered_is_unknown_and_what_was_not_is_failed() {
    let fake = Fake::start();
    fake.world.create("a", 1);
    let config = ProducerConfig { delivery_timeout: Duration::from_secs(2), in_flight_batches: 1, ..small() };
    let producer = producer(&fake, config).await;
    assert!(producer.send(Record::to("a").value(b"0")).await.unwrap().await.is_stored());
    fake.world.change(|state| state.hold = true);
    let sent = producer.send(Record::to("a").value(b"1")).await.unwrap();
    fake.world.until(|state| state.batches_read == 2).await;
    // One batch at a time: this one waits in the lane, and then in the accumulator.
    let queued = producer.send(Record::to("a").value(&[b'2'; 150])).await.unwrap();
    let growing = producer.send(Record::to("a").value(b"3")).await.unwrap();
    assert!(matches!(sent.await, DeliveryResult::Unknown(error) if error.code == ErrorCode::OutcomeUnknown));
    for (later, read) in [(queued, 3), (growing, 4)] {
        match later.await {
            DeliveryResult::Failed(error) => assert_eq!(error.code, ErrorCode::TimedOut),
            // On a busy machine it goes out in the moment between the end of an earlier one's time and of its own.
            DeliveryResult::Unknown(_) => fake.world.until(|state| state.batches_read >= read).await,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(producer.metrics().pending(), 0);
    // The lane goes on, and what is unknown may turn out to be stored.
    fake.world.change(|state| state.hold = false);
    assert!(producer.send(Record::to("a").value(b"4")).await.unwrap().await.is_stored());
    let values: Vec<_> = fake.world.records("a").remove(0).into_iter().map(|(_, value)| value).collect();
    assert!(
        values.first().is_some_and(|value| value == "0") && values.last().is_some_and(|value| value == "4")
    );
}

#[tokio::test]
async fn more_partitions_take_effect_once_everything_older_is_settled() {
    let fake = Fake::start();
    fake.world.create("a", 1);
    let client = Client::connect(fake.config()).await.unwrap();
    let producer = client.producer(small()).unwrap();
    let mut deliveries = send_numbers(&producer, "a", 0..50).await;
    producer.flush().await;
    fake.world.change(|state| {
        state.index += 1;
        let topic = state.topics.get_mut("a").unwrap();
        topic.revision.0 += 1;
        topic.partitions.resize_with(5, Default::default);
        state.hold = true;
    });
    // Still by the old number of partitions, and under the old revision; refused once the node is asked.
    deliveries.extend(send_numbers(&producer, "a", 50..60).await);
    client.topic("a").await.unwrap();
    fake.world.change(|state| state.hold = false);
    deliveries.extend(send_numbers(&producer, "a", 60..200).await);
    producer.close().await;
    for delivery in deliveries {
        assert!(delivery.await.is_stored());
    }
    assert_stored_once_in_order(&fake, "a", 200);
    let stored = fake.world.records("a");
    assert!(stored[1..].iter().any(|partition| !partition.is_empty()), "the new partitions are used");
    // A key's newer records may lie in another partition, but none of its older ones comes later.
    for key in (0..7).map(|key| format!("k{key}")) {
        let of = |partition: &[(String, String)]| -> Vec<u32> {
            partition.iter().filter(|(k, _)| *k == key).map(|(_, value)| value.parse().unwrap()).collect()
        };
        let first = of(&stored[0]);
        for other in stored[1..].iter().map(|partition| of(partition)).filter(|other| !other.is_empty()) {
            assert!(first.last() < other.first(), "{key}: {first:?} {other:?}");
        }
    }
}

#[tokio::test]
async fn who_adds_partitions_writes_to_them_at_once() {
    let fake = Fake::start();
    fake.world.create("a", 1);
    let client = Client::connect(fake.config()).await.unwrap();
    let producer = client.producer(small()).unwrap();
    let deliveries = send_numbers(&producer, "a", 0..50).await;
    // What the node had not taken by then would go to the new partitions as well.
    producer.flush().await;
    client.add_partitions("a", 4).await.unwrap();
    let later = send_numbers(&producer, "a", 50..100).await;
    producer.close().await;
    for delivery in deliveries {
        let DeliveryResult::Stored { partition, .. } = delivery.await else { panic!("not stored") };
        assert_eq!(partition, PartitionIndex(0), "taken before there were more");
    }
    let mut used = BTreeSet::new();
    for delivery in later {
        let DeliveryResult::Stored { partition, .. } = delivery.await else { panic!("not stored") };
        used.insert(partition);
    }
    assert!(used.len() > 1, "{used:?}");
    assert_stored_once_in_order(&fake, "a", 100);
}

#[tokio::test]
async fn a_deleted_topic_fails_what_was_not_stored() {
    let fake = Fake::start();
    fake.world.create("a", 1);
    let client = Client::connect(fake.config()).await.unwrap();
    let producer = client.producer(small()).unwrap();
    assert!(producer.send(Record::to("a").value(b"x")).await.unwrap().await.is_stored());
    // By another client: this one goes by what it knows until it is told.
    fake.world.delete("a");
    let late = producer.send(Record::to("a").value(b"x")).await.unwrap().await;
    assert!(
        matches!(&late, DeliveryResult::Failed(error) if error.code == ErrorCode::UnknownTopic),
        "{late:?}"
    );
    let _ = client.topic("a").await;
    let refused = producer.send(Record::to("a").value(b"x")).await.map(|_| ()).unwrap_err();
    assert!(matches!(&refused, SendError::Client(ClientError::UnknownTopic { .. })), "{refused:?}");
    assert_stays_with_the_old_topic(&fake, &client, &producer).await;
}

/// Nothing but new metadata tells of it: no lane is asked for anything between the old topic and the new.
#[tokio::test]
async fn a_topic_created_again_is_not_what_was_sent_to() {
    let fake = Fake::start();
    fake.world.create("a", 1);
    let client = Client::connect(fake.config()).await.unwrap();
    let producer = client.producer(small()).unwrap();
    assert!(producer.send(Record::to("a").value(b"x")).await.unwrap().await.is_stored());
    fake.world.delete("a");
    assert_stays_with_the_old_topic(&fake, &client, &producer).await;
}

async fn assert_stays_with_the_old_topic(fake: &Fake, client: &Client, producer: &Producer) {
    fake.world.create("a", 1);
    client.topic("a").await.unwrap();
    for _ in 0..2 {
        let refused = producer.send(Record::to("a").value(b"x")).await.map(|_| ()).unwrap_err();
        assert!(matches!(&refused, SendError::Client(ClientError::TopicRecreated { .. })), "{refused:?}");
        assert!(!refused.is_retryable());
    }
    assert!(fake.world.records("a")[0].is_empty());
    let anew = client.producer(small()).unwrap();
    assert!(anew.send(Record::to("a").value(b"x")).await.unwrap().await.is_stored());
}

#[tokio::test]
async fn a_partition_that_was_just_added_is_found() {
    let fake = Fake::start();
    fake.world.create("a", 1);
    let producer = producer(&fake, small()).await;
    assert!(producer.send(Record::to("a").value(b"x")).await.unwrap().await.is_stored());
    fake.world.change(|state| {
        state.index += 1;
        let topic = state.topics.get_mut("a").unwrap();
        topic.revision.0 += 1;
        topic.partitions.resize_with(3, Default::default);
    });
    let added = Record::to("a").partition(PartitionIndex(2)).value(b"y");
    assert!(producer.send(added).await.unwrap().await.is_stored());
    let missing = Record::to("a").partition(PartitionIndex(3)).value(b"z");
    let error = producer.send(missing).await.map(|_| ()).unwrap_err();
    assert!(matches!(error, SendError::Client(ClientError::UnknownPartition { count: 3, .. })), "{error}");
}

#[tokio::test]
async fn who_deletes_a_topic_does_not_write_to_it_afterwards() {
    let fake = Fake::start();
    let client = Client::connect(fake.config()).await.unwrap();
    for _ in 0..3 {
        let producer = client.producer(small()).unwrap();
        client.create_topic(NewTopic::new("a").partitions(2)).await.unwrap();
        let stored = producer.send(Record::to("a").value(b"x")).await.unwrap().await;
        assert!(stored.is_stored(), "{stored:?}");
        client.delete_topic("a").await.unwrap();
        let refused = producer.send(Record::to("a").value(b"x")).await.map(|_| ()).unwrap_err();
        assert!(matches!(&refused, SendError::Client(ClientError::UnknownTopic { .. })), "{refused:?}");
    }
}

#[tokio::test]
async fn closing_waits_for_results_and_dropping_gives_up() {
    let fake = Fake::start();
    fake.world.create("a", 1);
    let client = Client::connect(fake.config()).await.unwrap();
    let counted = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&counted);
    let lingering = ProducerConfig { linger: Duration::from_secs(60), ..ProducerConfig::default() };
    let config = lingering.clone().on_delivery(move |run| {
        counter.fetch_add(u64::from(run.records), Ordering::Relaxed);
    });
    let producer = client.producer(config).unwrap();
    let other = producer.clone();
    let delivery = producer.send(Record::to("a").value(b"x")).await.unwrap();
    producer.close().await;
    assert!(delivery.result().unwrap().is_stored());
    assert_eq!(counted.load(Ordering::Relaxed), 1);
    assert!(matches!(other.send(Record::to("a").value(b"x")).await, Err(SendError::Closed)));

    let producer = client.producer(lingering).unwrap();
    let delivery = producer.send(Record::to("a").value(b"y")).await.unwrap();
    drop(producer);
    assert!(matches!(delivery.await, DeliveryResult::Failed(error) if error.code == ErrorCode::ShuttingDown));
    assert_eq!(fake.world.records("a")[0].len(), 1);
}

#[tokio::test]
async fn linger_gathers_and_unkeyed_batches_go_round() {
    let fake = Fake::start();
    fake.world.create("a", 4);
    let producer = producer(&fake, ProducerConfig { batch_bytes: 10_000, ..ProducerConfig::default() }).await;
    let mut last = None;
    for _ in 0..1000 {
        last = Some(producer.send(Record::to("a").value(&[b'x'; 100])).await.unwrap());
    }
    producer.flush().await;
    let DeliveryResult::Stored { offset, .. } = last.unwrap().result().unwrap() else { panic!("not stored") };
    assert!(offset > Some(Offset(100)));
    let sizes: Vec<_> = fake.world.records("a").iter().map(Vec::len).collect();
    assert!(sizes.iter().all(|size| *size >= 150), "{sizes:?}");
    assert!(producer.metrics().batches <= 14, "{:?}", producer.metrics());
}
