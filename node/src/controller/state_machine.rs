//! The metadata image as openraft's state machine, and its snapshots.
//!
//! An entry is applied once a majority has it on disk, so nobody sees metadata that a loss of power could take back.
//! The image lives in memory. A snapshot of it, one file that is replaced as a whole, stands for the log before it; a
//! start reads the snapshot and applies what the log has behind it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openraft::storage::RaftStateMachine;
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot};
use serde::{Deserialize, Serialize};
use weir_core::metadata::{Image, Rule};
use weir_wire::metadata::{LogPosition, Membership};
use weir_wire::stored::{self, Stored};

use super::types::{
    Outcomes, RaftEntry, RaftLogId, SnapshotMeta, StorageError, StoredMembership, Types, log_id, position,
    raft_membership, wire_membership,
};
use crate::outside::Outside;
use crate::storage::{self, ValueError};
use crate::watched::Watched;

/// The snapshot's file name.
const FILE: &str = "snapshot";
/// How long after a failed write a snapshot is written again.
const REPAIR_INTERVAL: Duration = Duration::from_secs(1);

/// A snapshot as it lies on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredSnapshot {
    last: Option<LogPosition>,
    membership_at: Option<LogPosition>,
    membership: Membership,
    /// A stored value of its own, so that its layout has its own version.
    image: Vec<u8>,
}

impl Stored for StoredSnapshot {
    const NAME: &'static str = "metadata snapshot";
    const VERSION: u8 = 1;
}

/// What entries are applied to.
pub(super) struct StateMachine {
    applied: Option<RaftLogId>,
    membership: StoredMembership,
    published: Arc<Watched<Image>>,
    snapshots: Snapshots,
    /// A rule that is not kept; for tests that must notice.
    without: Option<Rule>,
}

/// The newest snapshot, in memory and on disk.
#[derive(Clone)]
struct Snapshots {
    outside: Outside,
    path: PathBuf,
    newest: Arc<Mutex<Option<Snapshot<Types>>>>,
    /// Up to which entry the newest goes.
    durable: Arc<Watched<Option<u64>>>,
    /// One is written at a time: an older one must not replace a newer one.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl StateMachine {
    /// Loads the newest snapshot in the metadata folder. Images are published to the value that comes back.
    ///
    /// # Errors
    /// The snapshot is damaged, or the disk fails: a node must not guess its metadata.
    pub(super) fn open(
        outside: &Outside,
        folder: &Path,
        without: Option<Rule>,
    ) -> Result<(StateMachine, Arc<Watched<Image>>), ValueError> {
        let path = folder.join(FILE);
        storage::make_folder(&*outside.disk, folder)?;
        let newest: Option<Snapshot<Types>> =
            match storage::load_value::<StoredSnapshot>(&*outside.disk, &path)? {
                Some(stored) => {
                    let image = stored::decode::<Image>(&stored.image)
                        .map_err(|error| ValueError::Unreadable { path: path.clone(), error })?;
                    let membership = raft_membership(stored.membership);
                    let membership = StoredMembership::new(stored.membership_at.map(log_id), membership);
                    Some(Snapshot {
                        meta: meta(stored.last.map(log_id), membership),
                        snapshot: Box::new(Arc::new(image)),
                    })
                }
                None => None,
            };
        let (applied, membership, image) = match &newest {
            Some(snapshot) => (
                snapshot.meta.last_log_id,
                snapshot.meta.last_membership.clone(),
                Image::clone(&**snapshot.snapshot),
            ),
            None => (None, StoredMembership::default(), Image::default()),
        };
        let published = Arc::new(Watched::new(image));
        let newest = Arc::new(Mutex::new(newest));
        let durable = Arc::new(Watched::new(applied.as_ref().map(|last| last.index)));
        let snapshots = Snapshots { outside: outside.clone(), path, newest, durable, turn: Arc::default() };
        let machine =
            StateMachine { applied, membership, published: Arc::clone(&published), snapshots, without };
        Ok((machine, published))
    }

    /// Up to which entry a durable snapshot stands for the log.
    pub(super) fn durable(&self) -> Arc<Watched<Option<u64>>> {
        Arc::clone(&self.snapshots.durable)
    }
}

pub(super) fn meta(last_log_id: Option<RaftLogId>, last_membership: StoredMembership) -> SnapshotMeta {
    let snapshot_id = last_log_id.map_or_else(|| "empty".to_owned(), |last| last.to_string());
    SnapshotMeta { last_log_id, last_membership, snapshot_id }
}

impl Snapshots {
    fn newest(&self) -> MutexGuard<'_, Option<Snapshot<Types>>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a snapshot durable, however long the disk takes to accept it, and then the newest.
    async fn keep(&self, snapshot: Snapshot<Types>) {
        let _turn = self.turn.lock().await;
        let last = snapshot.meta.last_log_id;
        if self.newest().as_ref().is_some_and(|newest| newest.meta.last_log_id > last) {
            return;
        }
        let stored = Arc::new(StoredSnapshot {
            last: snapshot.meta.last_log_id.as_ref().map(position),
            membership_at: snapshot.meta.last_membership.log_id().as_ref().map(position),
            membership: wire_membership(snapshot.meta.last_membership.membership()),
            image: stored::encode::<Image>(&snapshot.snapshot),
        });
        loop {
            let (disk, path, stored) =
                (Arc::clone(&self.outside.disk), self.path.clone(), Arc::clone(&stored));
            let saved = self.outside.on_worker(move || storage::save_value(&*disk, &path, &*stored)).await;
            match saved {
                Ok(()) => break,
                Err(error) => {
                    tracing::error!(%error, "a metadata snapshot cannot be written; trying again until it can");
                    tokio::time::sleep(REPAIR_INTERVAL).await;
                }
            }
        }
        *self.newest() = Some(snapshot);
        self.durable.set(last.map(|last| last.index));
    }
}

impl RaftStateMachine<Types> for StateMachine {
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<RaftLogId>, StoredMembership), StorageError> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcomes>, StorageError>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut next: Option<Image> = None;
        let mut outcomes = Vec::new();
        for entry in entries {
            self.applied = Some(entry.log_id);
            let mut led_to = Outcomes::default();
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(commands) => {
                    let image = next.get_or_insert_with(|| Image::clone(&self.published.get()));
                    for command in commands.0 {
                        let outcome = match self.without {
                            None => image.apply(&command),
                            Some(rule) => image.apply_without(rule, &command),
                        };
                        match &outcome {
                            Ok(_) => tracing::info!(index = image.index.0, ?command, "metadata changed"),
                            Err(error) => {
                                tracing::debug!(index = image.index.0, %error, "a command was refused")
                            }
                        }
                        led_to.0.push((image.index, outcome));
                    }
                }
                EntryPayload::Membership(membership) => {
                    self.membership = StoredMembership::new(Some(entry.log_id), membership);
                }
            }
            outcomes.push(led_to);
        }
        if let Some(image) = next {
            self.published.set(image);
        }
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let meta = meta(self.applied, self.membership.clone());
        Builder { meta, image: self.published.get(), snapshots: self.snapshots.clone() }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Arc<Image>>, StorageError> {
        Ok(Box::default())
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<Arc<Image>>,
    ) -> Result<(), StorageError> {
        let image = Image::clone(&snapshot);
        self.snapshots.keep(Snapshot { meta: meta.clone(), snapshot }).await;
        self.applied = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        tracing::info!(index = image.index.0, "metadata replaced by a snapshot of the active controller's");
        self.published.set(image);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<Types>>, StorageError> {
        Ok(self.snapshots.newest().clone())
    }
}

/// Makes a snapshot of the image of one moment.
pub(super) struct Builder {
    meta: SnapshotMeta,
    image: Arc<Image>,
    snapshots: Snapshots,
}

impl RaftSnapshotBuilder<Types> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<Types>, StorageError> {
        let snapshot = Snapshot { meta: self.meta.clone(), snapshot: Box::new(Arc::clone(&self.image)) };
        self.snapshots.keep(snapshot.clone()).await;
        Ok(snapshot)
    }
}
