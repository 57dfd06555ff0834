//! How the rest of the node reaches a replica.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use weir_core::partition::{
    AppendCheck, AppendOutcome, BatchMeta, Member, PartitionConfig, Report, RevisionProgress, Subscribe,
    SubscriptionNumber,
};
use weir_core::topic_config::TopicConfig;
use weir_wire::batch::control::RevisionMarker;
use weir_wire::error::WireError;
use weir_wire::fetch::{FetchEnd, Position};
use weir_wire::ids::{LeaderEpoch, NodeId, Offset, PartitionIndex, TopicId};
use weir_wire::lane::Acks;

use super::mailbox::{FollowerSink, Mailbox, PeerMessage};
use super::roles::Role;
use super::view::View;
use crate::storage::{CompactionLimits, LogConfig, LogReader, PartitionKey, RecoveryPoint, RetentionLimits};

/// Messages that may wait for one replica at a time; who sends more waits.
pub(super) const MESSAGES_QUEUED_MAX: usize = 256;

/// A hosted replica. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PartitionHandle {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionIndex,
    /// How far it may be read, and its standing.
    pub view: Arc<View>,
    /// Reads the log, on any thread.
    pub reader: LogReader,
    pub(super) inbox: mpsc::Sender<Message>,
    pub(super) mailbox: Arc<Mailbox>,
}

/// What a replica's task is asked.
#[derive(Debug)]
pub(super) enum Message {
    /// In a box, as the queue of every replica, however idle, has room for dozens of messages of any kind.
    Append(Box<AppendRequest>),
    CheckPosition {
        leader_epoch: LeaderEpoch,
        position: Position,
        reply: oneshot::Sender<Result<(), FetchEnd>>,
    },
    LatestOffset {
        leader_epoch: LeaderEpoch,
        reply: oneshot::Sender<Result<Offset, WireError>>,
    },
    /// Answered once the role was taken, or refused.
    Role {
        role: Box<Role>,
        reply: oneshot::Sender<()>,
    },
    /// How far the followers said they are.
    Progress(oneshot::Sender<Progress>),
    Configure(Box<TopicSettings>),
    Housekeep,
    /// A reader found that the disk changed what stands at or behind this offset. Answered whether others can do better.
    Damaged {
        offset: Offset,
        reply: oneshot::Sender<bool>,
    },
    /// An operator has deleted what lies below. Answered once it is not served any more.
    DeleteRecords {
        before: Offset,
        reply: oneshot::Sender<()>,
    },
    /// Answered when there is nothing to compact any more, for now.
    Compact(oneshot::Sender<()>),
    /// The topic is gone. Answered when the task is about to end.
    Delete(oneshot::Sender<()>),
    /// Other nodes have the partition from now on. Answered when the task is about to end.
    Leave(oneshot::Sender<()>),
    Close(oneshot::Sender<CloseReport>),
}

/// A topic's configuration as a replica uses it.
#[derive(Clone, Debug)]
pub(super) struct TopicSettings {
    pub(super) core: PartitionConfig,
    pub(super) log: LogConfig,
    pub(super) retention: RetentionLimits,
    /// `None` keeps every record of a key.
    pub(super) compaction: Option<CompactionLimits>,
}

impl TopicSettings {
    /// What was set for a topic, and defaults for the rest; and how long the node lets a follower lag.
    ///
    /// # Panics
    /// If the overrides do not parse: the metadata takes only those that do.
    pub(super) fn of(overrides: &BTreeMap<String, String>, lag_time_max_ms: u64) -> TopicSettings {
        let topic =
            TopicConfig::from_overrides(overrides).expect("the metadata takes only overrides that parse");
        TopicSettings {
            core: PartitionConfig {
                replica_lag_time_max_ms: lag_time_max_ms,
                ..PartitionConfig::from(&topic)
            },
            log: LogConfig {
                segment_bytes: topic.segment_bytes,
                segment_ms: topic.segment_ms_max(),
                index_interval_bytes: topic.index_interval_bytes,
                ..LogConfig::default()
            },
            retention: RetentionLimits {
                retention_ms: topic.retention_ms.filter(|_| topic.cleanup_policy.deletes()),
                retention_bytes: topic.retention_bytes.filter(|_| topic.cleanup_policy.deletes()),
            },
            compaction: topic.cleanup_policy.compacts().then_some(CompactionLimits {
                min_dirty_per_mille: topic.min_cleanable_dirty_per_mille,
                min_lag_ms: topic.min_compaction_lag_ms,
                max_lag_ms: topic.max_compaction_lag_ms,
                delete_retention_ms: topic.delete_retention_ms,
            }),
        }
    }
}

/// What a replica says when it is closed politely.
#[derive(Debug)]
pub(super) struct CloseReport {
    /// Everything was flushed and its snapshot written: the next start need not scan it.
    pub(super) is_clean: bool,
    /// Up to where the log is on disk for sure.
    pub(super) recovery_point: RecoveryPoint,
    /// The end of what consumers may read.
    pub(super) high_watermark: Offset,
}

/// A batch to append.
#[derive(Debug)]
pub struct AppendRequest {
    /// The batch, validated.
    pub batch: Bytes,
    /// Its header, as the core wants it.
    pub meta: BatchMeta,
    /// The reign that the sender believes in.
    pub leader_epoch: LeaderEpoch,
    /// How its place in the producer's order is checked.
    pub check: AppendCheck,
    /// The promise asked for.
    pub acks: Acks,
    /// What made the batch, if it is a later revision of the topic's pipeline than the one that the log begins at.
    pub made_by: Option<Arc<RevisionMarker>>,
    /// Whether plugins made it: sent again it must hold the same records.
    pub by_plugins: bool,
    /// Repeated in the outcome.
    pub tag: AppendTag,
    /// Where the outcome goes. Unbounded: the sender bounds what it has in flight.
    pub reply: mpsc::UnboundedSender<(AppendTag, AppendOutcome)>,
    /// The memory that the batch takes; given back once it is written.
    pub memory: Option<Arc<OwnedSemaphorePermit>>,
}

/// How far a partition is, as its leader knows it.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// The log ends of the followers.
    pub log_ends: BTreeMap<NodeId, Offset>,
    /// The newest revision with a marker in the log.
    pub revision: Option<RevisionProgress>,
}

/// Which part of which batch of a lane an outcome is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendTag {
    /// The batch's number in its lane.
    pub ordinal: u64,
    /// The part's number in its batch.
    pub part: u32,
}

/// The replica's task is gone: the topic was deleted, or the node is stopping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the partition is not hosted here any more")]
pub struct Gone;

impl PartitionHandle {
    /// The partition as storage names it.
    pub(super) fn key(&self) -> PartitionKey {
        PartitionKey { topic_id: self.topic, partition: self.partition }
    }

    /// Hands a batch to the replica; waits while its queue is full.
    ///
    /// # Errors
    /// [`Gone`], and the request comes back.
    pub async fn append(&self, request: AppendRequest) -> Result<(), Box<AppendRequest>> {
        match self.inbox.send(Message::Append(Box::new(request))).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendError(Message::Append(request))) => Err(request),
            Err(_) => unreachable!("a channel returns the message that was sent"),
        }
    }

    /// Whether a consumer's place is part of this log's history, at a reign that this replica knows.
    ///
    /// # Errors
    /// [`Gone`]; the inner error says what the consumer must be told.
    pub async fn check_position(
        &self,
        leader_epoch: LeaderEpoch,
        position: Position,
    ) -> Result<Result<(), FetchEnd>, Gone> {
        let (reply, answer) = oneshot::channel();
        let message = Message::CheckPosition { leader_epoch, position, reply };
        self.inbox.send(message).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// The end of what is committed. A new leader knows it only when it has committed something itself, or as much as
    /// its predecessor: until then it does not say, so that nobody sees the end go backwards.
    ///
    /// # Errors
    /// [`Gone`]; the inner error says what the client must be told.
    pub async fn latest_offset(&self, leader_epoch: LeaderEpoch) -> Result<Result<Offset, WireError>, Gone> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Message::LatestOffset { leader_epoch, reply }).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }

    /// A reader found that the disk changed what stands at or behind an offset. Says whether another replica has it as it
    /// was: then this one leads no more in a moment.
    pub async fn is_damaged_at(&self, offset: Offset) -> bool {
        let (reply, answer) = oneshot::channel();
        let told = self.inbox.send(Message::Damaged { offset, reply }).await;
        told.is_ok() && answer.await.unwrap_or(false)
    }

    /// As [`is_damaged_at`](PartitionHandle::is_damaged_at), without waiting: a replica that has much to do hears of it when
    /// the next one reads there.
    pub fn tell_damaged(&self, offset: Offset) {
        let (reply, _) = oneshot::channel();
        let _ = self.inbox.try_send(Message::Damaged { offset, reply });
    }

    /// A follower wants to follow this replica. The answer goes to `sink`.
    pub fn subscribe(&self, subscribe: Subscribe, sink: FollowerSink) {
        self.mailbox.push(PeerMessage::Subscribe { subscribe, sink });
    }

    /// A follower wants no more, or is gone.
    pub fn unsubscribe(&self, follower: Member, subscription: SubscriptionNumber) {
        self.mailbox.push(PeerMessage::Unsubscribe { follower, subscription });
    }

    /// How far a follower is.
    pub fn report(&self, report: Report) {
        self.mailbox.report(report);
    }

    /// How far each follower said it is, in the reign of this replica, and how far the log is with the newest revision
    /// of the topic's pipeline.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn progress(&self) -> Result<Progress, Gone> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Message::Progress(reply)).await.map_err(|_| Gone)?;
        answer.await.map_err(|_| Gone)
    }
}
