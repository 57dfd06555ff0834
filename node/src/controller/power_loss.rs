//! The log store under losses of power: what openraft was told to be durable is there, and nothing else that matters.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use openraft::storage::{RaftLogStorage, RaftLogStorageExt};
use openraft::testing::log_id;
use openraft::{EntryPayload, LogIdOptionExt, RaftLogReader};

use super::log_store::LogStore;
use super::types::{RaftEntry, RaftLogId, RaftVote};
use crate::outside::Outside;
use crate::storage::{Disk, InlineWorkers, SimDisk, SimRandom};
use crate::watched::Watched;

const FOLDER: &str = "/data/metadata";
/// How often a task is polled before it counts as one that waits for a disk that is gone.
const POLLS_MAX: usize = 50;

/// What a log holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct State {
    vote: Option<RaftVote>,
    purged: Option<RaftLogId>,
    entries: BTreeMap<u64, RaftLogId>,
}

#[derive(Clone, Debug)]
enum Operation {
    Vote(RaftVote),
    Append(Vec<RaftLogId>),
    Truncate(RaftLogId),
    Purge(RaftLogId),
}

impl State {
    fn next_index(&self) -> u64 {
        self.entries.keys().next_back().map_or_else(|| self.purged.next_index(), |last| last + 1)
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Vote(vote) => self.vote = Some(*vote),
            Operation::Append(ids) => self.entries.extend(ids.iter().map(|id| (id.index, *id))),
            Operation::Truncate(from) => _ = self.entries.split_off(&from.index),
            Operation::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.purged = Some(*upto);
            }
        }
    }

    fn draw(&self, dice: &mut SimRandom, term: u64) -> Operation {
        let held: Vec<RaftLogId> = self.entries.values().copied().collect();
        let count = 1 + dice.below(3) as u64;
        match dice.below(10) {
            0 | 1 => Operation::Vote(RaftVote::new(term, count)),
            2 if !held.is_empty() => Operation::Truncate(held[dice.below(held.len())]),
            3 if !held.is_empty() => Operation::Purge(held[dice.below(held.len())]),
            _ => {
                let from = self.next_index();
                Operation::Append((from..from + count).map(|index| log_id(term, 1, index)).collect())
            }
        }
    }
}

/// A disk with the folder, which survives.
fn fresh_disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new(FOLDER)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.sync_dir(Path::new("/data")).unwrap();
    disk
}

fn outside(disk: &SimDisk) -> Outside {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Outside { disk, workers: Arc::new(InlineWorkers), ..Outside::real().unwrap() }
}

async fn carry_out(log: &mut LogStore, operation: Operation) {
    match operation {
        Operation::Vote(vote) => log.save_vote(&vote).await.unwrap(),
        Operation::Append(ids) => {
            let entry = |id| RaftEntry { log_id: id, payload: EntryPayload::Blank };
            log.blocking_append(ids.into_iter().map(entry)).await.unwrap();
        }
        Operation::Truncate(from) => log.truncate(from).await.unwrap(),
        Operation::Purge(upto) => log.purge(upto).await.unwrap(),
    }
}

/// `None` when the future waits for something that does not come.
async fn unless_stuck<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..POLLS_MAX {
        if let Poll::Ready(done) = futures_poll(&mut future).await {
            return Some(done);
        }
        tokio::task::yield_now().await;
    }
    None
}

async fn futures_poll<F: Future>(future: &mut std::pin::Pin<&mut F>) -> Poll<F::Output> {
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await
}

async fn state(log: &mut LogStore) -> State {
    let entries = log.try_get_log_entries(..).await.unwrap();
    State {
        vote: log.read_vote().await.unwrap(),
        purged: log.get_log_state().await.unwrap().last_purged_log_id,
        entries: entries.into_iter().map(|entry| (entry.log_id.index, entry.log_id)).collect(),
    }
}

async fn life_and_death(seed: u64) {
    let mut dice = SimRandom::new(seed);
    let mut disk = fresh_disk(seed);
    let mut durable = State::default();
    for term in 1..6 {
        let mut log = LogStore::open(&outside(&disk), Path::new(FOLDER)).await.unwrap();
        let mut told = durable.clone();
        assert_eq!(state(&mut log).await, durable, "seed {seed}, term {term}");
        disk.stop_after(1 + dice.below(60) as u64);
        let mut in_flight = durable.clone();
        for _ in 0..30 {
            let operation = told.draw(&mut dice, term);
            in_flight.apply(&operation);
            if unless_stuck(carry_out(&mut log, operation)).await.is_none() {
                break;
            }
            told = in_flight.clone();
        }
        disk = if dice.below(2) == 0 { disk.power_loss() } else { disk.process_crash() };
        let mut log = LogStore::open(&outside(&disk), Path::new(FOLDER)).await.unwrap();
        durable = state(&mut log).await;
        assert!(
            durable == told || durable == in_flight,
            "seed {seed}, term {term}: {durable:?} is neither {told:?} nor {in_flight:?}"
        );
    }
}

#[test]
fn what_was_told_to_be_durable_is_there_after_a_loss_of_power() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for seed in 0..200 {
        runtime.block_on(life_and_death(seed));
    }
}

#[test]
fn a_journal_that_has_grown_long_is_replaced_by_what_it_leads_to() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let disk = fresh_disk(1);
        let mut log = LogStore::open(&outside(&disk), Path::new(FOLDER)).await.unwrap();
        for index in 0..30_000 {
            let entry = RaftEntry { log_id: log_id(1, 1, index), payload: EntryPayload::Blank };
            log.blocking_append([entry]).await.unwrap();
            if index % 1000 == 999 {
                log.purge(log_id(1, 1, index - 10)).await.unwrap();
            }
        }
        let bytes = disk.content(Path::new(FOLDER).join("log")).len();
        assert!(bytes < 1_200_000, "{bytes} bytes for ten entries");
        let mut again = LogStore::open(&outside(&disk.power_loss()), Path::new(FOLDER)).await.unwrap();
        assert_eq!(state(&mut again).await.entries.len(), 10);
    });
}

/// A node whose process died between a purge and the snapshot that it was for had neither, and never started again.
#[test]
fn nothing_is_purged_before_a_durable_snapshot_stands_for_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let disk = fresh_disk(3);
        let mut log = LogStore::open(&outside(&disk), Path::new(FOLDER)).await.unwrap();
        let durable = Arc::new(Watched::new(Some(2)));
        log.purge_behind(Arc::clone(&durable));
        let entry = |index| RaftEntry { log_id: log_id(1, 0, index), payload: EntryPayload::Blank };
        log.blocking_append((1..=5).map(entry)).await.unwrap();
        log.purge(log_id(1, 0, 2)).await.unwrap();
        {
            let mut purging = pin!(log.purge(log_id(1, 0, 4)));
            for _ in 0..POLLS_MAX {
                assert!(futures_poll(&mut purging).await.is_pending(), "its snapshot is not there yet");
            }
            durable.set(Some(4));
            purging.await.unwrap();
        }
        let mut again = LogStore::open(&outside(&disk.power_loss()), Path::new(FOLDER)).await.unwrap();
        assert_eq!(state(&mut again).await.purged, Some(log_id(1, 0, 4)));
    });
}

#[test]
fn a_disk_that_fails_for_a_while_delays_what_is_told_and_loses_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let disk = fresh_disk(2);
        let mut log = LogStore::open(&outside(&disk), Path::new(FOLDER)).await.unwrap();
        disk.fail_syncs(1);
        assert!(log.failing().is_none());
        log.save_vote(&RaftVote::new(7, 3)).await.unwrap();
        assert!(log.failing().is_none(), "it was written anew");
        let mut again = LogStore::open(&outside(&disk.power_loss()), Path::new(FOLDER)).await.unwrap();
        assert_eq!(again.read_vote().await.unwrap(), Some(RaftVote::new(7, 3)));
    });
}
