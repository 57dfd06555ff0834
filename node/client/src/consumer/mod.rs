//! Reading records.
//!
//! A [`Consumer`] owns its state; tasks of their own only move frames and look up offsets, and tell it what came. So
//! everything is decided where the application waits, in [`Consumer::next_event`], one thing after the other.

mod batch;
mod config;
mod metrics;
mod partition;
mod session;
mod stream;

use std::time::Duration;

use weir_wire::fetch::Position;
use weir_wire::ids::{Offset, PartitionIndex};

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
}

impl Consumer {
    pub(crate) fn start(client: std::sync::Arc<crate::client::Inner>, config: ConsumerConfig) -> Consumer {
        Consumer { session: Session::new(client, config) }
    }

    /// Starts reading a partition. Where it is assigned already, this is a [`seek`](Consumer::seek).
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`], [`ClientError::UnknownPartition`], or the cluster cannot be reached.
    pub async fn assign(
        &mut self,
        topic: &str,
        partition: PartitionIndex,
        start: StartAt,
    ) -> Result<(), ClientError> {
        self.session.assign(topic, partition, start).await
    }

    /// Starts reading all partitions that a topic has now; says how many those are.
    ///
    /// # Errors
    /// As [`assign`](Consumer::assign).
    pub async fn assign_all(&mut self, topic: &str, start: StartAt) -> Result<u32, ClientError> {
        self.session.assign_all(topic, start).await
    }

    /// Stops reading a partition and forgets its position.
    pub fn unassign(&mut self, topic: &str, partition: PartitionIndex) {
        self.session.unassign(topic, partition);
    }

    /// What is assigned, by topic and partition.
    #[must_use]
    pub fn assignment(&self) -> Vec<(String, PartitionIndex)> {
        self.session.assignment()
    }

    /// Goes on elsewhere in a partition. Nothing from before the seek is handed out after it.
    ///
    /// # Errors
    /// [`ClientError::NotAssigned`].
    pub fn seek(&mut self, topic: &str, partition: PartitionIndex, to: StartAt) -> Result<(), ClientError> {
        self.session.seek(topic, partition, to)
    }

    /// Hands out nothing of a partition until [`resume`](Consumer::resume); its position stays.
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

    /// Ends the streams. Dropping the consumer does the same.
    pub fn close(self) {}
}
