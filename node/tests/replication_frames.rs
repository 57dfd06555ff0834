//! The replication streams frame by frame: a node in this process, and a test that plays the other one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use weir_client::{Acks, Client, ClientConfig, NewTopic, Producer, ProducerConfig, Record};
use weir_core::metadata::{Command, ProcessId, Registration};
use weir_node::outside::Outside;
use weir_node::server::{Node, NodeConfig};
use weir_quic::{
    Connector, FrameReader, FrameWriter, Gate, GateLimits, Identity, Network, Peer, Priority, Protocol,
    RealNetwork, Server, certs,
};
use weir_wire::batch::{self, BatchBuilder, BatchHeader, Compression};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::ids::{
    ClusterId, Incarnation, LeaderEpoch, NodeId, Offset, PartitionEpoch, PartitionIndex, TopicId,
};
use weir_wire::open::{StreamAnswer, StreamKind, StreamOpen};
use weir_wire::replication::{
    FollowerFrame, LeaderFrame, REPLICA_FRAME_BYTES, REPLICA_LIMITS, ReplicaOpen, Subscription,
};
use weir_wire::request::{decode_body, encode_body};

const TEST: NodeId = NodeId(2);
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Node 1 for real, and node 2 as the metadata knows it: played by the test, and never fenced.
struct World {
    _folder: tempfile::TempDir,
    node: Node,
    client: Client,
    identity: Identity,
    network: Arc<dyn Network>,
    /// Where node 1 finds node 2.
    server: Server,
    topic: TopicId,
    cluster: ClusterId,
}

impl World {
    async fn start() -> World {
        let folder = tempfile::tempdir().unwrap();
        let any_port: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut config = NodeConfig::new(folder.path().join("node-1"), any_port);
        let certs_folder = folder.path().join("certs");
        config.certs = Some(certs_folder.clone());
        config.timing.session_timeout = Duration::from_secs(3600);
        let node = Node::start(config, Outside::real().unwrap()).await.unwrap();

        let network: Arc<dyn Network> = Arc::new(RealNetwork);
        let now = network.unix_time();
        let identity = certs::for_node(&certs_folder, &folder.path().join("node-2"), TEST, now).unwrap();
        let socket = network.bind(any_port, 1).unwrap().remove(0);
        let address = socket.local_addr();
        let server = Server::new(&network, socket, &identity, Gate::new(GateLimits::default())).unwrap();
        let registration = Registration {
            node: TEST,
            process: ProcessId([2; 16]),
            address: address.to_string(),
            rack: None,
            last: None,
            earlier: Vec::new(),
            cut: Vec::new(),
        };
        node.controller().submit(Command::RegisterNode(registration)).await.unwrap();
        let client =
            Client::connect(ClientConfig::new([node.address().to_string()], certs_folder)).await.unwrap();
        let topic = NewTopic::new("t").partitions(2).replication_factor(2).config("min.insync.replicas", "1");
        let topic = client.create_topic(topic).await.unwrap().id;
        let cluster = client.cluster_id();
        World { _folder: folder, node, client, identity, network, server, topic, cluster }
    }

    /// The partition that a node leads, and its reign.
    fn led_by(&self, leader: NodeId) -> (PartitionIndex, LeaderEpoch, PartitionEpoch) {
        let image = self.node.controller().image();
        let (_, topic) = image.topic_by_id(self.topic).unwrap();
        let led = (0..).map(PartitionIndex).zip(&topic.partitions);
        let (index, state) = led.into_iter().find(|(_, state)| state.leader == Some(leader)).unwrap();
        (index, state.leader_epoch, state.partition_epoch)
    }

    fn incarnation(&self, node: NodeId) -> Incarnation {
        self.node.controller().image().nodes[&node].incarnation
    }
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Node 2 as a follower of node 1.
struct Follower {
    _peer: Peer,
    live: FrameWriter,
    catch_up: FrameWriter,
    /// What came, in the order of arrival, with the stream it came on.
    frames: mpsc::UnboundedReceiver<(StreamKind, LeaderFrame, Bytes)>,
}

impl Follower {
    async fn connect(world: &World, session: u64) -> Follower {
        let socket = world.network.bind_client().unwrap();
        let connector = Connector::new(&world.network, socket, &world.identity).unwrap();
        let peer = connector.connect(world.node.address(), Protocol::Replication).await.unwrap();
        let open = ReplicaOpen {
            cluster: world.cluster,
            follower: TEST,
            incarnation: world.incarnation(TEST),
            session,
        };
        let (frames_in, frames) = mpsc::unbounded_channel();
        let mut writers = VecDeque::new();
        for kind in [StreamKind::REPLICA_LIVE, StreamKind::REPLICA_CATCH_UP] {
            let (mut writer, mut reader) = peer.open(Priority::Replication, REPLICA_LIMITS).await.unwrap();
            writer.send(&StreamOpen::new(kind), Bytes::from(encode_body(&open))).await.unwrap();
            let answer = reader.next::<StreamAnswer>().await.unwrap().unwrap().header;
            assert!(matches!(answer, StreamAnswer::Opened { .. }), "{answer:?}");
            writers.push_back(writer);
            let frames = frames_in.clone();
            tokio::spawn(async move {
                while let Ok(Some(frame)) = reader.next::<LeaderFrame>().await {
                    let _ = frames.send((kind, frame.header, frame.payload));
                }
            });
        }
        let (live, catch_up) = (writers.pop_front().unwrap(), writers.pop_front().unwrap());
        Follower { _peer: peer, live, catch_up, frames }
    }

    async fn say(&mut self, frame: FollowerFrame) {
        self.live.send(&frame, Bytes::new()).await.unwrap();
    }

    async fn subscribe(&mut self, world: &World, number: u64, log_end: u64, last_epoch: Option<LeaderEpoch>) {
        let (partition, leader_epoch, _) = world.led_by(NodeId(1));
        self.say(FollowerFrame::Subscribe {
            subscription: Subscription(number),
            topic: world.topic,
            partition,
            leader_epoch,
            leader_incarnation: world.incarnation(NodeId(1)),
            log_end: Offset(log_end),
            flushed_end: Offset(log_end),
            last_epoch,
        })
        .await;
    }

    async fn report(&mut self, number: u64, end: Offset) {
        let subscription = Subscription(number);
        self.say(FollowerFrame::Report { subscription, log_end: end, flushed_end: end }).await;
    }

    async fn grant(&mut self, bytes: u64) {
        self.catch_up.send(&FollowerFrame::Credit { bytes }, Bytes::new()).await.unwrap();
    }

    async fn next(&mut self) -> (StreamKind, LeaderFrame, Bytes) {
        in_time("a frame", self.frames.recv()).await.unwrap()
    }

    /// Nothing comes for a while.
    async fn hears_nothing(&mut self) {
        let heard = tokio::time::timeout(Duration::from_millis(300), self.frames.recv()).await;
        assert!(heard.is_err(), "{:?}", heard.unwrap().map(|(kind, frame, _)| (kind, frame)));
    }
}

/// The end of the last batch of a payload that starts at `from`, whose batches follow each other.
fn end_of(payload: &Bytes, from: Offset) -> Offset {
    let mut rest = payload.clone();
    let mut end = from;
    while !rest.is_empty() {
        let one = rest.split_to(batch::total_bytes(&rest).unwrap() as usize);
        let header = BatchHeader::parse(&one).unwrap();
        assert_eq!(header.base_offset, end, "no gap and no overlap");
        end = header.next_offset();
    }
    end
}

async fn produce(producer: &Producer, partition: PartitionIndex, count: usize, bytes: usize) {
    let value = vec![7; bytes];
    let mut deliveries = Vec::new();
    for _ in 0..count {
        let record = Record::to("t").partition(partition).value(&value);
        deliveries.push(producer.send(record).await.unwrap());
    }
    for delivery in deliveries {
        let result = delivery.await;
        assert!(result.is_stored(), "{result:?}");
    }
}

fn producer(world: &World) -> Producer {
    let config = ProducerConfig { acks: Acks::Leader, batch_bytes: 512 * 1024, ..ProducerConfig::default() };
    world.client.producer(config).unwrap()
}

#[tokio::test]
async fn a_follower_is_sent_what_is_written_and_its_report_commits() {
    let world = World::start().await;
    let (partition, ..) = world.led_by(NodeId(1));
    let producer = producer(&world);
    let mut follower = Follower::connect(&world, 1).await;
    follower.subscribe(&world, 5, 0, None).await;
    let (_, answer, _) = follower.next().await;
    let subscription = Subscription(5);
    let (zero, high_watermark) = (Offset(0), Offset(0));
    assert_eq!(answer, LeaderFrame::Subscribed { subscription, from: zero, high_watermark, log_start: zero });

    produce(&producer, partition, 1, 10).await;
    let (stream, frame, payload) = follower.next().await;
    assert_eq!(stream, StreamKind::REPLICA_LIVE);
    assert_eq!(frame, LeaderFrame::Data { subscription, from: zero, high_watermark, log_start: zero });
    assert_eq!(end_of(&payload, zero), Offset(1));

    // What names another subscription counts for nothing.
    for number in [4, 6] {
        follower.report(number, Offset(1)).await;
    }
    follower.hears_nothing().await;
    follower.report(5, Offset(1)).await;
    let (_, frame, _) = follower.next().await;
    let marks =
        LeaderFrame::Marks { subscription, from: Offset(1), high_watermark: Offset(1), log_start: zero };
    assert_eq!(frame, marks, "the high watermark comes at once, alone");

    follower.say(FollowerFrame::Unsubscribe { subscription }).await;
    // Answered behind the unsubscription, so that what follows is not on its way already.
    follower.subscribe(&world, 9, 500, Some(LeaderEpoch(0))).await;
    let (_, frame, _) = follower.next().await;
    let diverged =
        LeaderFrame::Diverged { subscription: Subscription(9), epoch: LeaderEpoch(0), end: Offset(1) };
    assert_eq!(frame, diverged, "a log that is longer than the leader's parts from it");
    produce(&producer, partition, 1, 10).await;
    follower.hears_nothing().await;
}

#[tokio::test]
async fn catching_up_takes_credit_and_hands_over_to_the_live_stream_without_gap_or_overlap() {
    let world = World::start().await;
    let (partition, ..) = world.led_by(NodeId(1));
    let producer = producer(&world);
    // More than memory keeps of one log.
    produce(&producer, partition, 200, 100_000).await;
    let mut follower = Follower::connect(&world, 1).await;
    follower.subscribe(&world, 7, 0, None).await;
    let (_, answer, _) = follower.next().await;
    assert!(matches!(answer, LeaderFrame::Subscribed { .. }), "{answer:?}");
    follower.hears_nothing().await;

    let (mut position, mut received, mut granted) = (Offset(0), 0, 0);
    let mut streams = Vec::new();
    while position < Offset(200) {
        if received >= granted {
            // A frame may overdraw what is left; then nothing more comes.
            follower.hears_nothing().await;
            granted += 2 * REPLICA_FRAME_BYTES as u64;
            follower.grant(2 * REPLICA_FRAME_BYTES as u64).await;
        }
        let (stream, frame, payload) = follower.next().await;
        let LeaderFrame::Data { from, .. } = frame else { panic!("{frame:?}") };
        assert_eq!(from, position, "on {stream:?}");
        position = end_of(&payload, from);
        if streams.last() != Some(&stream) {
            streams.push(stream);
        }
        if stream == StreamKind::REPLICA_CATCH_UP {
            received += payload.len() as u64;
        }
        // Reported only at times: the stream must not change before.
        if position.0 % 3 == 0 {
            follower.report(7, position).await;
        }
    }
    assert_eq!(streams.first(), Some(&StreamKind::REPLICA_CATCH_UP));
    follower.report(7, position).await;
    produce(&producer, partition, 1, 10).await;
    loop {
        let (stream, frame, payload) = follower.next().await;
        if let LeaderFrame::Data { from, .. } = frame {
            assert_eq!((stream, from), (StreamKind::REPLICA_LIVE, Offset(200)));
            assert_eq!(end_of(&payload, from), Offset(201));
            break;
        }
        assert!(matches!(frame, LeaderFrame::Marks { from: Offset(200), .. }), "{frame:?}");
    }
}

#[tokio::test]
async fn nobody_follows_under_another_name_or_uses_a_number_twice() {
    let world = World::start().await;
    let mut follower = Follower::connect(&world, 1).await;
    follower.subscribe(&world, 7, 0, None).await;
    follower.next().await;
    follower.subscribe(&world, 7, 0, None).await;
    assert_eq!(in_time("the end", follower.frames.recv()).await.map(|(_, frame, _)| frame), None);

    let socket = world.network.bind_client().unwrap();
    let connector = Connector::new(&world.network, socket, &world.identity).unwrap();
    let peer = connector.connect(world.node.address(), Protocol::Replication).await.unwrap();
    let (mut writer, mut reader) = peer.open(Priority::Replication, REPLICA_LIMITS).await.unwrap();
    let (cluster, incarnation) = (world.cluster, Incarnation(1));
    let open = ReplicaOpen { cluster, follower: NodeId(3), incarnation, session: 2 };
    let kind = StreamOpen::new(StreamKind::REPLICA_LIVE);
    writer.send(&kind, Bytes::from(encode_body(&open))).await.unwrap();
    let answer = reader.next::<StreamAnswer>().await.unwrap().unwrap().header;
    let StreamAnswer::Refused(error) = answer else { panic!("{answer:?}") };
    assert_eq!(error.code, ErrorCode::Unauthorized);
}

/// Node 2 as the leader that node 1 follows.
struct Leader {
    _peer: Peer,
    live: (FrameWriter, FrameReader),
    catch_up: (FrameWriter, FrameReader),
}

/// What a follower asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    subscription: Subscription,
    partition: PartitionIndex,
    log_end: Offset,
    last_epoch: Option<LeaderEpoch>,
}

impl Leader {
    async fn accept(world: &World) -> Leader {
        let peer = in_time("node 1 dials", world.server.accept()).await.unwrap().establish().await.unwrap();
        assert_eq!(peer.protocol, Protocol::Replication);
        let (live, catch_up) = (Leader::stream(world, &peer).await, Leader::stream(world, &peer).await);
        Leader { _peer: peer, live, catch_up }
    }

    async fn stream(world: &World, peer: &Peer) -> (FrameWriter, FrameReader) {
        let (mut writer, mut reader) = in_time("a stream", peer.accept()).await.unwrap();
        let open = reader.next::<StreamOpen>().await.unwrap().unwrap();
        let replica = decode_body::<ReplicaOpen>(&open.payload).unwrap();
        assert_eq!((replica.follower, replica.incarnation), (NodeId(1), world.incarnation(NodeId(1))));
        let answer = StreamAnswer::Opened { version: 1, cluster: world.cluster, node: TEST };
        writer.send(&answer, Bytes::new()).await.unwrap();
        (writer, reader)
    }

    async fn next(&mut self) -> FollowerFrame {
        in_time("a frame", self.live.1.next::<FollowerFrame>()).await.unwrap().unwrap().header
    }

    async fn asked(&mut self) -> Asked {
        loop {
            match self.next().await {
                FollowerFrame::Subscribe { subscription, partition, log_end, last_epoch, .. } => {
                    return Asked { subscription, partition, log_end, last_epoch };
                }
                FollowerFrame::Unsubscribe { .. } | FollowerFrame::Report { .. } => {}
                FollowerFrame::Credit { .. } => panic!("credit on the live stream"),
            }
        }
    }

    async fn say(&mut self, frame: LeaderFrame, payload: Vec<u8>) {
        self.live.0.send(&frame, Bytes::from(payload)).await.unwrap();
    }

    async fn accept_from(&mut self, asked: Asked) {
        let (from, zero) = (asked.log_end, Offset(0));
        let subscription = asked.subscription;
        self.say(
            LeaderFrame::Subscribed { subscription, from, high_watermark: zero, log_start: zero },
            Vec::new(),
        )
        .await;
    }

    async fn data(&mut self, subscription: Subscription, from: u64, payload: Vec<u8>) {
        let (from, zero) = (Offset(from), Offset(0));
        self.say(LeaderFrame::Data { subscription, from, high_watermark: zero, log_start: zero }, payload)
            .await;
    }

    /// Waits until the follower flushed everything below `end`, and says that it wrote nothing beyond.
    async fn reported(&mut self, subscription: Subscription, end: u64) {
        loop {
            match self.next().await {
                FollowerFrame::Report { subscription: of, log_end, flushed_end } => {
                    assert_eq!(of, subscription);
                    assert!(log_end <= Offset(end), "{log_end} was written");
                    if flushed_end == Offset(end) {
                        return;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

fn batch_at(offset: u64, epoch: LeaderEpoch, records: u32) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    for record in 0..records {
        builder.push(7, None, Some(format!("{offset}+{record}").as_bytes()), &[]);
    }
    let mut bytes = builder.finish(None).to_vec();
    batch::stamp(&mut bytes, Offset(offset), epoch);
    bytes
}

#[tokio::test]
async fn a_node_writes_and_reports_what_its_leader_sends_and_nothing_else() {
    let world = World::start().await;
    let (partition, epoch, _) = world.led_by(TEST);
    let mut leader = Leader::accept(&world).await;
    let asked = leader.asked().await;
    assert_eq!((asked.partition, asked.log_end, asked.last_epoch), (partition, Offset(0), None));
    leader.accept_from(asked).await;
    let number = asked.subscription;
    leader.data(number, 0, [batch_at(0, epoch, 2), batch_at(2, epoch, 1)].concat()).await;
    leader.reported(number, 3).await;

    // Late frames of other subscriptions find nobody.
    for stale in [number.0 - 1, number.0 + 50] {
        leader.data(Subscription(stale), 3, batch_at(3, epoch, 4)).await;
    }
    leader.data(number, 3, batch_at(3, epoch, 1)).await;
    leader.reported(number, 4).await;

    // A damaged batch is not taken: the follower gives the subscription up, and asks again from where it is.
    let mut damaged = batch_at(4, epoch, 1);
    *damaged.last_mut().unwrap() ^= 1;
    leader.data(number, 4, damaged).await;
    assert_eq!(leader.next().await, FollowerFrame::Unsubscribe { subscription: number });
    let again = leader.asked().await;
    assert!(again.subscription > number);
    assert_eq!((again.log_end, again.last_epoch), (Offset(4), Some(epoch)));

    // So is one that leaves a gap.
    leader.accept_from(again).await;
    leader.data(again.subscription, 9, batch_at(9, epoch, 1)).await;
    let third = leader.asked().await;
    assert!(third.subscription > again.subscription);
    assert_eq!(third.log_end, Offset(4));

    // A leader that is another one's history: the log is cut to what both have.
    let (subscription, end) = (third.subscription, Offset(2));
    leader.say(LeaderFrame::Diverged { subscription, epoch, end }, Vec::new()).await;
    let fourth = leader.asked().await;
    assert_eq!((fourth.log_end, fourth.last_epoch), (Offset(2), Some(epoch)));
    leader.accept_from(fourth).await;
    leader.data(fourth.subscription, 2, batch_at(2, epoch, 5)).await;
    leader.reported(fourth.subscription, 7).await;

    // Nothing is left to share: it starts over where the leader begins.
    let error = WireError::new(ErrorCode::NotLeader, "go on");
    leader.say(LeaderFrame::Ended { subscription: fourth.subscription, error }, Vec::new()).await;
    let fifth = leader.asked().await;
    let (subscription, log_start) = (fifth.subscription, Offset(100));
    leader.say(LeaderFrame::OutOfRange { subscription, log_start }, Vec::new()).await;
    let sixth = leader.asked().await;
    assert_eq!((sixth.log_end, sixth.last_epoch), (Offset(100), None));
}

#[tokio::test]
async fn credit_for_catching_up_comes_back_as_the_replica_writes() {
    let world = World::start().await;
    let (_, epoch, _) = world.led_by(TEST);
    let mut leader = Leader::accept(&world).await;
    let asked = leader.asked().await;
    leader.accept_from(asked).await;
    let credit = |frame| match frame {
        FollowerFrame::Credit { bytes } => bytes,
        other => panic!("{other:?}"),
    };
    let first = in_time("credit", leader.catch_up.1.next::<FollowerFrame>()).await.unwrap().unwrap();
    let granted = credit(first.header);
    let (mut offset, mut sent) = (0, 0);
    while sent < granted {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(7, None, Some(&vec![7; 900_000]), &[]);
        let mut bytes = builder.finish(None).to_vec();
        batch::stamp(&mut bytes, Offset(offset), epoch);
        sent += bytes.len() as u64;
        let (subscription, from, zero) = (asked.subscription, Offset(offset), Offset(0));
        let frame = LeaderFrame::Data { subscription, from, high_watermark: zero, log_start: zero };
        leader.catch_up.0.send(&frame, Bytes::from(bytes)).await.unwrap();
        offset += 1;
    }
    let mut returned = 0;
    while returned < granted / 2 {
        let frame = in_time("credit", leader.catch_up.1.next::<FollowerFrame>()).await.unwrap().unwrap();
        returned += credit(frame.header);
    }
    assert!(returned <= sent, "no more than was sent");
    leader.reported(asked.subscription, offset).await;
}
