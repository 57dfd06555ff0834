//! Reads the events back, while they are being sent.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use weir_client::{Client, Consumer, ConsumerConfig, ConsumerEvent, Offset, PartitionIndex, StartAt};

use super::TOPIC;
use super::events::Replay;
use super::story::Story;
use crate::check::Read;
use crate::cli::output::Failure;

/// When nothing comes for so long although there is more, that is how it is: the checker will say what is missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// The offset behind the last record of each partition.
pub(super) type Ends = BTreeMap<PartitionIndex, Offset>;

/// Reads from the beginning until the ends, once those are known.
pub(super) async fn read_all(
    client: &Client,
    replay: &Replay,
    mut ends: watch::Receiver<Option<Ends>>,
    story: &Story,
) -> Result<Vec<Read>, Failure> {
    let mut consumer = client.consumer(ConsumerConfig::default())?;
    consumer.assign_all(TOPIC, StartAt::Earliest).await?;
    let mut reading = Reading { replay, reads: Vec::new(), positions: BTreeMap::new(), scratch: Vec::new() };
    let mut newest = Instant::now();
    loop {
        let known = ends.borrow_and_update().clone();
        if known.as_ref().is_some_and(|ends| reading.has_reached(ends)) {
            break;
        }
        tokio::select! {
            event = next(&mut consumer) => {
                reading.take(event?);
                newest = Instant::now();
                story.consumed(reading.count());
            }
            changed = ends.changed() => {
                changed.map_err(|_| Failure::new("the producer was given up"))?;
                newest = Instant::now();
            }
            () = tokio::time::sleep_until(newest + PATIENCE), if known.is_some() => break,
        }
    }
    consumer.close().await?;
    Ok(reading.reads)
}

async fn next(consumer: &mut Consumer) -> Result<ConsumerEvent, Failure> {
    Ok(consumer.next_event().await?)
}

struct Reading<'a> {
    replay: &'a Replay,
    reads: Vec<Read>,
    /// The offset behind what was read, by partition.
    positions: BTreeMap<PartitionIndex, Offset>,
    scratch: Vec<u8>,
}

impl Reading<'_> {
    fn take(&mut self, event: ConsumerEvent) {
        match event {
            ConsumerEvent::Records(batch) => {
                for record in &batch {
                    let number = self.replay.recognise(record.key, record.value, &mut self.scratch);
                    let (partition, offset) = (batch.partition(), record.offset);
                    self.reads.push(Read { reader: 0, partition, offset, number });
                }
                self.positions.insert(batch.partition(), batch.next_offset());
            }
            ConsumerEvent::CaughtUp { partition, high_watermark, .. } => {
                self.positions.insert(partition, high_watermark);
            }
            // The consumer's policy is an error instead.
            ConsumerEvent::Reset { .. } | ConsumerEvent::Group(_) => {}
        }
    }

    fn has_reached(&self, ends: &Ends) -> bool {
        ends.iter().all(|(partition, end)| {
            *end == Offset::ZERO || self.positions.get(partition).is_some_and(|position| position >= end)
        })
    }

    fn count(&self) -> u64 {
        u64::try_from(self.reads.len()).expect("lengths fit 64 bits")
    }
}
