//! The replicas that this node hosts: opening them, finding them, following the metadata, closing them.
//!
//! ```text
//! controller's image ──▶ follow: what should be here? ──▶ open / configure / lead / delete ──▶ one task per replica
//! handlers ──▶ get(topic, partition) ──▶ PartitionHandle ──▶ that task's inbox
//! ```

mod handle;
mod open;
mod replica;
mod space;
mod upkeep;
mod view;

pub use handle::{AppendRequest, AppendTag, Gone, PartitionHandle};
pub use view::{Bell, Standing, View, Watch};

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use tracing::{Instrument, field};
use weir_core::metadata::Image;
use weir_wire::ids::{LeaderEpoch, MetadataIndex, NodeId, PartitionIndex, TopicId};

use crate::controller::Controller;
use crate::outside::Outside;
use crate::storage::{CleanShutdown, DataFolder, OpenError, PartitionKey, RecoveryPoint, StorageError};
use crate::transport::Threads;
use crate::watched::Watched;
use handle::{Message, TopicSettings};
use open::{OpenOrder, Opened};
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
    space: Arc<SpaceGuard>,
    /// The runtimes of the network threads; a replica lives on one of them.
    threads: Vec<Handle>,
    next_thread: AtomicUsize,
    hosted: Mutex<BTreeMap<(TopicId, PartitionIndex), Hosted>>,
    /// The metadata that `hosted` follows.
    applied: Watched<MetadataIndex>,
    /// What runs until the node stops: following the metadata, and upkeep.
    background: Mutex<Vec<AbortHandle>>,
}

/// A replica that should be here.
struct Hosted {
    /// The topic's name.
    topic: String,
    /// The reign that it was last told about.
    leader_epoch: Option<LeaderEpoch>,
    /// The topic's configuration that it was last told.
    configs: BTreeMap<String, String>,
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
        threads: &Threads,
        image: &Image,
    ) -> Result<Partitions, StorageError> {
        let partitions = Partitions {
            shared: Arc::new(Shared {
                space: Arc::new(SpaceGuard::new(outside.clone(), data.root().to_owned())),
                outside,
                node,
                data,
                threads: threads.handles().to_vec(),
                next_thread: AtomicUsize::new(0),
                hosted: Mutex::new(BTreeMap::new()),
                applied: Watched::new(MetadataIndex(0)),
                background: Mutex::default(),
            }),
        };
        partitions.open_missing(image).await?;
        Ok(partitions)
    }

    /// Tells the replicas what the metadata says, and goes on doing so.
    pub async fn start(&self, controller: Controller) {
        self.follow(&controller.image()).await;
        let following = tokio::spawn(follow_metadata(self.clone(), controller));
        let upkeep = tokio::spawn(upkeep::run(self.clone()));
        self.background().extend([following.abort_handle(), upkeep.abort_handle()]);
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
        self.shared
            .outside
            .on_worker(move || {
                data.save_high_watermarks(high_watermarks)?;
                data.save_recovery_points(recovery_points)?;
                let marked =
                    if all_clean { data.mark_clean(CleanShutdown { incarnation: None }) } else { Ok(()) };
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
            .map(|(name, topic, partition, _)| OpenOrder {
                topic: name.to_owned(),
                topic_id: topic.id,
                partition,
                configs: topic.configs.clone(),
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
        let handle = match opened.replica {
            Ok(parts) => {
                made = parts.made_at().map(|point| (open::key(key.0, key.1), point));
                Some(self.spawn(&opened.order, *parts))
            }
            Err(error) => {
                let (topic, partition) = (&opened.order.topic, opened.order.partition);
                tracing::error!(topic, %partition, %error, "the partition is offline");
                metrics::gauge!("weir_partitions_offline").increment(1.0);
                None
            }
        };
        let OpenOrder { topic, configs, .. } = opened.order;
        metrics::gauge!("weir_partitions").increment(1.0);
        self.hosted().insert(key, Hosted { topic, leader_epoch: None, configs, handle });
        made
    }

    fn spawn(&self, order: &OpenOrder, parts: open::Parts) -> PartitionHandle {
        let thread = self.shared.next_thread.fetch_add(1, Ordering::Relaxed) % self.shared.threads.len();
        let (handle, replica) =
            parts.into_replica(order, self.shared.outside.clone(), Arc::clone(&self.shared.space));
        let (topic, partition) = (&order.topic, order.partition);
        let span = tracing::info_span!("replica", topic, %partition, leader_epoch = field::Empty);
        self.shared.threads[thread].spawn(replica.run().instrument(span));
        handle
    }

    /// Tells replicas of new reigns and configurations.
    async fn tell(&self, image: &Image) {
        let (mut messages, mut reigns) = (Vec::new(), Vec::new());
        {
            let mut hosted = self.hosted();
            for (_, topic, index, state) in image.partitions() {
                let Some(here) = hosted.get_mut(&(topic.id, index)) else { continue };
                let Some(handle) = &here.handle else { continue };
                if here.configs != topic.configs {
                    here.configs.clone_from(&topic.configs);
                    let settings = Box::new(TopicSettings::of(&topic.configs));
                    messages.push((handle.clone(), Message::Configure(settings)));
                }
                if state.leader == Some(self.shared.node) && here.leader_epoch != Some(state.leader_epoch) {
                    here.leader_epoch = Some(state.leader_epoch);
                    let replication_factor = u32::try_from(state.replicas.len()).unwrap_or(u32::MAX);
                    let (reply, in_force) = oneshot::channel();
                    let leader_epoch = state.leader_epoch;
                    messages
                        .push((handle.clone(), Message::Lead { leader_epoch, replication_factor, reply }));
                    reigns.push(in_force);
                }
            }
        }
        for (handle, message) in messages {
            // A replica whose task is gone says so by its standing.
            let _ = handle.inbox.send(message).await;
        }
        // Who is told that a topic was created may write to it at once.
        for in_force in reigns {
            let _ = in_force.await;
        }
    }

    /// Deletes replicas whose topic is gone.
    async fn delete_removed(&self, image: &Image) {
        let removed: Vec<_> = {
            let mut hosted = self.hosted();
            let gone: Vec<_> =
                hosted.keys().filter(|(topic, _)| image.topic_by_id(*topic).is_none()).copied().collect();
            gone.into_iter().filter_map(|key| hosted.remove(&key).map(|hosted| (key, hosted))).collect()
        };
        for ((topic_id, partition), hosted) in removed {
            metrics::gauge!("weir_partitions").decrement(1.0);
            tracing::info!(topic = hosted.topic, %topic_id, %partition, "deleting a partition");
            if let Some(handle) = hosted.handle {
                let (reply, done) = oneshot::channel();
                // Either way the task has ended before the folder goes.
                if handle.inbox.send(Message::Delete(reply)).await.is_ok() {
                    let _ = done.await;
                }
            }
            let data = Arc::clone(&self.shared.data);
            let deleted = self
                .shared
                .outside
                .on_worker(move || {
                    data.move_aside(&hosted.topic, partition)?;
                    data.purge_removed().map_err(OpenError::from)
                })
                .await;
            if let Err(error) = deleted {
                tracing::error!(%topic_id, %partition, %error, "a deleted partition's folder could not be removed");
            }
        }
    }

    fn background(&self) -> MutexGuard<'_, Vec<AbortHandle>> {
        self.shared.background.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hosted(&self) -> MutexGuard<'_, BTreeMap<(TopicId, PartitionIndex), Hosted>> {
        // The guarded code inserts and removes whole entries.
        self.shared.hosted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn follow_metadata(partitions: Partitions, controller: Controller) {
    let mut seen = *partitions.shared.applied.get();
    loop {
        let image = controller.newer_than(seen).await;
        seen = image.index;
        partitions.follow(&image).await;
    }
}
