//! The produce stream: takes a lane's batches in order, places and splits them, hands the parts to their partitions,
//! and answers each batch once all its parts are answered.
//!
//! ```text
//! read frame ─▶ validate ─▶ place ─▶ (split) ─▶ partition tasks here, forward streams to leaders elsewhere
//!                                                    │ outcome per part
//!      answer frame ◀─ EntryLane: all parts there? ◀─┘
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use weir_core::partition::{AppendCheck, AppendOutcome, BatchMeta, RetryReason};
use weir_core::pipeline::entry::{EntryLane, Part, PartPromise};
use weir_core::pipeline::placing::{DefaultPartitioner, Placement};
use weir_core::pipeline::splitting;
use weir_quic::{FrameReader, FrameWriter, Principal};
use weir_wire::batch::{self, BatchError, BatchHeader, Records};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::forward::{ForwardAnswer, ForwardCheck, ForwardOpen, ForwardPart};
use weir_wire::frame::Limits;
use weir_wire::ids::{LeaderEpoch, NodeId, PartitionIndex};
use weir_wire::lane::{LANE_BATCHES_IN_FLIGHT_MAX, LaneAnswer, LaneBatch, LaneOpen, LaneTarget, Outcome};
use weir_wire::names;

use super::authorize::{Operation, Resource, authorize};
use super::{Services, broken, outcomes};
use crate::partitions::{AppendRequest, AppendTag};
use crate::replication::{ForwardLane, Forwarded};

/// A lane that may be served: its opening was checked.
pub(super) struct Lane {
    open: LaneOpen,
    topic: String,
    partitions: u32,
    limits: batch::Limits,
    entry: EntryLane,
}

impl Lane {
    /// Checks an opening against the metadata.
    pub(super) fn open(
        services: &Services,
        principal: &Principal,
        open: LaneOpen,
    ) -> Result<Lane, WireError> {
        services.check_cluster(open.cluster)?;
        let image = services.controller.image();
        let Some((name, topic)) = image.topic_by_id(open.topic) else {
            let sentence = format!("there is no topic with id {}; refresh the metadata", open.topic);
            return Err(WireError::new(ErrorCode::UnknownTopic, sentence));
        };
        authorize(principal, Operation::Write, Resource::Topic(name))?;
        if names::is_internal(name) {
            let sentence =
                format!("topic '{name}' belongs to the cluster itself: only its nodes write to it");
            return Err(WireError::new(ErrorCode::InvalidTopicName, sentence));
        }
        if open.revision != topic.revision {
            let sentence =
                format!("the pipeline of topic '{name}' is at revision {}; go on at that", topic.revision);
            return Err(WireError::new(ErrorCode::StaleRevision, sentence));
        }
        let partitions =
            u32::try_from(topic.partitions.len()).expect("a topic has at most 10,000 partitions");
        if let LaneTarget::Explicit { partition, .. } = open.target
            && partition.0 >= partitions
        {
            let sentence = format!("topic '{name}' has partitions 0 to {}, not {partition}", partitions - 1);
            return Err(WireError::new(ErrorCode::UnknownPartition, sentence));
        }
        let batch_bytes_max = topic.config().max_message_bytes;
        let limits = batch::Limits { batch_bytes_max, ..batch::Limits::default() };
        let entry = EntryLane::new(open.acks, open.revision);
        Ok(Lane { topic: name.to_owned(), partitions, limits, entry, open })
    }

    /// The topic's name.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// The most bytes that a frame of the lane may carry. A frame is held in memory until all of it is there, and a
    /// client has many lanes, so it follows what the topic takes: a batch of up to twice that is refused by a
    /// sentence, a larger one ends the stream before it is read.
    pub(super) fn payload_bytes_max(&self) -> u32 {
        let twice = self.limits.batch_bytes_max.saturating_mul(2);
        twice.clamp(PAYLOAD_BYTES_MIN, Limits::DATA.payload_bytes_max)
    }
}

/// Outcomes of parts, from partitions here and from leaders elsewhere.
struct Outcomes {
    here: mpsc::UnboundedReceiver<(AppendTag, AppendOutcome)>,
    elsewhere: mpsc::UnboundedReceiver<ForwardAnswer>,
}

/// One of them.
enum Settled {
    Here(AppendTag, AppendOutcome),
    Elsewhere(ForwardAnswer),
}

impl Outcomes {
    /// Cancel safe. The lane's own senders keep both channels open.
    async fn next(&mut self) -> Settled {
        tokio::select! {
            biased;
            Some((tag, outcome)) = self.here.recv() => Settled::Here(tag, outcome),
            Some(answer) = self.elsewhere.recv() => Settled::Elsewhere(answer),
            else => std::future::pending().await,
        }
    }

    fn next_now(&mut self) -> Option<Settled> {
        let here = self.here.try_recv().map(|(tag, outcome)| Settled::Here(tag, outcome));
        here.ok().or_else(|| self.elsewhere.try_recv().ok().map(Settled::Elsewhere))
    }
}
/// The least that a lane takes as one frame, in bytes, so that batches above a small limit are refused by a sentence.
const PAYLOAD_BYTES_MIN: u32 = 64 * 1024;

/// Serves a lane until the client finishes it, breaks the protocol, or the node stops.
pub(super) async fn serve(
    services: Arc<Services>,
    lane: Lane,
    mut reader: FrameReader,
    mut writer: FrameWriter,
) {
    let (reply, here) = mpsc::unbounded_channel();
    let (forwarded, elsewhere) = mpsc::unbounded_channel();
    let mut outcomes = Outcomes { here, elsewhere };
    let (targets, ways) = (Vec::new(), BTreeMap::new());
    let mut server = LaneServer { services, lane, reply, forwarded, targets, ways };
    let mut is_open = true;
    while is_open || server.lane.entry.in_flight() > 0 {
        let may_read = is_open && server.lane.entry.in_flight() < LANE_BATCHES_IN_FLIGHT_MAX;
        tokio::select! {
            biased;
            settled = outcomes.next() => {
                server.settle(settled, &mut writer);
                server.settle_all(&mut outcomes, &mut writer);
            }
            frame = reader.next::<LaneBatch>(), if may_read => match frame {
                Ok(Some(frame)) => {
                    if let Err(error) = server.batch(frame.header, frame.payload, &mut writer).await {
                        tracing::debug!(%error, "a lane broke the protocol");
                        reader.refuse(weir_quic::StreamCode::Protocol);
                        return;
                    }
                    server.settle_all(&mut outcomes, &mut writer);
                }
                Ok(None) => is_open = false,
                Err(error) => return broken("lane", &mut reader, Some(&mut writer), &error),
            },
            () = server.services.stopping(), if is_open => is_open = false,
        }
        if writer.flush().await.is_err() {
            return;
        }
    }
    // A client that is gone already needs no end.
    let _ = writer.finish().await;
}

struct LaneServer {
    services: Arc<Services>,
    lane: Lane,
    reply: mpsc::UnboundedSender<(AppendTag, AppendOutcome)>,
    forwarded: mpsc::UnboundedSender<ForwardAnswer>,
    /// Partitions used lately, so that each batch need not look its partition up.
    targets: Vec<crate::partitions::PartitionHandle>,
    /// Ways to the leaders of partitions that are led elsewhere.
    ways: BTreeMap<NodeId, ForwardLane>,
}

impl LaneServer {
    /// Takes one batch of the lane.
    ///
    /// # Errors
    /// When the client broke the protocol and the stream must end.
    async fn batch(
        &mut self,
        header: LaneBatch,
        payload: Bytes,
        writer: &mut FrameWriter,
    ) -> Result<(), WireError> {
        let ordinal = header.ordinal;
        self.lane.entry.admit(ordinal)?;
        let memory = super::reserve(&self.services.produce_memory, payload.len()).await;
        let (batch_header, records) = match self.validate(&payload) {
            Ok(valid) => valid,
            Err(error) => {
                metrics::counter!("weir_produce_batches_refused_total").increment(1);
                let count = BatchHeader::parse(&payload).map_or(1, |header| header.record_count.max(1));
                writer.queue(&self.lane.entry.refuse(ordinal, count, Outcome::Failed(error)), Bytes::new());
                return Ok(());
            }
        };
        metrics::counter!("weir_produce_bytes_total").increment(payload.len() as u64);
        metrics::counter!("weir_produce_records_total").increment(u64::from(batch_header.record_count));
        let placement = self.place(ordinal, &batch_header, &records);
        let sequence = batch_header.producer.map(|producer| producer.base_sequence);
        let batches = if placement.only_partition().is_some() {
            drop(records);
            vec![payload]
        } else {
            drop(payload);
            splitting::split(&batch_header, records.iter(), &placement)
        };
        let taken = self.lane.entry.take(ordinal, sequence, &placement);
        for part in &taken.parts {
            let batch = batches[part.part as usize].clone();
            self.send(ordinal, part, batch, memory.clone()).await;
        }
        self.answer(taken.answer, writer);
        Ok(())
    }

    fn validate(&self, payload: &Bytes) -> Result<(BatchHeader, Records), WireError> {
        let (header, records) =
            batch::validate(payload, &self.lane.limits).map_err(|error| batch_error(&error))?;
        let stamped = header.producer.map(|producer| (producer.id, producer.epoch));
        if stamped != self.lane.open.producer {
            let sentence = "the batch names another producer than its lane; open a lane for each producer id";
            return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
        }
        if header.attributes.is_control() || header.attributes.is_transactional() {
            let sentence = "clients send neither control batches nor, to this version, transactional ones";
            return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
        }
        Ok((header, records))
    }

    fn place(&self, ordinal: u64, header: &BatchHeader, records: &Records) -> Placement {
        let guess = match self.lane.open.target {
            LaneTarget::Explicit { partition, .. } => {
                return Placement::whole(partition, header.record_count);
            }
            _ if self.lane.partitions == 1 => {
                return Placement::whole(PartitionIndex(0), header.record_count);
            }
            LaneTarget::Guessed { partition, .. } => Some(partition),
            LaneTarget::Unguessed => None,
        };
        let partitioner = DefaultPartitioner {
            partitions: self.lane.partitions,
            guess,
            producer: self.lane.open.producer.map(|(id, _)| id),
            ordinal,
        };
        partitioner.place(records.iter().map(|record| record.key))
    }

    /// Hands a part to its partition, here or at its leader.
    async fn send(
        &mut self,
        ordinal: u64,
        part: &Part,
        batch: Bytes,
        memory: Option<Arc<tokio::sync::OwnedSemaphorePermit>>,
    ) {
        if let Some((leader, leader_epoch)) = self.leader_elsewhere(part.target.partition()) {
            return self.forward(leader, leader_epoch, ordinal, part, batch, memory);
        }
        let tag = AppendTag { ordinal, part: part.part };
        let header = BatchHeader::parse(&batch).expect("the batch was validated or made here");
        let check = match (self.lane.open.producer, self.lane.open.target) {
            (None, _) => AppendCheck::Unchecked,
            (Some(_), LaneTarget::Explicit { .. }) => AppendCheck::Contiguous { after: part.after },
            (Some(_), _) => AppendCheck::Lane { after: part.after },
        };
        let Some(handle) = self.target(part.target.partition()) else {
            let _ = self.reply.send((tag, AppendOutcome::Retry(RetryReason::NotLeader)));
            return;
        };
        let request = AppendRequest {
            meta: BatchMeta::from(&header),
            leader_epoch: self.leader_epoch(part.target.partition(), &handle),
            batch,
            check,
            acks: self.lane.open.acks,
            tag,
            reply: self.reply.clone(),
            memory,
        };
        if handle.append(request).await.is_err() {
            self.targets.retain(|target| target.partition != part.target.partition());
            let _ = self.reply.send((tag, AppendOutcome::Retry(RetryReason::NotLeader)));
        }
    }

    /// Who leads a partition, if that is another node and the client did not mean to enter at the leader: a client that
    /// named the partition and came to the wrong node is told so, and goes to the right one.
    fn leader_elsewhere(&self, partition: PartitionIndex) -> Option<(NodeId, LeaderEpoch)> {
        match self.lane.open.target {
            LaneTarget::Explicit { .. } => return None,
            LaneTarget::Guessed { partition: named, .. } if named == partition => return None,
            LaneTarget::Guessed { .. } | LaneTarget::Unguessed => {}
        }
        let image = self.services.controller.image();
        let (_, topic) = image.topic_by_id(self.lane.open.topic)?;
        let state = topic.partitions.get(partition.0 as usize)?;
        let leader = state.leader.filter(|leader| *leader != self.services.node)?;
        Some((leader, state.leader_epoch))
    }

    fn forward(
        &mut self,
        leader: NodeId,
        leader_epoch: LeaderEpoch,
        ordinal: u64,
        part: &Part,
        batch: Bytes,
        memory: Option<Arc<tokio::sync::OwnedSemaphorePermit>>,
    ) {
        let LaneOpen { cluster, topic, producer, acks, .. } = self.lane.open;
        let (services, answers) = (&self.services, &self.forwarded);
        let way = self.ways.entry(leader).or_insert_with(|| {
            let open = ForwardOpen { cluster, topic, producer, acks };
            services.replication.forward(leader, open, answers.clone())
        });
        let check = match producer {
            None => ForwardCheck::Unchecked,
            // A client that names the partition enters at its leader: nothing of it is forwarded.
            Some(_) => ForwardCheck::Lane { after: part.after },
        };
        let (partition, part) = (part.target.partition(), part.part);
        metrics::counter!("weir_forwarded_parts_total").increment(1);
        way.send(Forwarded {
            header: ForwardPart { ordinal, part, partition, leader_epoch, check },
            batch,
            memory,
        });
    }

    /// The reign that the sender of a part believes in: the client's, where the client named the partition; else
    /// this node's own view.
    fn leader_epoch(
        &self,
        partition: PartitionIndex,
        handle: &crate::partitions::PartitionHandle,
    ) -> LeaderEpoch {
        match self.lane.open.target {
            LaneTarget::Explicit { partition: named, leader_epoch }
            | LaneTarget::Guessed { partition: named, leader_epoch }
                if named == partition =>
            {
                leader_epoch
            }
            _ => handle.view.leader_epoch(),
        }
    }

    fn target(&mut self, partition: PartitionIndex) -> Option<crate::partitions::PartitionHandle> {
        if let Some(known) = self.targets.iter().find(|target| target.partition == partition) {
            return Some(known.clone());
        }
        let handle = self.services.partitions.get(self.lane.open.topic, partition)?;
        self.targets.push(handle.clone());
        Some(handle)
    }

    /// Notes every outcome that is there already, so that their answers leave together.
    fn settle_all(&mut self, outcomes: &mut Outcomes, writer: &mut FrameWriter) {
        while let Some(settled) = outcomes.next_now() {
            self.settle(settled, writer);
        }
    }

    fn settle(&mut self, settled: Settled, writer: &mut FrameWriter) {
        let answer = match settled {
            Settled::Here(AppendTag { ordinal, part }, outcome) => {
                let partition = self.lane.entry.partition_of(ordinal, part);
                let (outcome, promise) = outcomes::of_append(partition, outcome);
                self.lane.entry.settle(ordinal, part, outcome, promise)
            }
            Settled::Elsewhere(ForwardAnswer { ordinal, part, outcome, promise }) => {
                let promise = promise.map(|(replicas, flushed)| PartPromise { replicas, flushed });
                self.lane.entry.settle(ordinal, part, outcome, promise)
            }
        };
        self.answer(answer, writer);
    }

    fn answer(&self, answer: Option<LaneAnswer>, writer: &mut FrameWriter) {
        if let Some(answer) = answer {
            writer.queue(&answer, Bytes::new());
        }
    }
}

/// A batch that is not taken, as the client sees it.
fn batch_error(error: &BatchError) -> WireError {
    let code = match error {
        BatchError::Bomb { .. } | BatchError::TooManyRecords { .. } => ErrorCode::DecompressionLimit,
        BatchError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        _ => ErrorCode::CorruptBatch,
    };
    WireError::new(code, error.to_string())
}
