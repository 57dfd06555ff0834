//! The records that flow while plugins are swapped: one client sends them, another one counts what it reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use weir_client::{
    Acks, Consumer, ConsumerConfig, ConsumerEvent, Delivery, DeliveryResult, PartitionIndex, ProducerConfig,
    ProducerMetrics, Record, StartAt,
};

use super::super::latencies::Latencies;
use super::super::target::Target;
use super::Args;
use super::ledger::Ledger;
use crate::cli::output::Failure;

/// The time of one in so many records is taken: taking one costs a task.
const SAMPLE: u64 = 16;
/// After so many records the client's other tasks get their turn, also while nothing holds up the sending.
const TURN_RECORDS: u64 = 64;
/// The bytes at the start of a value that number it.
const NUMBER_BYTES: usize = 8;
/// How long nothing may come, once all records have their result, before those that are missing are given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What both clients and the bench share.
pub(super) struct Traffic {
    pub(super) topic: String,
    is_swapping: AtomicBool,
    sent: AtomicU64,
    /// How long records took while no plugin was swapped, and while some were.
    pub(super) calm: Latencies,
    pub(super) swapping: Latencies,
    is_over: watch::Sender<bool>,
    /// What became of the records, once all have their result.
    outcome: watch::Sender<Option<ProducerMetrics>>,
}

/// What became of all records, and what was read of them.
pub(super) struct Count {
    pub(super) sent: ProducerMetrics,
    pub(super) read: Ledger,
}

impl Traffic {
    pub(super) fn new(topic: String) -> Arc<Traffic> {
        Arc::new(Traffic {
            topic,
            is_swapping: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            calm: Latencies::new(),
            swapping: Latencies::new(),
            is_over: watch::Sender::new(false),
            outcome: watch::Sender::new(None),
        })
    }

    /// From now on plugins are swapped, or are not.
    pub(super) fn swapping(&self, is_so: bool) {
        self.is_swapping.store(is_so, Relaxed);
    }

    /// How many records were sent so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Nothing is sent any more.
    pub(super) fn end(&self) {
        self.is_over.send_replace(true);
    }

    fn took(&self, took: Duration, was_swapping: bool) {
        // What overlaps with a change of the two is of neither.
        match (was_swapping, self.is_swapping.load(Relaxed)) {
            (true, true) => self.swapping.record(took),
            (false, false) => self.calm.record(took),
            _ => {}
        }
    }

    /// Sends numbered records to keys in turn until it is over, and waits for their results.
    pub(super) async fn send(self: Arc<Self>, args: Sent, target: Arc<Target>) -> Result<(), Failure> {
        let client = target.connect().await?;
        let producer = client.producer(ProducerConfig { acks: args.acks, ..ProducerConfig::default() })?;
        let keys: Vec<Vec<u8>> = (0..args.keys).map(|key| key.to_le_bytes().to_vec()).collect();
        let mut value = vec![b'x'; args.record_size];
        let (started, mut over) = (Instant::now(), self.is_over.subscribe());
        for (number, key) in (0_u64..).zip(keys.iter().cycle()) {
            let intended = args.intended(started, number);
            match intended.filter(|intended| *intended > Instant::now()) {
                Some(intended) => tokio::select! {
                    biased;
                    _ = over.wait_for(|over| *over) => break,
                    () = tokio::time::sleep_until(intended) => {}
                },
                None if *over.borrow() => break,
                None if number.is_multiple_of(TURN_RECORDS) => tokio::task::yield_now().await,
                None => {}
            }
            value[..NUMBER_BYTES].copy_from_slice(&number.to_le_bytes());
            let since = intended.unwrap_or_else(Instant::now);
            let delivery = producer.send(Record::to(&self.topic).key(key).value(&value)).await?;
            self.sent.store(number + 1, Relaxed);
            if number.is_multiple_of(SAMPLE) {
                let was_swapping = self.is_swapping.load(Relaxed);
                tokio::spawn(settle(Arc::clone(&self), delivery, since, was_swapping));
            }
        }
        producer.flush().await;
        self.outcome.send_replace(Some(producer.metrics()));
        producer.close().await;
        client.close().await;
        Ok(())
    }

    /// Reads until everything that is stored was read, or nothing comes any more.
    pub(super) async fn read(
        self: Arc<Self>,
        args: Sent,
        target: Arc<Target>,
        done: watch::Sender<Option<Arc<Count>>>,
    ) -> Result<(), Failure> {
        let client = target.connect().await?;
        let mut consumer = client.consumer(ConsumerConfig::default())?;
        for partition in (0..args.partitions).map(PartitionIndex) {
            consumer.assign(&self.topic, partition, StartAt::Earliest).await?;
        }
        let mut read = Ledger::new(args.keys, args.partitions);
        let mut outcome = self.outcome.subscribe();
        // Until all have their result there is always more to come.
        let sent = loop {
            tokio::select! {
                biased;
                sent = outcome.wait_for(Option::is_some) => match sent.ok().and_then(|sent| *sent) {
                    Some(sent) => break sent,
                    None => return Err(Failure::new("the producer of the bench ended early")),
                },
                event = consumer.next_event() => note(&event?, &mut read)?,
            }
        };
        while read.distinct() < sent.stored {
            match tokio::time::timeout(PATIENCE, next_records(&mut consumer, &mut read)).await {
                Ok(noted) => noted?,
                Err(_) => break,
            }
        }
        consumer.close().await?;
        client.close().await;
        done.send_replace(Some(Arc::new(Count { sent, read })));
        Ok(())
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    acks: Acks,
    keys: u32,
    partitions: u32,
    record_size: usize,
    /// Seconds between two records.
    pace: Option<f64>,
}

impl Sent {
    pub(super) fn of(args: &Args) -> Sent {
        Sent {
            acks: args.acks,
            keys: args.keys,
            partitions: args.partitions,
            record_size: usize::try_from(args.record_size).expect("sizes fit"),
            pace: args.rate.map(|rate| 1.0 / f64::from(rate)),
        }
    }

    /// When a record should be sent: a stall is paid for by every record that should have been sent meanwhile.
    #[expect(clippy::cast_precision_loss, reason = "a schedule need not be exact to the nanosecond")]
    fn intended(&self, started: Instant, number: u64) -> Option<Instant> {
        Some(started + Duration::from_secs_f64(self.pace? * number as f64))
    }
}

async fn settle(traffic: Arc<Traffic>, delivery: Delivery, since: Instant, was_swapping: bool) {
    if let DeliveryResult::Stored { .. } = delivery.await {
        traffic.took(since.elapsed(), was_swapping);
    }
}

/// Waits for records; what else a consumer tells is no progress.
async fn next_records(consumer: &mut Consumer, read: &mut Ledger) -> Result<(), Failure> {
    loop {
        let event = consumer.next_event().await?;
        note(&event, read)?;
        if let ConsumerEvent::Records(_) = event {
            return Ok(());
        }
    }
}

fn note(event: &ConsumerEvent, read: &mut Ledger) -> Result<(), Failure> {
    match event {
        ConsumerEvent::Records(batch) => {
            let partition = usize::try_from(batch.partition().0).expect("partitions fit");
            for record in batch {
                let key = record.key.and_then(|key| key.try_into().ok()).map(u32::from_le_bytes);
                let number = record.value.and_then(|value| value.first_chunk::<NUMBER_BYTES>());
                let (Some(key), Some(number)) = (key, number) else {
                    return Err(Failure::new("there is a record that the bench did not send"));
                };
                read.read(u64::from_le_bytes(*number), usize::try_from(key).expect("keys fit"), partition);
            }
        }
        // What was not read is lost, and is counted so.
        ConsumerEvent::Reset { .. } | ConsumerEvent::CaughtUp { .. } | ConsumerEvent::Group(_) => {}
    }
    Ok(())
}
