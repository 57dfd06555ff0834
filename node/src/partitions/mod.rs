//! The replicas that this node hosts: opening them, finding them, following the metadata, closing them.
//!
//! ```text
//! controller's image ──▶ follow: what should be here? ──▶ open / configure / roles / delete ──▶ one task per replica
//! handlers ──▶ get(topic, partition) ──▶ PartitionHandle ──▶ that task's inbox
//! replication (other nodes) ──▶ PartitionHandle, FollowerMail ──▶ that task's mailbox
//!                           ◀── Links, FollowerSink ◀── that task
//! ```

mod failures;
mod handle;
mod links;
mod mailbox;
mod moved;
mod open;
#[cfg(test)]
mod open_tests;
mod replica;
mod roles;
mod space;
mod upkeep;
mod view;

pub use handle::{AppendRequest, AppendTag, Gone, PartitionHandle, Progress};
pub use links::{FollowerOrder, FollowingReplica, LeaderLink, Links, Outgoing};
pub use mailbox::{
    Credit, CreditMeter, FRAME_BYTES_QUEUED_MAX, FollowerMail, FollowerSink, ReplicaFrame, ToFollower,
};
pub use view::{Bell, Interest, Standing, View, Watch};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{Instrument, field};
use weir_core::metadata::{CutLog, Image, LogTail, ProcessId};
use weir_core::node_config::NodeConfig;
use weir_core::partition::Rule;
use weir_wire::ids::{Incarnation, MetadataIndex, NodeId, Offset, PartitionIndex, TopicId};

use crate::controller::Controller;
use crate::outside::Outside;
use crate::storage::{
    CleanShutdown, DataFolder, OpenError, PartitionKey, RecoveryPoint, SideFiles, StorageError,
};
use crate::transport::Threads;
use crate::watched::Watched;
use failures::Failures;
use handle::{Message, TopicSettings};
use mailbox::Ticking;
use moved::Moved;
use open::{OpenOrder, Opened, Surroundings};
use roles::Role;
use space::SpaceGuard;

/// Replicas that are opened side by side.
const OPENED_AT_A_TIME: usize = 8;

/// The hosted replicas. Cheap to clone.
#[derive(Clone)]
pub struct Partitions {
    shared: Arc<Shared>,
}

struct Shared {
    outside: Outside,
    node: NodeId,
    data: Arc<DataFolder>,
    /// Whether the last process on this data folder ended in order.
    was_clean: bool,
    /// A rule that replicas here do not keep; for tests that must notice.
    without: Option<Rule>,
    controller: Controller,
    space: Arc<SpaceGuard>,
    links: Arc<Links>,
    failures: Arc<Failures>,
    /// The runtimes of the network threads; a replica lives on one of them.
    threads: Vec<Handle>,
    /// The replicas of each of these threads that hear that time passes.
    ticking: Vec<Arc<Ticking>>,
    /// Whose marks are to be checkpointed.
    moved: Arc<Moved>,
    next_thread: AtomicUsize,
    hosted: Mutex<BTreeMap<(TopicId, PartitionIndex), Hosted>>,
    /// Logs that this node cannot vouch for, as they were found when it started.
    cut: Mutex<Vec<CutLog>>,
    /// The files of those of them that this process, or one before it, cut: where to note that the metadata knows.
    untold: Mutex<Vec<SideFiles>>,
    /// This process, once it is registered.
    process: OnceLock<ProcessId>,
    /// The metadata that `hosted` follows.
    applied: Watched<MetadataIndex>,
    /// What runs until the node stops: following the metadata, ticks and upkeep.
    background: Mutex<Vec<AbortHandle>>,
}

/// A replica that should be here.
struct Hosted {
    /// The topic's name.
    topic: String,
    /// The part that it was last told to play.
    role: Option<Role>,
    /// The topic's configuration that it was last told.
    configs: BTreeMap<String, String>,
    /// `replica.lag.time.max.ms`, as it was last told.
    lag_time_max_ms: u64,
    /// Whether its configuration says that it is compacted.
    compacts: bool,
    /// What it was last told of deleted records.
    deleted_before: Offset,
    /// `None` when it could not be opened: the partition is offline, and the log says why.
    handle: Option<PartitionHandle>,
}

impl Partitions {
    /// Opens every replica that the metadata assigns to this node. A replica that cannot be opened is reported and
    /// stays offline. One that never had a log here gets one: the node may have stopped between hearing of it and
    /// making it.
    ///
    /// # Errors
    /// When the data folder cannot note which logs are here now.
    pub async fn open(
        outside: Outside,
        node: NodeId,
        data: Arc<DataFolder>,
        was_clean: bool,
        threads: &Threads,
        controller: Controller,
        without: Option<Rule>,
    ) -> Result<Partitions, StorageError> {
        let image = controller.image();
        let partitions = Partitions {
            shared: Arc::new(Shared {
                space: Arc::new(SpaceGuard::new(outside.clone(), data.root().to_owned())),
                outside,
                node,
                data,
                was_clean,
                without,
                controller,
                links: Arc::default(),
                failures: Arc::new(Failures::none()),
                threads: threads.handles().to_vec(),
                ticking: threads.handles().iter().map(|_| Arc::default()).collect(),
                moved: Arc::default(),
                next_thread: AtomicUsize::new(0),
                hosted: Mutex::default(),
                cut: Mutex::default(),
                untold: Mutex::default(),
                process: OnceLock::new(),
                applied: Watched::new(MetadataIndex(0)),
                background: Mutex::default(),
            }),
        };
        partitions.open_missing(&image).await?;
        Ok(partitions)
    }

    /// The logs that this node cannot vouch for, for its registration.
    #[must_use]
    pub fn cut_logs(&self) -> Vec<CutLog> {
        self.shared.cut.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What replicas here have to say to their leaders elsewhere.
    #[must_use]
    pub fn links(&self) -> Arc<Links> {
        Arc::clone(&self.shared.links)
    }

    /// Tells the replicas what the metadata says, and goes on doing so. Call it when this process is registered: under
    /// `incarnation`, or a later one of its own.
    pub async fn start(&self, incarnation: Incarnation) {
        let mut image = self.shared.controller.image();
        let process = loop {
            match image.nodes.get(&self.shared.node) {
                Some(state) if state.incarnation >= incarnation => break state.process,
                // The registration is decided, and on its way here.
                _ => image = self.shared.controller.newer_than(image.index).await,
            }
        };
        // A second start would be of the same process.
        let _ = self.shared.process.set(process);
        self.losses_are_told().await;
        self.follow(&image).await;
        self.sweep().await;
        let mut background = vec![
            tokio::spawn(follow_metadata(self.clone())).abort_handle(),
            tokio::spawn(upkeep::checkpoints(self.clone())).abort_handle(),
            tokio::spawn(upkeep::housekeeping(self.clone())).abort_handle(),
            tokio::spawn(failures::report(self.clone())).abort_handle(),
            tokio::spawn(upkeep::compact(self.clone())).abort_handle(),
        ];
        for (thread, replicas) in self.shared.threads.iter().zip(&self.shared.ticking) {
            background.push(thread.spawn(upkeep::tick(Arc::clone(replicas))).abort_handle());
        }
        self.background().extend(background);
    }

    /// Notes in the logs that lost something that this process's registration told of it.
    async fn losses_are_told(&self) {
        let untold = std::mem::take(&mut *self.untold());
        if untold.is_empty() {
            return;
        }
        let noted =
            self.shared.outside.on_worker(move || untold.iter().try_for_each(SideFiles::loss_is_told));
        if let Err(error) = noted.await {
            tracing::warn!(%error, "a log's loss is told once more at the next start");
        }
    }

    /// The replica of a partition, if it is here and could be opened.
    #[must_use]
    pub fn get(&self, topic: TopicId, partition: PartitionIndex) -> Option<PartitionHandle> {
        self.hosted().get(&(topic, partition))?.handle.clone()
    }

    /// Waits until what the metadata said at `index` was done here.
    pub async fn applied(&self, index: MetadataIndex) {
        self.shared.applied.wait_until(|applied| *applied >= index).await;
    }

    /// Closes every replica politely, notes that it was so, and gives the data folder up.
    ///
    /// # Errors
    /// When the note could not be made durable; the next start recovers as after a crash.
    pub async fn close(&self) -> Result<(), StorageError> {
        self.background().drain(..).for_each(|task| task.abort());
        let handles: Vec<_> = self.hosted().values().map(|hosted| hosted.handle.clone()).collect();
        // Of a replica that could not be opened, or whose task is gone, nobody knows how it left its files.
        let mut all_clean = handles.iter().all(Option::is_some);
        let mut reports = Vec::with_capacity(handles.len());
        for handle in handles.into_iter().flatten() {
            let (reply, report) = oneshot::channel();
            all_clean &= handle.inbox.send(Message::Close(reply)).await.is_ok();
            reports.push((handle, report));
        }
        let (mut recovery_points, mut high_watermarks) = (Vec::new(), Vec::new());
        for (handle, report) in reports {
            let Ok(report) = report.await else {
                all_clean = false;
                continue;
            };
            all_clean &= report.is_clean;
            recovery_points.push((handle.key(), report.recovery_point));
            high_watermarks.push((handle.key(), report.high_watermark));
        }
        let data = Arc::clone(&self.shared.data);
        let incarnation = self.myself(&self.shared.controller.image()).map(|me| me.incarnation);
        self.shared
            .outside
            .on_worker(move || {
                data.save_high_watermarks(high_watermarks)?;
                data.save_recovery_points(recovery_points)?;
                let marked = if all_clean { data.mark_clean(CleanShutdown { incarnation }) } else { Ok(()) };
                data.release();
                marked
            })
            .await
    }

    /// Makes what is here follow the metadata.
    async fn follow(&self, image: &Image) {
        self.delete_removed(image).await;
        match self.open_missing(image).await {
            Ok(()) => self.tell(image).await,
            Err(error) => {
                tracing::error!(%error, "new partitions stay without a leader until the node restarts");
            }
        }
        self.shared.applied.set(image.index);
    }

    /// Opens what the metadata assigns to this node and is not here yet.
    ///
    /// # Errors
    /// When it could not be noted which logs are here now. They must then take no records.
    async fn open_missing(&self, image: &Image) -> Result<(), StorageError> {
        let (mut opening, mut made) = (JoinSet::new(), Vec::new());
        for order in self.orders(image) {
            while opening.len() >= OPENED_AT_A_TIME {
                made.extend(self.opened(opening.join_next().await));
            }
            let (outside, data) = (self.shared.outside.clone(), Arc::clone(&self.shared.data));
            opening.spawn(async move {
                let clock = Arc::clone(&outside.clock);
                outside.on_worker(move || open::open(&data, &*clock, order)).await
            });
        }
        while let Some(opened) = opening.join_next().await {
            made.extend(self.opened(Some(opened)));
        }
        if made.is_empty() {
            return Ok(());
        }
        // Before a new log takes its first record it is noted that it exists: from then on it must not be missing.
        let data = Arc::clone(&self.shared.data);
        self.shared.outside.on_worker(move || data.save_recovery_points(made)).await
    }

    /// Replicas that the metadata assigns to this node and that are not here yet.
    fn orders(&self, image: &Image) -> Vec<OpenOrder> {
        let hosted = self.hosted();
        image
            .partitions()
            .filter(|(_, topic, index, state)| {
                state.replicas.contains(&self.shared.node) && !hosted.contains_key(&(topic.id, *index))
            })
            .map(|(name, topic, partition, state)| OpenOrder {
                topic: name.to_owned(),
                topic_id: topic.id,
                partition,
                configs: topic.configs.clone(),
                has_others: state.replicas.len() > 1,
                is_unflushed: state.unflushed.contains(&self.shared.node),
                lag_time_max_ms: self.lag_time_max_ms(image),
            })
            .collect()
    }

    /// Takes in a replica that was opened, and starts its task. Returns where its log begins if it was made just now.
    fn opened(
        &self,
        joined: Option<Result<Opened, tokio::task::JoinError>>,
    ) -> Option<(PartitionKey, RecoveryPoint)> {
        let opened = joined?;
        let opened = opened.expect("opening a replica does not panic");
        let key = (opened.order.topic_id, opened.order.partition);
        let mut made = None;
        let thread = self.shared.next_thread.fetch_add(1, Ordering::Relaxed) % self.shared.threads.len();
        let handle = match opened.replica {
            Ok(mut parts) => {
                if let Some(rule) = self.shared.without {
                    parts.break_rule(rule);
                }
                made = parts.made_at().map(|point| (open::key(key.0, key.1), point));
                self.cannot_vouch_for(parts.cut(&opened.order, self.shared.was_clean));
                self.untold().extend(parts.untold());
                Some(self.spawn(&opened.order, *parts, thread))
            }
            Err(error) => {
                let (topic, partition) = (&opened.order.topic, opened.order.partition);
                tracing::error!(topic, %partition, %error, "the partition is offline");
                metrics::gauge!("weir_partitions_offline").increment(1.0);
                self.shared.failures.note(key);
                let nothing = CutLog { topic: key.0, partition: key.1, tail: LogTail::default() };
                // Where no other node has it, it waits for an operator to mend this log.
                self.cannot_vouch_for(opened.order.has_others.then_some(nothing));
                None
            }
        };
        let OpenOrder { topic, configs, lag_time_max_ms, .. } = opened.order;
        metrics::gauge!("weir_partitions").increment(1.0);
        let compacts = TopicSettings::of(&configs, lag_time_max_ms).compaction.is_some();
        let deleted_before = Offset::ZERO;
        let hosted = Hosted { topic, role: None, configs, lag_time_max_ms, compacts, deleted_before, handle };
        let view = hosted.handle.as_ref().map(|handle| Arc::clone(&handle.view));
        self.hosted().insert(key, hosted);
        // What was noted before nobody could have found here.
        view.iter().for_each(|view| view.note_marks());
        made
    }

    fn cannot_vouch_for(&self, log: Option<CutLog>) {
        self.shared.cut.lock().unwrap_or_else(PoisonError::into_inner).extend(log);
    }

    fn untold(&self) -> MutexGuard<'_, Vec<SideFiles>> {
        self.shared.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, order: &OpenOrder, parts: open::Parts, thread: usize) -> PartitionHandle {
        let surroundings = Surroundings {
            outside: self.shared.outside.clone(),
            data: Arc::clone(&self.shared.data),
            space: Arc::clone(&self.shared.space),
            controller: self.shared.controller.clone(),
            links: Arc::clone(&self.shared.links),
            ticking: Arc::clone(&self.shared.ticking[thread]),
            moved: Arc::clone(&self.shared.moved),
            failures: Arc::clone(&self.shared.failures),
        };
        let (handle, replica) = parts.into_replica(order, surroundings);
        let (topic, partition) = (&order.topic, order.partition);
        let span = tracing::info_span!("replica", topic, %partition, leader_epoch = field::Empty);
        self.shared.threads[thread].spawn(replica.run().instrument(span));
        handle
    }

    /// `replica.lag.time.max.ms`.
    fn lag_time_max_ms(&self, image: &Image) -> u64 {
        self.node_config(image).replica_lag_time_max_ms
    }

    /// What this node goes by.
    fn node_config(&self, image: &Image) -> NodeConfig {
        image.node_config(self.shared.node, self.shared.controller.started_with())
    }

    /// This node as it is registered, if the metadata means this process.
    fn myself(&self, image: &Image) -> Option<weir_core::partition::Member> {
        roles::myself(image, self.shared.node, *self.shared.process.get()?)
    }

    /// Tells replicas of new roles and configurations.
    async fn tell(&self, image: &Image) {
        let (me, lag_time_max_ms) = (self.myself(image), self.lag_time_max_ms(image));
        let (mut messages, mut roles) = (Vec::new(), Vec::new());
        {
            let mut hosted = self.hosted();
            for (_, topic, index, state) in image.partitions() {
                let Some(here) = hosted.get_mut(&(topic.id, index)) else { continue };
                let Some(handle) = &here.handle else { continue };
                // The role first: a leader that begins to count what was written must know whose earlier lives wrote it.
                let role = me.map(|me| roles::role(image, state, me));
                if let Some(role) = role.filter(|role| here.role.as_ref() != Some(role)) {
                    here.role = Some(role.clone());
                    let (reply, in_force) = oneshot::channel();
                    messages.push((handle.clone(), Message::Role { role: Box::new(role), reply }));
                    roles.push(in_force);
                }
                let deleted_before = image.deleted_before(topic.id, index);
                if here.deleted_before < deleted_before {
                    here.deleted_before = deleted_before;
                    let (reply, in_force) = oneshot::channel();
                    messages.push((handle.clone(), Message::DeleteRecords { before: deleted_before, reply }));
                    roles.push(in_force);
                }
                if here.configs != topic.configs || here.lag_time_max_ms != lag_time_max_ms {
                    here.configs.clone_from(&topic.configs);
                    here.lag_time_max_ms = lag_time_max_ms;
                    let settings = Box::new(TopicSettings::of(&topic.configs, lag_time_max_ms));
                    here.compacts = settings.compaction.is_some();
                    messages.push((handle.clone(), Message::Configure(settings)));
                }
            }
        }
        for (handle, message) in messages {
            // A replica whose task is gone says so by its standing.
            let _ = handle.inbox.send(message).await;
        }
        // Who is told that a topic was created may write to it at once.
        for in_force in roles {
            let _ = in_force.await;
        }
    }

    /// Deletes replicas whose topic is gone, or whose partition other nodes have from now on.
    async fn delete_removed(&self, image: &Image) {
        let is_gone = |(topic, partition): &(TopicId, PartitionIndex)| {
            let topic = image.topic_by_id(*topic).map(|(_, topic)| topic);
            let state = topic.and_then(|topic| topic.partitions.get(partition.0 as usize));
            state.is_none_or(|state| !state.replicas.contains(&self.shared.node))
        };
        let removed: Vec<_> = {
            let mut hosted = self.hosted();
            let gone: Vec<_> = hosted.keys().filter(|key| is_gone(key)).copied().collect();
            gone.into_iter().filter_map(|key| hosted.remove(&key).map(|hosted| (key, hosted))).collect()
        };
        for ((topic_id, partition), hosted) in removed {
            metrics::gauge!("weir_partitions").decrement(1.0);
            tracing::info!(topic = hosted.topic, %topic_id, %partition, "deleting a partition");
            if let Some(handle) = hosted.handle {
                let (reply, done) = oneshot::channel();
                let is_topic_there = image.topic_by_id(topic_id).is_some();
                let message = if is_topic_there { Message::Leave(reply) } else { Message::Delete(reply) };
                // Either way the task has ended before the folder goes.
                if handle.inbox.send(message).await.is_ok() {
                    let _ = done.await;
                }
            }
            self.remove_folder(hosted.topic, partition).await;
        }
    }

    /// Removes folders that no replica here claims: their partitions were deleted, or went to other nodes, while this node
    /// was away. What does not say whose it is stays for a person to look at.
    async fn sweep(&self) {
        let data = Arc::clone(&self.shared.data);
        // A stale folder of the same name was moved aside when the replica was opened.
        let known: BTreeSet<_> =
            self.hosted().iter().map(|((_, index), hosted)| (hosted.topic.clone(), *index)).collect();
        let list = move || data.partitions_but(|topic, index| known.contains(&(topic.to_owned(), index)));
        let folders = match self.shared.outside.on_worker(list).await {
            Ok(folders) => folders,
            Err(error) => return tracing::warn!(%error, "what else lies in the data folder is not known"),
        };
        for folder in folders {
            let Ok(topic_id) = folder.topic_id else { continue };
            if !self.hosted().contains_key(&(topic_id, folder.partition)) {
                let (topic, partition) = (folder.topic, folder.partition);
                if self.remove_folder(topic.clone(), partition).await {
                    tracing::info!(topic, %topic_id, %partition, "a partition that is not here any more was removed");
                }
            }
        }
    }

    /// Whether it is gone; the log says why not.
    async fn remove_folder(&self, topic: String, partition: PartitionIndex) -> bool {
        let data = Arc::clone(&self.shared.data);
        let name = topic.clone();
        let remove = move || {
            data.move_aside(&name, partition)?;
            data.purge_removed().map_err(OpenError::from)
        };
        if let Err(error) = self.shared.outside.on_worker(remove).await {
            tracing::error!(topic, %partition, %error, "the folder of a partition could not be removed");
            return false;
        }
        true
    }

    fn background(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.shared.background.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hosted(&self) -> MutexGuard<'_, BTreeMap<(TopicId, PartitionIndex), Hosted>> {
        // The guarded code inserts and removes whole entries.
        self.shared.hosted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow_metadata(partitions: Partitions) {
    let mut seen = *partitions.shared.applied.get();
    loop {
        let image = partitions.shared.controller.newer_than(seen).await;
        seen = image.index;
        partitions.follow(&image).await;
    }
}
