//! A node in this process, spoken to over real QUIC with nothing but the wire format: what a client in another
//! language would do.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weir_node::outside::Outside;
use weir_node::server::{Node, NodeConfig};
use weir_quic::framed::{self, Priority};
use weir_quic::{Connector, FrameReader, FrameWriter, Network, Peer, Protocol, RealNetwork, certs};
use weir_wire::batch::{self, BatchBuilder, Compression, ProducerFields};
use weir_wire::error::ErrorCode;
use weir_wire::fetch::{FetchCommand, FetchEnd, FetchEvent, FetchOpen, Position};
use weir_wire::frame::Limits;
use weir_wire::ids::{
    ClusterId, LeaderEpoch, MetadataIndex, Offset, PartitionIndex, ProducerEpoch, ProducerId, Revision,
    Sequence, TopicId,
};
use weir_wire::lane::{Acks, LaneAnswer, LaneBatch, LaneOpen, LaneTarget, Outcome};
use weir_wire::open::{StreamAnswer, StreamKind, StreamOpen};
use weir_wire::request::{
    ActivatePipeline, CreateTopic, DescribePipelines, ListOffsets, Metadata, OffsetSpec, PipelineChange,
    PluginBinding, Request, RequestHeader, ResponseHeader, StagePipeline, decode_body, encode_body,
};

/// A node on a temporary folder, and a connection to it.
struct World {
    folder: tempfile::TempDir,
    node: Node,
    peer: Peer,
    cluster: ClusterId,
    connector: Connector,
}

async fn start(folder: tempfile::TempDir) -> World {
    let any_port: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let config = NodeConfig::new(folder.path().to_owned(), any_port);
    let node = Node::start(config, Outside::real().unwrap()).await.unwrap();
    let network: Arc<dyn Network> = Arc::new(RealNetwork);
    let identity = certs::load_client(&folder.path().join("certs"), network.unix_time()).unwrap();
    let connector = Connector::new(&network, network.bind_client().unwrap(), &identity).unwrap();
    let peer = connector.connect(node.address(), Protocol::Client).await.unwrap();
    let mut world = World { folder, node, peer, cluster: ClusterId::default(), connector };
    world.cluster = world.ask(&Metadata { topics: None }).await.cluster;
    world
}

impl World {
    /// Opens a stream; returns the node's answer too.
    async fn open(&self, kind: StreamKind, body: Vec<u8>) -> (FrameWriter, FrameReader, StreamAnswer) {
        let (mut writer, mut reader) =
            framed::open(&self.peer.connection, Priority::Produce, Limits::DATA).await.unwrap();
        writer.send(&StreamOpen::new(kind), Bytes::from(body)).await.unwrap();
        let answer = reader.next::<StreamAnswer>().await.unwrap().unwrap().header;
        (writer, reader, answer)
    }

    async fn ask<R: Request>(&self, request: &R) -> R::Response {
        let (mut writer, mut reader, _) = self.open(StreamKind::CONTROL, Vec::new()).await;
        let header =
            RequestHeader { correlation: 1, kind: R::KIND, cluster: None, metadata_index: MetadataIndex(0) };
        writer.send(&header, Bytes::from(encode_body(request))).await.unwrap();
        let frame = reader.next::<ResponseHeader>().await.unwrap().unwrap();
        assert_eq!(frame.header.error, None, "{}", R::NAME);
        decode_body(&frame.payload).unwrap()
    }

    async fn create(&self, name: &str, partitions: u32) -> (TopicId, LeaderEpoch) {
        let configs = Vec::new();
        let request = CreateTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            replication_factor: None,
            configs,
        };
        let id = self.ask(&request).await.id;
        let metadata = self.ask(&Metadata { topics: Some(vec![name.to_owned()]) }).await;
        (id, metadata.topics[0].partitions[0].leader_epoch)
    }

    async fn lane(&self, topic: TopicId, producer: u64, target: LaneTarget) -> (FrameWriter, FrameReader) {
        self.lane_at(Revision(1), topic, producer, target).await
    }

    async fn lane_at(
        &self,
        revision: Revision,
        topic: TopicId,
        producer: u64,
        target: LaneTarget,
    ) -> (FrameWriter, FrameReader) {
        let open = LaneOpen {
            cluster: self.cluster,
            topic,
            producer: Some((ProducerId(producer), ProducerEpoch(0))),
            acks: Acks::All,
            revision,
            target,
        };
        let (writer, reader, answer) = self.open(StreamKind::PRODUCE, encode_body(&open)).await;
        assert!(matches!(answer, StreamAnswer::Opened { .. }), "{answer:?}");
        (writer, reader)
    }

    /// The values of a partition, from `offset` up to `count` of them.
    async fn read(&self, topic: TopicId, epoch: LeaderEpoch, offset: u64, count: usize) -> Vec<String> {
        let open = FetchOpen { cluster: self.cluster, frame_bytes_max: 1 << 20 };
        let (mut writer, mut reader, _) = self.open(StreamKind::FETCH, encode_body(&open)).await;
        let position = Position { offset: Offset(offset), epoch: None };
        let subscribe = FetchCommand::Subscribe {
            subscription: 1,
            topic,
            partition: PartitionIndex(0),
            leader_epoch: epoch,
            position,
        };
        writer.send(&subscribe, Bytes::new()).await.unwrap();
        writer.send(&FetchCommand::Credit { bytes: 1 << 20 }, Bytes::new()).await.unwrap();
        let mut values = Vec::new();
        while values.len() < count {
            let frame = reader.next::<FetchEvent>().await.unwrap().unwrap();
            assert!(!matches!(frame.header, FetchEvent::Ended { .. }), "{:?}", frame.header);
            let mut rest = frame.payload;
            while !rest.is_empty() {
                let batch = rest.split_to(batch::total_bytes(&rest).unwrap() as usize);
                let records = batch::records(&batch, &batch::Limits::default()).unwrap();
                values.extend(records.iter().map(|r| String::from_utf8_lossy(r.value.unwrap()).into_owned()));
            }
        }
        values
    }
}

fn batch_of(producer: u64, sequence: u32, records: &[(&str, &str)]) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for (key, value) in records {
        builder.push(1_700_000_000_000, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
    }
    let (id, epoch) = (ProducerId(producer), ProducerEpoch(0));
    builder.finish(Some(ProducerFields { id, epoch, base_sequence: Sequence(sequence) }))
}

async fn produce(
    lane: &mut (FrameWriter, FrameReader),
    ordinal: u64,
    resent: bool,
    batch: Bytes,
) -> LaneAnswer {
    lane.0.send(&LaneBatch { ordinal, resent }, batch).await.unwrap();
    lane.1.next::<LaneAnswer>().await.unwrap().unwrap().header
}

#[tokio::test]
async fn what_is_produced_is_flushed_stored_once_and_read_back_also_after_a_restart() {
    let world = start(tempfile::tempdir().unwrap()).await;
    let (topic, epoch) = world.create("t", 1).await;
    let partition = PartitionIndex(0);
    let target = LaneTarget::Guessed { partition, leader_epoch: epoch };
    let mut lane = world.lane(topic, 7, target).await;
    let first = batch_of(7, 0, &[("a", "1"), ("b", "2")]);
    let answer = produce(&mut lane, 0, false, first.clone()).await;
    let stored =
        |offset, duplicate| Outcome::Stored { partition, base_offset: Some(Offset(offset)), duplicate };
    assert_eq!(answer.outcomes, [stored(0, false)]);
    assert_eq!((answer.promise.replicas, answer.promise.flushed), (1, true));
    assert_eq!(
        produce(&mut lane, 1, false, batch_of(7, 2, &[("c", "3")])).await.outcomes,
        [stored(2, false)]
    );

    let mut again = world.lane(topic, 7, target).await;
    assert_eq!(produce(&mut again, 0, true, first.clone()).await.outcomes, [stored(0, true)]);
    assert_eq!(world.read(topic, epoch, 0, 3).await, ["1", "2", "3"]);

    let World { folder, node, connector, .. } = world;
    node.stop().await.unwrap();
    drop(connector);
    let world = start(folder).await;
    let metadata = world.ask(&Metadata { topics: Some(vec!["t".to_owned()]) }).await;
    let epoch = metadata.topics[0].partitions[0].leader_epoch;
    assert_eq!(epoch, LeaderEpoch(1), "no reign outlives an incarnation");
    let mut lane = world.lane(topic, 7, LaneTarget::Guessed { partition, leader_epoch: epoch }).await;
    assert_eq!(
        produce(&mut lane, 0, true, first).await.outcomes,
        [stored(0, true)],
        "remembered over a restart"
    );
    assert_eq!(produce(&mut lane, 1, true, batch_of(7, 2, &[("c", "3")])).await.outcomes, [stored(2, true)]);
    assert_eq!(
        produce(&mut lane, 2, false, batch_of(7, 3, &[("d", "4")])).await.outcomes,
        [stored(3, false)]
    );
    assert_eq!(world.read(topic, epoch, 0, 4).await, ["1", "2", "3", "4"]);
}

/// What producer 7 is answered to its first batch, sent again in a new opening.
async fn again(world: &World, at: (Revision, TopicId), target: LaneTarget, batch: &Bytes) -> Vec<Outcome> {
    let (revision, topic) = at;
    let mut lane = world.lane_at(revision, topic, 7, target).await;
    produce(&mut lane, 0, true, batch.clone()).await.outcomes
}

/// A topic `t` of one partition whose records a plugin places, and the revision that says so.
async fn bound_to_hash(world: &World) -> (TopicId, Revision) {
    let (topic, _) = world.create("t", 1).await;
    let hash = PluginBinding {
        plugin: "hash".to_owned(),
        version: None,
        options: Vec::new(),
        limits: Vec::new(),
        on_failure: None,
    };
    let change = PipelineChange { partitioner: Some(vec![hash]), ..PipelineChange::default() };
    let topic_name = || "t".to_owned();
    world.ask(&StagePipeline { topic: Some(topic_name()), expected: None, change }).await;
    let activate =
        ActivatePipeline { topic: topic_name(), revision: None, expected: None, without: Vec::new() };
    let revision = world.ask(&activate).await.revision;
    (topic, revision)
}

/// Under a pipeline that is a pure function a part that is sent again has the keys of what is stored. One that has not, in
/// this life of the leader or the next, is no success; without plugins nobody looks.
#[tokio::test]
async fn a_part_that_is_stored_already_with_other_keys_is_unknown() {
    let world = start(tempfile::tempdir().unwrap()).await;
    let (plain, epoch) = world.create("plain", 1).await;
    let (topic, revision) = bound_to_hash(&world).await;
    let topic_name = || "t".to_owned();
    let partition = PartitionIndex(0);
    let target = |leader_epoch| LaneTarget::Guessed { partition, leader_epoch };
    let mine = batch_of(7, 0, &[("a", "1"), ("b", "2")]);
    // As many records and as many bytes, but another key; and other values, which a plugin may write.
    let other = batch_of(7, 0, &[("a", "1"), ("c", "2")]);
    let revalued = batch_of(7, 0, &[("a", "3"), ("b", "4")]);
    let mut lane = world.lane_at(revision, topic, 7, target(epoch)).await;
    let first = produce(&mut lane, 0, false, mine.clone()).await;
    let Outcome::Stored { base_offset, duplicate: false, .. } = first.outcomes[0] else {
        panic!("{first:?}")
    };
    let stored_again = [Outcome::Stored { partition, base_offset, duplicate: true }];
    let impure = ErrorCode::NondeterministicPipeline;
    let is_unknown = |made: &[Outcome]| matches!(made, [Outcome::Unknown(error)] if error.code == impure);
    let at = (revision, topic);
    assert_eq!(again(&world, at, target(epoch), &mine).await, stored_again);
    assert_eq!(again(&world, at, target(epoch), &revalued).await, stored_again);
    assert!(is_unknown(&again(&world, at, target(epoch), &other).await));
    let described = world.ask(&DescribePipelines { topic: Some(topic_name()) }).await;
    assert_eq!(
        described.topics[0].figures[0].failures,
        [("impure".to_owned(), 1)],
        "it counts against the plugin"
    );

    let mut lane = world.lane(plain, 7, target(epoch)).await;
    produce(&mut lane, 0, false, mine.clone()).await;
    let without_plugins = again(&world, (Revision(1), plain), target(epoch), &other).await;
    assert!(matches!(without_plugins[..], [Outcome::Stored { duplicate: true, .. }]), "{without_plugins:?}");

    let World { folder, node, connector, .. } = world;
    node.stop().await.unwrap();
    drop(connector);
    let world = start(folder).await;
    let metadata = world.ask(&Metadata { topics: Some(vec![topic_name()]) }).await;
    let epoch = metadata.topics[0].partitions[0].leader_epoch;
    assert!(is_unknown(&again(&world, at, target(epoch), &other).await), "read back from the log");
    assert_eq!(again(&world, at, target(epoch), &mine).await, stored_again);
}

/// A pipeline that answers differently again and again is not kept in force.
#[tokio::test]
async fn a_pipeline_that_is_not_pure_is_rolled_back() {
    let world = start(tempfile::tempdir().unwrap()).await;
    let (topic, revision) = bound_to_hash(&world).await;
    let metadata = world.ask(&Metadata { topics: Some(vec!["t".to_owned()]) }).await;
    let leader_epoch = metadata.topics[0].partitions[0].leader_epoch;
    let target = LaneTarget::Guessed { partition: PartitionIndex(0), leader_epoch };
    let mut lane = world.lane_at(revision, topic, 7, target).await;
    produce(&mut lane, 0, false, batch_of(7, 0, &[("a", "1")])).await;
    for _ in 0..5 {
        again(&world, (revision, topic), target, &batch_of(7, 0, &[("b", "1")])).await;
    }
    let rolled_back = async {
        loop {
            let described = world.ask(&DescribePipelines { topic: Some("t".to_owned()) }).await;
            let topic = described.topics.into_iter().next().unwrap();
            if topic.revision > revision {
                return topic;
            }
        }
    };
    let topic = tokio::time::timeout(Duration::from_secs(60), rolled_back).await.unwrap();
    assert_eq!(topic.revision, Revision(revision.0 + 1));
    assert!(topic.plugins.is_empty() && topic.origin.contains("rolled back"), "{topic:?}");
}

#[tokio::test]
async fn a_batch_is_split_by_key_and_each_partition_gets_its_share() {
    let world = start(tempfile::tempdir().unwrap()).await;
    let (topic, _) = world.create("t", 12).await;
    let mut lane = world.lane(topic, 9, LaneTarget::Unguessed).await;
    // The fixed vectors of the default partitioner: uw lies in 11, a in 7.
    let answer = produce(&mut lane, 0, false, batch_of(9, 0, &[("uw", "1"), ("a", "2"), ("uw", "3")])).await;
    let stored = |partition| Outcome::Stored {
        partition: PartitionIndex(partition),
        base_offset: Some(Offset(0)),
        duplicate: false,
    };
    assert_eq!(answer.outcomes, [stored(11), stored(7)]);
    assert_eq!(
        answer.runs.iter().map(|run| (run.records, run.outcome)).collect::<Vec<_>>(),
        [(1, 0), (1, 1), (1, 0)]
    );
    let latest = (0..12).map(|index| (PartitionIndex(index), None, OffsetSpec::Latest)).collect();
    let listed = world.ask(&ListOffsets { topic, partitions: latest }).await.offsets;
    let ends: Vec<_> = listed.into_iter().map(|listed| listed.unwrap().offset.0).collect();
    assert_eq!(ends, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]);
}

#[tokio::test]
async fn a_position_beyond_the_end_is_told_the_valid_range() {
    let world = start(tempfile::tempdir().unwrap()).await;
    let (topic, leader_epoch) = world.create("t", 1).await;
    let open = FetchOpen { cluster: world.cluster, frame_bytes_max: 1 << 20 };
    let (mut writer, mut reader, _) = world.open(StreamKind::FETCH, encode_body(&open)).await;
    let position = Position { offset: Offset(5), epoch: None };
    let subscribe = FetchCommand::Subscribe {
        subscription: 1,
        topic,
        partition: PartitionIndex(0),
        leader_epoch,
        position,
    };
    writer.send(&subscribe, Bytes::new()).await.unwrap();
    let event = reader.next::<FetchEvent>().await.unwrap().unwrap().header;
    let reason = FetchEnd::OutOfRange { log_start: Offset(0), high_watermark: Offset(0) };
    assert_eq!(event, FetchEvent::Ended { subscription: 1, reason });
}
