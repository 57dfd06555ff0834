//! Records to a topic.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use weir_client::{Delivery, DeliveryResult, Producer, ProducerConfig, Record};

use super::Load;
use super::payload::Payload;
use super::phase::{Measured, OnThread, Phase};
use super::target::Target;
use crate::cli::output::Failure;

/// Of how many records of a batch times are taken: taking one costs a task.
const SAMPLED_PER_BATCH: u32 = 8;
/// After so many records the client's other tasks get their turn, also while nothing holds up the sending.
const TURN_RECORDS: u64 = 64;
/// The bytes at the start of a value that say when it was sent, in nanoseconds since the start of the run.
pub(super) const STAMP_BYTES: usize = 8;

pub(super) async fn run(
    load: &Load,
    target: &Arc<Target>,
    topic: &str,
    phase: &Arc<Phase>,
) -> Result<Measured, Failure> {
    let clients = start(load, target, topic, phase, Counted::Stored);
    phase.attend(clients, load.warmup(), &target.pids).await
}

/// What a producer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// What is stored, and how long that took.
    Stored,
    /// Nothing: somebody else counts what is read.
    Nothing,
}

/// Starts the producers.
pub(super) fn start(
    load: &Load,
    target: &Arc<Target>,
    topic: &str,
    phase: &Arc<Phase>,
    counted: Counted,
) -> Vec<OnThread> {
    let client = |number: u32| {
        let (load, target, phase) = (load.clone(), Arc::clone(target), Arc::clone(phase));
        let topic = topic.to_owned();
        OnThread::start(&Arc::clone(&phase), move || async move {
            let client = target.connect().await?;
            let sender = Sender {
                payload: Payload::new(&load, number.into()),
                pace: load.rate.map(|rate| f64::from(load.producers()) / f64::from(rate)),
                window: load.window.map(|window| Arc::new(Semaphore::new(usize_of(window)))),
                sample: u64::from((load.records_per_batch() / SAMPLED_PER_BATCH).max(1)),
                counted,
                topic,
                producer: client.producer(counting(config(&load), &phase, counted))?,
                phase,
            };
            sender.send_all().await
        })
    };
    (0..load.producers()).map(client).collect()
}

/// Fills a topic with so many records, as fast as it goes, for whoever reads it afterwards.
pub(super) async fn fill(load: &Load, target: &Target, topic: &str, records: u64) -> Result<(), Failure> {
    let client = target.connect().await?;
    let config = ProducerConfig {
        compression: load.compression,
        batch_bytes: load.batch_bytes(),
        buffer_bytes: ProducerConfig::default().buffer_bytes.max(4 * load.batch_bytes()),
        ..ProducerConfig::default()
    };
    let producer = client.producer(config)?;
    let mut payload = Payload::new(load, 0);
    for number in 0..records {
        let (key, value) = payload.take();
        // What became of it is counted at the end.
        drop(producer.send(Record { key, ..Record::to(topic).value(value) }).await?);
        if number % TURN_RECORDS == 0 {
            tokio::task::yield_now().await;
        }
    }
    producer.flush().await;
    let stored = producer.metrics().stored;
    producer.close().await;
    client.close().await;
    if stored == records {
        return Ok(());
    }
    Err(Failure::new(format!("of {records} records only {stored} could be stored: see the node's log")))
}

/// How a producer of this load sends.
pub(super) fn config(load: &Load) -> ProducerConfig {
    let defaults = ProducerConfig::default();
    let batch_bytes = load.batch_bytes();
    ProducerConfig {
        acks: load.acks(),
        compression: load.compression,
        batch_bytes,
        // All that may be under way, and one batch that is being filled.
        buffer_bytes: defaults.buffer_bytes.max(batch_bytes.saturating_mul(load.in_flight_batches() + 2)),
        in_flight_batches: usize_of(load.in_flight_batches()),
        linger: load.linger(),
        ..defaults
    }
}

fn counting(config: ProducerConfig, phase: &Arc<Phase>, counted: Counted) -> ProducerConfig {
    let phase = Arc::clone(phase);
    config.on_delivery(move |run| {
        if !run.first.is_stored() {
            phase.failed.fetch_add(run.records.into(), std::sync::atomic::Ordering::Relaxed);
        } else if counted == Counted::Stored {
            phase.done(run.records.into());
        }
    })
}

struct Sender {
    payload: Payload,
    /// Seconds between two records of this client.
    pace: Option<f64>,
    window: Option<Arc<Semaphore>>,
    /// The time of one in so many records is taken.
    sample: u64,
    counted: Counted,
    topic: String,
    producer: Producer,
    phase: Arc<Phase>,
}

impl Sender {
    /// Sends for as long as it is polled.
    async fn send_all(mut self) -> Result<(), Failure> {
        let started = Instant::now();
        let mut number = 0_u64;
        loop {
            let intended = self.intended(started, number);
            if let Some(intended) = intended.filter(|intended| *intended > Instant::now()) {
                tokio::time::sleep_until(intended).await;
            }
            let permit = match &self.window {
                Some(window) => Some(Arc::clone(window).acquire_owned().await),
                None => None,
            };
            let is_sampled = number.is_multiple_of(self.sample) || permit.is_some();
            let since = match intended {
                Some(intended) => intended,
                // Without a rate the clock is read only where a time is taken.
                None if is_sampled || self.counted == Counted::Nothing => Instant::now(),
                None => started,
            };
            let (key, value) = self.payload.take();
            if self.counted == Counted::Nothing {
                let stamp = u64::try_from(since.duration_since(self.phase.start).as_nanos()).unwrap_or(0);
                value[..STAMP_BYTES].copy_from_slice(&stamp.to_le_bytes());
            }
            let record = Record { key, ..Record::to(&self.topic).value(value) };
            let delivery = self.producer.send(record).await?;
            if is_sampled && (self.counted == Counted::Stored || permit.is_some()) {
                let (phase, counted) = (Arc::clone(&self.phase), self.counted);
                tokio::spawn(async move {
                    settle(delivery, since, &phase, counted).await;
                    drop(permit);
                });
            }
            number += 1;
            if number.is_multiple_of(TURN_RECORDS) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// When a record should be sent.
    #[expect(clippy::cast_precision_loss, reason = "a schedule need not be exact to the nanosecond")]
    fn intended(&self, started: Instant, number: u64) -> Option<Instant> {
        Some(started + Duration::from_secs_f64(self.pace? * number as f64))
    }
}

async fn settle(delivery: Delivery, since: Instant, phase: &Phase, counted: Counted) {
    let result = delivery.await;
    if counted == Counted::Stored && matches!(result, DeliveryResult::Stored { .. }) {
        phase.took(since.elapsed());
    }
}

fn usize_of(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
