//! A node for tests: real QUIC on loopback, everything else in memory, and faults on demand. It keeps Kafka's and
//! Weir's promises only as far as these tests look; what a real node does is tried by the whole-system tests.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use weir_client::{ClientConfig, Credentials};
use weir_quic::{
    Authority, BoundSocket, CloseCode, FrameReader, FrameWriter, Gate, GateLimits, Identity, Network, Peer,
    Principal, RealNetwork, Server,
};
use weir_wire::batch::{self, BatchBuilder, BatchHeader, Compression};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::fetch::{FetchCommand, FetchEnd, FetchEvent, FetchOpen, Position};
use weir_wire::frame::Limits;
use weir_wire::ids::{
    ClusterId, LeaderEpoch, MetadataIndex, NodeId, Offset, PartitionEpoch, PartitionIndex, ProducerEpoch,
    ProducerId, Revision, Sequence, TopicId,
};
use weir_wire::lane::{LaneAnswer, LaneBatch, LaneOpen, LaneTarget, Outcome, Promise, Run};
use weir_wire::open::{StreamAnswer, StreamKind, StreamOpen};
use weir_wire::placement;
use weir_wire::request::{
    AlterTopic, ClusterMetadata, CreateTopic, DeleteTopic, InitProducer, ListOffsets, ListedOffset, Metadata,
    NodeEntry, OffsetSpec, OffsetsListed, PartitionEntry, ProducerGranted, Request, RequestHeader,
    ResponseHeader, TopicAltered, TopicCreated, TopicDeleted, TopicEntry, decode_body, encode_body,
};

pub(crate) const NODE: NodeId = NodeId(1);

/// The node, its authority, and what it stores, over restarts.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    authority: Authority,
    network: Arc<dyn Network>,
    pub(crate) world: Arc<World>,
    serving: Option<JoinHandle<()>>,
    server: Option<Server>,
}

/// What survives a restart, and the faults that are asked for.
#[derive(Default)]
pub(crate) struct World {
    state: Mutex<State>,
    /// Rung when something changed.
    changed: Notify,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) topics: BTreeMap<String, Topic>,
    pub(crate) index: u64,
    next_producer: u64,
    next_topic: u8,
    /// So many batches are answered by retry, each ending its opening.
    pub(crate) refuse_batches: u32,
    /// So many batches are stored, and their connection is cut instead of an answer.
    pub(crate) lose_answers: u32,
    /// Connections that are open.
    pub(crate) peers: u32,
    /// Control streams are opened and left without answer while this holds.
    pub(crate) silent: bool,
    /// Batches are taken in and left without answer, and not stored, while this holds.
    pub(crate) hold: bool,
    /// Batches read from lanes, in all.
    pub(crate) batches_read: u32,
    /// Lanes opened, in all.
    pub(crate) lanes_opened: u32,
    /// The most payload bytes that were sent on a fetch stream beyond its credit.
    pub(crate) overdrawn_max: i64,
    /// Every subscription ends so, once.
    pub(crate) end_fetch: Option<FetchEnd>,
}

pub(crate) struct Topic {
    pub(crate) id: TopicId,
    pub(crate) revision: Revision,
    pub(crate) batch_bytes_max: u32,
    pub(crate) partitions: Vec<Log>,
}

#[derive(Default)]
pub(crate) struct Log {
    pub(crate) start: Offset,
    pub(crate) batches: Vec<(BatchHeader, Bytes)>,
    known: BTreeSet<(ProducerId, ProducerEpoch, Sequence)>,
    pub(crate) duplicates: u32,
}

impl Log {
    pub(crate) fn end(&self) -> Offset {
        self.batches.last().map_or(self.start, |(header, _)| header.next_offset())
    }

    /// Key and value of every record, as text.
    pub(crate) fn records(&self) -> Vec<(String, String)> {
        let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
        let of = |bytes: &Bytes| {
            let records = batch::records(bytes, &batch::Limits::default()).unwrap();
            records.iter().map(|record| (text(record.key), text(record.value))).collect::<Vec<_>>()
        };
        self.batches.iter().flat_map(|(_, bytes)| of(bytes)).collect()
    }

    fn append(&mut self, bytes: &Bytes) -> (Offset, bool) {
        let header = batch::check(bytes, &batch::Limits::default()).unwrap();
        if let Some(fields) = header.producer {
            let id = (fields.id, fields.epoch, fields.base_sequence);
            if !self.known.insert(id) {
                self.duplicates += 1;
                let known = self.batches.iter().find(|(known, _)| known.producer == header.producer).unwrap();
                return (known.0.base_offset, true);
            }
        }
        let base = self.end();
        let mut stamped = bytes.to_vec();
        batch::stamp(&mut stamped, base, LeaderEpoch(0));
        let header = BatchHeader::parse(&stamped).unwrap();
        self.batches.push((header, Bytes::from(stamped)));
        (base, false)
    }
}

impl World {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Changes something, and wakes everybody who waits for a change.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_waiters();
        changed
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if holds(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    pub(crate) fn create(&self, name: &str, partitions: usize) {
        self.change(|state| state.create(name, partitions));
    }

    /// Deletes a topic, as another client's request would.
    pub(crate) fn delete(&self, name: &str) {
        self.change(|state| state.delete(name).expect("a topic to delete"));
    }

    /// All records of a topic, partition by partition.
    pub(crate) fn records(&self, topic: &str) -> Vec<Vec<(String, String)>> {
        self.lock().topics[topic].partitions.iter().map(Log::records).collect()
    }
}

impl State {
    pub(crate) fn create(&mut self, name: &str, partitions: usize) -> TopicId {
        self.next_topic += 1;
        self.index += 1;
        let id = TopicId([self.next_topic; 16]);
        let partitions = (0..partitions).map(|_| Log::default()).collect();
        let topic = Topic { id, revision: Revision(1), batch_bytes_max: 1_000_000, partitions };
        self.topics.insert(name.to_owned(), topic);
        id
    }

    fn delete(&mut self, name: &str) -> Result<TopicId, WireError> {
        self.index += 1;
        let gone = self.topics.remove(name);
        gone.map(|topic| topic.id).ok_or_else(|| WireError::new(ErrorCode::UnknownTopic, "no such topic"))
    }

    fn by_id(&mut self, id: TopicId) -> Result<&mut Topic, WireError> {
        let topic = self.topics.values_mut().find(|topic| topic.id == id);
        topic.ok_or_else(|| WireError::new(ErrorCode::UnknownTopic, "no such topic"))
    }

    fn log(&mut self, id: TopicId, partition: PartitionIndex) -> Result<&mut Log, WireError> {
        let topic = self.by_id(id)?;
        let log = topic.partitions.get_mut(partition.0 as usize);
        log.ok_or_else(|| WireError::new(ErrorCode::UnknownPartition, "no such partition"))
    }
}

impl Fake {
    pub(crate) fn start() -> Fake {
        let network: Arc<dyn Network> = Arc::new(RealNetwork);
        let authority = Authority::generate(network.unix_time()).unwrap();
        let mut fake = Fake {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            authority,
            network,
            world: Arc::default(),
            serving: None,
            server: None,
        };
        let socket = fake.network.bind(fake.address, 1).unwrap().remove(0);
        fake.serve(socket);
        fake
    }

    fn serve(&mut self, socket: BoundSocket) {
        let identity = self.identity(&Principal::Node(NODE));
        let server = Server::new(&self.network, socket, &identity, Gate::new(GateLimits::default())).unwrap();
        self.address = server.local_addr().unwrap();
        self.server = Some(server.clone());
        let (world, address) = (Arc::clone(&self.world), self.address);
        self.serving = Some(tokio::spawn(async move {
            while let Some(arriving) = server.accept().await {
                let world = Arc::clone(&world);
                tokio::spawn(async move {
                    if let Ok(peer) = arriving.establish().await {
                        serve_peer(&world, &peer, address).await;
                    }
                });
            }
        }));
    }

    /// Goes down as a killed process does: nobody is told.
    pub(crate) async fn stop(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // Its end is what was asked for.
            let _ = serving.await;
        }
        if let Some(server) = self.server.take() {
            server.close(CloseCode::Internal, "killed");
            server.wait_idle().await;
        }
    }

    /// Comes back at the same address with all that was stored.
    pub(crate) async fn come_back(&mut self) {
        // The last one's socket goes when the last of its tasks has ended.
        let socket = loop {
            match self.network.bind(self.address, 1) {
                Ok(mut sockets) => break sockets.remove(0),
                Err(_) => tokio::task::yield_now().await,
            }
        };
        self.serve(socket);
    }

    pub(crate) fn identity(&self, principal: &Principal) -> Identity {
        self.authority.issue(principal, self.network.unix_time()).unwrap()
    }

    /// How a client reaches it; with little patience, so that a test that fails does so soon.
    pub(crate) fn config(&self) -> ClientConfig {
        let identity = self.identity(&Principal::client("alice").unwrap());
        ClientConfig {
            credentials: Credentials::Identity(identity),
            api_timeout: Duration::from_secs(20),
            ..ClientConfig::new([self.address.to_string()], "unused")
        }
    }
}

async fn serve_peer(world: &Arc<World>, peer: &Peer, address: SocketAddr) {
    world.change(|state| state.peers += 1);
    let mut streams = tokio::task::JoinSet::new();
    while let Ok((writer, reader)) = weir_quic::framed::accept(&peer.connection).await {
        let (world, connection) = (Arc::clone(world), peer.connection.clone());
        streams.spawn(async move {
            let Some(()) = serve_stream(&world, reader, writer, address).await else {
                weir_quic::ending::close(&connection, CloseCode::Internal, "a fault that was asked for");
                return;
            };
        });
    }
    world.change(|state| state.peers -= 1);
}

/// `None` cuts the connection.
async fn serve_stream(
    world: &World,
    mut reader: FrameReader,
    mut writer: FrameWriter,
    address: SocketAddr,
) -> Option<()> {
    let frame = reader.next::<StreamOpen>().await.ok()??;
    reader.set_limits(Limits::DATA);
    let cluster = ClusterId([7; 16]);
    let opened = StreamAnswer::Opened { version: 1, cluster, node: NODE };
    match frame.header.kind {
        StreamKind::CONTROL => {
            world.until(|state| !state.silent).await;
            writer.send(&opened, Bytes::new()).await.ok()?;
            serve_control(world, reader, writer, address).await
        }
        StreamKind::PRODUCE => {
            let open: LaneOpen = decode_body(&frame.payload).unwrap();
            let revision = world.change(|state| {
                state.lanes_opened += 1;
                state.by_id(open.topic).map(|topic| topic.revision)
            });
            match revision {
                Err(error) => writer.send(&StreamAnswer::Refused(error), Bytes::new()).await.ok(),
                Ok(_) => {
                    writer.send(&opened, Bytes::new()).await.ok()?;
                    serve_lane(world, open, reader, writer).await
                }
            }
        }
        StreamKind::FETCH => {
            let open: FetchOpen = decode_body(&frame.payload).unwrap();
            assert_eq!(open.cluster, cluster);
            writer.send(&opened, Bytes::new()).await.ok()?;
            serve_fetch(world, reader, writer).await
        }
        other => panic!("no client opens {other:?}"),
    }
}

async fn serve_control(
    world: &World,
    mut reader: FrameReader,
    mut writer: FrameWriter,
    address: SocketAddr,
) -> Option<()> {
    while let Ok(Some(frame)) = reader.next::<RequestHeader>().await {
        let answered = world.change(|state| answer(state, &frame.header, &frame.payload, address));
        let metadata_index = MetadataIndex(world.lock().index);
        let correlation = frame.header.correlation;
        let (error, body) = match answered {
            Ok(body) => (None, body),
            Err(error) => (Some(error), Vec::new()),
        };
        writer.send(&ResponseHeader { correlation, metadata_index, error }, body.into()).await.ok()?;
    }
    Some(())
}

fn answer(
    state: &mut State,
    header: &RequestHeader,
    body: &[u8],
    address: SocketAddr,
) -> Result<Vec<u8>, WireError> {
    assert!(header.metadata_index.0 <= state.index, "a client asks for metadata that nobody gave it");
    match header.kind {
        Metadata::KIND => {
            let asked: Metadata = decode_body(body)?;
            let wanted = |name: &String| asked.topics.as_ref().is_none_or(|names| names.contains(name));
            let topics = state
                .topics
                .iter()
                .filter(|(name, _)| wanted(name))
                .map(|(name, topic)| describe(name, topic));
            Ok(encode_body(&ClusterMetadata {
                cluster: ClusterId([7; 16]),
                controller: Some(NODE),
                nodes: vec![NodeEntry { id: NODE, address: address.to_string() }],
                topics: topics.collect(),
            }))
        }
        CreateTopic::KIND => {
            let asked: CreateTopic = decode_body(body)?;
            if state.topics.contains_key(&asked.name) {
                return Err(WireError::new(ErrorCode::TopicAlreadyExists, "it exists"));
            }
            let partitions = asked.partitions.unwrap_or(1);
            let id = state.create(&asked.name, partitions as usize);
            Ok(encode_body(&TopicCreated { id, partitions, replication_factor: 1 }))
        }
        DeleteTopic::KIND => {
            let asked: DeleteTopic = decode_body(body)?;
            Ok(encode_body(&TopicDeleted { id: state.delete(&asked.name)? }))
        }
        AlterTopic::KIND => {
            let asked: AlterTopic = decode_body(body)?;
            state.index += 1;
            let topic = state.topics.get_mut(&asked.name);
            let topic = topic.ok_or_else(|| WireError::new(ErrorCode::UnknownTopic, "no such topic"))?;
            let partitions = asked.partitions.unwrap_or(1);
            topic.revision.0 += 1;
            topic.partitions.resize_with(partitions as usize, Log::default);
            Ok(encode_body(&TopicAltered { id: topic.id, partitions, revision: topic.revision }))
        }
        InitProducer::KIND => {
            let asked: InitProducer = decode_body(body)?;
            let first = ProducerId(state.next_producer);
            state.next_producer += u64::from(asked.count);
            Ok(encode_body(&ProducerGranted { first, count: asked.count, epoch: ProducerEpoch(0) }))
        }
        ListOffsets::KIND => {
            let asked: ListOffsets = decode_body(body)?;
            let offsets = asked.partitions.iter().map(|(partition, _, spec)| {
                let log = state.log(asked.topic, *partition)?;
                let at = |time| log.batches.iter().find(|(header, _)| header.max_timestamp_ms >= time);
                let offset = match spec {
                    OffsetSpec::Earliest => log.start,
                    OffsetSpec::Latest => log.end(),
                    OffsetSpec::Timestamp(time) => {
                        at(*time).map_or(log.end(), |(header, _)| header.base_offset)
                    }
                };
                Ok(ListedOffset { offset, leader_epoch: LeaderEpoch(0) })
            });
            Ok(encode_body(&OffsetsListed { offsets: offsets.collect() }))
        }
        other => Err(WireError::new(ErrorCode::UnsupportedRequest, format!("{other:?}"))),
    }
}

fn describe(name: &str, topic: &Topic) -> TopicEntry {
    let partition = |index: usize| PartitionEntry {
        index: PartitionIndex(u32::try_from(index).unwrap()),
        leader: Some(NODE),
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        replicas: vec![NODE],
        isr: vec![NODE],
        elr: Vec::new(),
    };
    TopicEntry {
        name: name.to_owned(),
        id: topic.id,
        revision: topic.revision,
        batch_bytes_max: topic.batch_bytes_max,
        partitions: (0..topic.partitions.len()).map(partition).collect(),
    }
}

async fn serve_lane(
    world: &World,
    open: LaneOpen,
    mut reader: FrameReader,
    mut writer: FrameWriter,
) -> Option<()> {
    let mut refusing = false;
    let mut next_ordinal = None;
    while let Ok(Some(frame)) = reader.next::<LaneBatch>().await {
        let ordinal = frame.header.ordinal;
        assert!(next_ordinal.is_none_or(|next| next == ordinal), "the ordinals of an opening have no gaps");
        next_ordinal = Some(ordinal + 1);
        world.change(|state| state.batches_read += 1);
        world.until(|state| !state.hold).await;
        let (answer, lose) = world.change(|state| {
            let records = BatchHeader::parse(&frame.payload).unwrap().record_count;
            let outcomes = take(state, &open, frame.header.resent, &frame.payload, &mut refusing)
                .unwrap_or_else(|error| vec![(records, Outcome::Failed(error))]);
            let lose = state.lose_answers > 0 && !refusing;
            state.lose_answers = state.lose_answers.saturating_sub(u32::from(lose));
            let is_stale = outcomes.iter().any(|(_, outcome)| is_stale(outcome));
            let in_force = state.by_id(open.topic).map_or(open.revision, |topic| topic.revision);
            let revision = if is_stale { in_force } else { open.revision };
            (answer_batch(revision, ordinal, outcomes), lose)
        });
        if lose {
            return None;
        }
        writer.send(&answer, Bytes::new()).await.ok()?;
    }
    Some(())
}

fn is_stale(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Retry(error) if error.code == ErrorCode::StaleRevision)
}

/// What becomes of a batch, run by run. Once one is refused, so is everything behind it in this opening.
fn take(
    state: &mut State,
    open: &LaneOpen,
    resent: bool,
    payload: &Bytes,
    refusing: &mut bool,
) -> Result<Vec<(u32, Outcome)>, WireError> {
    let (header, records) = batch::validate(payload, &batch::Limits::default()).unwrap();
    assert_eq!(header.producer.map(|fields| (fields.id, fields.epoch)), open.producer);
    let topic = state.by_id(open.topic)?;
    let count = u32::try_from(topic.partitions.len()).unwrap();
    let (is_old, was_grown) = (open.revision != topic.revision, topic.revision > Revision(1));
    if is_old && !resent {
        *refusing = true;
        let error = WireError::new(ErrorCode::StaleRevision, "settle, then go on");
        return Ok(vec![(header.record_count, Outcome::Retry(error))]);
    }
    if state.refuse_batches > 0 {
        state.refuse_batches -= 1;
        *refusing = true;
    }
    if *refusing {
        let error = WireError::new(ErrorCode::Busy, "asked for");
        return Ok(vec![(header.record_count, Outcome::Retry(error))]);
    }
    let place = |key: Option<&[u8]>| match (open.target, key) {
        (LaneTarget::Explicit { partition, .. }, _) | (LaneTarget::Guessed { partition, .. }, None) => {
            partition
        }
        (LaneTarget::Guessed { partition, .. }, Some(_)) if is_old => partition,
        (LaneTarget::Guessed { .. }, Some(key)) => placement::of_key(key, count),
        (LaneTarget::Unguessed, _) => PartitionIndex(0),
    };
    let places: Vec<_> = records.iter().map(|record| place(record.key)).collect();
    // A batch that was refused before the topic grew comes again with the guess that it had.
    let is_right = match open.target {
        LaneTarget::Guessed { partition, .. } => places.iter().all(|place| *place == partition),
        _ => true,
    };
    assert!(is_right || was_grown, "the guess is wrong");
    let mut stored = BTreeMap::new();
    for partition in places.iter().copied().collect::<BTreeSet<_>>() {
        let part = part_of(payload, &header, |at| places[at] == partition);
        stored.insert(partition, state.log(open.topic, partition)?.append(&part));
    }
    let outcome = |partition: &PartitionIndex| {
        let (base_offset, duplicate) = stored[partition];
        Outcome::Stored { partition: *partition, base_offset: Some(base_offset), duplicate }
    };
    Ok(places.chunk_by(PartialEq::eq).map(|run| (count_of(run), outcome(&run[0]))).collect())
}

fn count_of(run: &[PartitionIndex]) -> u32 {
    u32::try_from(run.len()).unwrap()
}

/// The records of a batch that go to one partition. Guessed right, as nearly always, it is the batch itself.
fn part_of(payload: &Bytes, header: &BatchHeader, goes: impl Fn(usize) -> bool) -> Bytes {
    let records = batch::records(payload, &batch::Limits::default()).unwrap();
    if (0..records.iter().count()).all(&goes) {
        return payload.clone();
    }
    let mut builder = BatchBuilder::new(Compression::None);
    for (_, record) in records.iter().enumerate().filter(|(at, _)| goes(*at)) {
        builder.push(record.timestamp_ms, record.key, record.value, &[]);
    }
    builder.finish(header.producer)
}

fn answer_batch(revision: Revision, ordinal: u64, found: Vec<(u32, Outcome)>) -> LaneAnswer {
    let (mut outcomes, mut runs) = (Vec::new(), Vec::new());
    for (records, outcome) in found {
        let known = outcomes.iter().position(|other| *other == outcome);
        let at = known.unwrap_or_else(|| {
            outcomes.push(outcome);
            outcomes.len() - 1
        });
        runs.push(Run { records, outcome: u32::try_from(at).unwrap() });
    }
    LaneAnswer { ordinal, promise: Promise { replicas: 1, flushed: true, revision }, outcomes, runs }
}

struct Subscribed {
    topic: TopicId,
    partition: PartitionIndex,
    next: Offset,
    told: Option<Offset>,
}

async fn serve_fetch(world: &World, mut reader: FrameReader, mut writer: FrameWriter) -> Option<()> {
    let mut credit = 0_i64;
    let mut subscribed: BTreeMap<u64, Subscribed> = BTreeMap::new();
    loop {
        for (event, payload) in due(world, &mut subscribed, &mut credit) {
            writer.send(&event, payload).await.ok()?;
        }
        let mut changed = std::pin::pin!(world.changed.notified());
        changed.as_mut().enable();
        let command = tokio::select! {
            command = reader.next::<FetchCommand>() => command.ok()??.header,
            () = changed => continue,
        };
        match command {
            FetchCommand::Credit { bytes } => credit += i64::try_from(bytes).unwrap(),
            FetchCommand::Unsubscribe { subscription } => drop(subscribed.remove(&subscription)),
            FetchCommand::Subscribe { subscription, topic, partition, position, .. } => {
                if let Err(reason) = check(world, topic, partition, position) {
                    writer.send(&FetchEvent::Ended { subscription, reason }, Bytes::new()).await.ok()?;
                    continue;
                }
                let new = Subscribed { topic, partition, next: position.offset, told: None };
                assert!(subscribed.insert(subscription, new).is_none(), "a number is used once");
            }
        }
    }
}

fn check(
    world: &World,
    topic: TopicId,
    partition: PartitionIndex,
    position: Position,
) -> Result<(), FetchEnd> {
    let mut state = world.lock();
    if let Some(end) = state.end_fetch.take() {
        return Err(end);
    }
    let log = state.log(topic, partition).map_err(FetchEnd::Error)?;
    if position.offset < log.start || position.offset > log.end() {
        return Err(FetchEnd::OutOfRange { log_start: log.start, high_watermark: log.end() });
    }
    Ok(())
}

/// One batch per frame, as far as credit goes.
fn due(
    world: &World,
    subscribed: &mut BTreeMap<u64, Subscribed>,
    credit: &mut i64,
) -> Vec<(FetchEvent, Bytes)> {
    let mut state = world.lock();
    let mut events = Vec::new();
    for (number, one) in subscribed {
        let subscription = *number;
        let Ok(log) = state.log(one.topic, one.partition) else { continue };
        let high_watermark = log.end();
        let from = one.next;
        for (header, bytes) in log.batches.iter().filter(|(header, _)| header.next_offset() > from) {
            if *credit <= 0 {
                break;
            }
            *credit -= i64::try_from(bytes.len()).unwrap();
            one.next = header.next_offset();
            let next_offset = one.next;
            let event =
                FetchEvent::Data { subscription, next_offset, high_watermark, leader_epoch: LeaderEpoch(0) };
            events.push((event, bytes.clone()));
        }
        if one.next == high_watermark && one.told != Some(high_watermark) {
            one.told = Some(high_watermark);
            events.push((FetchEvent::CaughtUp { subscription, high_watermark }, Bytes::new()));
        }
    }
    state.overdrawn_max = state.overdrawn_max.max(-*credit);
    events
}

/// Polls a future once: what it is, if it has ended then.
pub(crate) async fn begin<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
