//! Requests about topics.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::PartitionIndex;
use weir_wire::request::{
    CreateTopic, DeleteTopic, DescribeTopic, ListOffsets, ListedOffset, OffsetSpec, TopicCreated,
    TopicDeleted, TopicDescription, TopicEntry,
};

use crate::client::{Client, Inner};
use crate::error::ClientError;
use crate::metadata::{Image, find_partition};
use crate::net::Again;

/// A topic to create.
///
/// ```
/// use weir_client::NewTopic;
///
/// let topic = NewTopic::new("quakes").partitions(12).config("retention.ms", "604800000");
/// # let _ = topic;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` for the cluster's default.
    pub partitions: Option<u32>,
    /// How many replicas of each; `None` for the cluster's default.
    pub replication_factor: Option<u32>,
    /// Configuration under Kafka's key names.
    pub configs: Vec<(String, String)>,
}

impl NewTopic {
    /// A topic with the cluster's defaults.
    pub fn new(name: impl Into<String>) -> NewTopic {
        NewTopic { name: name.into(), partitions: None, replication_factor: None, configs: Vec::new() }
    }

    /// Sets how many partitions it has.
    #[must_use]
    pub fn partitions(self, partitions: u32) -> NewTopic {
        NewTopic { partitions: Some(partitions), ..self }
    }

    /// Sets how many replicas each partition has.
    #[must_use]
    pub fn replication_factor(self, replication_factor: u32) -> NewTopic {
        NewTopic { replication_factor: Some(replication_factor), ..self }
    }

    /// Sets one configuration key.
    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> NewTopic {
        self.configs.push((key.into(), value.into()));
        self
    }
}

impl Client {
    /// Creates a topic. Once this returns, this client sees it.
    ///
    /// # Errors
    /// The node's answer, such as [`TopicAlreadyExists`](weir_wire::error::ErrorCode::TopicAlreadyExists). After
    /// [`ClientError::ConnectionLost`] or [`ClientError::TimedOut`] the topic may exist or not: it is not tried again,
    /// since that would report its own success as an error.
    ///
    /// # Cancel safety
    /// When the future is dropped the topic may be created or not, as after [`ClientError::ConnectionLost`].
    pub async fn create_topic(&self, topic: NewTopic) -> Result<TopicCreated, ClientError> {
        let NewTopic { name, partitions, replication_factor, configs } = topic;
        let request = CreateTopic { name, partitions, replication_factor, configs };
        let created = self.inner.net.ask(&request, Again::OnlyIfNotDone).await;
        self.look_again(&request.name, &created).await;
        created
    }

    /// Deletes a topic with all its records.
    ///
    /// # Errors
    /// As [`create_topic`](Client::create_topic).
    ///
    /// # Cancel safety
    /// When the future is dropped the topic may be deleted or not, as after [`ClientError::ConnectionLost`]; this
    /// client's producers may find that out only when they send to it.
    pub async fn delete_topic(&self, name: &str) -> Result<TopicDeleted, ClientError> {
        let request = DeleteTopic { name: name.to_owned() };
        let deleted = self.inner.net.ask(&request, Again::OnlyIfNotDone).await;
        self.look_again(name, &deleted).await;
        deleted
    }

    /// Forgets what was known of a name, once a node has said that it stands for another topic now, or for none:
    /// whoever went by it would write to a topic that is gone. A name that nobody has used is not known.
    pub(crate) async fn look_again<T>(&self, name: &str, answer: &Result<T, ClientError>) {
        let has_answered = matches!(answer, Ok(_) | Err(ClientError::Node(_)));
        if has_answered && self.inner.metadata.image().topics.contains_key(name) {
            // That there is no such topic is an answer too, and has been noted.
            let _ = self.inner.metadata.fresh_topic(&self.inner.net, name).await;
        }
    }

    /// All topics, by name, internal ones included.
    ///
    /// # Errors
    /// The cluster cannot be reached, or the node's answer.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn list_topics(&self) -> Result<Vec<TopicEntry>, ClientError> {
        Ok(self.metadata(None).await?.topics)
    }

    /// A topic with its configuration, replicas and offsets.
    ///
    /// # Errors
    /// [`UnknownTopic`](weir_wire::error::ErrorCode::UnknownTopic), or as [`list_topics`](Client::list_topics).
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn describe_topic(&self, name: &str) -> Result<TopicDescription, ClientError> {
        let request = DescribeTopic { name: name.to_owned() };
        self.inner.net.ask(&request, Again::Harmless).await
    }

    /// Looks up offsets, each at the leader of its partition; in the order asked.
    ///
    /// ```no_run
    /// use weir_client::{Client, ClientError, OffsetSpec, PartitionIndex};
    ///
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let partition = PartitionIndex(0);
    /// let ends = [(partition, OffsetSpec::Earliest), (partition, OffsetSpec::Latest)];
    /// let listed = client.list_offsets("quakes", &ends).await?;
    /// println!("offsets {} to {} are stored", listed[0].offset, listed[1].offset);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// The first that no further try can mend; passing ones are tried again for `api_timeout`.
    ///
    /// # Cancel safety
    /// Dropping the future changes nothing: an answer that still comes is thrown away.
    pub async fn list_offsets(
        &self,
        topic: &str,
        partitions: &[(PartitionIndex, OffsetSpec)],
    ) -> Result<Vec<ListedOffset>, ClientError> {
        let net = &self.inner.net;
        let mut found = vec![None; partitions.len()];
        let found = Mutex::new(&mut found);
        net.persist("list_offsets", Again::Harmless, || self.list_missing_offsets(topic, partitions, &found))
            .await
    }

    /// Looks up what is not found yet; errs if anything is still missing.
    async fn list_missing_offsets(
        &self,
        topic: &str,
        partitions: &[(PartitionIndex, OffsetSpec)],
        found: &Mutex<&mut Vec<Option<ListedOffset>>>,
    ) -> Result<Vec<ListedOffset>, ClientError> {
        let Inner { net, metadata, .. } = &*self.inner;
        let entry = metadata.fresh_topic(net, topic).await?;
        let image = metadata.image();
        let mut by_leader: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        let mut failure = None;
        for (at, (partition, _)) in partitions.iter().enumerate() {
            let known = lock(found).get(at).is_some_and(Option::is_some);
            if known {
                continue;
            }
            if find_partition(&entry, *partition).is_none() {
                let (topic, count) = (topic.to_owned(), entry.partitions.len());
                return Err(ClientError::UnknownPartition { topic, partition: *partition, count });
            }
            match image.leader(&entry, *partition) {
                Some((leader, _)) => by_leader.entry(leader).or_default().push(at),
                None => failure = Some(no_leader(topic, *partition)),
            }
        }
        for (leader, places) in by_leader {
            let asked = places.iter().map(|at| (partitions[*at].0, None, partitions[*at].1)).collect();
            let request = ListOffsets { topic: entry.id, partitions: asked };
            let address = image.nodes.get(&leader).cloned().unwrap_or_default();
            let asking = async { net.ask_at(&*net.connection(&address).await?, &request).await };
            let has_moved = |image: &Image| {
                places.iter().any(|at| image.is_led_by_another(topic, partitions[*at].0, leader))
            };
            match metadata.unless_moved(&address, Duration::ZERO, has_moved, asking).await {
                Ok(answer) => {
                    for (at, listed) in places.into_iter().zip(answer.offsets) {
                        match listed {
                            Ok(listed) => lock(found)[at] = Some(listed),
                            Err(error) => failure = Some(worse(failure.take(), error.into())),
                        }
                    }
                }
                Err(error) => failure = Some(worse(failure.take(), error)),
            }
        }
        let all: Option<Vec<_>> = lock(found).iter().copied().collect();
        match (all, failure) {
            (Some(all), _) => Ok(all),
            (None, Some(error)) => Err(error),
            (None, None) => {
                let detail = "it answered for fewer partitions than were asked".to_owned();
                Err(ClientError::Protocol { address: "a node".to_owned(), detail })
            }
        }
    }
}

/// The one of two errors that is not worth a retry.
fn worse(first: Option<ClientError>, second: ClientError) -> ClientError {
    match first {
        Some(first) if !first.is_retryable() => first,
        _ => second,
    }
}

pub(crate) fn no_leader(topic: &str, partition: PartitionIndex) -> ClientError {
    let sentence = format!("{topic}-{partition} has no leader at the moment; is one of its nodes up?");
    ClientError::Node(WireError::new(ErrorCode::LeaderNotAvailable, sentence))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
