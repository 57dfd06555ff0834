//! Opening a replica: its log out of the data folder, its state out of the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use weir_core::partition::{
    Checkpoints, EpochCheckpoint, Partition, ProducerCheckpoint, Restore, RestoreError, StoredBatch,
};
use weir_wire::ids::{Offset, PartitionIndex, TopicId};

use super::handle::{MESSAGES_QUEUED_MAX, PartitionHandle, TopicSettings};
use super::replica::{Replica, State};
use super::space::SpaceGuard;
use super::view::View;
use crate::outside::{Clock, Outside};
use crate::storage::{
    DataFolder, Log, OnDamage, OpenError, PartitionKey, ReadError, Recovery, RecoveryPoint, StorageError,
};

/// A replica that should be opened.
pub(super) struct OpenOrder {
    pub(super) topic: String,
    pub(super) topic_id: TopicId,
    pub(super) partition: PartitionIndex,
    pub(super) configs: BTreeMap<String, String>,
}

/// What became of an order.
pub(super) struct Opened {
    pub(super) order: OpenOrder,
    pub(super) replica: Result<Box<Parts>, OpenFailure>,
}

/// A replica without its task.
pub(super) struct Parts {
    core: Partition,
    log: Log,
    settings: TopicSettings,
    /// Whether there was no log before.
    is_new: bool,
}

/// Why a replica stays offline.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenFailure {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error("its log could not be read: {0}")]
    Read(#[from] ReadError),
    #[error("its log contradicts itself: {0}")]
    Restore(#[from] RestoreError),
}

/// The partition as storage names it.
pub(super) fn key(topic_id: TopicId, partition: PartitionIndex) -> PartitionKey {
    PartitionKey { topic_id, partition }
}

/// Opens a replica. Waits for the disk, so it belongs on a worker.
pub(super) fn open(data: &DataFolder, clock: &dyn Clock, order: OpenOrder) -> Opened {
    let replica = try_open(data, clock, &order).map(Box::new);
    Opened { order, replica }
}

fn try_open(data: &DataFolder, clock: &dyn Clock, order: &OpenOrder) -> Result<Parts, OpenFailure> {
    let settings = TopicSettings::of(&order.configs);
    let key = key(order.topic_id, order.partition);
    // A log that has been here must be here: a partition that may hold records does not come back empty.
    let is_new = !data.has_had(key);
    let (log, recovery) = open_log(data, order, key, &settings, is_new)?;
    report(order, &recovery);
    let core = restore(data, clock, key, &log, &settings)?;
    Ok(Parts { core, log, settings, is_new })
}

/// Opens the log; a folder that another topic of the same name left behind is moved aside, never reused.
fn open_log(
    data: &DataFolder,
    order: &OpenOrder,
    key: PartitionKey,
    settings: &TopicSettings,
    is_new: bool,
) -> Result<(Log, Recovery), OpenError> {
    let open = || data.open_log(&order.topic, key, settings.log, is_new, OnDamage::Refuse);
    match open() {
        Err(stale @ OpenError::Stale { .. }) => {
            tracing::warn!(error = %stale, "moving the stale folder aside");
            data.move_aside(&order.topic, order.partition)?;
            open()
        }
        other => other,
    }
}

/// Says what recovery found, for the operator who wonders at three in the morning.
fn report(order: &OpenOrder, recovery: &Recovery) {
    let (topic, partition) = (&order.topic, order.partition);
    if let Some(cut) = &recovery.cut {
        let Recovery { start, end, .. } = recovery;
        if recovery.is_at_most_a_torn_tail() {
            tracing::warn!(topic, %partition, %start, %end, bytes = cut.bytes, reason = %cut.reason,
                "cut a torn write off the end of the log; nothing of it was acknowledged");
        } else {
            tracing::error!(topic, %partition, %start, %end, ?cut,
                "cut the log although more than a torn write was damaged: acknowledged records may be gone");
        }
    }
    if recovery.ended_below_high_watermark {
        tracing::error!(topic, %partition, end = %recovery.end,
            "the log ends below what consumers were already shown: committed records are gone");
    }
    if let Some(from) = recovery.scanned_from {
        tracing::debug!(topic, %partition, %from, bytes = recovery.scanned_bytes, "checked the log after an unclean stop");
    }
}

/// Rebuilds what the core knows: from the newest snapshot that fits the log, else from the log alone.
fn restore(
    data: &DataFolder,
    clock: &dyn Clock,
    key: PartitionKey,
    log: &Log,
    settings: &TopicSettings,
) -> Result<Partition, OpenFailure> {
    let side = log.side_files();
    let mut found = Checkpoints {
        log_start: log.start(),
        log_end: log.end(),
        flushed_end: log.flushed_end(),
        high_watermark: data.high_watermark(key).unwrap_or(Offset::ZERO),
        epochs: side.load_epochs::<EpochCheckpoint>()?,
        producers: side.latest_snapshot::<ProducerCheckpoint>(log.end())?.map(|(_, snapshot)| snapshot),
    };
    let replayed = replay(clock, log, settings, found.clone());
    match replayed {
        // Both checkpoints only save reading; the log has the last word.
        Err(OpenFailure::Restore(error)) => {
            tracing::warn!(partition = %key, %error, "the checkpoints do not fit the log; reading all of it");
            (found.epochs, found.producers) = (None, None);
            replay(clock, log, settings, found)
        }
        other => other,
    }
}

fn replay(
    clock: &dyn Clock,
    log: &Log,
    settings: &TopicSettings,
    found: Checkpoints,
) -> Result<Partition, OpenFailure> {
    let mut restore = Restore::new(clock.now(), settings.core, found)?;
    if restore.replay_from() < log.end() {
        for header in log.reader().headers(restore.replay_from()) {
            restore.replay(&StoredBatch::from(&header?))?;
        }
    }
    Ok(restore.finish()?)
}

impl Parts {
    /// Where the log begins, if there was none before.
    pub(super) fn made_at(&self) -> Option<RecoveryPoint> {
        self.is_new.then(|| self.log.recovery_point())
    }

    /// Puts the task together, and the handle to it.
    pub(super) fn into_replica(
        self,
        order: &OpenOrder,
        outside: Outside,
        space: Arc<SpaceGuard>,
    ) -> (PartitionHandle, Replica) {
        let (sender, inbox) = mpsc::channel(MESSAGES_QUEUED_MAX);
        let Parts { core, log, settings, .. } = self;
        let view = Arc::new(View::new(core.log_start(), core.high_watermark(), core.log_end()));
        // Opening made all of it durable: the next checkpoint says so.
        view.set_recovery_point(log.recovery_point());
        let handle = PartitionHandle {
            topic: order.topic_id,
            partition: order.partition,
            view: Arc::clone(&view),
            reader: log.reader(),
            inbox: sender,
        };
        let replica = Replica {
            name: format!("{}-{}", order.topic, order.partition),
            outside,
            core,
            log,
            view,
            retention: settings.retention,
            space,
            inbox,
            state: State::new(),
        };
        (handle, replica)
    }
}
