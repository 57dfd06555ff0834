//! Replicas on several nodes in this process, over real QUIC and real disks, by way of the client library.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weir_client::{
    Acks, Client, ClientConfig, ConsumerConfig, DeliveryResult, Lanes, NewTopic, NodeId, PartitionIndex,
    Producer, ProducerConfig, Record, StartAt,
};
use weir_core::metadata::{Image, PartitionState};
use weir_node::outside::Outside;
use weir_node::server::{Node, NodeConfig};
use weir_node::storage::{Disk, DiskFile, DiskLock, Entry, EntryKind, OpenMode};

/// How long anything may take that heals by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// A disk that fails, for one topic, when it is told to.
#[derive(Clone)]
struct FailingDisk {
    sound: Arc<dyn Disk>,
    fails: Arc<AtomicBool>,
}

struct FailingFile {
    sound: Arc<dyn DiskFile>,
    fails: Arc<AtomicBool>,
}

/// What an operating system says of a broken disk (`EIO`).
fn input_output_error() -> io::Error {
    io::Error::from_raw_os_error(5)
}

impl FailingDisk {
    fn new(sound: Arc<dyn Disk>) -> FailingDisk {
        FailingDisk { sound, fails: Arc::default() }
    }
}

impl Disk for FailingDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let sound = self.sound.open(path, mode)?;
        let is_of_topic = path.to_string_lossy().contains("/topics/t-0/");
        let fails = if is_of_topic { Arc::clone(&self.fails) } else { Arc::default() };
        Ok(Arc::new(FailingFile { sound, fails }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.sound.create_dir_all(path)
    }

    fn make_private(&self, path: &Path) -> io::Result<()> {
        self.sound.make_private(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.sound.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.sound.hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.sound.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.sound.remove_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.sound.list(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.sound.sync_dir(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.sound.stat(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<DiskLock>> {
        self.sound.try_lock(path)
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        self.sound.available_bytes(path)
    }
}

impl DiskFile for FailingFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.sound.read_at(buffer, position)
    }

    fn write_at(&self, parts: &[&[u8]], position: u64) -> io::Result<()> {
        self.sound.write_at(parts, position)
    }

    fn forget_cached(&self) {
        self.sound.forget_cached();
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.fails.load(Ordering::SeqCst) { Err(input_output_error()) } else { self.sound.sync_data() }
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.sound.set_len(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.sound.len()
    }
}

/// Three nodes on one certs folder.
struct Cluster {
    folder: tempfile::TempDir,
    /// The disk of each node, in the order of their numbers.
    disks: Vec<FailingDisk>,
    nodes: Vec<Option<Node>>,
    addresses: Vec<SocketAddr>,
}

impl Cluster {
    async fn start() -> Cluster {
        let folder = tempfile::tempdir().unwrap();
        let disks = (0..3).map(|_| FailingDisk::new(Outside::real().unwrap().disk)).collect();
        let mut cluster = Cluster { folder, disks, nodes: Vec::new(), addresses: Vec::new() };
        for number in 1..=3 {
            let node = cluster.start_node(number).await;
            cluster.addresses.push(node.address());
            cluster.nodes.push(Some(node));
        }
        cluster.all_vote().await;
        cluster
    }

    /// Waits until all three nodes vote, as each of them knows. Before that, the cluster outlives no node's stop: two
    /// voters of two are needed for a majority, and a test that stops both of them waits for ever.
    async fn all_vote(&self) {
        let waiting = async {
            for node in self.nodes.iter().flatten() {
                node.controller().has_voters(3).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("three nodes become three voters");
    }

    async fn start_node(&self, number: u32) -> Node {
        let data = self.folder.path().join(format!("node-{number}"));
        let at = usize::try_from(number).unwrap() - 1;
        let any_port = "127.0.0.1:0".parse().unwrap();
        let mut config = NodeConfig::new(data, self.addresses.get(at).copied().unwrap_or(any_port));
        config.node_id = NodeId(number);
        config.certs = Some(self.folder.path().join("certs"));
        config.join = self.addresses.first().map(ToString::to_string).into_iter().collect();
        let disk: Arc<dyn Disk> = Arc::new(self.disks[at].clone());
        let starting = Node::start(config, Outside { disk, ..Outside::real().unwrap() });
        tokio::time::timeout(PATIENCE, starting).await.expect("a majority of the voters runs").unwrap()
    }

    async fn stop(&mut self, node: NodeId) {
        let at = usize::try_from(node.0).unwrap() - 1;
        self.nodes[at].take().unwrap().stop().await.unwrap();
    }

    async fn restart(&mut self, node: NodeId) {
        let at = usize::try_from(node.0).unwrap() - 1;
        self.nodes[at] = Some(self.start_node(node.0).await);
    }

    async fn client(&self) -> Client {
        let bootstrap = self.addresses.iter().map(ToString::to_string);
        let config = ClientConfig::new(bootstrap, self.folder.path().join("certs"));
        Client::connect(config).await.unwrap()
    }

    /// Waits until the metadata says of a partition what is wanted.
    async fn partition(
        &self,
        what: &str,
        wanted: impl Fn(&Image, &PartitionState) -> bool,
    ) -> PartitionState {
        let node = self.nodes.iter().flatten().next().unwrap();
        let waiting = async {
            let mut image = node.controller().image();
            loop {
                let state = &image.topics["t"].partitions[0];
                if wanted(&image, state) {
                    return state.clone();
                }
                image = node.controller().newer_than(image.index).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting)
            .await
            .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
    }

    async fn all_in_sync(&self, count: usize) -> PartitionState {
        self.partition("all are in sync", |_, state| state.isr.len() == count).await
    }

    /// The segment files of a partition on a node, which must be stopped, by name.
    fn segments(&self, node: NodeId, topic: &str) -> Vec<(String, Vec<u8>)> {
        let folder = self.folder.path().join(format!("node-{node}/topics/{topic}-0"));
        let mut segments = files(&folder);
        segments.sort();
        segments
    }
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    #[expect(clippy::disallowed_methods, reason = "a test looks at what a stopped node left")]
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().path());
    let logs = names.filter(|path| path.extension().is_some_and(|end| end == "log"));
    #[expect(clippy::disallowed_methods, reason = "a test looks at what a stopped node left")]
    let content = |path: &Path| std::fs::read(path).unwrap();
    logs.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), content(&path))).collect()
}

async fn produce(producer: &Producer, topic: &str, values: std::ops::Range<u32>) {
    let mut deliveries = Vec::new();
    for value in values {
        let value = value.to_string();
        deliveries.push(producer.send(Record::to(topic).value(value.as_bytes())).await.unwrap());
    }
    for delivery in deliveries {
        let result = delivery.await;
        assert!(result.is_stored(), "{result:?}");
    }
}

async fn consume(client: &Client, topic: &str, count: usize) -> Vec<String> {
    let mut consumer = client.consumer(ConsumerConfig::default()).unwrap();
    consumer.assign(topic, PartitionIndex(0), StartAt::Earliest).await.unwrap();
    let mut values = Vec::new();
    let reading = async {
        while values.len() < count {
            let batch = consumer.next_batch().await.unwrap();
            values.extend(
                batch.iter().map(|record| String::from_utf8_lossy(record.value.unwrap()).into_owned()),
            );
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("everything committed is readable");
    values
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn three_replicas_take_everything_and_end_up_byte_for_byte_alike() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client().await;
    client.create_topic(NewTopic::new("t").partitions(1).replication_factor(3)).await.unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    produce(&producer, "t", 0..100).await;
    cluster.all_in_sync(3).await;
    let state = &client.describe_topic("t").await.unwrap().partitions[0];
    assert_eq!(state.high_watermark.unwrap().0, 100, "acks=all means committed");
    let first = producer.send(Record::to("t").value(b"100")).await.unwrap().await;
    let DeliveryResult::Stored { promise, .. } = first else { panic!("{first:?}") };
    assert_eq!((promise.replicas, promise.flushed), (3, true));
    assert_eq!(consume(&client, "t", 101).await, numbers(0..101));

    for node in 1..=3 {
        cluster.stop(NodeId(node)).await;
    }
    let logs: Vec<_> = (1..=3).map(|node| cluster.segments(NodeId(node), "t")).collect();
    assert!(!logs[0][0].1.is_empty());
    assert!(logs.iter().all(|log| *log == logs[0]), "the logs differ");
}

#[tokio::test]
async fn a_follower_that_was_away_catches_up_and_joins_the_isr_again() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client().await;
    client.create_topic(NewTopic::new("t").partitions(1).replication_factor(3)).await.unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    produce(&producer, "t", 0..10).await;
    let state = cluster.all_in_sync(3).await;
    let away = *state.isr.iter().find(|node| Some(**node) != state.leader).unwrap();
    cluster.stop(away).await;
    produce(&producer, "t", 10..60).await;
    cluster.restart(away).await;
    cluster.all_in_sync(3).await;
    produce(&producer, "t", 60..70).await;
    assert_eq!(consume(&client, "t", 70).await, numbers(0..70));
}

/// More than memory keeps, so that it comes on the catch-up stream.
#[tokio::test]
async fn megabytes_that_a_follower_missed_end_up_byte_for_byte_as_the_leader_has_them() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client().await;
    client.create_topic(NewTopic::new("t").partitions(1).replication_factor(3)).await.unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    produce(&producer, "t", 0..10).await;
    let state = cluster.all_in_sync(3).await;
    let away = *state.isr.iter().find(|node| Some(**node) != state.leader).unwrap();
    cluster.stop(away).await;
    for number in 0..24_u8 {
        let value = vec![number; 700_001 + usize::from(number)];
        let stored = producer.send(Record::to("t").value(&value)).await.unwrap().await;
        assert!(stored.is_stored(), "{stored:?}");
    }
    cluster.restart(away).await;
    cluster.all_in_sync(3).await;
    produce(&producer, "t", 34..40).await;
    for node in 1..=3 {
        cluster.stop(NodeId(node)).await;
    }
    let logs: Vec<_> = (1..=3).map(|node| cluster.segments(NodeId(node), "t")).collect();
    assert!(logs[0].iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 24 * 700_000);
    assert!(logs.iter().all(|log| *log == logs[0]), "the logs differ");
}

#[tokio::test]
async fn a_follower_takes_over_from_a_leader_that_stops_and_nobody_but_the_clock_notices() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client().await;
    client.create_topic(NewTopic::new("t").partitions(1).replication_factor(3)).await.unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    produce(&producer, "t", 0..10).await;
    let state = cluster.all_in_sync(3).await;
    let leader = state.leader.unwrap();
    let (_, ()) = tokio::join!(cluster.stop(leader), produce(&producer, "t", 10..200));
    let state =
        cluster.partition("another leads", |_, state| state.leader.is_some_and(|now| now != leader)).await;
    assert!(state.leader_epoch.0 > 0);
    produce(&producer, "t", 200..210).await;
    assert_eq!(consume(&client, "t", 210).await, numbers(0..210));
    cluster.restart(leader).await;
    cluster.all_in_sync(3).await;
}

#[tokio::test]
async fn a_replica_that_went_its_own_way_is_cut_back_to_what_the_others_have() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client().await;
    let topic = NewTopic::new("t").partitions(1).replication_factor(2).config("min.insync.replicas", "2");
    client.create_topic(topic).await.unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    produce(&producer, "t", 0..10).await;
    let state = cluster.all_in_sync(2).await;
    let leader = state.leader.unwrap();
    let other = *state.isr.iter().find(|node| **node != leader).unwrap();

    // Records that the leader alone has: never committed, since two must be in sync for that.
    cluster.stop(other).await;
    let alone = client.producer(ProducerConfig { acks: Acks::Leader, ..ProducerConfig::default() }).unwrap();
    produce(&alone, "t", 1000..1005).await;
    cluster.stop(leader).await;

    // The other one leads without them, and takes others at their offsets once the first is back.
    cluster.restart(other).await;
    cluster.partition("the other leads", |_, state| state.leader == Some(other)).await;
    produce(&alone, "t", 10..13).await;
    cluster.restart(leader).await;
    cluster.all_in_sync(2).await;
    produce(&producer, "t", 13..20).await;
    assert_eq!(consume(&client, "t", 20).await, numbers(0..20));
    for node in [leader, other] {
        cluster.stop(node).await;
    }
    assert_eq!(cluster.segments(leader, "t"), cluster.segments(other, "t"));
}

#[tokio::test]
async fn what_enters_at_another_node_than_its_leader_is_forwarded_once_and_keeps_its_order() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client().await;
    client.create_topic(NewTopic::new("t").partitions(6).replication_factor(3)).await.unwrap();
    // One lane, entered at any node, whose records belong to partitions that all three lead.
    let config = ProducerConfig { lanes: Lanes::Unguessed(1), ..ProducerConfig::default() };
    let producer = client.producer(config).unwrap();
    let mut deliveries = Vec::new();
    for number in 0..600_u32 {
        let (key, value) = ((number % 20).to_string(), number.to_string());
        let record = Record::to("t").key(key.as_bytes()).value(value.as_bytes());
        deliveries.push(producer.send(record).await.unwrap());
        if number == 300 {
            // Half of it is stored while a node goes away that leads a third of the partitions.
            cluster.stop(NodeId(3)).await;
        }
    }
    let mut used = std::collections::BTreeSet::new();
    for delivery in deliveries {
        let DeliveryResult::Stored { partition, .. } = delivery.await else {
            panic!("a record was not stored")
        };
        used.insert(partition);
    }
    let topic = client.topic("t").await.unwrap();
    let leaders: std::collections::BTreeSet<_> =
        topic.partitions.iter().filter_map(|entry| entry.leader).collect();
    assert!(used.len() > 1 && leaders.len() > 1, "{used:?} {leaders:?}");

    let mut consumer = client.consumer(ConsumerConfig::default()).unwrap();
    consumer.assign_all("t", StartAt::Earliest).await.unwrap();
    let mut by_key: std::collections::BTreeMap<Vec<u8>, Vec<u32>> = std::collections::BTreeMap::new();
    let reading = async {
        while by_key.values().map(Vec::len).sum::<usize>() < 600 {
            for record in consumer.next_batch().await.unwrap().iter() {
                let number = std::str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap();
                by_key.entry(record.key.unwrap().to_vec()).or_default().push(number);
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("everything stored is readable");
    for (key, numbers) in &by_key {
        assert!(numbers.is_sorted_by(|a, b| a < b), "{key:?}: {numbers:?}");
    }
}

#[tokio::test]
async fn every_node_says_of_a_topic_what_its_leaders_know() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client().await;
    client.create_topic(NewTopic::new("t").partitions(3).replication_factor(3)).await.unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    for partition in 0..3 {
        let partition = PartitionIndex(partition);
        assert!(
            producer.send(Record::to("t").partition(partition).value(b"x")).await.unwrap().await.is_stored()
        );
    }
    for address in &cluster.addresses {
        let certs = cluster.folder.path().join("certs");
        let client = Client::connect(ClientConfig::new([address.to_string()], certs)).await.unwrap();
        for partition in client.describe_topic("t").await.unwrap().partitions {
            assert_eq!(partition.high_watermark.map(|offset| offset.0), Some(1), "from {address}");
            let log_ends: Vec<_> =
                partition.replicas.iter().map(|replica| replica.log_end.map(|end| end.0)).collect();
            assert_eq!(log_ends, [Some(1); 3], "from {address}");
        }
    }
    cluster.stop(NodeId(2)).await;
    let state =
        cluster.partition("it is known to be gone", |image, state| image.offline(state) == [NodeId(2)]).await;
    assert!(!state.isr.contains(&NodeId(2)));
}

#[tokio::test]
async fn a_leader_whose_disk_fails_gives_its_leadership_up_and_nothing_is_lost_or_stored_twice() {
    let mut cluster = Cluster::start().await;
    let client = cluster.client().await;
    client.create_topic(NewTopic::new("t").partitions(1).replication_factor(3)).await.unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    produce(&producer, "t", 0..50).await;
    let leader = cluster.all_in_sync(3).await.leader.unwrap();
    let at = usize::try_from(leader.0).unwrap() - 1;
    cluster.disks[at].fails.store(true, Ordering::SeqCst);
    // The producer goes on by itself: it is not told of the failed disk, only that another node leads.
    produce(&producer, "t", 50..100).await;
    let state =
        cluster.partition("another leads", |_, state| state.leader.is_some_and(|now| now != leader)).await;
    assert!(!state.isr.contains(&leader), "{state:?}");
    let described = client.describe_topic("t").await.unwrap().partitions.remove(0);
    assert_eq!(described.offline, [leader], "its node lives, and the replica is offline");
    assert_eq!(consume(&client, "t", 100).await, numbers(0..100));

    // A restart finds out what is on the disk, and the replica takes its place again. On a port of its own: something of
    // the stopped node still holds the old one, in this process.
    cluster.stop(leader).await;
    cluster.addresses[at] = "127.0.0.1:0".parse().unwrap();
    cluster.disks[at].fails.store(false, Ordering::SeqCst);
    cluster.restart(leader).await;
    let state = cluster.all_in_sync(3).await;
    assert!(state.failed.is_empty(), "{state:?}");
    produce(&producer, "t", 100..110).await;
    assert_eq!(consume(&client, "t", 110).await, numbers(0..110));
}

#[tokio::test]
async fn a_follower_whose_disk_fails_is_offline_and_the_others_go_on() {
    let cluster = Cluster::start().await;
    let client = cluster.client().await;
    client.create_topic(NewTopic::new("t").partitions(1).replication_factor(3)).await.unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();
    produce(&producer, "t", 0..10).await;
    let state = cluster.all_in_sync(3).await;
    let follower = *state.isr.iter().find(|node| Some(**node) != state.leader).unwrap();
    cluster.disks[usize::try_from(follower.0).unwrap() - 1].fails.store(true, Ordering::SeqCst);
    // Not after `replica.lag.time.max.ms`: at once.
    produce(&producer, "t", 10..20).await;
    let state = cluster.partition("it is offline", |image, state| image.offline(state) == [follower]).await;
    assert_eq!(state.isr.len(), 2);
    assert_eq!(consume(&client, "t", 20).await, numbers(0..20));
}
