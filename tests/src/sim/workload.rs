//! What the clients do: produce numbered records, read along, and in the end read everything once more.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use weir_client::{
    Acks, Client, ClientConfig, ClientError, Consumer, ConsumerConfig, ConsumerEvent, DeliveryResult,
    ErrorClass, ErrorCode, Lanes, NewTopic, ProducerConfig, Record, ResetPolicy, StartAt,
};
use weir_wire::ids::{Offset, PartitionIndex};

use super::churn;
use super::dice::Dice;
use super::group_book::GroupBook;
use super::journal::{Journal, value_of};
use super::plan::Workload;
use super::swaps::{self, Ledger};
use super::trace::{Kind, Trace};
use super::world::World;
use super::{members, moves};

/// The one topic.
pub const TOPIC: &str = "quakes";

/// How long a client waits before it tries again what failed.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// How likely a reader starts again from the beginning after a batch.
const START_AGAIN: f64 = 0.01;
/// Who the auditor is, among the producers.
const AUDITOR: u32 = u32::MAX;

/// What a client process shares with the others of its run.
#[derive(Clone)]
pub(super) struct Common {
    host: Arc<str>,
    pub(super) workload: Workload,
    pub(super) journal: Journal,
    trace: Trace,
    pub(super) dice: Rc<RefCell<Dice>>,
}

impl Common {
    fn new(name: &str, seed: u64, workload: &Workload, journal: &Journal, trace: &Trace) -> Common {
        Common {
            host: name.into(),
            workload: workload.clone(),
            journal: journal.clone(),
            trace: trace.clone(),
            dice: Rc::new(RefCell::new(Dice::new(seed, &format!("{name}'s work")))),
        }
    }

    pub(super) fn note(&self, what: fmt::Arguments<'_>) {
        self.trace.note(&self.host, Kind::Client, what);
    }

    /// A client, however long it takes.
    pub(super) async fn connect(&self, config: ClientConfig) -> Client {
        loop {
            match Client::connect(config.clone()).await {
                Ok(client) => return client,
                Err(error) => self.failed("connecting", &error).await,
            }
        }
    }

    pub(super) async fn pause(&self) {
        tokio::time::sleep(PAUSE).await;
    }

    /// Notes an error that passes, or that is an honest answer to what fails, and waits a little; any other is a broken
    /// promise.
    pub(super) async fn failed(&self, what: &str, error: &ClientError) {
        self.note(format_args!("{what} failed: {error}"));
        // The disk failed, or it is a change of which nobody can tell whether it took effect: the next try does.
        let honest = [ErrorCode::StorageFailed, ErrorCode::CorruptBatch, ErrorCode::OutcomeUnknown];
        let is_honest = matches!(error, ClientError::Node(error) if honest.contains(&error.code));
        if error.class() != ErrorClass::Retryable && !is_honest {
            self.journal.violated(format_args!("{what} failed for good: {error}"));
        }
        tokio::time::sleep(PAUSE).await;
    }

    /// How many partitions the topic has, as far as clients were told.
    fn partitions(&self) -> u32 {
        self.journal.grown_to().unwrap_or(self.workload.partitions)
    }

    /// How readers read: what retention takes from under them is no error.
    fn reading(&self) -> ConsumerConfig {
        let reset =
            if self.workload.retention_bytes.is_some() { ResetPolicy::Earliest } else { ResetPolicy::None };
        ConsumerConfig { reset, ..ConsumerConfig::default() }
    }

    /// Creates the topic, unless another process already did.
    pub(super) async fn create_topic(&self, client: &Client) {
        let retention_bytes =
            self.workload.retention_bytes.map_or("-1".to_owned(), |bytes| bytes.to_string());
        let topic = NewTopic::new(TOPIC)
            .partitions(self.workload.partitions)
            .replication_factor(self.workload.replication_factor)
            .config("segment.bytes", self.workload.segment_bytes.to_string())
            .config("retention.bytes", retention_bytes)
            .config("min.insync.replicas", self.workload.min_insync.to_string())
            .config("write.caching", self.workload.write_caching.to_string());
        loop {
            match client.create_topic(topic.clone()).await {
                Ok(_) => return,
                Err(ClientError::Node(error)) if error.code == ErrorCode::TopicAlreadyExists => return,
                // Not all nodes are there yet, or nobody can say; the next try tells.
                Err(ClientError::Node(error))
                    if matches!(
                        error.code,
                        ErrorCode::InvalidReplicationFactor | ErrorCode::OutcomeUnknown
                    ) =>
                {
                    self.note(format_args!("creating the topic: {error}"));
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => self.failed("creating the topic", &error).await,
            }
        }
    }
}

/// The name of a producing process.
#[must_use]
pub fn producer_name(producer: u32) -> String {
    format!("producer-{producer}")
}

/// Adds the processes of a workload to the world.
pub fn add(
    world: &mut World,
    seed: u64,
    workload: &Workload,
    (journal, ledger, book): (&Journal, &Ledger, &GroupBook),
    trace: &Trace,
) {
    for number in 0..workload.producers {
        let name = producer_name(number);
        let common = Common::new(&name, seed, workload, journal, trace);
        let lives = Rc::new(RefCell::new(0));
        world.add_client(&name, move |config| {
            let common = common.clone();
            *lives.borrow_mut() += 1;
            let life = *lives.borrow();
            async move {
                produce(&common, config, number, life).await;
                Ok(())
            }
        });
    }
    if workload.churns {
        let common = Common::new(churn::NAME, seed, workload, journal, trace);
        let lives = Rc::new(RefCell::new(0));
        world.add_client(churn::NAME, move |config| {
            let common = common.clone();
            *lives.borrow_mut() += 1;
            let life = *lives.borrow();
            async move {
                churn::run(&common, config, life).await;
                Ok(())
            }
        });
    }
    for (operator, swaps) in workload.operators() {
        let name = swaps::operator_name(operator);
        let common = Common::new(&name, seed, workload, journal, trace);
        let ledger = ledger.clone();
        world.add_client(&name, move |config| {
            let (common, swaps, ledger) = (common.clone(), swaps.clone(), ledger.clone());
            async move {
                swaps::operate(&common, config, (operator, &swaps), &ledger).await;
                Ok(())
            }
        });
    }
    if let Some(moves) = &workload.moves {
        let common = Common::new(moves::NAME, seed, workload, journal, trace);
        let moves = moves.clone();
        world.add_client(moves::NAME, move |config| {
            let (common, moves) = (common.clone(), moves.clone());
            async move {
                moves::run(&common, config, &moves).await;
                Ok(())
            }
        });
    }
    for number in 0..workload.readers {
        let name = format!("reader-{number}");
        let common = Common::new(&name, seed, workload, journal, trace);
        world.add_client(&name, move |config| {
            let common = common.clone();
            async move { read_along(&common, config).await }
        });
    }
    if let Some(plan) = &workload.group {
        members::add(world, plan, book, |name| Common::new(name, seed, workload, journal, trace));
    }
}

/// Adds a process that checks, after everything was mended, that every partition takes records, and then reads
/// everything there is.
pub fn add_auditor(world: &mut World, seed: u64, workload: &Workload, journal: &Journal, trace: &Trace) {
    let common = Common::new("auditor", seed, workload, journal, trace);
    world.add_client("auditor", move |config| {
        let common = common.clone();
        async move {
            audit(&common, config).await;
            Ok(())
        }
    });
}

/// One life of a producing process: sends what is left to send.
async fn produce(common: &Common, config: ClientConfig, producer: u32, life: u32) {
    let Common { workload, journal, dice, .. } = common;
    journal.forget_open(producer);
    let client = common.connect(config).await;
    common.create_topic(&client).await;
    let acks = workload.acks_of(producer);
    let config = ProducerConfig {
        acks,
        batch_bytes: workload.batch_bytes,
        linger: workload.linger,
        in_flight_batches: workload.in_flight,
        compression: workload.compression,
        delivery_timeout: workload.delivery_timeout,
        request_timeout: workload.request_timeout,
        max_block: workload.delivery_timeout,
        lanes: match workload.unguessed_lanes {
            0 => Lanes::Guessed,
            lanes => Lanes::Unguessed(lanes),
        },
        ..ProducerConfig::default()
    };
    let sender = client.producer(config).expect("the workload is a valid configuration");
    while journal.sent_by(producer) < workload.records {
        if journal.sent_by(producer).is_multiple_of(workload.burst) {
            let pause = dice.borrow_mut().time(workload.pause.clone());
            tokio::time::sleep(pause).await;
        }
        // What an earlier life still had under way may come in late: order holds per producer, so each has its keys.
        let key_number = dice.borrow_mut().within(1..=u64::from(workload.keys));
        let key = format!("{producer}/{life}/{key_number}");
        let bytes = dice.borrow_mut().within(workload.value_bytes.clone());
        let number = journal.sending(producer, &key);
        let value = value_of(number, usize::try_from(bytes).expect("values are small"));
        common.note(format_args!("send {number} ({} bytes) under {key}", value.len()));
        let mut record = Record::to(TOPIC).key(key.as_bytes()).value(&value);
        if workload.names_partitions {
            let partition = key_number % u64::from(workload.partitions);
            record = record.partition(PartitionIndex(u32::try_from(partition).expect("few partitions")));
        }
        match sender.send(record).await {
            Ok(delivery) => {
                let common = common.clone();
                tokio::task::spawn_local(async move { common.settle(number, acks, &delivery.await) });
            }
            Err(error) => {
                common.note(format_args!("{number} was not taken: {error}"));
                journal.refused(number);
            }
        }
    }
    sender.close().await;
    // The last results are known; who waits for them is woken after us.
    while journal.open_of(producer) > 0 {
        tokio::task::yield_now().await;
    }
    common.note(format_args!("all is sent and answered"));
    journal.finished(producer);
    client.close().await;
}

impl Common {
    fn settle(&self, number: u64, acks: Acks, result: &DeliveryResult) {
        match result {
            DeliveryResult::Stored { partition, offset, duplicate, .. } => {
                let at = offset.map_or("?".to_owned(), |offset| offset.to_string());
                let again = if *duplicate { ", again" } else { "" };
                self.note(format_args!("{number} is stored at {partition}/{at}{again}"));
            }
            other => self.note(format_args!("{number}: {other:?}")),
        }
        if let DeliveryResult::Stored { promise, duplicate, .. } = result {
            let is_kept = self.workload.is_kept(acks, *promise, *duplicate);
            self.journal.promised(
                number,
                turmoil::sim_elapsed().unwrap_or_default(),
                *promise,
                *duplicate,
                is_kept,
            );
        }
        let judged = self.workload.swaps.as_ref().map(|swaps| swaps.judged(result));
        self.journal.delivered(number, acks, judged.as_ref().unwrap_or(result));
    }
}

/// Reads along for as long as the process lives, now and then from the beginning.
async fn read_along(common: &Common, config: ClientConfig) -> super::world::HostResult {
    let client = common.connect(config).await;
    loop {
        let mut consumer = client.consumer(common.reading())?;
        let partitions = common.partitions();
        if !assign(common, &mut consumer, partitions).await {
            continue;
        }
        let reader = common.journal.begin_reader();
        loop {
            match consumer.next_batch().await {
                Ok(batch) => {
                    let (partition, next) = (batch.partition(), batch.next_offset());
                    common.note(format_args!("reader {reader} read {partition} up to {next}"));
                    common.journal.read(reader, &batch);
                }
                Err(error) => {
                    common.failed("reading", &error).await;
                    break;
                }
            }
            if common.partitions() > partitions {
                break;
            }
            // Not in the end, when all that is waited for is that readers come to the end.
            if common.journal.audit().is_none() && common.dice.borrow_mut().chance(START_AGAIN) {
                break;
            }
        }
        common.journal.end_reader(reader);
    }
}

/// Assigns all partitions from the start, of which there are so many at least; false if that has to be tried again.
async fn assign(common: &Common, consumer: &mut Consumer, partitions: u32) -> bool {
    match consumer.assign_all(TOPIC, StartAt::Earliest).await {
        Ok(assigned) if assigned >= partitions => true,
        // Nobody has created it yet, or not all nodes have heard that it grew.
        Ok(_) | Err(ClientError::UnknownTopic { .. }) => {
            tokio::time::sleep(PAUSE).await;
            false
        }
        Err(error) => {
            common.failed("assigning", &error).await;
            false
        }
    }
}

/// Writes one record to each partition, which must succeed now that everything is mended, and reads everything.
async fn audit(common: &Common, config: ClientConfig) {
    let client = common.connect(config).await;
    let sender = client.producer(ProducerConfig::default()).expect("the defaults are valid");
    let partitions = common.partitions();
    for partition in 0..partitions {
        let key = format!("audit/{partition}");
        let number = common.journal.sending(AUDITOR, &key);
        let value = value_of(number, 20);
        let record = Record::to(TOPIC).partition(PartitionIndex(partition)).key(key.as_bytes()).value(&value);
        match sender.send(record).await {
            Ok(delivery) => {
                let result = delivery.await;
                if !result.is_stored() {
                    common.journal.violated(format_args!(
                        "after everything was mended {partition} took nothing: {result:?}"
                    ));
                }
                common.settle(number, Acks::All, &result);
            }
            Err(error) => {
                common
                    .journal
                    .violated(format_args!("after everything was mended nothing could be sent: {error}"));
                common.journal.refused(number);
            }
        }
    }
    let mut consumer = client.consumer(common.reading()).expect("the defaults are valid");
    while !assign(common, &mut consumer, partitions).await {}
    let reader = common.journal.begin_reader();
    let mut missing: BTreeSet<PartitionIndex> = (0..partitions).map(PartitionIndex).collect();
    let mut ends: BTreeMap<PartitionIndex, Offset> = BTreeMap::new();
    while !missing.is_empty() {
        match consumer.next_event().await {
            Ok(ConsumerEvent::Records(batch)) => common.journal.read(reader, &batch),
            Ok(ConsumerEvent::CaughtUp { partition, high_watermark, .. }) => {
                missing.remove(&partition);
                ends.insert(partition, high_watermark);
            }
            // Retention went by.
            Ok(ConsumerEvent::Reset { .. }) if common.workload.retention_bytes.is_some() => {}
            Ok(ConsumerEvent::Reset { partition, from, to, .. }) => {
                common.journal.violated(format_args!("reading {partition} from {from} was moved to {to}"));
            }
            Ok(ConsumerEvent::Group(_)) => {}
            Err(error) => common.failed("reading everything", &error).await,
        }
    }
    common.note(format_args!("everything is read: {ends:?}"));
    common.journal.end_reader(reader);
    common.journal.audited(reader, ends);
}
