//! Who produces and consumes while faults come, and what they were told.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;
use weir_client::{
    Client, ConsumedRecord, Consumer, ConsumerConfig, ConsumerEvent, Delivery, DeliveryResult,
    ProducerConfig, Record, ResetPolicy, StartAt,
};
use weir_wire::ids::{Offset, PartitionIndex};

use super::plan::{Placing, Producing};
use super::round::Field;
use crate::book::Reader;

/// The topic that all of them use.
pub(super) const TOPIC: &str = "torture";
/// The group of those that share it.
const GROUP: &str = "readers";
/// How many records a producer sends before it pauses.
const HANDFUL: u64 = 5;
/// From this patience on a producer must be told that everything is stored.
const PATIENT: Duration = Duration::from_secs(60);
/// How long a reader waits before it asks again after an error.
const ERROR_PAUSE: Duration = Duration::from_millis(200);
/// How often a reader looks whether it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The offset behind the last record of each partition.
pub(super) type Ends = BTreeMap<PartitionIndex, Offset>;

/// Sends until the round is over, and waits for what became of all of it.
pub(super) async fn produce(field: Rc<Field>, client: Client, process: u32, how: Producing) {
    let config = ProducerConfig {
        delivery_timeout: how.patience,
        request_timeout: Duration::from_secs(3),
        ..ProducerConfig::default()
    };
    let producer = match client.producer(config) {
        Ok(producer) => producer,
        Err(error) => return field.journal.finding(format_args!("no producer: {error}")),
    };
    let mut pending: VecDeque<(u64, Delivery)> = VecDeque::new();
    let mut count = 0_u64;
    while !field.is_over.get() {
        for _ in 0..HANDFUL {
            let number = field.next_number();
            count += 1;
            let place = Place::of(&field, process, count, how.placing);
            field.book.borrow_mut().sent(process, number, place.order.as_deref());
            let value = value_of(number);
            let mut record = Record::to(TOPIC).value(value.as_bytes());
            record.partition = place.partition;
            record.key = place.key.as_ref().map(|key| key.as_bytes());
            match producer.send(record).await {
                Ok(delivery) => pending.push_back((number, delivery)),
                Err(error) => {
                    field.journal.finding(format_args!("producer {process} takes no record: {error}"));
                    field.book.borrow_mut().not_taken(number);
                }
            }
        }
        while let Some(result) = pending.front().and_then(|(_, delivery)| delivery.result()) {
            let Some((number, _)) = pending.pop_front() else { break };
            told(&field, process, number, &result, how);
        }
        tokio::time::sleep(how.pace).await;
    }
    producer.flush().await;
    for (number, delivery) in pending {
        let result = delivery.await;
        told(&field, process, number, &result, how);
    }
    producer.close().await;
}

/// Where a record goes, and what its order is judged by.
struct Place {
    partition: Option<PartitionIndex>,
    key: Option<String>,
    order: Option<String>,
}

impl Place {
    fn of(field: &Field, process: u32, count: u64, placing: Placing) -> Place {
        match placing {
            Placing::Keys(keys) => {
                let key = format!("{process}-{}", count % u64::from(keys));
                Place { partition: None, order: Some(key.clone()), key: Some(key) }
            }
            Placing::Explicit => {
                let index = u32::try_from(count % u64::from(field.plan.partitions)).expect("few partitions");
                let order = Some(format!("partition {index} of {process}"));
                Place { partition: Some(PartitionIndex(index)), key: None, order }
            }
            Placing::Anywhere => Place { partition: None, key: None, order: None },
        }
    }
}

fn told(field: &Field, process: u32, number: u64, result: &DeliveryResult, how: Producing) {
    field.book.borrow_mut().told(number, result);
    match result {
        DeliveryResult::Stored { .. } => {}
        DeliveryResult::Unknown(_) | DeliveryResult::Failed(_) if how.patience < PATIENT => {}
        other => field.journal.finding(format_args!(
            "producer {process} had {} s of patience and was told of record {number}: {other:?}",
            how.patience.as_secs()
        )),
    }
}

/// Reads everything from the beginning, up to the ends once these are known.
pub(super) async fn consume(field: Rc<Field>, client: Client) {
    let reader = field.book.borrow_mut().reader();
    let mut consumer = match assigned(&client).await {
        Ok(consumer) => consumer,
        Err(error) => return field.journal.finding(format_args!("nothing can be assigned: {error}")),
    };
    loop {
        let ends = field.ends.borrow().clone();
        if ends.is_some_and(|ends| has_reached(&consumer, &ends)) {
            break;
        }
        step(&field, &mut consumer, reader).await;
    }
    close(&field, consumer).await;
}

/// Reads what a group gives it, until the round is over.
pub(super) async fn take_part(field: Rc<Field>, client: Client) {
    let reader = field.book.borrow_mut().member();
    let config = ConsumerConfig {
        group: Some(GROUP.to_owned()),
        reset: ResetPolicy::Earliest,
        auto_commit_interval: Duration::from_millis(300),
        ..ConsumerConfig::default()
    };
    let joined = client.consumer(config).and_then(|mut consumer| {
        consumer.subscribe([TOPIC])?;
        Ok(consumer)
    });
    let mut consumer = match joined {
        Ok(consumer) => consumer,
        Err(error) => return field.journal.finding(format_args!("no member: {error}")),
    };
    while !field.is_over.get() {
        step(&field, &mut consumer, reader).await;
    }
    close(&field, consumer).await;
}

/// One who reads all that is stored, once nothing fails any more.
pub(super) async fn read_all(field: &Field, ends: &Ends, patience: Duration) -> Result<(), String> {
    let client = field.cluster.connect().await?;
    let reader = field.book.borrow_mut().reader();
    let mut consumer = assigned(&client).await.map_err(|error| error.to_string())?;
    let deadline = Instant::now() + patience;
    while !has_reached(&consumer, ends) {
        if Instant::now() > deadline {
            return Err(format!("a new reader does not reach the ends: {}", missing(&consumer, ends)));
        }
        step(field, &mut consumer, reader).await;
    }
    close(field, consumer).await;
    client.close().await;
    Ok(())
}

async fn assigned(client: &Client) -> Result<Consumer, weir_client::ClientError> {
    let mut consumer = client.consumer(ConsumerConfig::default())?;
    consumer.assign_all(TOPIC, StartAt::Earliest).await?;
    Ok(consumer)
}

async fn step(field: &Field, consumer: &mut Consumer, reader: Reader) {
    match tokio::time::timeout(LOOK_EVERY, consumer.next_event()).await {
        Ok(Ok(ConsumerEvent::Records(batch))) => {
            field.book.borrow_mut().read_batch(reader, &batch, number_of);
        }
        Ok(Ok(_)) | Err(_) => {}
        Ok(Err(error)) if error.is_retryable() => {
            field.journal.note(format_args!("a reader is told: {error}"));
            tokio::time::sleep(ERROR_PAUSE).await;
        }
        Ok(Err(error)) => {
            field.journal.finding(format_args!("a reader is told: {error}"));
            tokio::time::sleep(ERROR_PAUSE).await;
        }
    }
}

async fn close(field: &Field, consumer: Consumer) {
    // A last commit may come too late for the coordinator: what it was for comes again then.
    if let Err(error) = consumer.close().await {
        field.journal.note(format_args!("a reader's last word: {error}"));
    }
}

fn has_reached(consumer: &Consumer, ends: &Ends) -> bool {
    ends.iter().all(|(partition, end)| {
        consumer.position(TOPIC, *partition).is_some_and(|position| position.offset >= *end)
    })
}

fn missing(consumer: &Consumer, ends: &Ends) -> String {
    let behind = ends.iter().filter_map(|(partition, end)| {
        let at = consumer.position(TOPIC, *partition).map(|position| position.offset);
        (at < Some(*end)).then(|| format!("partition {partition}: {at:?} of {end}"))
    });
    behind.collect::<Vec<_>>().join(", ")
}

/// Its number, and some more that depends on it.
fn value_of(number: u64) -> String {
    let more = usize::try_from(number % 7).expect("small") * 60;
    format!("{number} {}", "x".repeat(more))
}

/// `None` where the record is not as it was sent.
fn number_of(record: &ConsumedRecord<'_>) -> Option<u64> {
    let value = std::str::from_utf8(record.value?).ok()?;
    let number = value.split_once(' ')?.0.parse().ok()?;
    (value_of(number) == value).then_some(number)
}
