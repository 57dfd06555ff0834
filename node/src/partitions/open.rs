//! Opening a replica: its log out of the data folder, its state out of the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use weir_core::metadata::{CutLog, LogTail};
use weir_core::partition::{
    Checkpoints, EpochCheckpoint, Partition, ProducerCheckpoint, Rebuilt, Restore, RestoreError, Rule,
    StoredBatch,
};
use weir_wire::batch::BatchHeader;
use weir_wire::ids::{Offset, PartitionIndex, TopicId};

use super::failures::Failures;
use super::handle::{MESSAGES_QUEUED_MAX, PartitionHandle, TopicSettings};
use super::links::Links;
use super::mailbox::{Mailbox, Ticking};
use super::moved::{Moved, Note};
use super::replica::{Replica, State};
use super::space::SpaceGuard;
use super::view::View;
use crate::controller::Controller;
use crate::outside::{Clock, Outside};
use crate::storage::{
    DataFolder, Log, OnDamage, OpenError, PartitionKey, ReadError, Recovery, RecoveryPoint, SideFiles,
    StorageError, TruncateError,
};

/// A replica that should be opened.
#[derive(Clone)]
pub(super) struct OpenOrder {
    pub(super) topic: String,
    pub(super) topic_id: TopicId,
    pub(super) partition: PartitionIndex,
    pub(super) configs: BTreeMap<String, String>,
    /// Whether other nodes have replicas too: what is damaged here can come from them.
    pub(super) has_others: bool,
    /// Whether records may have been acknowledged before they were flushed, although they must be flushed by now.
    pub(super) is_unflushed: bool,
    /// `replica.lag.time.max.ms`.
    pub(super) lag_time_max_ms: u64,
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
    /// Whether nothing that this replica may have promised is gone, as far as opening it can tell.
    keeps_its_place: bool,
    /// Where to note that a loss was told, if there was one.
    untold: Option<SideFiles>,
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
    #[error("its log could not be cut: {0}")]
    Truncate(#[from] TruncateError),
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
    let settings = TopicSettings::of(&order.configs, order.lag_time_max_ms);
    let key = key(order.topic_id, order.partition);
    // A log that has been here must be here: a partition that may hold records does not come back empty.
    let is_new = !data.has_had(key);
    let (log, recovery, is_lost) = open_log(data, order, key, &settings, is_new)?;
    report(order, &recovery);
    let core = restore(data, clock, key, &log, &settings)?;
    save_reigns(&log, &core)?;
    let keeps_its_place = recovery.keeps_its_place() && !is_lost;
    let untold = recovery.is_loss_untold.then(|| log.side_files());
    Ok(Parts { core, log, settings, is_new: is_new || is_lost, keeps_its_place, untold })
}

/// Saves the reigns that only reading the log told. After a clean stop it is not read: the checkpoint is all there is, and
/// a reign that it lacks would have records cut that are committed.
fn save_reigns(log: &Log, core: &Partition) -> Result<(), OpenFailure> {
    let (side, found) = (log.side_files(), core.epoch_checkpoint());
    let saved = side.load_epochs::<EpochCheckpoint>()?.unwrap_or_default();
    if saved != found {
        side.save_epochs(&found)?;
    }
    Ok(())
}

/// Opens the log; a folder that another topic of the same name left behind is moved aside, never reused. Says too
/// whether the log was gone.
fn open_log(
    data: &DataFolder,
    order: &OpenOrder,
    key: PartitionKey,
    settings: &TopicSettings,
    is_new: bool,
) -> Result<(Log, Recovery, bool), OpenError> {
    // What is missing here and lies on other nodes too comes back from there; until then this replica is not in sync.
    let on_damage = if order.has_others { OnDamage::Cut } else { OnDamage::Refuse };
    let open = |create| data.open_log(&order.topic, key, settings.log, create, on_damage);
    match open(is_new) {
        Err(stale @ OpenError::Stale { .. }) => {
            tracing::warn!(error = %stale, "moving the stale folder aside");
            data.move_aside(&order.topic, order.partition)?;
            open(is_new).map(|(log, recovery)| (log, recovery, false))
        }
        Err(missing @ OpenError::Missing { .. }) if order.has_others => {
            tracing::error!(error = %missing, "beginning an empty log; the records come from other nodes");
            open(true).map(|(log, recovery)| (log, recovery, true))
        }
        opened => opened.map(|(log, recovery)| (log, recovery, false)),
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
    let high_watermark = data.high_watermark(key).unwrap_or(Offset::ZERO);
    put_together(clock, key, log, settings, high_watermark, Restore::finish)
}

/// As when a replica is opened, for one whose log was cut while it went on.
pub(super) fn rebuild(
    clock: &dyn Clock,
    key: PartitionKey,
    log: &Log,
    settings: &TopicSettings,
    high_watermark: Offset,
) -> Result<Rebuilt, OpenFailure> {
    put_together(clock, key, log, settings, high_watermark, Restore::finish_truncation)
}

fn put_together<T>(
    clock: &dyn Clock,
    key: PartitionKey,
    log: &Log,
    settings: &TopicSettings,
    high_watermark: Offset,
    finish: impl Fn(Restore) -> Result<T, RestoreError>,
) -> Result<T, OpenFailure> {
    let side = log.side_files();
    let mut found = Checkpoints {
        log_start: log.start(),
        log_end: log.end(),
        flushed_end: log.flushed_end(),
        high_watermark,
        epochs: side.load_epochs::<EpochCheckpoint>()?,
        producers: side.latest_snapshot::<ProducerCheckpoint>(log.end())?.map(|(_, snapshot)| snapshot),
    };
    let replayed = replay(clock, log, settings, found.clone()).and_then(|restore| Ok(finish(restore)?));
    match replayed {
        // Both checkpoints only save reading; the log has the last word.
        Err(OpenFailure::Restore(error)) => {
            tracing::warn!(partition = %key, %error, "the checkpoints do not fit the log; reading all of it");
            (found.epochs, found.producers) = (None, None);
            replay(clock, log, settings, found).and_then(|restore| Ok(finish(restore)?))
        }
        other => other,
    }
}

fn replay(
    clock: &dyn Clock,
    log: &Log,
    settings: &TopicSettings,
    found: Checkpoints,
) -> Result<Restore, OpenFailure> {
    let mut restore = Restore::new(clock.now(), settings.core, found)?;
    if restore.replay_from() < log.end() {
        for header in log.reader().headers(restore.replay_from()) {
            restore.replay(&stored_batch(log, &header?)?)?;
        }
    }
    Ok(restore)
}

/// A batch as the core replays it. Of control batches the header does not say everything.
fn stored_batch(log: &Log, header: &BatchHeader) -> Result<StoredBatch, ReadError> {
    if !header.attributes.is_control() {
        return Ok(StoredBatch::from(header));
    }
    let bytes = header.total_bytes as usize;
    let slice = log.reader().read(header.base_offset, header.next_offset(), bytes, true)?;
    Ok(stored(header, &slice.into_bytes(), "replayed"))
}

/// A batch as the core takes it. A control batch that cannot be read is kept and says nothing.
pub(super) fn stored(header: &BatchHeader, bytes: &Bytes, partition: &str) -> StoredBatch {
    StoredBatch::read(header, bytes).unwrap_or_else(|error| {
        tracing::warn!(partition, offset = %header.base_offset, %error, "a control batch says nothing to this version");
        StoredBatch::from(header)
    })
}

/// What a replica's task is put together with.
pub(super) struct Surroundings {
    pub(super) outside: Outside,
    pub(super) data: Arc<DataFolder>,
    pub(super) space: Arc<SpaceGuard>,
    pub(super) controller: Controller,
    pub(super) links: Arc<Links>,
    pub(super) ticking: Arc<Ticking>,
    pub(super) moved: Arc<Moved>,
    pub(super) failures: Arc<Failures>,
}

impl Parts {
    /// For tests that must notice.
    pub(super) fn break_rule(&mut self, rule: Rule) {
        let whole = std::mem::replace(&mut self.core, Partition::new(self.settings.core));
        self.core = whole.without_rule(rule);
    }

    /// Where the log begins, if there was none before.
    pub(super) fn made_at(&self) -> Option<RecoveryPoint> {
        self.is_new.then(|| self.log.recovery_point())
    }

    /// Where to note that the metadata knows what opening this log lost, if it lost anything.
    pub(super) fn untold(&mut self) -> Option<SideFiles> {
        self.untold.take()
    }

    /// How far the log goes, where the node cannot vouch for it: opening it lost something, or may have. After an
    /// unclean stop that holds for everything that was not flushed before it was acknowledged (KIP-966).
    pub(super) fn cut(&self, order: &OpenOrder, was_clean: bool) -> Option<CutLog> {
        let may_lack = !was_clean && (self.settings.core.write_caching || order.is_unflushed);
        if self.keeps_its_place && !may_lack {
            return None;
        }
        let end = self.log.end();
        // A reign that began at the end of the log has no batch.
        let epochs = self.core.epoch_checkpoint().entries;
        let last_epoch = epochs.iter().rev().find(|reign| reign.start < end).map(|reign| reign.epoch);
        Some(CutLog {
            topic: order.topic_id,
            partition: order.partition,
            tail: LogTail { last_epoch: last_epoch.filter(|_| end > self.log.start()), end },
        })
    }

    /// Puts the task together, and the handle to it.
    pub(super) fn into_replica(
        self,
        order: &OpenOrder,
        surroundings: Surroundings,
    ) -> (PartitionHandle, Replica) {
        let (sender, inbox) = mpsc::channel(MESSAGES_QUEUED_MAX);
        let Parts { core, log, settings, .. } = self;
        let Surroundings { outside, data, space, controller, links, ticking, moved, failures } = surroundings;
        let note = Note::new((order.topic_id, order.partition), moved);
        let view = View::new(core.log_start(), core.high_watermark(), core.log_end()).noting(note);
        let view = Arc::new(view);
        let mailbox = Arc::new(Mailbox::default());
        // Opening made all of it durable: the next checkpoint says so.
        view.set_recovery_point(log.recovery_point());
        let handle = PartitionHandle {
            topic: order.topic_id,
            partition: order.partition,
            view: Arc::clone(&view),
            reader: log.reader(),
            inbox: sender,
            mailbox: Arc::clone(&mailbox),
        };
        let replica = Replica {
            name: format!("{}-{}", order.topic, order.partition),
            key: key(order.topic_id, order.partition),
            me: None,
            outside,
            core,
            log: Some(log),
            data,
            view,
            settings,
            space,
            controller,
            links,
            ticking,
            failures,
            inbox,
            mailbox,
            state: State::new(),
        };
        (handle, replica)
    }
}
