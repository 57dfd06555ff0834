//! The place of one coordinator: a partition of `__consumer_offsets`. Waits until the replica here leads, loads, serves,
//! and begins anew.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tracing::Instrument;
use weir_core::group::{Ask, Asker, Reply};
use weir_wire::error::WireError;
use weir_wire::ids::LeaderEpoch;

use super::Shared;
use super::loading::{LoadError, load};
use super::serving::Serving;
use crate::partitions::{Bell, Interest, PartitionHandle, Standing};

/// Requests that may wait for one coordinator; who asks more waits.
const REQUESTS_QUEUED_MAX: usize = 1024;
/// The pause before a coordinator that ended while its replica leads begins anew.
const AGAIN_PAUSE: Duration = Duration::from_millis(200);

/// A seat; dropping it ends whoever sits on it.
#[derive(Debug)]
pub(super) struct Seat {
    occupant: Arc<Mutex<Occupant>>,
    task: AbortHandle,
}

/// Who sits there.
#[derive(Debug)]
enum Occupant {
    Absent(Absent),
    Coordinator(mpsc::Sender<Asked>),
}

/// Why nobody answers here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// The partition is led by another node.
    Elsewhere,
    /// Its log is being read.
    Loading,
}

/// A request on its way to a coordinator.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) asker: Asker,
    pub(super) ask: Ask,
    pub(super) reply: oneshot::Sender<Result<Reply, WireError>>,
}

/// A coordinator that can be asked.
#[derive(Clone, Debug)]
pub(super) struct CoordinatorHandle(mpsc::Sender<Asked>);

impl CoordinatorHandle {
    /// Waits for the answer; `None` when the coordinator ended first.
    pub(super) async fn ask(self, asker: Asker, ask: Ask) -> Option<Result<Reply, WireError>> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Asked { asker, ask, reply }).await.ok()?;
        answer.await.ok()
    }
}

impl Seat {
    /// Takes the place of a hosted partition.
    pub(super) fn take(shared: Arc<Shared>, handle: PartitionHandle) -> Seat {
        let occupant = Arc::new(Mutex::new(Occupant::Absent(Absent::Elsewhere)));
        let span = tracing::info_span!("groups", partition = %handle.partition);
        let running = Running { shared, handle, occupant: Arc::clone(&occupant) };
        let task = tokio::spawn(running.run().instrument(span)).abort_handle();
        Seat { occupant, task }
    }

    /// Who can be asked at the moment.
    pub(super) fn coordinator(&self) -> Result<CoordinatorHandle, Absent> {
        match &*self.occupant.lock().unwrap_or_else(PoisonError::into_inner) {
            Occupant::Coordinator(inbox) => Ok(CoordinatorHandle(inbox.clone())),
            Occupant::Absent(why) => Err(*why),
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Running {
    shared: Arc<Shared>,
    handle: PartitionHandle,
    occupant: Arc<Mutex<Occupant>>,
}

impl Running {
    async fn run(self) {
        let bell = Arc::new(Bell::default());
        let _watch = self.handle.view.watch(Interest::Committed, Arc::clone(&bell), 0);
        loop {
            self.is_now(Occupant::Absent(Absent::Elsewhere));
            let leader_epoch = rung(&bell, || leads(&self.handle)).await;
            self.is_now(Occupant::Absent(Absent::Loading));
            self.reign(leader_epoch, &bell).await;
            if leads(&self.handle) == Some(leader_epoch) {
                self.is_now(Occupant::Absent(Absent::Loading));
                tokio::time::sleep(AGAIN_PAUSE).await;
            }
        }
    }

    /// Loads and serves, until this reign is over or a write failed.
    async fn reign(&self, leader_epoch: LeaderEpoch, bell: &Arc<Bell>) {
        let replay = match load(&self.shared.outside, &self.handle, leader_epoch, bell).await {
            Ok(replay) => replay,
            Err(LoadError::Deposed) => return,
            Err(error) => {
                tracing::error!(%error, "the groups of this partition have no coordinator");
                return;
            }
        };
        let (inbox, requests) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let serving = Serving::begin(&self.shared, &self.handle, leader_epoch, replay).await;
        self.is_now(Occupant::Coordinator(inbox));
        tracing::debug!(%leader_epoch, "coordinating");
        serving.run(requests, bell).await;
        tracing::debug!(%leader_epoch, "no longer coordinating");
    }

    fn is_now(&self, occupant: Occupant) {
        *self.occupant.lock().unwrap_or_else(PoisonError::into_inner) = occupant;
    }
}

/// The reign in which the replica here leads, if it does.
pub(super) fn leads(handle: &PartitionHandle) -> Option<LeaderEpoch> {
    let before = handle.view.leader_epoch();
    let leads = handle.view.standing() == Standing::Leading;
    // The two marks are not set as one.
    (leads && handle.view.leader_epoch() == before).then_some(before)
}

/// Waits until a look that is taken whenever the bell rings finds something. Cancel safe.
pub(super) async fn rung<T>(bell: &Bell, mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        while bell.take().is_some() {}
        if let Some(found) = look() {
            return found;
        }
        bell.wait().await;
    }
}
