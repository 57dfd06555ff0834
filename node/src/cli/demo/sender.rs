//! Sends the events and notes what became of each.

use std::collections::VecDeque;

use tokio::sync::watch;
use weir_client::{Client, Delivery, DeliveryResult, ProducerConfig, ProducerMetrics, Record};

use super::TOPIC;
use super::chaos::Plan;
use super::events::Replay;
use super::story::Story;
use crate::check::{History, Outcome, Sent};
use crate::cli::output::Failure;

/// After so many records the reader and the chaos get their turn, also while nothing holds up the sending.
const TURN_RECORDS: u64 = 256;

/// What was sent.
pub(super) struct Sending {
    /// The sends, numbered from 0 in their order; no reads yet.
    pub(super) history: History,
    pub(super) metrics: ProducerMetrics,
}

/// Sends `records` records and waits for all results. The last of them wait until all kills were survived.
pub(super) async fn send_all(
    client: &Client,
    replay: &Replay,
    records: u64,
    settled: watch::Sender<u64>,
    mut all_kills_survived: watch::Receiver<bool>,
    story: &Story,
) -> Result<Sending, Failure> {
    let config = ProducerConfig::default().on_delivery(move |run| {
        settled.send_modify(|settled| *settled += u64::from(run.records));
    });
    let producer = client.producer(config)?;
    let mut notes = Notes { history: History::default(), pending: VecDeque::new() };
    let mut value = Vec::new();
    for number in 0..records {
        if number == Plan::last_moment(records) {
            let survived = all_kills_survived.wait_for(|survived| *survived).await;
            survived.map_err(|_| Failure::new("the node was given up"))?;
        }
        replay.value(number, &mut value);
        let key = replay.key(number);
        let delivery = producer.send(Record::to(TOPIC).key(key).value(&value)).await?;
        notes.sent(number, key, delivery);
        if number % TURN_RECORDS == 0 {
            story.settled(notes.take_results());
            tokio::task::yield_now().await;
        }
    }
    producer.flush().await;
    story.settled(notes.settle().await);
    let metrics = producer.metrics();
    producer.close().await;
    Ok(Sending { history: notes.history, metrics })
}

/// Notes sends and their results.
struct Notes {
    history: History,
    /// By number, in the order of sending.
    pending: VecDeque<(u64, Delivery)>,
}

impl Notes {
    fn sent(&mut self, number: u64, key: &[u8], delivery: Delivery) {
        let key = Some(self.history.key(key));
        // Until something else is known.
        self.history.sends.push(Sent { process: 0, number, key, outcome: Outcome::Unknown });
        self.pending.push_back((number, delivery));
    }

    /// Takes the results that are there, oldest first; says how many records have one.
    fn take_results(&mut self) -> u64 {
        while let Some((number, delivery)) = self.pending.front() {
            let Some(result) = delivery.result() else { break };
            let number = *number;
            self.pending.pop_front();
            self.note(number, &result);
        }
        count(self.history.sends.len() - self.pending.len())
    }

    /// Waits for all results; says how many records there are.
    async fn settle(&mut self) -> u64 {
        while let Some((number, delivery)) = self.pending.pop_front() {
            let result = delivery.await;
            self.note(number, &result);
        }
        count(self.history.sends.len())
    }

    fn note(&mut self, number: u64, result: &DeliveryResult) {
        let at = usize::try_from(number).expect("numbers count what is in memory");
        self.history.sends[at].outcome = match result {
            DeliveryResult::Stored { partition, offset, .. } => {
                Outcome::Acknowledged { partition: *partition, offset: *offset }
            }
            DeliveryResult::Dropped | DeliveryResult::Rejected(_) | DeliveryResult::Failed(_) => {
                Outcome::Failed
            }
            DeliveryResult::Unknown(_) => Outcome::Unknown,
        };
    }
}

fn count(length: usize) -> u64 {
    u64::try_from(length).expect("lengths fit 64 bits")
}
