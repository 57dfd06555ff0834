//! A node to attack, and the well-behaved half of a client that does it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use weir_quic::{
    Connector, FrameReader, FrameWriter, Identity, Network, Peer, Priority, Protocol, ReadError, RealNetwork,
    StreamCode, certs, framed,
};
use weir_tests::process::{DEADLINE, Node, Weir, free_address};
use weir_wire::batch::{BatchBuilder, Compression, ProducerFields};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::fetch::{FetchCommand, FetchEvent, FetchOpen, Position};
use weir_wire::frame::Limits;
use weir_wire::ids::{
    ClusterId, LeaderEpoch, MetadataIndex, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence,
};
use weir_wire::lane::{Acks, LaneAnswer, LaneBatch, LaneOpen, LaneTarget, Outcome};
use weir_wire::open::{StreamAnswer, StreamKind, StreamOpen};
use weir_wire::request::{
    CreateTopic, InitProducer, Metadata, Request, RequestHeader, RequestKind, ResponseHeader, TopicEntry,
    decode_body, encode_body,
};

/// Runs a test against a node of its own; afterwards the node must live and serve.
pub(crate) fn attack<F: Future<Output = ()>>(test: impl FnOnce(Arc<Target>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let target = Arc::new(Target::new());
        let whole = async {
            test(Arc::clone(&target)).await;
            target.serves().await;
        };
        tokio::time::timeout(2 * DEADLINE, whole).await.expect("the test takes too long");
    });
}

/// A node process.
pub(crate) struct Target {
    // Dropped first: its folder goes after it.
    pub(crate) node: Node,
    pub(crate) network: Arc<dyn Network>,
    pub(crate) identity: Identity,
    _folder: TempDir,
}

impl Target {
    fn new() -> Target {
        let folder = tempfile::tempdir().unwrap();
        let weir = Weir::new(env!("CARGO_BIN_EXE_weir-under-test"));
        let node = weir.node(&folder.path().join("data"), free_address());
        let network: Arc<dyn Network> = Arc::new(RealNetwork);
        let identity = certs::load_client(&node.certs(), network.unix_time()).unwrap();
        Target { node, network, identity, _folder: folder }
    }

    pub(crate) fn connector(&self, identity: &Identity) -> Connector {
        Connector::new(&self.network, self.network.bind_client().unwrap(), identity).unwrap()
    }

    pub(crate) async fn connect(&self) -> Peer {
        let connector = self.connector(&self.identity);
        connector.connect(self.node.address(), Protocol::Client).await.unwrap()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::new(self.connect().await).await
    }

    /// Does what a node is for, on a connection of its own.
    pub(crate) async fn serves(&self) {
        static TOPICS: AtomicU32 = AtomicU32::new(0);
        let mut client = self.client().await;
        let name = format!("serves-{}", TOPICS.fetch_add(1, Ordering::Relaxed));
        let topic = client.create(&name, 1, &[]).await;
        let mut lane = client.lane(&topic).await;
        lane.send(0, batch(lane.producer, 0, 1)).await;
        assert!(is_stored(&lane.answer().await), "the node does not store any more");
        let mut fetch = client.fetch().await;
        fetch.subscribe(1, &topic, 0).await;
        fetch.command(&FetchCommand::Credit { bytes: 1 << 20 }).await;
        assert!(matches!(fetch.event().await, FetchEvent::Data { .. }), "the node does not serve any more");
    }
}

/// A connection with its control stream.
pub(crate) struct Client {
    pub(crate) peer: Peer,
    pub(crate) cluster: ClusterId,
    pub(crate) control: FrameWriter,
    pub(crate) answers: FrameReader,
    correlation: u64,
}

impl Client {
    async fn new(peer: Peer) -> Client {
        let (control, answers, answer) =
            open(&peer, &StreamOpen::new(StreamKind::CONTROL), Bytes::new()).await;
        let StreamAnswer::Opened { cluster, .. } = answer else { panic!("no control stream: {answer:?}") };
        Client { peer, cluster, control, answers, correlation: 0 }
    }

    pub(crate) fn header(&mut self, kind: RequestKind) -> RequestHeader {
        self.correlation += 1;
        RequestHeader {
            correlation: self.correlation,
            kind,
            cluster: Some(self.cluster),
            metadata_index: MetadataIndex(0),
        }
    }

    /// Any header, any body; the answer to it.
    pub(crate) async fn raw(
        &mut self,
        header: RequestHeader,
        body: impl Into<Bytes>,
    ) -> Result<Bytes, WireError> {
        self.control.send(&header, body.into()).await.unwrap();
        let answer = self.answers.next::<ResponseHeader>().await.unwrap().expect("an answer");
        assert_eq!(answer.header.correlation, header.correlation);
        match answer.header.error {
            None => Ok(answer.payload),
            Some(error) => {
                assert!(answer.payload.is_empty());
                Err(said(error))
            }
        }
    }

    pub(crate) async fn request<R: Request>(&mut self, request: &R) -> Result<R::Response, WireError> {
        let header = self.header(R::KIND);
        let body = self.raw(header, encode_body(request)).await?;
        Ok(decode_body(&body).unwrap())
    }

    pub(crate) async fn create(
        &mut self,
        name: &str,
        partitions: u32,
        configs: &[(&str, &str)],
    ) -> TopicEntry {
        let configs = configs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let request = CreateTopic {
            name: name.to_owned(),
            partitions: Some(partitions),
            replication_factor: None,
            configs,
        };
        self.request(&request).await.unwrap();
        let metadata = self.request(&Metadata { topics: Some(vec![name.to_owned()]) }).await.unwrap();
        metadata.topics.into_iter().next().expect("the topic was just created")
    }

    pub(crate) async fn producer(&mut self) -> ProducerId {
        self.request(&InitProducer { count: 1 }).await.unwrap().first
    }

    /// How a good lane of a new producer opens.
    pub(crate) async fn lane_open(&mut self, topic: &TopicEntry) -> LaneOpen {
        let producer = self.producer().await;
        LaneOpen {
            cluster: self.cluster,
            topic: topic.id,
            producer: Some((producer, ProducerEpoch(0))),
            acks: Acks::All,
            revision: topic.revision,
            target: LaneTarget::Explicit {
                partition: PartitionIndex(0),
                leader_epoch: topic.partitions[0].leader_epoch,
            },
        }
    }

    pub(crate) async fn lane(&mut self, topic: &TopicEntry) -> Lane {
        let body = self.lane_open(topic).await;
        self.lane_as(&body).await.unwrap()
    }

    pub(crate) async fn lane_as(&self, body: &LaneOpen) -> Result<Lane, WireError> {
        let opening = StreamOpen::new(StreamKind::PRODUCE);
        let (writer, mut reader, answer) = open(&self.peer, &opening, encode_body(body).into()).await;
        reader.set_limits(Limits::DATA);
        match answer {
            StreamAnswer::Opened { .. } => {
                Ok(Lane { writer, reader, producer: body.producer.map_or(ProducerId(0), |(id, _)| id) })
            }
            StreamAnswer::Refused(error) => Err(said(error)),
        }
    }

    pub(crate) async fn fetch(&self) -> Fetch {
        let body = FetchOpen { cluster: self.cluster, frame_bytes_max: 1 << 20 };
        let opening = StreamOpen::new(StreamKind::FETCH);
        let (writer, mut reader, answer) = open(&self.peer, &opening, encode_body(&body).into()).await;
        assert!(matches!(answer, StreamAnswer::Opened { .. }), "{answer:?}");
        reader.set_limits(Limits::DATA);
        Fetch { writer, reader }
    }
}

/// Opens a stream and waits for the answer.
pub(crate) async fn open(
    peer: &Peer,
    opening: &StreamOpen,
    body: Bytes,
) -> (FrameWriter, FrameReader, StreamAnswer) {
    let (mut writer, mut reader) =
        framed::open(&peer.connection, Priority::Control, Limits::CONTROL).await.unwrap();
    writer.send(opening, body).await.unwrap();
    let answer = reader.next::<StreamAnswer>().await.unwrap().expect("an answer to the opening");
    (writer, reader, answer.header)
}

/// Opens a stream that the node refuses, and ends.
pub(crate) async fn refused(peer: &Peer, opening: &StreamOpen, body: Bytes) -> WireError {
    let (_writer, mut reader, answer) = open(peer, opening, body).await;
    let StreamAnswer::Refused(error) = answer else { panic!("not refused: {answer:?}") };
    assert!(reader.next_raw().await.unwrap().is_none(), "after a refusal the stream ends");
    said(error)
}

/// An error that a person can act on.
pub(crate) fn said(error: WireError) -> WireError {
    assert!(error.message.len() > 10 && error.message.contains(' '), "no sentence: {error:?}");
    error
}

/// Waits until the node stops a stream, and requires that it says why.
pub(crate) async fn stopped(writer: &FrameWriter) -> StreamCode {
    let code = writer.stopped().await.unwrap();
    code.expect("the node took it all and stopped nothing")
}

/// An open lane.
pub(crate) struct Lane {
    pub(crate) writer: FrameWriter,
    pub(crate) reader: FrameReader,
    pub(crate) producer: ProducerId,
}

impl Lane {
    pub(crate) async fn send(&mut self, ordinal: u64, batch: Bytes) {
        self.writer.send(&LaneBatch { ordinal, resent: false }, batch).await.unwrap();
    }

    pub(crate) async fn answer(&mut self) -> LaneAnswer {
        self.try_answer().await.unwrap().expect("an answer")
    }

    pub(crate) async fn try_answer(&mut self) -> Result<Option<LaneAnswer>, ReadError> {
        Ok(self.reader.next::<LaneAnswer>().await?.map(|frame| frame.header))
    }

    /// Sends a batch that cannot be taken; the code of the answer.
    pub(crate) async fn failed(&mut self, ordinal: u64, batch: Bytes) -> ErrorCode {
        self.send(ordinal, batch).await;
        let answer = self.answer().await;
        assert_eq!(answer.ordinal, ordinal);
        match answer.outcomes.as_slice() {
            [Outcome::Failed(error)] => said(error.clone()).code,
            other => panic!("not failed: {other:?}"),
        }
    }
}

/// An open fetch stream.
pub(crate) struct Fetch {
    pub(crate) writer: FrameWriter,
    pub(crate) reader: FrameReader,
}

impl Fetch {
    pub(crate) async fn command(&mut self, command: &FetchCommand) {
        self.writer.send(command, Bytes::new()).await.unwrap();
    }

    pub(crate) async fn subscribe(&mut self, subscription: u64, topic: &TopicEntry, offset: u64) {
        self.command(&subscribe(subscription, topic, offset)).await;
    }

    pub(crate) async fn event(&mut self) -> FetchEvent {
        self.reader.next::<FetchEvent>().await.unwrap().expect("an event").header
    }
}

pub(crate) fn subscribe(subscription: u64, topic: &TopicEntry, offset: u64) -> FetchCommand {
    FetchCommand::Subscribe {
        subscription,
        topic: topic.id,
        partition: PartitionIndex(0),
        leader_epoch: topic.partitions[0].leader_epoch,
        position: Position { offset: Offset(offset), epoch: None },
    }
}

/// The reign after the one that a topic's first partition is in.
pub(crate) fn next_epoch(topic: &TopicEntry) -> LeaderEpoch {
    topic.partitions[0].leader_epoch.next()
}

/// A good batch of small records.
pub(crate) fn batch(producer: ProducerId, base_sequence: u32, records: u32) -> Bytes {
    let mut builder = BatchBuilder::new(Compression::None);
    for number in 0..records {
        builder.push(1_700_000_000_000, None, Some(format!("record {number}").as_bytes()), &[]);
    }
    builder.finish(Some(stamp(producer, base_sequence)))
}

pub(crate) fn stamp(id: ProducerId, base_sequence: u32) -> ProducerFields {
    ProducerFields { id, epoch: ProducerEpoch(0), base_sequence: Sequence(base_sequence) }
}

pub(crate) fn is_stored(answer: &LaneAnswer) -> bool {
    matches!(answer.outcomes.as_slice(), [Outcome::Stored { duplicate: false, .. }])
}

/// Requires that the node grew by less than `mebibytes` since it held `before` bytes.
pub(crate) fn assert_grew_less(node: &Node, before: u64, mebibytes: u64) {
    let now = node.resident_bytes();
    let grown = now.saturating_sub(before) >> 20;
    assert!(grown < mebibytes, "the node grew by {grown} MiB, from {} to {} MiB", before >> 20, now >> 20);
}

/// Long enough for whatever is on its way on loopback, short enough to wait for in vain.
pub(crate) const A_WHILE: Duration = Duration::from_millis(300);
