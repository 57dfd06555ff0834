//! The produce stream: takes a lane's batches in order, places and splits them, hands the parts to their partitions,
//! and answers each batch once all its parts are answered.
//!
//! ```text
//! read frame ─▶ validate ─▶ pipeline, or place ─▶ (split) ─▶ partition tasks here, forward streams to leaders elsewhere
//!                                                                 │ outcome per part
//!                   answer frame ◀─ EntryLane: all parts there? ◀─┘
//! ```
//!
//! While a batch is with the topic's plugins the lane takes no other one, so that order holds, and goes on answering.

mod sending;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use weir_core::partition::AppendOutcome;
use weir_core::pipeline::entry::{EntryLane, PartPromise};
use weir_core::pipeline::placing::{DefaultPartitioner, Placement};
use weir_core::pipeline::splitting;
use weir_quic::{FrameReader, FrameWriter, Principal};
use weir_wire::batch::{self, BatchError, BatchHeader, Compression, Records};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::forward::ForwardAnswer;
use weir_wire::frame::Limits;
use weir_wire::ids::{MetadataIndex, NodeId, PartitionIndex, ProducerId, Revision, Sequence, TopicId};
use weir_wire::lane::{LANE_BATCHES_IN_FLIGHT_MAX, LaneAnswer, LaneBatch, LaneOpen, LaneTarget, Outcome};
use weir_wire::names;

use super::authorize::{Operation, Resource, authorize};
use super::{Services, broken, outcomes};
use crate::partitions::{AppendTag, PartitionHandle};
use crate::pipelines::{Offered, OpenLane, Revised, Shadowed, dead_letters_of, find_topic};
use crate::plugins::{Acknowledgement, BatchContext, BatchTarget, ObservedBatch, Pipeline, Processed};
use crate::replication::ForwardLane;

/// A lane that may be served: its opening was checked.
pub(super) struct Lane {
    open: LaneOpen,
    topic: String,
    principal: Arc<Principal>,
    /// What makes the batches, and places them.
    revised: Revised,
    /// The metadata that was last looked at, and the revision in force there.
    in_force: (MetadataIndex, Revision),
    limits: batch::Limits,
    /// What the topic wants its batches packed with; `None` is as they come.
    compression: Option<Compression>,
    entry: EntryLane,
    /// The node's note that it is open.
    seen: OpenLane,
}

impl Lane {
    /// Checks an opening against the metadata. A lane that was opened under a revision that is superseded may send
    /// again what it has sent; see [`LaneServer::check_revision`].
    pub(super) async fn open(
        services: &Services,
        principal: &Arc<Principal>,
        open: LaneOpen,
    ) -> Result<Lane, WireError> {
        services.check_cluster(open.cluster)?;
        {
            let image = services.controller.image();
            let (name, _) = find_topic(&image, open.topic)?;
            authorize(principal, Operation::Write, Resource::Topic(name))?;
            if names::is_internal(name) {
                let sentence =
                    format!("topic '{name}' belongs to the cluster itself: only its nodes write to it");
                return Err(WireError::new(ErrorCode::InvalidTopicName, sentence));
            }
        }
        let revised = services.pipelines.at(open.topic, open.revision).await?;
        let image = services.controller.image();
        let (name, topic) = find_topic(&image, open.topic)?;
        if let LaneTarget::Explicit { partition, .. } = open.target
            && partition.0 >= revised.partitions
        {
            let last = revised.partitions - 1;
            let sentence = format!("topic '{name}' has partitions 0 to {last}, not {partition}");
            return Err(WireError::new(ErrorCode::UnknownPartition, sentence));
        }
        let config = topic.config();
        let limits = batch::Limits { batch_bytes_max: config.max_message_bytes, ..batch::Limits::default() };
        Ok(Lane {
            topic: name.to_owned(),
            principal: Arc::clone(principal),
            revised,
            in_force: (image.index, topic.revision),
            limits,
            compression: config.compression,
            entry: EntryLane::new(open.acks, open.revision),
            seen: services.pipelines.lane_opened(open.topic, open.revision, open.producer),
            open,
        })
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
    let mut server = LaneServer {
        services,
        lane,
        reply,
        forwarded,
        targets: Vec::new(),
        ways: BTreeMap::new(),
        observed: BTreeMap::new(),
        shadowed: BTreeMap::new(),
    };
    let mut running: Option<Running> = None;
    let mut is_open = true;
    while is_open || running.is_some() || server.lane.entry.in_flight() > 0 {
        let may_read =
            is_open && running.is_none() && server.lane.entry.in_flight() < LANE_BATCHES_IN_FLIGHT_MAX;
        tokio::select! {
            biased;
            settled = outcomes.next() => {
                server.settle(settled, &mut writer);
                server.settle_all(&mut outcomes, &mut writer);
            }
            ran = end_of(&mut running) => {
                running = None;
                server.ran(ran, &mut writer).await;
                server.settle_all(&mut outcomes, &mut writer);
            }
            frame = reader.next::<LaneBatch>(), if may_read => match frame {
                Ok(Some(frame)) => {
                    match server.batch(frame.header, frame.payload, &mut writer).await {
                        Ok(with_plugins) => running = with_plugins,
                        Err(error) => {
                            tracing::debug!(%error, "a lane broke the protocol");
                            reader.refuse(weir_quic::StreamCode::Protocol);
                            return;
                        }
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

/// A batch that is with the topic's plugins. Dropped, it ends where it stands; nothing of it was sent.
type Running = Pin<Box<dyn Future<Output = Ran> + Send>>;

/// What became of it there.
struct Ran {
    admitted: Admitted,
    processed: Processed,
}

/// A batch that was taken in, and the memory that it holds until it is written.
struct Admitted {
    ordinal: u64,
    records: u32,
    sequence: Option<Sequence>,
    memory: Option<Memory>,
}

type Memory = Arc<tokio::sync::OwnedSemaphorePermit>;

/// The end of what runs, if anything does. Cancel safe.
async fn end_of(running: &mut Option<Running>) -> Ran {
    match running {
        Some(running) => running.await,
        None => std::future::pending().await,
    }
}

struct LaneServer {
    services: Arc<Services>,
    lane: Lane,
    reply: mpsc::UnboundedSender<(AppendTag, AppendOutcome)>,
    forwarded: mpsc::UnboundedSender<ForwardAnswer>,
    /// Partitions used lately, so that each batch need not look its partition up.
    targets: Vec<PartitionHandle>,
    /// Ways to the leaders of partitions that are led elsewhere, the dead-letter topic's too.
    ways: BTreeMap<(NodeId, TopicId), ForwardLane>,
    /// The batches whose answer a plugin wants to see.
    observed: BTreeMap<u64, ObservedBatch>,
    /// The batches that a staged pipeline gets too, once they are answered.
    shadowed: BTreeMap<u64, Shadowed>,
}

impl Drop for LaneServer {
    fn drop(&mut self) {
        if self.lane.entry.in_flight() > 0 {
            self.lane.seen.leaves_parts();
        }
    }
}

impl LaneServer {
    /// Takes one batch of the lane. Returns it if it must pass plugins first.
    ///
    /// # Errors
    /// When the client broke the protocol and the stream must end.
    async fn batch(
        &mut self,
        header: LaneBatch,
        payload: Bytes,
        writer: &mut FrameWriter,
    ) -> Result<Option<Running>, WireError> {
        let LaneBatch { ordinal, resent } = header;
        self.lane.entry.admit(ordinal)?;
        if let Err(error) = self.check_revision(resent) {
            let count = BatchHeader::parse(&payload).map_or(1, |header| header.record_count.max(1));
            let answer = match error.code {
                ErrorCode::StaleRevision => {
                    self.lane.entry.stale(ordinal, count, error, self.lane.in_force.1)
                }
                _ => self.lane.entry.retry(ordinal, count, error),
            };
            self.answer(Some(answer), writer);
            return Ok(None);
        }
        let memory = super::reserve(self.memory(), payload.len()).await;
        let (payload, records) = match self.validate(payload) {
            Ok(valid) => valid,
            Err((payload, error)) => {
                metrics::counter!("weir_produce_batches_refused_total").increment(1);
                let count = BatchHeader::parse(&payload).map_or(1, |header| header.record_count.max(1));
                writer.queue(&self.lane.entry.refuse(ordinal, count, Outcome::Failed(error)), Bytes::new());
                return Ok(None);
            }
        };
        let batch_header = *records.header();
        metrics::counter!("weir_produce_bytes_total").increment(payload.len() as u64);
        metrics::counter!("weir_produce_records_total").increment(u64::from(batch_header.record_count));
        let sequence = batch_header.producer.map(|producer| producer.base_sequence);
        let admitted = Admitted { ordinal, records: batch_header.record_count, sequence, memory };
        self.offer_to_shadow(ordinal, &payload);
        if let Some(pipeline) = self.lane.revised.pipeline.clone() {
            return Ok(Some(self.with_plugins(pipeline, admitted, payload, records, resent)));
        }
        let placement = self.place(ordinal, &batch_header, &records);
        let batches = if placement.only_partition().is_some() {
            drop(records);
            vec![payload]
        } else {
            drop(payload);
            splitting::split(&batch_header, records.iter(), &placement)
        };
        self.send_parts(admitted, &placement, batches, writer).await;
        Ok(None)
    }

    /// Under a revision that is superseded only what was sent before is taken: first-sent batches go on at the newer
    /// one, when the client has settled what it has in flight.
    fn check_revision(&mut self, resent: bool) -> Result<(), WireError> {
        let image = self.services.controller.image();
        if self.lane.in_force.0 != image.index {
            let (_, topic) = find_topic(&image, self.lane.open.topic)?;
            self.lane.in_force = (image.index, topic.revision);
            let config = topic.config();
            self.lane.limits.batch_bytes_max = config.max_message_bytes;
            self.lane.compression = config.compression;
        }
        if resent || self.lane.in_force.1 == self.lane.open.revision {
            return Ok(());
        }
        let sentence = format!(
            "revision {} of the pipeline of topic '{}' takes nothing new any more; settle, refresh the metadata, go on",
            self.lane.open.revision, self.lane.topic
        );
        Err(WireError::new(ErrorCode::StaleRevision, sentence))
    }

    /// Batches that plugins look at wait for memory of their own: a slow plugin makes no other topic wait.
    fn memory(&self) -> &Arc<Semaphore> {
        match self.lane.revised.pipeline {
            Some(_) => &self.services.pipeline_memory,
            None => &self.services.produce_memory,
        }
    }

    /// Who produces, and where to.
    fn asked(&self) -> (Option<ProducerId>, BatchTarget) {
        let LaneOpen { producer, target, .. } = self.lane.open;
        let target = match target {
            LaneTarget::Explicit { partition, .. } => BatchTarget::Explicit(partition),
            LaneTarget::Guessed { partition, .. } => BatchTarget::Guessed(partition),
            LaneTarget::Unguessed => BatchTarget::Unguessed,
        };
        (producer.map(|(id, _)| id), target)
    }

    /// Keeps a batch for the shadow run of the topic, if there is one and it has room.
    fn offer_to_shadow(&mut self, ordinal: u64, payload: &Bytes) {
        let Some(shadow) = self.services.pipelines.shadow(self.lane.open.topic) else { return };
        let (producer, target) = self.asked();
        let offered = Offered {
            batch: payload,
            limits: self.lane.limits,
            producer,
            ordinal,
            target,
            principal: &*self.lane.principal,
            entry_node: self.services.node,
        };
        if let Some(taken) = shadow.offer(&offered) {
            self.shadowed.insert(ordinal, taken);
        }
    }

    /// The batch on its way through the topic's plugins.
    fn with_plugins(
        &mut self,
        pipeline: Arc<Pipeline>,
        admitted: Admitted,
        payload: Bytes,
        records: Records,
        resent: bool,
    ) -> Running {
        let (producer, target) = self.asked();
        let guess = match target {
            BatchTarget::Explicit(partition) | BatchTarget::Guessed(partition) => Some(partition),
            BatchTarget::Unguessed => None,
        };
        if pipeline.wants_acknowledgements() {
            let observed = ObservedBatch {
                producer: producer.map(|id| id.0),
                ordinal: admitted.ordinal,
                guess,
                count: admitted.records,
                base_timestamp_ms: records.header().base_timestamp_ms,
            };
            self.observed.insert(admitted.ordinal, observed);
        }
        let dead_letters = self.dead_letters().map(|(_, partitions)| partitions);
        let (limits, principal) = (self.lane.limits, Arc::clone(&self.lane.principal));
        let entry_node = self.services.node;
        Box::pin(async move {
            let principal = principal.to_string();
            let context = BatchContext {
                producer,
                ordinal: admitted.ordinal,
                target,
                resent,
                limits,
                principal: &principal,
                entry_node,
                dead_letter_partitions: dead_letters,
            };
            let processed = pipeline.run(payload, records, &context).await;
            Ran { admitted, processed }
        })
    }

    /// Goes on with a batch that plugins have looked at.
    async fn ran(&mut self, ran: Ran, writer: &mut FrameWriter) {
        let Ran { admitted, processed } = ran;
        let (ordinal, records) = (admitted.ordinal, admitted.records);
        let answer = match processed {
            Processed::Placed { placement, batches } => {
                return self.send_parts(admitted, &placement, batches, writer).await;
            }
            Processed::Retry(error) => self.lane.entry.retry(ordinal, records, error),
            Processed::Refused(outcome) => self.lane.entry.refuse(ordinal, records, outcome),
        };
        self.answer(Some(answer), writer);
    }

    async fn send_parts(
        &mut self,
        admitted: Admitted,
        placement: &Placement,
        mut batches: Vec<Bytes>,
        writer: &mut FrameWriter,
    ) {
        let Admitted { ordinal, sequence, memory, .. } = admitted;
        if let Some(shadowed) = self.shadowed.get_mut(&ordinal) {
            shadowed.placed(placement, &batches);
        }
        let taken = self.lane.entry.take(ordinal, sequence, placement);
        for part in &taken.parts {
            // Handed over, not shared: the partition stamps the bytes where they are.
            let batch = std::mem::take(&mut batches[part.part as usize]);
            self.send(ordinal, part, batch, memory.clone()).await;
        }
        self.answer(taken.answer, writer);
    }

    /// The topic that takes records which plugins failed on, if it is there, and how many partitions it has.
    fn dead_letters(&self) -> Option<(TopicId, u32)> {
        let image = self.services.controller.image();
        let topic = image.topics.get(&dead_letters_of(&self.lane.topic))?;
        Some((topic.id, u32::try_from(topic.partitions.len()).ok()?))
    }

    /// The batch as it is to be stored, and its records; or what came, and what is wrong with it.
    fn validate(&self, payload: Bytes) -> Result<(Bytes, Records), (Bytes, WireError)> {
        let records = match self.check_batch(&payload) {
            Ok(records) => records,
            Err(error) => return Err((payload, error)),
        };
        let sent_with = records.header().compression();
        let Some(wanted) = self.lane.compression.filter(|wanted| *wanted != sent_with) else {
            return Ok((payload, records));
        };
        let (repacked, records) = records.repacked(wanted);
        let max = self.lane.limits.batch_bytes_max;
        if records.header().total_bytes > max {
            let sentence = format!(
                "packed as compression.type={} of topic '{}' has it the batch would take {} bytes, more than \
                 max.message.bytes ({max}): send smaller batches, or raise it",
                wanted.name(),
                self.lane.topic,
                repacked.len()
            );
            return Err((payload, WireError::new(ErrorCode::MessageTooLarge, sentence)));
        }
        Ok((repacked, records))
    }

    fn check_batch(&self, payload: &Bytes) -> Result<Records, WireError> {
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
        Ok(records)
    }

    fn place(&self, ordinal: u64, header: &BatchHeader, records: &Records) -> Placement {
        let guess = match self.lane.open.target {
            LaneTarget::Explicit { partition, .. } => {
                return Placement::whole(partition, header.record_count);
            }
            _ if self.lane.revised.partitions == 1 => {
                return Placement::whole(PartitionIndex(0), header.record_count);
            }
            LaneTarget::Guessed { partition, .. } => Some(partition),
            LaneTarget::Unguessed => None,
        };
        let partitioner = DefaultPartitioner {
            partitions: self.lane.revised.partitions,
            guess,
            producer: self.lane.open.producer.map(|(id, _)| id),
            ordinal,
        };
        partitioner.place(records.iter().map(|record| record.key))
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

    fn answer(&mut self, answer: Option<LaneAnswer>, writer: &mut FrameWriter) {
        let Some(answer) = answer else { return };
        writer.queue(&answer, Bytes::new());
        // What is to come again is no result yet.
        let is_settled = answer.outcomes.iter().all(Outcome::is_settled);
        if let Some(shadowed) = self.shadowed.remove(&answer.ordinal).filter(|_| is_settled) {
            shadowed.answered(&answer);
        }
        if let Some(pipeline) = &self.lane.revised.pipeline {
            let observed = self.observed.remove(&answer.ordinal);
            let is_nondeterministic = |outcome: &Outcome| match outcome {
                Outcome::Unknown(error) => error.code == ErrorCode::NondeterministicPipeline,
                _ => false,
            };
            if answer.outcomes.iter().any(is_nondeterministic) {
                let (topic, revision) = (&self.lane.topic, self.lane.open.revision);
                self.services.pipelines.answered_differently(topic, revision, pipeline);
            }
            if let Some(batch) = observed.filter(|_| is_settled) {
                pipeline.acknowledged(Acknowledgement { batch, answer });
            }
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
