//! Two groups of consumers that read along, each under an assignor of its own; half-way the two change places.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;
use weir_client::{Client, Consumer, ConsumerConfig, ConsumerEvent, Offset, PartitionIndex, ResetPolicy};

use super::TOPIC;
use super::events::Replay;
use super::reader::Ends;
use super::story::Story;
use crate::check::{History, Outcome};
use crate::cli::output::{Failure, grouped};

/// The groups, with the assignor that each begins with.
const GROUPS: [(&str, &str); 2] = [("readers-1", "range"), ("readers-2", "roundrobin")];
/// When nothing comes for so long although there is more, that is how it is: the counts will say what is missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often each record was processed by a group.
pub(super) struct Processed {
    group: &'static str,
    assignors: [&'static str; 2],
    times: Vec<u8>,
}

/// What came of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct GroupSummary {
    pub(super) group: &'static str,
    /// The one that it began with, and the one that it ended with.
    pub(super) assignors: [&'static str; 2],
    /// Records that were acknowledged and processed at least once.
    pub(super) processed: u64,
    /// Records that were acknowledged and never processed.
    pub(super) missing: u64,
    /// Records that were processed more than once: as promised, where a last commit was lost with a node.
    pub(super) repeated: u64,
}

/// Chooses what each group begins with.
pub(super) async fn choose(client: &Client, story: &Story) -> Result<(), Failure> {
    for (group, assignor) in GROUPS {
        client.set_group_assignor(group, Some(assignor)).await?;
    }
    let [(one, first), (two, second)] = GROUPS;
    story.tell("groups", &format!("{one} by {first}, {two} by {second}; two members each"))
}

/// The two assignors change places once half of the records have their result, while members read.
pub(super) async fn swap(
    client: &Client,
    records: u64,
    mut settled: watch::Receiver<u64>,
    story: &Story,
) -> Result<(), Failure> {
    let at = settled.wait_for(|settled| *settled >= (records / 2).max(1)).await;
    let at = *at.map_err(|_| Failure::new("the producer was given up"))?;
    let [(one, first), (two, second)] = GROUPS;
    client.set_group_assignor(one, Some(second)).await?;
    client.set_group_assignor(two, Some(first)).await?;
    story.tell("groups", &format!("{one} by {second}, {two} by {first} now, at {} acknowledged", grouped(at)))
}

/// Reads with all groups from the beginning until the ends, once those are known.
pub(super) async fn read_all(
    client: &Client,
    records: u64,
    ends: &watch::Receiver<Option<Ends>>,
) -> Result<Vec<Processed>, Failure> {
    let [one, two] = GROUPS;
    let assignors = [[one.1, two.1], [two.1, one.1]];
    let (one, two) = tokio::try_join!(
        read(client, Processed::new(one.0, assignors[0], records), ends.clone()),
        read(client, Processed::new(two.0, assignors[1], records), ends.clone()),
    )?;
    Ok(vec![one, two])
}

async fn read(
    client: &Client,
    mut processed: Processed,
    mut ends: watch::Receiver<Option<Ends>>,
) -> Result<Processed, Failure> {
    let (mut one, mut two) = (member(client, processed.group)?, member(client, processed.group)?);
    let mut positions = BTreeMap::new();
    let mut newest = Instant::now();
    loop {
        let known = ends.borrow_and_update().clone();
        if known.as_ref().is_some_and(|ends| has_reached(&positions, ends)) {
            break;
        }
        let event = tokio::select! {
            event = one.next_event() => event?,
            event = two.next_event() => event?,
            changed = ends.changed() => {
                changed.map_err(|_| Failure::new("the producer was given up"))?;
                newest = Instant::now();
                continue;
            }
            () = tokio::time::sleep_until(newest + PATIENCE), if known.is_some() => break,
        };
        newest = Instant::now();
        processed.take(&event, &mut positions);
    }
    one.close().await?;
    two.close().await?;
    Ok(processed)
}

/// A member that commits by itself what it was given.
fn member(client: &Client, group: &str) -> Result<Consumer, Failure> {
    let config = ConsumerConfig {
        group: Some(group.to_owned()),
        reset: ResetPolicy::Earliest,
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer(config)?;
    consumer.subscribe([TOPIC])?;
    Ok(consumer)
}

/// Up to where somebody of the group has read, by partition.
type Positions = BTreeMap<PartitionIndex, Offset>;

fn has_reached(positions: &Positions, ends: &Ends) -> bool {
    let reached = |partition, end: &Offset| positions.get(partition).is_some_and(|at| at >= end);
    ends.iter().all(|(partition, end)| *end == Offset::ZERO || reached(partition, end))
}

impl Processed {
    fn new(group: &'static str, assignors: [&'static str; 2], records: u64) -> Processed {
        let records = usize::try_from(records).expect("numbers count what is in memory");
        Processed { group, assignors, times: vec![0; records] }
    }

    fn take(&mut self, event: &ConsumerEvent, positions: &mut Positions) {
        let (partition, offset) = match event {
            ConsumerEvent::Records(batch) => {
                for record in batch {
                    let number = Replay::number(record.value).and_then(|number| usize::try_from(number).ok());
                    let times = number.and_then(|number| self.times.get_mut(number));
                    // What is no record of the demo is for the checker.
                    times.into_iter().for_each(|times| *times = times.saturating_add(1));
                }
                (batch.partition(), batch.next_offset())
            }
            ConsumerEvent::CaughtUp { partition, high_watermark, .. } => (*partition, *high_watermark),
            ConsumerEvent::Reset { .. } | ConsumerEvent::Group(_) => return,
        };
        let position = positions.entry(partition).or_default();
        *position = offset.max(*position);
    }

    /// Counts what was acknowledged.
    pub(super) fn summary(&self, history: &History) -> GroupSummary {
        let Processed { group, assignors, ref times } = *self;
        let mut summary = GroupSummary { group, assignors, processed: 0, missing: 0, repeated: 0 };
        for (sent, times) in history.sends.iter().zip(times) {
            if !matches!(sent.outcome, Outcome::Acknowledged { .. } | Outcome::Counted) {
                continue;
            }
            summary.processed += u64::from(*times > 0);
            summary.missing += u64::from(*times == 0);
            summary.repeated += u64::from(*times > 1);
        }
        summary
    }
}

impl GroupSummary {
    /// For people.
    pub(super) fn line(&self) -> String {
        let [before, after] = self.assignors;
        let (processed, missing) = (grouped(self.processed), grouped(self.missing));
        format!(
            "  group {}, {before} and then {after}: {processed} processed, {missing} missing, {} of them repeated",
            self.group,
            grouped(self.repeated)
        )
    }
}

#[cfg(test)]
mod tests {
    use weir_client::PartitionIndex;

    use super::*;
    use crate::check::Sent;

    #[test]
    fn what_was_acknowledged_is_counted_by_how_often_it_was_processed() {
        let mut history = History::default();
        let stored = Outcome::Acknowledged { partition: PartitionIndex(0), offset: Some(Offset(0)) };
        for (number, outcome) in (0..).zip([stored, stored, stored, Outcome::Unknown]) {
            history.sends.push(Sent { process: 0, number, key: None, outcome });
        }
        let mut processed = Processed::new("g", ["range", "roundrobin"], 4);
        processed.times.copy_from_slice(&[1, 0, 3, 0]);
        let summary = processed.summary(&history);
        assert_eq!((summary.processed, summary.missing, summary.repeated), (2, 1, 1));
        assert_eq!(
            summary.line(),
            "  group g, range and then roundrobin: 2 processed, 1 missing, 1 of them repeated"
        );
    }
}
