//! A process that creates a topic, writes to it, reads it and deletes it, again and again under one name.
//!
//! What it demands: a topic that was created shows what was written to it, all that was acknowledged, and nothing of
//! the topics that had its name before.

use std::collections::BTreeSet;

use weir_client::{
    Client, ClientConfig, ClientError, ConsumerConfig, ConsumerEvent, ErrorCode, NewTopic, ProducerConfig,
    Record, StartAt,
};
use weir_wire::ids::PartitionIndex;

use super::workload::Common;

/// Its host.
pub const NAME: &str = "churn";
/// Who it is, among the producers.
pub(super) const NUMBER: u32 = u32::MAX - 1;

const TOPIC: &str = "passing";
const PARTITIONS: u32 = 2;
const RECORDS: u32 = 6;

/// One life of the process: goes round until the faults are over, and then once more, which must go well.
pub(super) async fn run(common: &Common, config: ClientConfig, life: u32) {
    let client = common.connect(config).await;
    // An earlier life may have left it.
    delete(common, &client).await;
    for round in 0.. {
        let is_last = common.journal.faults_are_over();
        let mark = format!("{life}/{round}");
        create(common, &client).await;
        let stored = write(common, &client, &mark).await;
        if is_last && stored.len() < RECORDS as usize {
            common
                .journal
                .violated(format_args!("after everything was mended a new topic took only {stored:?}"));
        }
        read(common, &client, &mark, &stored).await;
        delete(common, &client).await;
        common.note(format_args!("round {mark} is done"));
        if is_last {
            break;
        }
    }
    common.journal.finished(NUMBER);
}

async fn create(common: &Common, client: &Client) {
    loop {
        match client.create_topic(NewTopic::new(TOPIC).partitions(PARTITIONS)).await {
            Ok(_) => return,
            // It was deleted before, so this is an answer that was lost.
            Err(ClientError::Node(error)) if error.code == ErrorCode::TopicAlreadyExists => return,
            Err(error) => common.failed("creating a passing topic", &error).await,
        }
    }
}

async fn delete(common: &Common, client: &Client) {
    loop {
        match client.delete_topic(TOPIC).await {
            Ok(_) | Err(ClientError::UnknownTopic { .. }) => return,
            Err(ClientError::Node(error)) if error.code == ErrorCode::UnknownTopic => return,
            Err(error) => common.failed("deleting a passing topic", &error).await,
        }
    }
}

/// Writes the round's records; returns those that are stored.
async fn write(common: &Common, client: &Client, mark: &str) -> BTreeSet<String> {
    let config = ProducerConfig {
        request_timeout: common.workload.request_timeout,
        delivery_timeout: common.workload.delivery_timeout,
        ..ProducerConfig::default()
    };
    let sender = client.producer(config).expect("a valid configuration");
    let mut deliveries = Vec::new();
    for number in 0..RECORDS {
        let value = format!("{mark}/{number}");
        match sender.send(Record::to(TOPIC).key(&number.to_le_bytes()).value(value.as_bytes())).await {
            Ok(delivery) => deliveries.push((value, delivery)),
            Err(error) => common.note(format_args!("{value} was not taken: {error}")),
        }
    }
    let mut stored = BTreeSet::new();
    for (value, delivery) in deliveries {
        let result = delivery.await;
        if result.is_stored() {
            stored.insert(value);
        } else {
            common.note(format_args!("{value}: {result:?}"));
        }
    }
    stored
}

/// Reads the topic to its end: there must be everything that is stored, and nothing of another round.
async fn read(common: &Common, client: &Client, mark: &str, stored: &BTreeSet<String>) {
    let mut consumer = client.consumer(ConsumerConfig::default()).expect("the defaults are valid");
    while let Err(error) = consumer.assign_all(TOPIC, StartAt::Earliest).await {
        common.failed("assigning a passing topic", &error).await;
    }
    let mut missing: BTreeSet<PartitionIndex> = (0..PARTITIONS).map(PartitionIndex).collect();
    let mut unread = stored.clone();
    while !missing.is_empty() {
        match consumer.next_event().await {
            Ok(ConsumerEvent::Records(batch)) => {
                for record in batch.iter() {
                    let value = String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned();
                    if !value.starts_with(&format!("{mark}/")) {
                        common.journal.violated(format_args!("the topic of round {mark} holds {value}"));
                    }
                    unread.remove(&value);
                }
            }
            Ok(ConsumerEvent::CaughtUp { partition, .. }) => _ = missing.remove(&partition),
            Ok(ConsumerEvent::Reset { partition, from, to, .. }) => {
                common.journal.violated(format_args!(
                    "reading {partition} of a passing topic moved from {from} to {to}"
                ));
            }
            Ok(ConsumerEvent::Group(_)) => {}
            Err(error) => common.failed("reading a passing topic", &error).await,
        }
    }
    if !unread.is_empty() {
        common.journal.violated(format_args!("the topic of round {mark} lost {unread:?}"));
    }
}
