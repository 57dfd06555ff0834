//! Records from a topic, stored before or being sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_client::{Consumer, ConsumerConfig, ConsumerEvent, PartitionIndex, StartAt};

use super::Load;
use super::phase::{Measured, OnThread, Phase, Span};
use super::produce::{self, Counted, STAMP_BYTES};
use super::target::Target;
use crate::cli::output::Failure;

/// How much a topic is filled with before it is read, in bytes of keys and values, unless `--records` says.
const FILLED_BYTES: u64 = 1_000_000_000;

/// Reads a topic that is filled first, from the beginning and, at its end, once more.
pub(super) async fn run(
    load: &Load,
    target: &Arc<Target>,
    topic: &str,
    phase: &Arc<Phase>,
) -> Result<Measured, Failure> {
    let records = match load.span() {
        Span::Records(records) => records,
        Span::Time(_) => (FILLED_BYTES / u64::from(load.payload_bytes())).max(1),
    };
    produce::fill(load, target, topic, records).await?;
    let clients = start(load, target, topic, phase, Reading::AgainAndAgain);
    phase.attend(clients, load.warmup(), &target.pids).await
}

/// Sends and reads at once.
pub(super) async fn end_to_end(
    load: &Load,
    target: &Arc<Target>,
    topic: &str,
    phase: &Arc<Phase>,
) -> Result<Measured, Failure> {
    let mut clients = start(load, target, topic, phase, Reading::Along);
    clients.extend(produce::start(load, target, topic, phase, Counted::Nothing));
    phase.attend(clients, load.warmup(), &target.pids).await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    AgainAndAgain,
    Along,
}

fn start(
    load: &Load,
    target: &Arc<Target>,
    topic: &str,
    phase: &Arc<Phase>,
    reading: Reading,
) -> Vec<OnThread> {
    let client = |number| {
        let (load, target, phase) = (load.clone(), Arc::clone(target), Arc::clone(phase));
        let topic = topic.to_owned();
        OnThread::start(&Arc::clone(&phase), move || async move {
            let client = target.connect().await?;
            let mut consumer = client.consumer(ConsumerConfig::default())?;
            for partition in shares(number, load.consumers(), load.partitions()) {
                consumer.assign(&topic, PartitionIndex(partition), StartAt::Earliest).await?;
            }
            read_all(&mut consumer, &phase, reading).await
        })
    };
    (0..load.consumers()).map(client).collect()
}

/// The partitions that a consumer reads. Where there are more consumers than partitions, some are read by several.
fn shares(consumer: u32, consumers: u32, partitions: u32) -> Vec<u32> {
    let share: Vec<u32> = (0..partitions).filter(|partition| partition % consumers == consumer).collect();
    if share.is_empty() { vec![consumer % partitions] } else { share }
}

/// Reads for as long as it is polled.
async fn read_all(consumer: &mut Consumer, phase: &Phase, reading: Reading) -> Result<(), Failure> {
    loop {
        let asked = Instant::now();
        match consumer.next_event().await? {
            ConsumerEvent::Records(batch) => {
                // What was stored long ago has no time of its own: told is how long a batch was waited for.
                if reading == Reading::AgainAndAgain {
                    phase.took(asked.elapsed());
                }
                let (mut records, mut sent) = (0, None);
                for record in &batch {
                    records += 1;
                    // One time a batch would miss how long its first record waited.
                    if reading == Reading::Along {
                        let value = record.value.unwrap_or_default();
                        sent = value.first_chunk::<STAMP_BYTES>().map(|stamp| u64::from_le_bytes(*stamp));
                        if records == 1 {
                            took(phase, sent);
                        }
                    }
                }
                if records > 1 {
                    took(phase, sent);
                }
                phase.done(records);
            }
            ConsumerEvent::CaughtUp { topic, partition, .. } if reading == Reading::AgainAndAgain => {
                consumer.seek(&topic, partition, StartAt::Earliest)?;
            }
            ConsumerEvent::CaughtUp { .. } | ConsumerEvent::Reset { .. } | ConsumerEvent::Group(_) => {}
        }
    }
}

fn took(phase: &Phase, sent_ns: Option<u64>) {
    if let Some(sent) = sent_ns {
        phase.took(phase.start.elapsed().saturating_sub(Duration::from_nanos(sent)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_read_and_every_consumer_reads() {
        assert_eq!(shares(0, 1, 3), [0, 1, 2]);
        assert_eq!((shares(0, 2, 3), shares(1, 2, 3)), (vec![0, 2], vec![1]));
        assert_eq!((shares(0, 4, 1), shares(3, 4, 1)), (vec![0], vec![0]));
    }
}
