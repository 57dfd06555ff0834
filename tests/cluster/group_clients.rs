//! The client library as a member of a group: what it commits, what it hands out, and what it hears of what cannot be.

use std::collections::BTreeSet;
use std::time::Duration;

use weir_client::{
    Client, ClientConfig, ClientError, ConsumedBatch, Consumer, ConsumerConfig, ConsumerEvent, ErrorCode,
    GroupEvent, NewTopic, Offset, PartitionIndex, Position, ProducerConfig, Record, ResetPolicy,
};
use weir_tests::process::DEADLINE;

use super::Place;

const P0: PartitionIndex = PartitionIndex(0);
const P1: PartitionIndex = PartitionIndex(1);
/// How many records a batch has.
const BATCH: u64 = 10;

/// Runs a test with a client of a node.
fn with_client(place: &Place, test: impl AsyncFnOnce(Client)) {
    let config = ClientConfig::new([place.node.address().to_string()], place.node.certs());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let whole = async { test(Client::connect(config).await.unwrap()).await };
        tokio::time::timeout(2 * DEADLINE, whole).await.expect("the test takes too long");
    });
}

/// A member of group `g` that commits when it is told to.
fn by_hand() -> ConsumerConfig {
    ConsumerConfig {
        group: Some("g".to_owned()),
        reset: ResetPolicy::Earliest,
        auto_commit: false,
        ..ConsumerConfig::default()
    }
}

/// Stores so many batches, each value the name of its topic.
async fn store(client: &Client, topic: &str, partition: PartitionIndex, batches: u64) {
    let config = ProducerConfig { linger: Duration::from_secs(60), ..ProducerConfig::default() };
    let producer = client.producer(config).unwrap();
    for _ in 0..batches {
        for _ in 0..BATCH {
            let record = Record::to(topic).partition(partition).value(topic.as_bytes());
            drop(producer.send(record).await.unwrap());
        }
        producer.flush().await;
    }
    producer.close().await;
}

/// Waits until partitions are assigned; says which.
async fn assigned(consumer: &mut Consumer) -> Vec<(String, PartitionIndex)> {
    loop {
        if let ConsumerEvent::Group(GroupEvent::Assigned { partitions }) =
            consumer.next_event().await.unwrap()
        {
            return partitions;
        }
    }
}

/// Takes records until there are so many; the topics and partitions that they are of.
async fn take(consumer: &mut Consumer, mut records: u64) -> BTreeSet<(String, PartitionIndex)> {
    let mut of = BTreeSet::new();
    while records > 0 {
        let batch = consumer.next_batch().await.unwrap();
        records = records.checked_sub(batch.record_count()).expect("no more than there should be");
        of.insert((batch.topic().to_owned(), batch.partition()));
    }
    of
}

/// What the group has committed of partition 0 of topic `t`.
async fn committed(client: &Client) -> Option<Position> {
    let group = client.describe_group("g").await.unwrap();
    let found = group.partitions.into_iter().find(|one| one.topic_name == "t" && one.partition == P0);
    let committed = found.and_then(|one| one.committed)?;
    Some(Position { offset: committed.offset, epoch: committed.leader_epoch })
}

fn code<T: std::fmt::Debug>(outcome: Result<T, ClientError>) -> Option<ErrorCode> {
    outcome.unwrap_err().code()
}

#[test]
fn a_commit_carries_the_leader_epoch_and_the_next_reader_goes_on_with_it() {
    let mut place = Place::that_restarts();
    place.create("t", &[]);
    // Each life of the leader is an epoch: this one is not the first.
    place.node.kill();
    place.node.start();
    with_client(&place, async |client| {
        store(&client, "t", P0, 1).await;
        let mut consumer = client.consumer(by_hand()).unwrap();
        consumer.subscribe(["t"]).unwrap();
        take(&mut consumer, BATCH).await;
        let position = consumer.position("t", P0).unwrap();
        assert!(position.epoch.is_some_and(|epoch| epoch.0 > 0), "{position:?}");
        consumer.commit().await.unwrap();
        assert_eq!(committed(&client).await, Some(position));
        consumer.close().await.unwrap();

        let mut next = client.consumer(by_hand()).unwrap();
        next.subscribe(["t"]).unwrap();
        assigned(&mut next).await;
        assert_eq!(next.position("t", P0), Some(position));

        // One that the application chose has the epoch where it is the position, and else none.
        store(&client, "t", P0, 1).await;
        take(&mut next, BATCH).await;
        let position = next.position("t", P0).unwrap();
        next.start_commit_of(&[("t", P0, position.offset, "here")]).unwrap().await.unwrap();
        assert_eq!(committed(&client).await, Some(position));
        next.start_commit_of(&[("t", P0, Offset(3), "there")]).unwrap().await.unwrap();
        assert_eq!(committed(&client).await, Some(Position { offset: Offset(3), epoch: None }));
    });
}

#[test]
fn what_cannot_be_is_heard_by_the_application_and_changes_nothing() {
    let place = Place::new();
    place.create("t", &[]);
    with_client(&place, async |client| {
        let mut bad = client.consumer(by_hand()).unwrap();
        bad.subscribe_pattern("(").unwrap();
        assert_eq!(code(bad.next_event().await), Some(ErrorCode::InvalidRegularExpression));
        assert!(bad.close().await.is_ok());

        store(&client, "t", P0, 1).await;
        let mut consumer = client.consumer(by_hand()).unwrap();
        consumer.subscribe(["t"]).unwrap();
        take(&mut consumer, BATCH).await;
        let refused = async |consumer: &mut Consumer, offset: u64, metadata: &str| {
            code(consumer.start_commit_of(&[("t", P0, Offset(offset), metadata)]).unwrap().await)
        };
        let (long, longer) = ("x".repeat(4_096), "x".repeat(4_097));
        assert_eq!(refused(&mut consumer, BATCH + 1, "").await, Some(ErrorCode::OffsetOutOfRange));
        assert_eq!(refused(&mut consumer, BATCH, &longer).await, Some(ErrorCode::OffsetMetadataTooLarge));
        assert_eq!(committed(&client).await, None);
        let elsewhere = consumer.start_commit_of(&[("t", P1, Offset(0), "")]).map(drop).unwrap_err();
        assert!(matches!(elsewhere, ClientError::NotAssigned { .. }), "{elsewhere}");
        // What was refused is not taken for committed.
        consumer.commit().await.unwrap();
        assert_eq!(committed(&client).await.map(|at| at.offset), Some(Offset(BATCH)));
        consumer.start_commit_of(&[("t", P0, Offset(1), &long)]).unwrap().await.unwrap();
        assert_eq!(committed(&client).await.map(|at| at.offset), Some(Offset(1)));
    });
}

#[test]
fn a_pattern_reads_what_matches_and_what_comes_later() {
    let place = Place::new();
    for topic in ["eu.orders", "eu.payments", "us.orders"] {
        place.create(topic, &[]);
    }
    with_client(&place, async |client| {
        let mut consumer = client.consumer(by_hand()).unwrap();
        // The whole name: nothing that only contains it.
        consumer.subscribe_pattern("eu\\.[a-z]+").unwrap();
        assert_eq!(assigned(&mut consumer).await.len(), 2);
        for topic in ["eu.refunds", "neu.orders"] {
            client.create_topic(NewTopic::new(topic)).await.unwrap();
        }
        assert_eq!(assigned(&mut consumer).await, [("eu.refunds".to_owned(), P0)]);
        let matching = ["eu.orders", "eu.payments", "eu.refunds"];
        for topic in ["us.orders", "neu.orders"].iter().chain(&matching) {
            store(&client, topic, P0, 1).await;
        }
        let read = take(&mut consumer, 3 * BATCH).await;
        assert_eq!(read, matching.map(|topic| (topic.to_owned(), P0)).into());
        let mut all = consumer.assignment();
        all.sort();
        assert_eq!(all, matching.map(|topic| (topic.to_owned(), P0)));
    });
}

#[test]
fn a_member_pauses_a_partition_and_knows_how_far_behind_it_is() {
    let place = Place::new();
    place.create("t", &["--partitions", "2"]);
    with_client(&place, async |client| {
        for partition in [P0, P1] {
            store(&client, "t", partition, 3).await;
        }
        let mut consumer = client.consumer(by_hand()).unwrap();
        consumer.subscribe(["t"]).unwrap();
        assigned(&mut consumer).await;
        consumer.pause("t", P1).unwrap();
        take(&mut consumer, BATCH).await;
        assert_eq!(consumer.lag("t", P0), Some(2 * BATCH));
        take(&mut consumer, 2 * BATCH).await;
        assert_eq!(consumer.lag("t", P0), Some(0));
        assert_eq!(consumer.lag("t", P1), None, "nothing is known of it");
        // It is still this member's, and nothing of it was handed out.
        assert_eq!(consumer.assignment().len(), 2);
        consumer.commit().await.unwrap();
        let group = client.describe_group("g").await.unwrap();
        let offsets = group.partitions.iter().map(|one| one.committed.as_ref().map(|of| of.offset.0));
        assert_eq!(offsets.collect::<Vec<_>>(), [Some(3 * BATCH), None]);

        consumer.resume("t", P1).unwrap();
        assert_eq!(take(&mut consumer, 3 * BATCH).await, [("t".to_owned(), P1)].into());
        assert_eq!(consumer.lag("t", P1), Some(0));
    });
}

#[test]
fn commits_that_are_begun_are_stored_in_order_without_being_waited_for() {
    let place = Place::new();
    place.create("t", &[]);
    with_client(&place, async |client| {
        store(&client, "t", P0, 3).await;
        let mut consumer = client.consumer(by_hand()).unwrap();
        consumer.subscribe(["t"]).unwrap();
        take(&mut consumer, BATCH).await;
        let first = consumer.start_commit().unwrap();
        take(&mut consumer, BATCH).await;
        // Nobody waits for this one; it goes on all the same.
        drop(consumer.start_commit().unwrap());
        take(&mut consumer, BATCH).await;
        let last = consumer.start_commit().unwrap();
        last.await.unwrap();
        assert_eq!(committed(&client).await.map(|at| at.offset), Some(Offset(3 * BATCH)));
        first.await.unwrap();
        assert_eq!(
            committed(&client).await.map(|at| at.offset),
            Some(Offset(3 * BATCH)),
            "the last one counts"
        );
    });
}

/// Takes one batch of [`BATCH`] records.
async fn take_one(consumer: &mut Consumer) -> ConsumedBatch {
    let batch = consumer.next_batch().await.unwrap();
    assert_eq!(batch.record_count(), BATCH);
    batch
}

#[test]
fn what_is_committed_by_itself_is_what_was_taken_and_not_what_was_fetched() {
    let place = Place::new();
    place.create("t", &[]);
    with_client(&place, async |client| {
        store(&client, "t", P0, 5).await;
        let config =
            ConsumerConfig { auto_commit: true, auto_commit_interval: Duration::from_nanos(1), ..by_hand() };
        let mut consumer = client.consumer(config.clone()).unwrap();
        consumer.subscribe(["t"]).unwrap();
        take_one(&mut consumer).await;
        // Asking for more says that the first one is done. All of them were fetched by now, and the second is in hand.
        take_one(&mut consumer).await;
        while committed(&client).await.is_none() {}
        assert_eq!(committed(&client).await.map(|at| at.offset), Some(Offset(BATCH)));
        // It says goodbye to the group, and nothing of what it had in hand: that is another's to read.
        drop(consumer);
        let mut next = client.consumer(config.clone()).unwrap();
        next.subscribe(["t"]).unwrap();
        assigned(&mut next).await;
        assert_eq!(next.position("t", P0).map(|at| at.offset), Some(Offset(BATCH)));
        take_one(&mut next).await;
        next.close().await.unwrap();
        assert_eq!(
            committed(&client).await.map(|at| at.offset),
            Some(Offset(2 * BATCH)),
            "closing commits it"
        );
    });
}

#[test]
fn a_commit_that_is_given_up_goes_on() {
    let place = Place::new();
    with_client(&place, async |client| {
        client.create_topic(NewTopic::new("t").partitions(1)).await.unwrap();
        store(&client, "t", P0, 1).await;
        let mut consumer = client.consumer(by_hand()).unwrap();
        consumer.subscribe(["t"]).unwrap();
        take(&mut consumer, BATCH).await;
        let position = consumer.position("t", P0);
        {
            let mut committing = std::pin::pin!(consumer.commit());
            let ends_at_once = std::future::poll_fn(|context| {
                std::task::Poll::Ready(committing.as_mut().poll(context).is_ready())
            });
            assert!(!ends_at_once.await, "the coordinator's answer takes longer");
        }
        // Of no offset, so that it waits for what was begun before it and is nothing itself.
        consumer.start_commit_of(&[]).unwrap().await.unwrap();
        assert_eq!(committed(&client).await, position);
        consumer.close().await.unwrap();
    });
}
