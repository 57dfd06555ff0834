//! `weir consume --group`: takes part in a group.
//!
//! What is written to standard output is committed afterwards, never before: a process that is killed in between prints
//! some records again when the next one goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;
use weir_client::{Client, Consumer, ConsumerConfig, ConsumerEvent, GroupEvent, Offset, PartitionIndex};

use super::super::output::{Failure, Output};
use super::range::Start;
use super::{Args, Ended, Printing, in_our_words, moved, reset_of, start_of};

/// How often what was printed is committed.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// A member of a group.
pub(super) struct Member {
    client: Client,
    consumer: Consumer,
    topic: String,
    pub(super) printing: Printing,
    /// What this member reads, and which of it was read to its end.
    assigned: BTreeMap<PartitionIndex, bool>,
    until_end: bool,
    /// The offsets behind what was printed and is not committed yet.
    printed: BTreeMap<PartitionIndex, Offset>,
    commit_at: Instant,
    output: Output,
}

impl Member {
    pub(super) async fn start(
        args: &Args,
        group: &str,
        client: Client,
        printing: Printing,
        output: Output,
    ) -> Result<Member, Failure> {
        let start = start_of(args);
        if matches!(start, Start::Offset(_)) {
            let sentence = format!(
                "a group goes on where it left off; with --group, --offset is earliest or latest. To move it: weir groups reset-offsets {group}"
            );
            return Err(Failure::new(sentence));
        }
        // A member of a group may wait for a topic that does not exist yet; a person has mistyped its name.
        client.topic(&args.topic).await?;
        let config = ConsumerConfig {
            reset: reset_of(start),
            group: Some(group.to_owned()),
            group_instance: args.instance.clone(),
            auto_commit: false,
            ..ConsumerConfig::default()
        };
        let mut consumer = client.consumer(config)?;
        consumer.subscribe([args.topic.as_str()])?;
        Ok(Member {
            client,
            consumer,
            topic: args.topic.clone(),
            printing,
            assigned: BTreeMap::new(),
            until_end: args.until_end,
            printed: BTreeMap::new(),
            commit_at: Instant::now() + COMMIT_EVERY,
            output,
        })
    }

    pub(super) async fn all(&mut self) -> Result<Ended, Failure> {
        while !self.printing.is_done() && !self.is_at_end() {
            let event = tokio::select! {
                biased;
                () = tokio::time::sleep_until(self.commit_at), if !self.printed.is_empty() => None,
                event = self.consumer.next_event() => Some(event),
                () = std::future::ready(()), if !self.printing.buffer.is_empty() => {
                    if !self.printing.hand_over().await {
                        return Ok(Ended::Done);
                    }
                    continue;
                }
                () = self.printing.hangup.comes() => return Ok(Ended::Done),
            };
            match event {
                None => {
                    if !self.commit().await? {
                        return Ok(Ended::Done);
                    }
                }
                Some(event) => {
                    if !self.take(event.map_err(in_our_words)?).await? {
                        return Ok(Ended::Done);
                    }
                }
            }
            if !self.printing.hand_over_much().await {
                return Ok(Ended::Done);
            }
        }
        Ok(Ended::Done)
    }

    /// Returns `false` when nobody reads what is printed.
    async fn take(&mut self, event: ConsumerEvent) -> Result<bool, Failure> {
        match event {
            ConsumerEvent::Records(batch) => {
                let printed = self.printing.print(&batch, None);
                self.printed.insert(batch.partition(), printed);
                self.assigned.insert(batch.partition(), false);
            }
            ConsumerEvent::CaughtUp { partition, .. } => {
                self.assigned.insert(partition, true);
            }
            ConsumerEvent::Reset { partition, from, to, .. } => {
                self.output.note(&moved(&self.topic, partition, from, to));
            }
            ConsumerEvent::Group(GroupEvent::Assigned { partitions }) => {
                self.assigned.extend(partitions.iter().map(|(_, partition)| (*partition, false)));
                self.note("assigned", &partitions);
            }
            ConsumerEvent::Group(GroupEvent::Revoked { partitions }) => {
                // The others go on behind what was printed.
                let goes_on = self.commit().await?;
                self.drop_partitions(&partitions);
                self.note("gives up", &partitions);
                return Ok(goes_on);
            }
            ConsumerEvent::Group(GroupEvent::Lost { partitions }) => {
                self.drop_partitions(&partitions);
                self.note("lost", &partitions);
            }
        }
        Ok(true)
    }

    fn drop_partitions(&mut self, partitions: &[(String, PartitionIndex)]) {
        for (_, partition) in partitions {
            self.assigned.remove(partition);
            self.printed.remove(partition);
        }
    }

    fn note(&self, what: &str, partitions: &[(String, PartitionIndex)]) {
        let partitions: BTreeSet<u32> = partitions.iter().map(|(_, partition)| partition.0).collect();
        let list = partitions.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
        tracing::info!(topic = self.topic, partitions = list, "{what}");
    }

    fn is_at_end(&self) -> bool {
        self.until_end && !self.assigned.is_empty() && self.assigned.values().all(|at_end| *at_end)
    }

    /// Commits what was printed, once it is written. Returns `false` when nobody reads it: then it was not.
    async fn commit(&mut self) -> Result<bool, Failure> {
        self.commit_at = Instant::now() + COMMIT_EVERY;
        if !self.printing.hand_over().await || !self.printing.sink.drained().await {
            return Ok(false);
        }
        let printed = std::mem::take(&mut self.printed);
        let offsets: Vec<_> = printed
            .iter()
            .map(|(partition, offset)| (self.topic.as_str(), *partition, *offset, ""))
            .collect();
        if let Err(error) = self.consumer.start_commit_of(&offsets)?.await {
            // Whoever has the partition now, or this member with its next commit, goes on from an earlier place.
            tracing::warn!(%error, "offsets could not be committed; some records will be read again");
        }
        Ok(true)
    }

    pub(super) async fn close(mut self) -> Result<u64, Failure> {
        let committed = self.commit().await;
        let left = self.consumer.close().await;
        let bytes = self.printing.sink.close().await?;
        self.client.close().await;
        committed?;
        left?;
        Ok(bytes)
    }
}
