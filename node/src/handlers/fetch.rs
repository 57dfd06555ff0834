//! The fetch stream: sends what is committed as it becomes readable, as far as the consumer's credit goes.
//!
//! ```text
//! commands ─▶ subscriptions ◀─rings─ replicas' views
//!                  │ those that rang, in turn, one frame each
//!                  ▼
//!           read log ─▶ data frame ─▶ credit goes down
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use weir_quic::{FrameReader, FrameWriter, Principal, StreamCode};
use weir_wire::batch;
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::fetch::{
    FETCH_CREDIT_BYTES_MAX, FETCH_SUBSCRIPTIONS_MAX, FetchCommand, FetchEnd, FetchEvent, FetchOpen, Position,
};
use weir_wire::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};

use super::authorize::{Operation, Resource, authorize};
use super::{Services, broken, find_partition, read_error};
use crate::partitions::{Bell, Interest, PartitionHandle, Standing, Watch};
use crate::storage::{LogReader, ReadError, ReadPlan, Slice};

/// Bounds on what a consumer may ask of one frame, in bytes: a frame is held in memory while it is sent.
const FRAME_BYTES_MIN: u32 = 4 * 1024;
const FRAME_BYTES_MAX: u32 = 8 * 1024 * 1024;

/// Serves a fetch stream until the consumer finishes it or the node stops.
pub(super) async fn serve(
    services: Arc<Services>,
    principal: Arc<Principal>,
    open: FetchOpen,
    mut reader: FrameReader,
    writer: FrameWriter,
) {
    let bell = Arc::new(Bell::default());
    let mut session = Session {
        frame_bytes: open.frame_bytes_max.clamp(FRAME_BYTES_MIN, FRAME_BYTES_MAX),
        services,
        principal,
        writer,
        bell: Arc::clone(&bell),
        credit: 0,
        subscriptions: BTreeMap::new(),
    };
    loop {
        let may_send = session.credit > 0;
        let served = tokio::select! {
            biased;
            command = reader.next::<FetchCommand>() => match command {
                Ok(Some(frame)) => session.command(frame.header).await,
                Ok(None) => break,
                Err(error) => return broken("fetch", &mut reader, Some(&mut session.writer), &error),
            },
            () = bell.wait(), if may_send => session.send_next().await,
            () = session.services.stopping() => break,
        };
        if let Err(end) = served {
            if let End::Broken(error) = end {
                tracing::debug!(%error, "a fetch stream broke the protocol");
                reader.refuse(StreamCode::Protocol);
            }
            return;
        }
    }
    // A consumer that is gone already needs no end.
    let _ = session.writer.finish().await;
}

/// Why a stream ends early.
enum End {
    /// The consumer is gone.
    Gone,
    /// The consumer broke the protocol.
    Broken(WireError),
}

impl From<weir_quic::WriteError> for End {
    fn from(_: weir_quic::WriteError) -> End {
        End::Gone
    }
}

struct Session {
    services: Arc<Services>,
    principal: Arc<Principal>,
    frame_bytes: u32,
    writer: FrameWriter,
    /// Rung with a subscription's number when there may be something to send for it.
    bell: Arc<Bell>,
    /// Payload bytes that may still be sent; below 0 after a frame that overdrew it.
    credit: i64,
    subscriptions: BTreeMap<u64, Subscription>,
}

struct Subscription {
    handle: PartitionHandle,
    leader_epoch: LeaderEpoch,
    /// The next offset to send.
    next: Offset,
    /// The high watermark that the consumer was last told when it had everything.
    caught_up_at: Option<Offset>,
    /// Rings the session's bell.
    _watch: Watch,
}

impl Session {
    async fn command(&mut self, command: FetchCommand) -> Result<(), End> {
        match command {
            FetchCommand::Credit { bytes } => {
                let most = i64::try_from(FETCH_CREDIT_BYTES_MAX).unwrap_or(i64::MAX);
                self.credit = self.credit.saturating_add_unsigned(bytes).min(most);
                Ok(())
            }
            FetchCommand::Unsubscribe { subscription } => {
                self.subscriptions.remove(&subscription);
                Ok(())
            }
            FetchCommand::Subscribe { subscription, topic, partition, leader_epoch, position } => {
                if self.subscriptions.len() >= FETCH_SUBSCRIPTIONS_MAX
                    || self.subscriptions.contains_key(&subscription)
                {
                    let sentence = format!(
                        "a fetch stream holds at most {FETCH_SUBSCRIPTIONS_MAX} subscriptions, each number once"
                    );
                    return Err(End::Broken(WireError::new(ErrorCode::InvalidRequest, sentence)));
                }
                match self.subscribe(subscription, topic, partition, leader_epoch, position).await {
                    Ok(()) => Ok(()),
                    Err(reason) => self.tell(&FetchEvent::Ended { subscription, reason }).await,
                }
            }
        }
    }

    async fn subscribe(
        &mut self,
        subscription: u64,
        topic: TopicId,
        partition: PartitionIndex,
        leader_epoch: LeaderEpoch,
        position: Position,
    ) -> Result<(), FetchEnd> {
        let handle = find_partition(&self.services, topic, partition).map_err(FetchEnd::Error)?;
        let image = self.services.controller.image();
        let name = image.topic_by_id(topic).map(|(name, _)| name).unwrap_or_default();
        authorize(&self.principal, Operation::Read, Resource::Topic(name)).map_err(FetchEnd::Error)?;
        // Watched before the position is checked, so that nothing that moves in between goes unnoticed.
        let watch = handle.view.watch(Interest::Committed, Arc::clone(&self.bell), subscription);
        handle
            .check_position(leader_epoch, position)
            .await
            .unwrap_or_else(|_| Err(FetchEnd::Error(super::stopping())))?;
        let state =
            Subscription { handle, leader_epoch, next: position.offset, caught_up_at: None, _watch: watch };
        self.subscriptions.insert(subscription, state);
        self.bell.ring(subscription);
        Ok(())
    }

    /// Sends one frame for the subscription that has waited longest, if it has something.
    async fn send_next(&mut self) -> Result<(), End> {
        let Some(number) = self.bell.take() else { return Ok(()) };
        let Some(subscription) = self.subscriptions.get_mut(&number) else { return Ok(()) };
        let view = Arc::clone(&subscription.handle.view);
        if view.leader_epoch() != subscription.leader_epoch
            || !matches!(view.standing(), Standing::Leading | Standing::Failed)
        {
            let sentence =
                "the partition has a new leader or is gone; refresh the metadata and subscribe again";
            let reason = FetchEnd::Error(WireError::new(ErrorCode::NotLeader, sentence));
            return self.end(number, reason).await;
        }
        let high_watermark = view.high_watermark();
        if subscription.next >= high_watermark {
            let (next, end) = (subscription.next, view.committed_end());
            if end != Some(next) || subscription.caught_up_at == end {
                return Ok(());
            }
            subscription.caught_up_at = end;
            return self.tell(&FetchEvent::CaughtUp { subscription: number, high_watermark: next }).await;
        }
        let from = subscription.next;
        let reader = subscription.handle.reader.clone();
        let leader_epoch = subscription.leader_epoch;
        match self.read(reader, from, high_watermark).await {
            // The batch that holds the position reaches beyond the high watermark: it comes when that covers it.
            Ok(slice) if slice.is_empty() => Ok(()),
            Ok(slice) => {
                let slice = match self.shown(number, slice).await {
                    Ok(slice) => slice,
                    Err(error) => return self.end(number, FetchEnd::Error(error)).await,
                };
                let next_offset = slice.next_offset;
                let bytes = slice.len();
                metrics::counter!("weir_fetch_bytes_total").increment(bytes as u64);
                let event =
                    FetchEvent::Data { subscription: number, next_offset, high_watermark, leader_epoch };
                self.writer.queue_parts(&event, slice.chunks);
                self.credit = self.credit.saturating_sub_unsigned(bytes as u64);
                if let Some(subscription) = self.subscriptions.get_mut(&number) {
                    subscription.next = next_offset;
                }
                // At the end of the queue: every partition that has something gets its turn.
                self.bell.ring(number);
                Ok(self.writer.flush().await?)
            }
            Err(ReadError::OutOfRange { .. }) => {
                let log_start = view.log_start();
                self.end(number, FetchEnd::OutOfRange { log_start, high_watermark }).await
            }
            Err(error) => {
                tracing::error!(%error, offset = %from, "a read failed");
                self.unreadable(number, &error).await
            }
        }
    }

    /// What cannot be read here may be read at another replica: then the consumer is to go there.
    async fn unreadable(&mut self, number: u64, error: &ReadError) -> Result<(), End> {
        let handle = self.subscriptions.get(&number).map(|subscription| subscription.handle.clone());
        if let (ReadError::Corrupt { offset, .. }, Some(handle)) = (error, handle)
            && handle.is_damaged_at(*offset).await
        {
            let sentence = "the partition is damaged here and gets another leader; refresh the metadata and subscribe again";
            let reason = FetchEnd::Error(WireError::new(ErrorCode::NotLeader, sentence));
            return self.end(number, reason).await;
        }
        self.end(number, FetchEnd::Error(read_error(error))).await
    }

    /// Reads whole batches: at once where they are still in memory, on a worker where the disk must be asked.
    async fn read(&self, reader: LogReader, from: Offset, below: Offset) -> Result<Slice, ReadError> {
        match reader.plan(from, below, self.frame_bytes as usize, true)? {
            ReadPlan::Ready(slice) => Ok(slice),
            ReadPlan::Cold(read) => self.services.outside.on_worker(move || read.run()).await,
        }
    }

    /// What the consumer is shown of what was read: all of it, unless the topic has consumer interceptors.
    async fn shown(&self, subscription: u64, slice: Slice) -> Result<Slice, WireError> {
        let Some(Subscription { handle, .. }) = self.subscriptions.get(&subscription) else {
            return Ok(slice);
        };
        let Some(pipeline) = self.services.pipelines.consumers(handle.topic).await? else { return Ok(slice) };
        let limits = batch::Limits { batch_bytes_max: u32::MAX, ..batch::Limits::default() };
        let mut chunks = Vec::new();
        for mut rest in slice.chunks {
            while let Ok(bytes) = batch::total_bytes(&rest) {
                let stored = rest.split_to((bytes as usize).min(rest.len()));
                chunks.push(pipeline.fetch(stored, handle.partition, limits).await?);
            }
        }
        Ok(Slice { chunks, next_offset: slice.next_offset })
    }

    async fn end(&mut self, subscription: u64, reason: FetchEnd) -> Result<(), End> {
        self.subscriptions.remove(&subscription);
        self.tell(&FetchEvent::Ended { subscription, reason }).await
    }

    async fn tell(&mut self, event: &FetchEvent) -> Result<(), End> {
        Ok(self.writer.send(event, Bytes::new()).await?)
    }
}
