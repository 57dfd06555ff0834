//! Who leads what, as far as this client knows, and keeping it fresh.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use weir_wire::ids::{LeaderEpoch, MetadataIndex, NodeId, PartitionIndex, TopicId};
use weir_wire::request::{ClusterMetadata, Metadata as MetadataRequest, PartitionEntry, TopicEntry};

use crate::client::Inner;
use crate::error::ClientError;
use crate::net::{Again, Net};
use crate::watched::{Watched, Watcher};

/// An answer that is so much later than it may be makes the client ask for fresh metadata, and again after as long.
const SUSPICION: Duration = Duration::from_millis(500);
/// Requests for fresh metadata within this time of each other are answered by one.
const COALESCE: Duration = Duration::from_millis(10);

/// What this client knows of the cluster. It only goes forward in the metadata's history: see [`Image::with`].
#[derive(Debug, Default)]
pub(crate) struct Image {
    /// The newest answer that it was made from.
    index: MetadataIndex,
    pub(crate) nodes: BTreeMap<NodeId, String>,
    /// The topics that somebody has used, and that exist.
    pub(crate) topics: BTreeMap<String, Arc<TopicEntry>>,
}

impl Image {
    /// The topic, unless it is gone or another one has its name.
    pub(crate) fn topic(&self, name: &str, id: TopicId) -> Option<&Arc<TopicEntry>> {
        self.topics.get(name).filter(|topic| topic.id == id)
    }

    /// Who leads a partition, if somebody does whose address is known.
    pub(crate) fn leader(
        &self,
        topic: &TopicEntry,
        partition: PartitionIndex,
    ) -> Option<(NodeId, LeaderEpoch)> {
        let entry = find_partition(topic, partition)?;
        let leader = entry.leader.filter(|leader| self.nodes.contains_key(leader))?;
        Some((leader, entry.leader_epoch))
    }

    /// Whether another node than this one is known to lead a partition of a topic.
    pub(crate) fn is_led_by_another(&self, topic: &str, partition: PartitionIndex, node: NodeId) -> bool {
        let known = self.topics.get(topic).and_then(|topic| self.leader(topic, partition));
        known.is_some_and(|(leader, _)| leader != node)
    }
}

/// The entry of a partition.
pub(crate) fn find_partition(topic: &TopicEntry, partition: PartitionIndex) -> Option<&PartitionEntry> {
    let by_place = usize::try_from(partition.0).ok().and_then(|at| topic.partitions.get(at));
    by_place.filter(|entry| entry.index == partition)
}

/// The cache.
pub(crate) struct Metadata {
    image: Mutex<Arc<Image>>,
    /// Topics to ask for; only grows, by what the application names.
    names: Mutex<BTreeSet<String>>,
    /// Counts the images: for those who wait for the next one, and for those who only look.
    changes: Arc<Watched<u64>>,
    version: AtomicU64,
    wanted: Notify,
}

impl Metadata {
    pub(crate) fn new() -> Metadata {
        Metadata {
            image: Mutex::default(),
            names: Mutex::default(),
            changes: Watched::new(0),
            version: AtomicU64::new(0),
            wanted: Notify::new(),
        }
    }

    /// What is known now.
    pub(crate) fn image(&self) -> Arc<Image> {
        Arc::clone(&lock(&self.image))
    }

    /// Changes with every image.
    pub(crate) fn watch(&self) -> Watcher<u64> {
        self.changes.watch()
    }

    /// Counts the images; cheap.
    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Asks for a fresh image soon, without waiting.
    pub(crate) fn refresh(&self) {
        self.wanted.notify_one();
    }

    /// What the node at `address` answers, unless it is known before that somebody else is to be asked. It may hold its
    /// answer for as long as `held`; once it is late, fresh metadata is asked for now and then: a node that is gone says
    /// no word, and its connection learns of it much later.
    pub(crate) async fn unless_moved<T>(
        &self,
        address: &str,
        held: Duration,
        has_moved: impl Fn(&Image) -> bool,
        asking: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, ClientError> {
        let moved = async {
            let mut changes = self.watch();
            let mut suspects_at = tokio::time::Instant::now() + held + SUSPICION;
            while !has_moved(&self.image()) {
                tokio::select! {
                    biased;
                    () = changes.changed() => {}
                    () = tokio::time::sleep_until(suspects_at) => {
                        self.refresh();
                        suspects_at += SUSPICION;
                    }
                }
            }
        };
        tokio::select! {
            biased;
            answer = asking => answer,
            () = moved => Err(ClientError::ConnectionLost {
                address: address.to_owned(),
                reason: "meanwhile another node is the one to ask".to_owned(),
            }),
        }
    }

    /// A topic's metadata, from the cache if it is there.
    pub(crate) async fn topic(&self, net: &Net, name: &str) -> Result<Arc<TopicEntry>, ClientError> {
        if let Some(topic) = self.image().topics.get(name) {
            return Ok(Arc::clone(topic));
        }
        self.fresh_topic(net, name).await
    }

    /// A topic's metadata, asked for now.
    pub(crate) async fn fresh_topic(&self, net: &Net, name: &str) -> Result<Arc<TopicEntry>, ClientError> {
        let asked = vec![name.to_owned()];
        let request = MetadataRequest { topics: Some(asked.clone()) };
        let (index, answer) = net.persist("metadata", Again::Harmless, || net.ask_metadata(&request)).await?;
        self.take(net, index, answer, &asked);
        let topic = self.image().topics.get(name).cloned();
        let topic = topic.ok_or_else(|| ClientError::UnknownTopic { topic: name.to_owned() })?;
        lock(&self.names).insert(name.to_owned());
        Ok(topic)
    }

    /// Takes an answer about the topics asked for.
    pub(crate) fn take(&self, net: &Net, index: MetadataIndex, answer: ClusterMetadata, asked: &[String]) {
        net.learn_addresses(answer.nodes.iter().map(|node| &node.address));
        {
            let mut image = lock(&self.image);
            *image = Arc::new(image.with(index, answer, asked));
        }
        let version = self.version.fetch_add(1, Ordering::Release) + 1;
        self.changes.set(version);
    }
}

impl Image {
    /// The image after an answer about the topics asked for. Answers to requests made side by side may come in any
    /// order: an older one says nothing about what is known already.
    fn with(&self, index: MetadataIndex, answer: ClusterMetadata, asked: &[String]) -> Image {
        let told = answer.topics.into_iter().map(|topic| (topic.name.clone(), Arc::new(topic)));
        if index < self.index {
            let mut topics: BTreeMap<_, _> = told.collect();
            topics.extend(self.topics.clone());
            return Image { index: self.index, nodes: self.nodes.clone(), topics };
        }
        let mut topics = self.topics.clone();
        topics.retain(|name, _| !asked.contains(name));
        topics.extend(told);
        let nodes = answer.nodes.into_iter().map(|node| (node.id, node.address)).collect();
        Image { index, nodes, topics }
    }
}

/// Keeps the metadata fresh until the client is gone.
pub(crate) async fn keep_fresh(client: Weak<Inner>) {
    let Some(max_age) = client.upgrade().map(|client| client.net.config.metadata_max_age) else { return };
    let gone = match client.upgrade() {
        Some(client) => Arc::clone(&client.gone),
        None => return,
    };
    let mut failures = 0;
    loop {
        let pause = match client.upgrade() {
            None => return,
            Some(client) if failures > 0 => client.net.backoff().pause(failures),
            Some(_) => COALESCE,
        };
        let waited = async {
            if failures == 0 {
                let Some(wanted) = client.upgrade().map(|client| Arc::clone(&client.metadata)) else {
                    return;
                };
                // Timing out is the other way to find that it is time.
                let _ = tokio::time::timeout(max_age, wanted.wanted.notified()).await;
            }
            tokio::time::sleep(pause).await;
        };
        tokio::select! {
            biased;
            () = waited => {}
            () = gone.notified() => return,
        }
        let Some(client) = client.upgrade() else { return };
        let names: Vec<_> = lock(&client.metadata.names).iter().cloned().collect();
        match client.net.ask_metadata(&MetadataRequest { topics: Some(names.clone()) }).await {
            Ok((index, answer)) => {
                failures = 0;
                client.metadata.take(&client.net, index, answer, &names);
            }
            Err(ClientError::Closed) => return,
            Err(error) => {
                failures = (failures + 1).min(16);
                tracing::debug!(%error, "metadata cannot be refreshed; trying again");
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use weir_wire::ids::{ClusterId, Revision};
    use weir_wire::request::NodeEntry;

    use super::*;

    fn answer(node: u32, topics: &[(&str, u32)]) -> ClusterMetadata {
        let topics = topics.iter().map(|(name, revision)| TopicEntry {
            name: (*name).to_owned(),
            id: TopicId([1; 16]),
            revision: Revision(*revision),
            batch_bytes_max: 1000,
            partitions: Vec::new(),
        });
        ClusterMetadata {
            cluster: ClusterId([1; 16]),
            controller: None,
            nodes: vec![NodeEntry { id: NodeId(node), address: "a:1".to_owned() }],
            topics: topics.collect(),
        }
    }

    fn shown(image: &Image) -> (u64, Vec<u32>, Vec<(&str, u32)>) {
        let nodes = image.nodes.keys().map(|node| node.0).collect();
        let topics = image.topics.iter().map(|(name, topic)| (name.as_str(), topic.revision.0)).collect();
        (image.index.0, nodes, topics)
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_that_says_nothing_is_left_once_another_one_is_known_to_be_asked() {
        let metadata = Metadata::new();
        let led_by = |node: u32| Image::default().with(MetadataIndex(node.into()), answer(node, &[]), &[]);
        *lock(&metadata.image) = Arc::new(led_by(1));
        let has_moved = |image: &Image| !image.nodes.contains_key(&NodeId(1));
        let asking = std::future::pending::<Result<(), ClientError>>();
        let asked = metadata.unless_moved("a:1", Duration::ZERO, has_moved, asking);
        // Whoever keeps the metadata fresh is told to, since nobody else says that the node is gone.
        let refreshing = async {
            metadata.wanted.notified().await;
            *lock(&metadata.image) = Arc::new(led_by(2));
            metadata.changes.set(1);
        };
        let (answered, ()) = tokio::join!(asked, refreshing);
        assert!(answered.is_err_and(|error| error.is_retryable()));
    }

    #[test]
    fn an_answer_replaces_what_was_asked_for_and_keeps_the_rest() {
        let names = ["a", "b"].map(str::to_owned);
        let image = Image::default().with(MetadataIndex(5), answer(1, &[("a", 1), ("b", 1)]), &names);
        let image = image.with(MetadataIndex(6), answer(2, &[]), &names[..1]);
        assert_eq!(shown(&image), (6, vec![2], vec![("b", 1)]));
    }

    #[test]
    fn an_older_answer_that_comes_late_takes_nothing_back() {
        let names = ["a", "b"].map(str::to_owned);
        let image = Image::default().with(MetadataIndex(5), answer(1, &[("a", 2)]), &names[..1]);
        let image = image.with(MetadataIndex(4), answer(9, &[("a", 1), ("b", 1)]), &names);
        assert_eq!(shown(&image), (5, vec![1], vec![("a", 2), ("b", 1)]));
        let image = image.with(MetadataIndex(3), answer(9, &[]), &names);
        assert_eq!(shown(&image), (5, vec![1], vec![("a", 2), ("b", 1)]));
    }
}
