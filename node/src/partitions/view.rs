//! What everybody on the node may know of a replica without asking its task: how far it may be read, and a bell.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use weir_wire::ids::{LeaderEpoch, Offset};

use super::moved::Note;
use crate::storage::RecoveryPoint;

/// The marks of a replica, set by its task and read by anybody.
///
/// Each mark is exact when it is set and only ever behind afterwards; `log_start <= high_watermark` as seen by one
/// reader holds when it reads the log start first.
#[derive(Debug, Default)]
pub struct View {
    log_start: AtomicU64,
    high_watermark: AtomicU64,
    log_end: AtomicU64,
    reign_start: AtomicU64,
    leader_epoch: AtomicU32,
    standing: AtomicU8,
    recovery_point: Mutex<Option<RecoveryPoint>>,
    watchers: Mutex<BTreeMap<u64, Watcher>>,
    next_watcher: AtomicU64,
    /// Where it is noted that what is checkpointed moved.
    note: Option<Arc<Note>>,
}

/// What a replica is good for at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Standing {
    /// It does not lead: it follows, or was not told anything yet.
    Idle = 0,
    /// It takes appends and serves readers.
    Leading = 1,
    /// Its disk failed; committed records may still be readable.
    Failed = 2,
    /// Its topic was deleted.
    Deleted = 3,
}

impl View {
    /// A view of a replica that serves nobody yet.
    #[must_use]
    pub fn new(log_start: Offset, high_watermark: Offset, log_end: Offset) -> View {
        View {
            log_start: AtomicU64::new(log_start.0),
            high_watermark: AtomicU64::new(high_watermark.0),
            log_end: AtomicU64::new(log_end.0),
            ..View::default()
        }
    }

    /// The same, which notes whenever what is checkpointed moves.
    pub(super) fn noting(self, note: Arc<Note>) -> View {
        View { note: Some(note), ..self }
    }

    /// What is checkpointed moved, or could not be checkpointed.
    pub(super) fn note_marks(&self) {
        if let Some(note) = &self.note {
            note.moved();
        }
    }

    /// The first offset still served.
    pub fn log_start(&self) -> Offset {
        Offset(self.log_start.load(Ordering::Acquire))
    }

    /// The end of what consumers may read.
    pub fn high_watermark(&self) -> Offset {
        Offset(self.high_watermark.load(Ordering::Acquire))
    }

    /// The end of what is committed, as far as a reader may take it for all there is: `None` while the high watermark is
    /// below the end that the log had when the reign began. What the last leader had committed may reach up to there, and
    /// nobody is told an end below what was acknowledged (KIP-207).
    pub fn committed_end(&self) -> Option<Offset> {
        let reign_start = Offset(self.reign_start.load(Ordering::Acquire));
        Some(self.high_watermark()).filter(|high_watermark| *high_watermark >= reign_start)
    }

    /// The end of the log.
    pub fn log_end(&self) -> Offset {
        Offset(self.log_end.load(Ordering::Acquire))
    }

    /// The reign in force.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.load(Ordering::Acquire))
    }

    /// What the replica is good for.
    pub fn standing(&self) -> Standing {
        match self.standing.load(Ordering::Acquire) {
            1 => Standing::Leading,
            2 => Standing::Failed,
            3 => Standing::Deleted,
            _ => Standing::Idle,
        }
    }

    /// Up to where the log is on disk for sure; `None` until something was flushed since the start.
    pub(super) fn recovery_point(&self) -> Option<RecoveryPoint> {
        *self.recovery_point.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_recovery_point(&self, to: RecoveryPoint) {
        *self.recovery_point.lock().unwrap_or_else(PoisonError::into_inner) = Some(to);
        self.note_marks();
    }

    pub(super) fn set_log_start(&self, to: Offset) {
        self.log_start.store(to.0, Ordering::Release);
        self.ring(|_| true);
    }

    pub(super) fn set_high_watermark(&self, to: Offset) {
        self.high_watermark.store(to.0, Ordering::Release);
        self.note_marks();
        self.ring(|_| true);
    }

    pub(super) fn set_log_end(&self, to: Offset) {
        self.log_end.store(to.0, Ordering::Release);
        self.ring(|interest| interest == Interest::Written);
    }

    /// Says that a reign begins where the log ends at `start`. Comes before the reign's standing: who reads the marks of a
    /// reign knows that it leads.
    pub(super) fn set_reign_start(&self, start: Offset) {
        self.reign_start.store(start.0, Ordering::Release);
    }

    pub(super) fn set_standing(&self, standing: Standing, leader_epoch: LeaderEpoch) {
        self.leader_epoch.store(leader_epoch.0, Ordering::Release);
        self.standing.store(standing as u8, Ordering::Release);
        self.ring(|_| true);
    }

    /// Rings `bell` with `token` whenever a mark of interest moves, until the watch is dropped.
    pub fn watch(self: &Arc<Self>, interest: Interest, bell: Arc<Bell>, token: u64) -> Watch {
        let id = self.next_watcher.fetch_add(1, Ordering::Relaxed);
        self.watchers().insert(id, Watcher { interest, bell, token });
        Watch { view: Arc::clone(self), id }
    }

    fn ring(&self, concerns: impl Fn(Interest) -> bool) {
        for watcher in self.watchers().values().filter(|watcher| concerns(watcher.interest)) {
            watcher.bell.ring(watcher.token);
        }
    }

    fn watchers(&self) -> MutexGuard<'_, BTreeMap<u64, Watcher>> {
        // Insert, remove and iterate leave the map whole wherever they stop.
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which marks a watcher wants to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// What consumers may read.
    Committed,
    /// Everything that is written, as a follower needs it.
    Written,
}

#[derive(Debug)]
struct Watcher {
    interest: Interest,
    bell: Arc<Bell>,
    token: u64,
}

/// A place among a replica's watchers; dropping it gives the place up.
#[derive(Debug)]
pub struct Watch {
    view: Arc<View>,
    id: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.view.watchers().remove(&self.id);
    }
}

/// One waiter for many replicas: collects the tokens of those that moved, each once, in the order of moving.
#[derive(Debug, Default)]
pub struct Bell {
    rung: Mutex<Rung>,
    notify: Notify,
}

/// Tokens in the order of ringing, and the same tokens to find out quickly whether one is among them.
#[derive(Debug, Default)]
struct Rung {
    order: VecDeque<u64>,
    among: BTreeSet<u64>,
}

impl Bell {
    /// Notes the token, if it is not noted already, and wakes the waiter.
    pub fn ring(&self, token: u64) {
        let mut rung = self.rung();
        if rung.among.insert(token) {
            rung.order.push_back(token);
            self.notify.notify_one();
        }
    }

    /// The token that has waited longest.
    pub fn take(&self) -> Option<u64> {
        let mut rung = self.rung();
        let token = rung.order.pop_front()?;
        rung.among.remove(&token);
        Some(token)
    }

    /// The token that [`take`](Bell::take) would give.
    pub fn first(&self) -> Option<u64> {
        self.rung().order.front().copied()
    }

    /// Waits until there is a token to take. Cancel safe.
    pub async fn wait(&self) {
        while self.rung().order.is_empty() {
            self.notify.notified().await;
        }
    }

    fn rung(&self) -> MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_rings_once_per_token_until_it_is_dropped() {
        let view = Arc::new(View::new(Offset(0), Offset(0), Offset(0)));
        let bell = Arc::new(Bell::default());
        let watch = view.watch(Interest::Committed, Arc::clone(&bell), 7);
        let _follower = view.watch(Interest::Written, Arc::clone(&bell), 8);
        view.set_log_end(Offset(4));
        assert_eq!((bell.take(), bell.take()), (Some(8), None));
        view.set_high_watermark(Offset(3));
        view.set_high_watermark(Offset(4));
        assert_eq!((bell.take(), bell.take(), bell.take()), (Some(7), Some(8), None));
        assert_eq!(view.high_watermark(), Offset(4));
        drop(watch);
        view.set_high_watermark(Offset(5));
        assert_eq!((bell.take(), bell.take()), (Some(8), None));
    }

    #[test]
    fn a_new_leader_tells_no_end_below_what_the_last_one_may_have_committed() {
        let view = View::new(Offset(0), Offset(3), Offset(5));
        view.set_reign_start(Offset(5));
        view.set_standing(Standing::Leading, LeaderEpoch(2));
        assert_eq!(view.committed_end(), None);
        view.set_high_watermark(Offset(4));
        assert_eq!(view.committed_end(), None);
        view.set_high_watermark(Offset(5));
        assert_eq!(view.committed_end(), Some(Offset(5)));
        view.set_high_watermark(Offset(6));
        assert_eq!(view.committed_end(), Some(Offset(6)));
    }
}
