//! Sending records.
//!
//! ```text
//! send ──▶ topic: which lane ──▶ accumulator: which batch ──▶ lane task ──▶ lane: when, where, again?
//!   │                                                             │
//!   └◀── memory: wait for room                                    └──▶ stream: frames
//! ```

mod accumulator;
mod config;
mod delivery;
mod ids;
mod lane;
mod lane_task;
mod metrics;
mod record;
mod stream;
mod topic;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

pub use config::{Lanes, ProducerConfig};
pub use delivery::{DeliveredRun, Delivery, DeliveryObserver, DeliveryResult};
pub use metrics::ProducerMetrics;
pub use record::Record;

use crate::client::Inner;
use crate::error::{ClientError, SendError};
use crate::watched::Watched;
use accumulator::Builders;
use ids::ProducerIds;
use metrics::Counters;
use topic::{Pushed, Topic};

/// Sends records. Clones share everything.
///
/// ```no_run
/// use weir_client::{Client, DeliveryResult, ProducerConfig, Record};
///
/// # async fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
/// let producer = client.producer(ProducerConfig::default())?;
/// let mut deliveries = Vec::new();
/// for number in 0..1000_u32 {
///     let value = number.to_string();
///     deliveries.push(producer.send(Record::to("numbers").value(value.as_bytes())).await?);
/// }
/// for delivery in deliveries {
///     if let DeliveryResult::Failed(error) | DeliveryResult::Unknown(error) = delivery.await {
///         eprintln!("{error}");
///     }
/// }
/// producer.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
    _last: Arc<AbandonWhenDropped>,
}

/// What the clones share with the lanes' tasks.
struct Shared {
    client: Arc<Inner>,
    config: ProducerConfig,
    topics: Mutex<BTreeMap<String, Arc<Topic>>>,
    /// The bytes of the buffer that are free.
    memory: Semaphore,
    counters: Counters,
    builders: Arc<Builders>,
    ids: ProducerIds,
    closed: AtomicBool,
    /// Becomes true when the last handle is gone: lanes give up what they hold.
    abandoned: Arc<Watched<bool>>,
}

struct AbandonWhenDropped(Arc<Shared>);

impl Drop for AbandonWhenDropped {
    fn drop(&mut self) {
        self.0.abandoned.set(true);
    }
}

impl Producer {
    pub(crate) fn start(client: Arc<Inner>, config: ProducerConfig) -> Producer {
        let shared = Arc::new(Shared {
            client,
            topics: Mutex::default(),
            memory: Semaphore::new(usize::try_from(config.buffer_bytes).unwrap_or(Semaphore::MAX_PERMITS)),
            builders: Arc::new(Builders::new(&config)),
            config,
            counters: Counters::default(),
            ids: ProducerIds::default(),
            closed: AtomicBool::new(false),
            abandoned: Watched::new(false),
        });
        Producer { _last: Arc::new(AbandonWhenDropped(Arc::clone(&shared))), shared }
    }

    /// Puts a record into a batch. Waits while the buffer is full (at most `max_block`), and at the first record of a
    /// topic while its metadata is asked for.
    ///
    /// Records of one lane are stored in the order in which `send` took them; see [`Lanes`].
    ///
    /// # Errors
    /// [`SendError`]; the record was not sent. A producer stays with the topic that had the name when it first sent to
    /// it: where that was deleted, `send` fails with [`UnknownTopic`](ClientError::UnknownTopic), and with
    /// [`TopicRecreated`](ClientError::TopicRecreated) once another topic has its name. A new producer sends to that one.
    ///
    /// # Cancel safety
    /// When the future is dropped before it ends, the record was not taken, and nothing of the buffer is held for it.
    pub async fn send(&self, record: Record<'_>) -> Result<Delivery, SendError> {
        let shared = &self.shared;
        let mut has_looked = false;
        loop {
            let topic = shared.topic(record.topic).await?;
            let memory = match topic.measure(shared, &record) {
                // It may have been added since anybody looked.
                Err(SendError::Client(ClientError::UnknownPartition { .. })) if !has_looked => {
                    shared.client.metadata.fresh_topic(&shared.client.net, record.topic).await?;
                    has_looked = true;
                    continue;
                }
                measured => measured?,
            };
            shared.reserve(memory).await?;
            // From here to the end nothing waits: what was reserved is used or given back.
            if shared.closed.load(Ordering::Acquire) {
                shared.memory.add_permits(memory);
                return Err(SendError::Closed);
            }
            match topic.push(shared, &record, memory) {
                Pushed::In(delivery) => {
                    shared.counters.taken(bytes_of(&record));
                    return Ok(delivery);
                }
                Pushed::Draining => shared.memory.add_permits(memory),
            }
            topic.drain().await;
        }
    }

    /// Sends every record taken so far without lingering, and waits until all have their results.
    ///
    /// # Cancel safety
    /// Dropping the future only stops the waiting: what it began to send goes on.
    pub async fn flush(&self) {
        let topics: Vec<_> = self.shared.topics().values().cloned().collect();
        // All topics are told first: whoever gives up the waiting has flushed all of them.
        let unsettled: Vec<_> = topics.iter().flat_map(|topic| topic.flush()).collect();
        for batch in unsettled {
            batch.await;
        }
    }

    /// Takes no more records, from any clone, and waits until all that were taken have their results. Dropping the
    /// last clone instead gives up what is under way.
    ///
    /// # Cancel safety
    /// Dropping the future drops the producer too: no clone takes records any more, and where it was the last handle,
    /// what has no result yet is given up.
    pub async fn close(self) {
        self.shared.closed.store(true, Ordering::Release);
        self.flush().await;
    }

    /// What this producer has done so far, and what its buffer holds now; all clones together.
    #[must_use]
    pub fn metrics(&self) -> ProducerMetrics {
        let available = u64::try_from(self.shared.memory.available_permits()).unwrap_or(u64::MAX);
        self.shared.counters.read(u64::from(self.shared.config.buffer_bytes), available)
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("metrics", &self.metrics()).finish_non_exhaustive()
    }
}

impl Shared {
    /// The topic as the newest metadata has it.
    async fn topic(&self, name: &str) -> Result<Arc<Topic>, SendError> {
        let metadata = &self.client.metadata;
        loop {
            let version = metadata.version();
            let known = self.topics().get(name).cloned();
            if let Some(topic) = known.as_ref().filter(|topic| topic.is_at(version)) {
                return Ok(Arc::clone(topic));
            }
            let entry = match metadata.image().topics.get(name) {
                Some(entry) => Arc::clone(entry),
                None => {
                    metadata.topic(&self.client.net, name).await?;
                    continue;
                }
            };
            let mut topics = self.topics();
            // Looked at once more, as another task may have been here: two topics would be two lanes for one key.
            if let Some(topic) = topics.get(name) {
                if topic.name.id != entry.id {
                    return Err(ClientError::TopicRecreated { topic: name.to_owned() }.into());
                }
                topic.update(&entry, version);
                return Ok(Arc::clone(topic));
            }
            let first_sticky = self.client.net.outside.random().next();
            let topic = Arc::new(Topic::new(&entry, version, first_sticky));
            topics.insert(name.to_owned(), Arc::clone(&topic));
            return Ok(topic);
        }
    }

    /// Takes room in the buffer, waiting for it if need be.
    async fn reserve(&self, bytes: usize) -> Result<(), SendError> {
        if self.closed.load(Ordering::Acquire) {
            return Err(SendError::Closed);
        }
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        if let Ok(permit) = self.memory.try_acquire_many(permits) {
            permit.forget();
            return Ok(());
        }
        let after = self.config.max_block;
        let _waiting = self.counters.waiting(&self.client.net.outside);
        match tokio::time::timeout(after, self.memory.acquire_many(permits)).await {
            Ok(Ok(permit)) => {
                permit.forget();
                Ok(())
            }
            Ok(Err(_closed)) => Err(SendError::Closed),
            Err(_) => Err(SendError::BufferFull { after }),
        }
    }

    fn topics(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Topic>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bytes_of(record: &Record<'_>) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + length(*value)).sum();
    length(record.key) + length(record.value) + headers
}
