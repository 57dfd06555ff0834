//! The forward stream: parts that entered at another node and belong to partitions that this one leads.
//!
//! They passed the entry node's pipeline. Here they are appended or answered `retry`, and go no further.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use weir_core::partition::{AppendCheck, AppendOutcome, BatchMeta, RetryReason};
use weir_quic::{FrameReader, FrameWriter, StreamCode};
use weir_wire::batch::{self, BatchHeader};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::forward::{
    FORWARDED_PARTS_IN_FLIGHT_MAX, ForwardAnswer, ForwardCheck, ForwardOpen, ForwardPart,
};
use weir_wire::ids::{PartitionIndex, Revision};
use weir_wire::lane::Outcome;

use super::{Services, broken, outcomes};
use crate::partitions::{AppendRequest, AppendTag};
use crate::pipelines::MadeBy;

/// Serves the stream until the entry node finishes it, breaks the protocol, or this node stops.
pub(super) async fn serve(
    services: Arc<Services>,
    open: ForwardOpen,
    mut reader: FrameReader,
    mut writer: FrameWriter,
) {
    let (reply, mut outcomes) = mpsc::unbounded_channel();
    let mut forwarded = Forwarded { services, open, reply, in_flight: BTreeMap::new(), made_by: None };
    let mut is_open = true;
    while is_open || !forwarded.in_flight.is_empty() {
        let may_read = is_open && forwarded.in_flight.len() < FORWARDED_PARTS_IN_FLIGHT_MAX;
        tokio::select! {
            biased;
            Some((tag, outcome)) = outcomes.recv() => {
                forwarded.settle(tag, outcome, &mut writer);
                while let Ok((tag, outcome)) = outcomes.try_recv() {
                    forwarded.settle(tag, outcome, &mut writer);
                }
            }
            frame = reader.next::<ForwardPart>(), if may_read => match frame {
                Ok(Some(frame)) => {
                    if let Err(error) = forwarded.take(frame.header, frame.payload, &mut writer).await {
                        tracing::warn!(%error, "an entry node broke the protocol");
                        return reader.refuse(StreamCode::Protocol);
                    }
                }
                Ok(None) => is_open = false,
                Err(error) => return broken("forward", &mut reader, None, &error),
            },
            () = forwarded.services.stopping(), if is_open => is_open = false,
        }
        if writer.flush().await.is_err() {
            return;
        }
    }
    // An entry node that is gone already needs no end.
    let _ = writer.finish().await;
}

struct Forwarded {
    services: Arc<Services>,
    open: ForwardOpen,
    reply: mpsc::UnboundedSender<(AppendTag, AppendOutcome)>,
    /// Where each part that was not answered yet goes.
    in_flight: BTreeMap<(u64, u32), PartitionIndex>,
    /// The revision of the last part, and what the log is told of it.
    made_by: Option<(Revision, MadeBy)>,
}

impl Forwarded {
    /// # Errors
    /// When the entry node broke the protocol and the stream must end.
    async fn take(
        &mut self,
        part: ForwardPart,
        batch: Bytes,
        writer: &mut FrameWriter,
    ) -> Result<(), WireError> {
        let key = (part.ordinal, part.part);
        if self.in_flight.insert(key, part.partition).is_some() {
            let sentence = format!("part {} of batch {} is under way already", part.part, part.ordinal);
            return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
        }
        let tag = AppendTag { ordinal: part.ordinal, part: part.part };
        let header = match self.check(&batch) {
            Ok(header) => header,
            Err(error) => {
                self.in_flight.remove(&key);
                let (outcome, promise) = (Outcome::Failed(error), None);
                let answer = ForwardAnswer { ordinal: part.ordinal, part: part.part, outcome, promise };
                writer.queue(&answer, Bytes::new());
                return Ok(());
            }
        };
        let memory = super::reserve(&self.services.forward_memory, batch.len()).await;
        let Some(handle) = self.services.partitions.get(self.open.topic, part.partition) else {
            self.settle(tag, AppendOutcome::Retry(RetryReason::NotLeader), writer);
            return Ok(());
        };
        let check = match part.check {
            ForwardCheck::Unchecked => AppendCheck::Unchecked,
            ForwardCheck::Contiguous { after } => AppendCheck::Contiguous { after },
            ForwardCheck::Lane { after } => AppendCheck::Lane { after },
        };
        let made_by = match self.made_by(part.revision).await {
            Ok(made_by) => made_by,
            Err(error) => {
                self.in_flight.remove(&key);
                let (outcome, promise) = (Outcome::Retry(error), None);
                let answer = ForwardAnswer { ordinal: part.ordinal, part: part.part, outcome, promise };
                writer.queue(&answer, Bytes::new());
                return Ok(());
            }
        };
        let request = AppendRequest {
            meta: BatchMeta::from(&header),
            leader_epoch: part.leader_epoch,
            batch,
            check,
            acks: self.open.acks,
            made_by: made_by.marker,
            by_plugins: made_by.by_plugins,
            tag,
            reply: self.reply.clone(),
            memory,
        };
        if handle.append(request).await.is_err() {
            self.settle(tag, AppendOutcome::Retry(RetryReason::NotLeader), writer);
        }
        Ok(())
    }

    /// What made a part on its entry node, for the log.
    async fn made_by(&mut self, revision: Revision) -> Result<MadeBy, WireError> {
        if let Some((known, made_by)) = &self.made_by
            && *known == revision
        {
            return Ok(made_by.clone());
        }
        let made_by = self.services.pipelines.made_by(self.open.topic, revision).await?;
        self.made_by = Some((revision, made_by.clone()));
        Ok(made_by)
    }

    /// The entry node looked into the records; here only that the bytes arrived whole matters, and whose they are.
    fn check(&self, batch: &Bytes) -> Result<BatchHeader, WireError> {
        let limits = batch::Limits { batch_bytes_max: u32::MAX, ..batch::Limits::default() };
        let header = batch::check(batch, &limits)
            .map_err(|error| WireError::new(ErrorCode::CorruptBatch, error.to_string()))?;
        let stamped = header.producer.map(|producer| (producer.id, producer.epoch));
        if stamped != self.open.producer || header.attributes.is_control() {
            let sentence = "the part is not of the lane that its stream was opened for";
            return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
        }
        Ok(header)
    }

    fn settle(&mut self, tag: AppendTag, outcome: AppendOutcome, writer: &mut FrameWriter) {
        let AppendTag { ordinal, part } = tag;
        let Some(partition) = self.in_flight.remove(&(ordinal, part)) else { return };
        let (outcome, kept) = outcomes::of_append(partition, outcome);
        let promise = kept.map(|kept| (kept.replicas, kept.flushed));
        writer.queue(&ForwardAnswer { ordinal, part, outcome, promise }, Bytes::new());
    }
}
