//! Reading records.
//!
//! A [`Consumer`] owns its state; tasks of their own only move frames and look up offsets, and tell it what came. So
//! everything is decided where the application waits, in [`Consumer::next_event`], one thing after the other.

mod batch;
mod config;
mod group;
mod metrics;
mod partition;
mod session;
mod stream;
mod whole_topics;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;
use weir_wire::fetch::Position;
use weir_wire::ids::{Offset, PartitionIndex};
use weir_wire::request::{CommittedOffset, Subscription};

pub use batch::{ConsumedBatch, ConsumedRecord, ConsumedRecords};
pub use config::{ConsumerConfig, ResetPolicy, StartAt};
pub use metrics::ConsumerMetrics;

use crate::error::ClientError;
use session::Session;

/// Reads the partitions assigned to it.
///
/// A consumer fetches ahead, as far as [`fetch_bytes`](ConsumerConfig::fetch_bytes) allows, and no further: one that is
/// not asked for events holds no more than that of each node, and the nodes wait. Its position in a partition lies behind
/// what was handed out, whatever was fetched. Where positions are kept is up to the application:
///
/// ```no_run
/// use weir_client::{Client, ClientError, ConsumerEvent, Position, StartAt};
///
/// # async fn load() -> Option<Position> { None }
/// # async fn work_and_keep(_: weir_client::ConsumedBatch, _: Option<Position>) {}
/// # async fn example(client: &Client) -> Result<(), ClientError> {
/// let mut consumer = client.consumer(Default::default())?;
/// for partition in client.topic("quakes").await?.partitions {
///     let start = load().await.map_or(StartAt::Earliest, StartAt::Position);
///     consumer.assign("quakes", partition.index, start).await?;
/// }
/// loop {
///     match consumer.next_event().await {
///         Ok(ConsumerEvent::Records(batch)) => {
///             // Kept after the work: a crash in between repeats a batch and misses none.
///             let position = consumer.position("quakes", batch.partition());
///             work_and_keep(batch, position).await;
///         }
///         Ok(_) => {}
///         // Records that were read are gone: an unclean election took them back.
///         Err(ClientError::LogTruncated { topic, partition, diverges_at, .. }) => {
///             consumer.seek(&topic, partition, StartAt::Position(diverges_at))?;
///         }
///         Err(error) => return Err(error),
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer {
    session: Session,
}

/// What a consumer learns.
#[derive(Clone, Debug)]
pub enum ConsumerEvent {
    /// Records.
    Records(ConsumedBatch),
    /// Everything committed was handed out, what was acknowledged before it was asked for included; more follows when
    /// there is more.
    CaughtUp {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
        /// The end of what may be read, equal to the position.
        high_watermark: Offset,
    },
    /// The position was outside of what is stored, and the reset policy chose another.
    Reset {
        /// The topic's name.
        topic: String,
        /// The partition.
        partition: PartitionIndex,
        /// Where it was.
        from: Offset,
        /// Where it goes on.
        to: Offset,
    },
    /// The group gave or took partitions. Asking for the next event says that the application is done with this one:
    /// only then are partitions read that were assigned, and only then do others get those that were revoked.
    Group(GroupEvent),
}

/// What happened to a consumer's part in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// These are this consumer's from now on. A [`seek`](Consumer::seek) before the next event overrides where the
    /// group left off.
    Assigned {
        /// Topics and partitions.
        partitions: Vec<(String, PartitionIndex)>,
    },
    /// These go to another consumer, once this one lets go by asking for the next event: no more records of them come,
    /// and commits are still taken. What was handed out is committed then, if that happens by itself.
    Revoked {
        /// Topics and partitions.
        partitions: Vec<(String, PartitionIndex)>,
    },
    /// These are gone, and may be another consumer's already: the session was over. Commits are refused.
    Lost {
        /// Topics and partitions.
        partitions: Vec<(String, PartitionIndex)>,
    },
}

impl Consumer {
    pub(crate) fn start(client: std::sync::Arc<crate::client::Inner>, config: ConsumerConfig) -> Consumer {
        Consumer { session: Session::new(client, config) }
    }

    /// Starts reading a partition. Where it is assigned already, this is a [`seek`](Consumer::seek).
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], [`ClientError::UnknownPartition`], or the cluster cannot be reached.
    ///
    /// # Cancel safety
    /// Until the future ends nothing changes: when it is dropped, what was assigned stays as it was.
    pub async fn assign(
        &mut self,
        topic: &str,
        partition: PartitionIndex,
        start: StartAt,
    ) -> Result<(), ClientError> {
        self.session.assign(topic, partition, start).await
    }

    /// Starts reading all partitions of a topic; says how many those are now. Those that are added later are read from
    /// their beginning, once the client's metadata is fresh enough to tell of them: at once where this client adds them,
    /// at the latest after [`metadata_max_age`](crate::ClientConfig::metadata_max_age). That ends when the last of the
    /// topic's partitions is unassigned.
    ///
    /// # Errors
    /// As [`assign`](Consumer::assign).
    ///
    /// # Cancel safety
    /// As [`assign`](Consumer::assign): all of the partitions are assigned at its end, or none.
    pub async fn assign_all(&mut self, topic: &str, start: StartAt) -> Result<u32, ClientError> {
        self.session.assign_all(topic, start).await
    }

    /// Takes part in the group of [`ConsumerConfig::group`]: reads what it assigns of these topics, which need not exist
    /// yet. Once more, it changes what is wanted.
    ///
    /// ```no_run
    /// use weir_client::{Client, ClientError, ConsumerConfig};
    ///
    /// # fn work(_: &weir_client::ConsumedBatch) {}
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let config = ConsumerConfig {
    ///     group: Some("readers".to_owned()),
    ///     auto_commit: false,
    ///     ..ConsumerConfig::default()
    /// };
    /// let mut consumer = client.consumer(config)?;
    /// consumer.subscribe(["quakes"])?;
    /// loop {
    ///     let batch = consumer.next_batch().await?;
    ///     work(&batch);
    ///     // Behind the work: a crash in between repeats the batch, and misses none.
    ///     consumer.commit().await?;
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Config`]. What the coordinator says comes with the events.
    pub fn subscribe<T: Into<String>>(
        &mut self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<(), ClientError> {
        let topics = topics.into_iter().map(Into::into).collect();
        self.session.subscribe_to(Subscription { topics, pattern: None })
    }

    /// As [`subscribe`](Consumer::subscribe), for all topics whose whole name the regular expression matches.
    ///
    /// # Errors
    /// As [`subscribe`](Consumer::subscribe).
    pub fn subscribe_pattern(&mut self, pattern: impl Into<String>) -> Result<(), ClientError> {
        self.session.subscribe_to(Subscription { topics: Vec::new(), pattern: Some(pattern.into()) })
    }

    /// Commits everything that was handed out, and waits until that is stored.
    ///
    /// # Errors
    /// [`ClientError::Config`] without a group; or what the coordinator says, such as that a partition is another
    /// consumer's by now ([`NotPartitionOwner`](weir_wire::error::ErrorCode::NotPartitionOwner)).
    ///
    /// # Cancel safety
    /// A commit that was begun goes on.
    pub async fn commit(&mut self) -> Result<(), ClientError> {
        self.start_commit()?.await
    }

    /// As [`commit`](Consumer::commit), without waiting: commits are stored in the order in which they are begun.
    ///
    /// # Errors
    /// [`ClientError::Config`] without a group.
    pub fn start_commit(&mut self) -> Result<Commit, ClientError> {
        self.session.commit_taken().map(Commit)
    }

    /// Commits offsets of the application's own: for each partition the next one to read, and what it wants to
    /// remember with it.
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`], or as [`start_commit`](Consumer::start_commit).
    pub fn start_commit_of(
        &mut self,
        offsets: &[(&str, PartitionIndex, Offset, &str)],
    ) -> Result<Commit, ClientError> {
        let mut chosen = BTreeMap::new();
        for (topic, partition, offset, metadata) in offsets {
            let not_assigned =
                || ClientError::NotAssigned { topic: (*topic).to_owned(), partition: *partition };
            let assigned = self.session.find(topic, *partition).ok_or_else(not_assigned)?;
            // The epoch belongs to the position that it was read at.
            let leader_epoch =
                assigned.position().filter(|position| position.offset == *offset).and_then(|at| at.epoch);
            let committed =
                CommittedOffset { offset: *offset, leader_epoch, metadata: (*metadata).to_owned() };
            chosen.insert((assigned.topic_id, assigned.partition), committed);
        }
        self.session.commit(chosen).map(Commit)
    }

    /// How many offsets lie between what was handed out and the end of what may be read, as far as is known.
    #[must_use]
    pub fn lag(&self, topic: &str, partition: PartitionIndex) -> Option<u64> {
        let assigned = self.session.find(topic, partition)?;
        Some(assigned.high_watermark?.since(assigned.position()?.offset))
    }

    /// Stops reading a partition and forgets its position.
    pub fn unassign(&mut self, topic: &str, partition: PartitionIndex) {
        self.session.give_up(topic, partition);
    }

    /// What is assigned, by topic and partition.
    #[must_use]
    pub fn assignment(&self) -> Vec<(String, PartitionIndex)> {
        self.session.assignment()
    }

    /// Goes on elsewhere in a partition. Nothing from before the seek is handed out after it.
    ///
    /// ```no_run
    /// use weir_client::{ClientError, Consumer, Offset, PartitionIndex, StartAt};
    ///
    /// # fn example(consumer: &mut Consumer) -> Result<(), ClientError> {
    /// let partition = PartitionIndex(0);
    /// consumer.seek("quakes", partition, StartAt::Offset(Offset(1200)))?;
    /// // The first record of 1 February 2018 or later.
    /// consumer.seek("quakes", partition, StartAt::Timestamp(1_517_443_200_000))?;
    /// consumer.seek("quakes", partition, StartAt::Latest)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`].
    pub fn seek(&mut self, topic: &str, partition: PartitionIndex, to: StartAt) -> Result<(), ClientError> {
        self.session.seek(topic, partition, to)
    }

    /// Hands out nothing of a partition until [`resume`](Consumer::resume); its position stays.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use weir_client::{ClientError, Consumer, PartitionIndex};
    ///
    /// # async fn example(consumer: &mut Consumer) -> Result<(), ClientError> {
    /// let slow = PartitionIndex(3);
    /// consumer.pause("quakes", slow)?;
    /// // The others go on meanwhile.
    /// let batch = consumer.poll(Duration::from_secs(1)).await?;
    /// assert!(batch.is_none_or(|batch| batch.partition() != slow));
    /// consumer.resume("quakes", slow)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`].
    pub fn pause(&mut self, topic: &str, partition: PartitionIndex) -> Result<(), ClientError> {
        self.session.set_paused(topic, partition, true)
    }

    /// Goes on after [`pause`](Consumer::pause).
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`].
    pub fn resume(&mut self, topic: &str, partition: PartitionIndex) -> Result<(), ClientError> {
        self.session.set_paused(topic, partition, false)
    }

    /// The position behind what was handed out; `None` while it is being looked up, or not assigned.
    #[must_use]
    pub fn position(&self, topic: &str, partition: PartitionIndex) -> Option<Position> {
        self.session.find(topic, partition)?.position()
    }

    /// The end of what may be read, as far as this consumer has heard.
    #[must_use]
    pub fn high_watermark(&self, topic: &str, partition: PartitionIndex) -> Option<Offset> {
        self.session.find(topic, partition)?.high_watermark
    }

    /// Waits for the next event: records, or that there are no more at the moment.
    ///
    /// # Errors
    /// [`ClientError`]; the consumer stays usable. After an error about one partition that partition waits for a
    /// [`seek`](Consumer::seek), and the others go on. Lost connections and moved leaders are no errors.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next_event(&mut self) -> Result<ConsumerEvent, ClientError> {
        self.session.next().await
    }

    /// Waits for the next records, whatever happens beside.
    ///
    /// # Errors
    /// As [`next_event`](Consumer::next_event).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn next_batch(&mut self) -> Result<ConsumedBatch, ClientError> {
        loop {
            if let ConsumerEvent::Records(batch) = self.next_event().await? {
                return Ok(batch);
            }
        }
    }

    /// As [`next_batch`](Consumer::next_batch), for at most so long; `None` if nothing came.
    ///
    /// # Errors
    /// As [`next_event`](Consumer::next_event).
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn poll(&mut self, timeout: Duration) -> Result<Option<ConsumedBatch>, ClientError> {
        match tokio::time::timeout(timeout, self.next_batch()).await {
            Ok(batch) => batch.map(Some),
            Err(_) => Ok(None),
        }
    }

    /// What this consumer has done so far.
    #[must_use]
    pub fn metrics(&self) -> ConsumerMetrics {
        self.session.metrics()
    }

    /// Ends the streams. One that takes part in a group commits what was handed out, if that happens by itself, and
    /// leaves the group, so that others go on at once. Dropping it leaves the group too, without a commit.
    ///
    /// # Errors
    /// What became of the last commit.
    ///
    /// # Cancel safety
    /// Dropping the future drops the consumer: it leaves its group without waiting, and a last commit that was begun
    /// goes on, but may be refused when it comes behind the leaving.
    pub async fn close(mut self) -> Result<(), ClientError> {
        self.session.leave().await
    }
}

/// A commit that was begun; it goes on when this is dropped.
#[derive(Debug)]
pub struct Commit(oneshot::Receiver<Result<(), ClientError>>);

impl Future for Commit {
    type Output = Result<(), ClientError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|outcome| outcome.unwrap_or(Err(ClientError::Closed)))
    }
}
