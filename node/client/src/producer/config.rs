//! How a producer batches, promises and waits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use weir_wire::batch::Compression;
use weir_wire::lane::{Acks, LANE_BATCHES_IN_FLIGHT_MAX};

use super::delivery::{DeliveredRun, DeliveryObserver};
use crate::error::ClientError;

/// How a producer batches, promises and waits. Kafka's names stand in the descriptions; the defaults are Kafka 4's
/// unless said otherwise.
///
/// ```
/// use std::time::Duration;
/// use weir_client::{Compression, ProducerConfig};
///
/// let config = ProducerConfig {
///     batch_bytes: 1 << 20,
///     compression: Compression::Zstd,
///     linger: Duration::from_millis(20),
///     ..ProducerConfig::default()
/// };
/// # let _ = config;
/// ```
#[derive(Clone)]
pub struct ProducerConfig {
    /// What must hold before a record counts as stored (`acks`). Default: all replicas in sync have it on disk.
    pub acks: Acks,
    /// How batches are compressed (`compression.type`). Default: not at all.
    pub compression: Compression,
    /// The codec's level, where it has levels; `None` for its default (`compression.gzip.level`,
    /// `compression.zstd.level`).
    pub compression_level: Option<i32>,
    /// A batch is sent at this size, in bytes before compression (`batch.size`). It is cut to the topic's
    /// `max.message.bytes`; a larger single record is a batch of its own. Default 64 KiB, not Kafka's 16: each batch
    /// costs the node a checksum, a pipeline run and an answer, whatever its size.
    pub batch_bytes: u32,
    /// How long a batch waits for more records after its first (`linger.ms`). Batches also grow without it while
    /// [`in_flight_batches`](Self::in_flight_batches) are under way. Default 5 ms.
    pub linger: Duration,
    /// The most memory that records may take from [`send`](super::Producer::send) to their result, in bytes before
    /// compression (`buffer.memory`). When it is used up, `send` waits. Default 32 MiB.
    pub buffer_bytes: u32,
    /// How long `send` waits for room in the buffer before it fails (`max.block.ms`). Default 60 s.
    pub max_block: Duration,
    /// How long after `send` a record's result is known at the latest (`delivery.timeout.ms`). A record that was sent
    /// by then and not answered for is [`Unknown`](super::DeliveryResult::Unknown). Default 120 s.
    pub delivery_timeout: Duration,
    /// How long the oldest batch under way may go unanswered before its stream is opened anew
    /// (`request.timeout.ms`). Default 30 s.
    pub request_timeout: Duration,
    /// Whether the cluster recognises what it has stored already, so that trying again neither repeats nor reorders
    /// (`enable.idempotence`). Default: yes. Without it, batches that are sent again may be stored again. With `acks=0`
    /// and a chosen partition there is no id, and nothing is sent again.
    pub enable_idempotence: bool,
    /// The most batches of one lane that are under way at a time (`max.in.flight.requests.per.connection`; a lane is
    /// what a connection is there). Order holds at any value. 1 to 64, default 5.
    pub in_flight_batches: usize,
    /// The first pause before a lane is opened anew (`retry.backoff.ms`); doubles up to
    /// [`retry_backoff_max`](Self::retry_backoff_max). Default 50 ms.
    pub retry_backoff: Duration,
    /// The longest pause before a lane is opened anew (`retry.backoff.max.ms`). Default 1 s.
    pub retry_backoff_max: Duration,
    /// How records without a partition of their own spread over streams.
    pub lanes: Lanes,
    /// Called with every result, once per run of neighbouring records with the same one. See
    /// [`on_delivery`](Self::on_delivery).
    pub observer: Option<Arc<dyn DeliveryObserver>>,
}

/// How records without a partition of their own spread over streams. Records of one key always share a lane, which
/// is what keeps their order. A record that names its partition has that partition's own lane, whatever this says:
///
/// ```no_run
/// use weir_client::{Client, Lanes, PartitionIndex, ProducerConfig, Record};
///
/// # async fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
/// // Two streams; the node asks the topic's partitioner where each record belongs.
/// let config = ProducerConfig { lanes: Lanes::Unguessed(2), ..ProducerConfig::default() };
/// let producer = client.producer(config)?;
/// producer.send(Record::to("quakes").key(b"uw").value(b"M 1.9")).await?;
/// // A third stream, whose records go to partition 5, in the order of these calls.
/// let here = Record::to("quakes").partition(PartitionIndex(5));
/// producer.send(here.value(b"first")).await?;
/// producer.send(here.value(b"second")).await?;
/// producer.flush().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lanes {
    /// One lane per partition, entered at the partition's leader: keyed records by the default partitioner's rule,
    /// unkeyed ones in turn, a batch at a time (KIP-480). Right for every topic, and fastest where the topic's
    /// partitioner is the default. Topics with more than [`Lanes::PER_TOPIC_MAX`] partitions share that many
    /// unguessed lanes.
    Guessed,
    /// So many lanes (at most [`Lanes::PER_TOPIC_MAX`]), whose records the entry node places: for topics with a
    /// partitioner of their own and few records.
    Unguessed(u32),
}

impl Lanes {
    /// The most lanes that one producer has for one topic, those of explicit partitions aside. A node serves 256 streams
    /// of one connection, and one more for each lane, up to 4096.
    pub const PER_TOPIC_MAX: u32 = 64;
}

impl ProducerConfig {
    /// The largest [`batch_bytes`](Self::batch_bytes).
    pub const BATCH_BYTES_MAX: u32 = 16 * 1024 * 1024;

    /// Sets the observer to a closure, which is called from a task of the runtime and must not block.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    /// use weir_client::{DeliveryResult, ProducerConfig};
    ///
    /// let stored = Arc::new(AtomicU64::new(0));
    /// let counter = Arc::clone(&stored);
    /// let config = ProducerConfig::default().on_delivery(move |run| {
    ///     if let DeliveryResult::Stored { .. } = run.first {
    ///         counter.fetch_add(u64::from(run.records), Relaxed);
    ///     }
    /// });
    /// # let _ = config;
    /// ```
    #[must_use]
    pub fn on_delivery(self, observer: impl Fn(&DeliveredRun<'_>) + Send + Sync + 'static) -> ProducerConfig {
        ProducerConfig { observer: Some(Arc::new(observer)), ..self }
    }

    pub(crate) fn check(&self) -> Result<(), ClientError> {
        let refuse = |what: String| Err(ClientError::Config(what));
        if self.batch_bytes == 0 || self.batch_bytes > Self::BATCH_BYTES_MAX {
            return refuse(format!("batch_bytes is 1 to {}", Self::BATCH_BYTES_MAX));
        }
        if self.buffer_bytes < self.batch_bytes {
            return refuse("buffer_bytes is at least batch_bytes".to_owned());
        }
        if !(1..=LANE_BATCHES_IN_FLIGHT_MAX).contains(&self.in_flight_batches) {
            return refuse(format!("in_flight_batches is 1 to {LANE_BATCHES_IN_FLIGHT_MAX}"));
        }
        if self.retry_backoff.is_zero() || self.retry_backoff > self.retry_backoff_max {
            return refuse("retry_backoff is above 0 and at most retry_backoff_max".to_owned());
        }
        if self.delivery_timeout < self.linger || self.delivery_timeout.is_zero() {
            return refuse("delivery_timeout is above 0 and at least linger".to_owned());
        }
        if self.request_timeout.is_zero() {
            return refuse("request_timeout is above 0".to_owned());
        }
        if let Lanes::Unguessed(count) = self.lanes
            && !(1..=Lanes::PER_TOPIC_MAX).contains(&count)
        {
            return refuse(format!("unguessed lanes are 1 to {}", Lanes::PER_TOPIC_MAX));
        }
        Ok(())
    }
}

impl Default for ProducerConfig {
    fn default() -> ProducerConfig {
        ProducerConfig {
            acks: Acks::All,
            compression: Compression::None,
            compression_level: None,
            batch_bytes: 64 * 1024,
            linger: Duration::from_millis(5),
            buffer_bytes: 32 * 1024 * 1024,
            max_block: Duration::from_secs(60),
            delivery_timeout: Duration::from_secs(120),
            request_timeout: Duration::from_secs(30),
            enable_idempotence: true,
            in_flight_batches: 5,
            retry_backoff: Duration::from_millis(50),
            retry_backoff_max: Duration::from_secs(1),
            lanes: Lanes::Guessed,
            observer: None,
        }
    }
}

impl fmt::Debug for ProducerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerConfig")
            .field("acks", &self.acks)
            .field("compression", &self.compression)
            .field("batch_bytes", &self.batch_bytes)
            .field("linger", &self.linger)
            .field("buffer_bytes", &self.buffer_bytes)
            .field("delivery_timeout", &self.delivery_timeout)
            .field("enable_idempotence", &self.enable_idempotence)
            .field("in_flight_batches", &self.in_flight_batches)
            .field("lanes", &self.lanes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused() {
        let good = ProducerConfig::default;
        assert!(good().check().is_ok());
        for bad in [
            ProducerConfig { batch_bytes: 0, ..good() },
            ProducerConfig { batch_bytes: u32::MAX, buffer_bytes: u32::MAX, ..good() },
            ProducerConfig { buffer_bytes: 1, ..good() },
            ProducerConfig { in_flight_batches: 0, ..good() },
            ProducerConfig { in_flight_batches: 65, ..good() },
            ProducerConfig { retry_backoff: Duration::ZERO, ..good() },
            ProducerConfig { delivery_timeout: Duration::from_millis(1), ..good() },
            ProducerConfig { request_timeout: Duration::ZERO, ..good() },
            ProducerConfig { lanes: Lanes::Unguessed(0), ..good() },
            ProducerConfig { lanes: Lanes::Unguessed(65), ..good() },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
