//! The metadata log, the vote, and how far both are durable.
//!
//! ```text
//! openraft ──append, vote, truncate, purge──▶ memory (read from here) ──▶ writer task ──one frame──▶ journal
//!                                                                            │ what waits together is one frame
//!                                             told that it is durable ◀──────┘ and one sync
//! ```
//!
//! The whole log since the last snapshot is in memory, so reads cost no IO; snapshots keep it short. It is kept as it is
//! stored: decoded, commands are many small pieces of memory, which come and go among all others. The journal holds
//! the operations in their order, and is replaced by the state that they led to when it has grown long. The same
//! happens when a write failed: the next attempt writes everything anew, until the disk takes it. Until then nobody is
//! told that anything is durable, and consensus waits.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use weir_wire::metadata::{self as wire, LogPosition};
use weir_wire::request::{decode_body, encode_body};

use super::types::{
    RaftEntry, RaftLogId as EntryId, RaftVote, StorageError, Types, log_id, position, raft_entry, raft_vote,
    wire_entry, wire_vote,
};
use crate::outside::Outside;
use crate::storage::{self, Journal, JournalError};
use crate::watched::Watched;

/// The journal's file name.
const FILE: &str = "log";
/// A journal longer than this many bytes, and than twice what it would be anew, is replaced.
const JOURNAL_BYTES_GOAL: u64 = 1 << 20;
/// Bytes of entries that are sent to another node at a time, at least one entry.
const SENT_BYTES_GOAL: usize = 1 << 20;
/// How long after a failed write everything is written anew.
const REPAIR_INTERVAL: Duration = Duration::from_millis(500);
/// Operations that may share one frame.
const OPERATIONS_PER_FRAME_MAX: usize = 1024;

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The frames are whole, but do not say what they should.
    #[error("{path} holds what this program does not understand: it was written by a newer one; use that")]
    Unknown {
        /// The file.
        path: String,
    },
    /// The folder cannot be made.
    #[error(transparent)]
    Storage(#[from] storage::StorageError),
}

/// One operation on the log, as it is stored. New kinds go to the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Operation {
    /// The newest vote.
    Vote(wire::Vote),
    /// Entries that follow each other.
    Append(Vec<wire::Entry>),
    /// The entries from this index on are gone.
    Truncate(u64),
    /// The entries up to this one are gone: a snapshot stands for them.
    Purge(LogPosition),
    /// A majority has everything up to this entry.
    Commit(LogPosition),
}

/// A handle to the log. Clones are the same log.
#[derive(Clone)]
pub(super) struct LogStore {
    shared: Arc<Shared>,
    writes: mpsc::UnboundedSender<Write>,
}

struct Shared {
    log: Mutex<Log>,
    /// Why the newest attempt to write failed; `None` when it did not.
    failing: Watched<Option<storage::StorageError>>,
    /// Up to which entry a durable snapshot stands for the log, where somebody says so.
    snapshot: OnceLock<Arc<Watched<Option<u64>>>>,
}

#[derive(Default)]
struct Log {
    vote: Option<RaftVote>,
    entries: BTreeMap<u64, Stored>,
    purged: Option<EntryId>,
    committed: Option<EntryId>,
}

struct Stored {
    /// Its commands are known to this program: from openraft, or looked through when the log was opened.
    entry: wire::Entry,
    bytes: usize,
}

impl Stored {
    fn entry(&self) -> RaftEntry {
        raft_entry(self.entry.clone()).expect("only known commands are kept")
    }
}

struct Write {
    operation: Operation,
    done: Done,
}

/// Who is told that an operation is durable.
enum Done {
    Openraft(LogFlushed<Types>),
    Waiter(oneshot::Sender<()>),
}

impl LogStore {
    /// Opens the log in the metadata folder. Its writer ends when the last handle is dropped.
    pub(super) async fn open(outside: &Outside, folder: &Path) -> Result<LogStore, LogError> {
        let path = folder.join(FILE);
        let (disk, open_path) = (Arc::clone(&outside.disk), path.clone());
        storage::make_folder(&*outside.disk, folder)?;
        let opened = outside.on_worker(move || Journal::open(disk, &open_path)).await?;
        let (journal, frames, torn_bytes) = opened;
        if torn_bytes > 0 {
            tracing::warn!(
                torn_bytes,
                "the metadata log ended in a torn frame, which nobody was told of; it was cut"
            );
        }
        let unknown = || LogError::Unknown { path: path.display().to_string() };
        let mut log = Log::default();
        for frame in frames {
            let operations = decode_body::<Vec<Operation>>(&frame).map_err(|_| unknown())?;
            operations.into_iter().for_each(|operation| log.apply(operation));
        }
        if log.entries.values().any(|stored| raft_entry(stored.entry.clone()).is_none()) {
            return Err(unknown());
        }
        let shared =
            Arc::new(Shared { log: Mutex::new(log), failing: Watched::new(None), snapshot: OnceLock::new() });
        let (writes, queue) = mpsc::unbounded_channel();
        tokio::spawn(write(outside.clone(), journal, Arc::clone(&shared), queue));
        Ok(LogStore { shared, writes })
    }

    /// Has purges wait until a durable snapshot stands for what goes: openraft asks for one while the snapshot of the active
    /// controller is still being written, and a node that stopped in between would find neither.
    pub(super) fn purge_behind(&self, snapshot: Arc<Watched<Option<u64>>>) {
        // Said once, where the parts are put together.
        let _ = self.shared.snapshot.set(snapshot);
    }

    /// Whether nothing was ever written: neither an entry nor a vote.
    pub(super) fn is_empty(&self) -> bool {
        let log = self.shared.log();
        log.vote.is_none() && log.entries.is_empty() && log.purged.is_none()
    }

    /// Why the disk does not take what is to be written, if it does not.
    pub(super) fn failing(&self) -> Arc<Option<storage::StorageError>> {
        self.shared.failing.get()
    }

    /// Carries an operation out in memory, and returns once it is durable.
    async fn carry_out(&self, operation: Operation) {
        let (done, durable) = oneshot::channel();
        self.shared.log().apply(operation.clone());
        let _ = self.writes.send(Write { operation, done: Done::Waiter(done) });
        if durable.await.is_err() {
            // The writer is gone because the node stops; whoever waits must not go on as if it were done.
            std::future::pending::<()>().await;
        }
    }
}

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Vote(vote) => self.vote = Some(raft_vote(vote)),
            Operation::Append(entries) => {
                for entry in entries {
                    let bytes = encode_body(&entry).len();
                    self.entries.insert(entry.position.index, Stored { entry, bytes });
                }
            }
            Operation::Truncate(from) => drop(self.entries.split_off(&from)),
            Operation::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.purged = Some(log_id(upto));
            }
            Operation::Commit(upto) => self.committed = Some(log_id(upto)),
        }
    }

    /// The operations that lead here from nothing.
    fn operations(&self) -> Vec<Operation> {
        let vote = self.vote.as_ref().map(|vote| Operation::Vote(wire_vote(vote)));
        let purge = self.purged.as_ref().map(|purged| Operation::Purge(position(purged)));
        let entries = self.entries.values().map(|stored| stored.entry.clone()).collect();
        let all = [vote, purge, Some(Operation::Append(entries)), self.commit()];
        all.into_iter().flatten().collect()
    }

    fn commit(&self) -> Option<Operation> {
        self.committed.as_ref().map(|committed| Operation::Commit(position(committed)))
    }

    fn bytes(&self) -> usize {
        self.entries.values().map(|stored| stored.bytes).sum()
    }
}

/// The writer: what waits together becomes one frame.
async fn write(
    outside: Outside,
    mut journal: Journal,
    shared: Arc<Shared>,
    mut queue: mpsc::UnboundedReceiver<Write>,
) {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, OPERATIONS_PER_FRAME_MAX).await > 0 {
        let mut operations = Vec::with_capacity(waiting.len() + 1);
        let mut done = Vec::with_capacity(waiting.len());
        for write in waiting.drain(..) {
            operations.push(write.operation);
            done.push(write.done);
        }
        loop {
            let (returned, outcome) = write_once(&outside, journal, &shared, &operations).await;
            journal = returned;
            match outcome {
                Ok(()) => break,
                Err(error) => {
                    if shared.failing.get().is_none() {
                        tracing::error!(%error, "the metadata log cannot be written; trying again until it can");
                    }
                    shared.failing.set(Some(error));
                }
            }
            if queue.is_closed() {
                return;
            }
            tokio::time::sleep(REPAIR_INTERVAL).await;
        }
        if shared.failing.get().is_some() {
            tracing::info!("the metadata log is written again");
            shared.failing.set(None);
        }
        for done in done {
            match done {
                Done::Openraft(callback) => callback.log_io_completed(Ok(())),
                // Who waited may have been told to stop.
                Done::Waiter(waiter) => _ = waiter.send(()),
            }
        }
    }
}

async fn write_once(
    outside: &Outside,
    mut journal: Journal,
    shared: &Shared,
    operations: &[Operation],
) -> (Journal, Result<(), storage::StorageError>) {
    let replaced = {
        let log = shared.log();
        let is_long = journal.bytes() > JOURNAL_BYTES_GOAL.max(2 * log.bytes() as u64);
        (is_long || !journal.is_sound()).then(|| encode_body(&log.operations()))
    };
    match replaced {
        Some(frame) => {
            outside
                .on_worker(move || {
                    let outcome = journal.replace(&frame);
                    (journal, outcome)
                })
                .await
        }
        None => {
            let commit = shared.log().commit();
            let operations: Vec<&Operation> = commit.iter().chain(operations).collect();
            let frame = encode_body(&operations);
            outside
                .on_worker(move || {
                    let outcome = journal.append(&frame);
                    (journal, outcome)
                })
                .await
        }
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<RaftEntry>, StorageError> {
        if is_empty(&range) {
            return Ok(Vec::new());
        }
        Ok(self.shared.log().entries.range(range).map(|(_, stored)| stored.entry()).collect())
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<RaftEntry>, StorageError> {
        let log = self.shared.log();
        let mut bytes = 0;
        let fits = |stored: &&Stored| {
            let is_first = bytes == 0;
            bytes += stored.bytes;
            is_first || bytes <= SENT_BYTES_GOAL
        };
        let stored = log.entries.range(start..end.max(start)).map(|(_, stored)| stored);
        Ok(stored.take_while(fits).map(Stored::entry).collect())
    }
}

/// A range that ends before it begins makes a map panic.
fn is_empty(range: &impl RangeBounds<u64>) -> bool {
    let from = match range.start_bound() {
        Bound::Included(from) => *from,
        Bound::Excluded(before) => before.saturating_add(1),
        Bound::Unbounded => 0,
    };
    match range.end_bound() {
        Bound::Included(last) => from > *last,
        Bound::Excluded(end) => from >= *end,
        Bound::Unbounded => false,
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = LogStore;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let log = self.shared.log();
        let last = log.entries.values().next_back().map(|stored| log_id(stored.entry.position));
        Ok(LogState { last_purged_log_id: log.purged, last_log_id: last.or(log.purged) })
    }

    async fn get_log_reader(&mut self) -> LogStore {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> Result<(), StorageError> {
        self.carry_out(Operation::Vote(wire_vote(vote))).await;
        Ok(())
    }

    async fn read_vote(&mut self) -> Result<Option<RaftVote>, StorageError> {
        Ok(self.shared.log().vote)
    }

    /// Not worth a sync of its own: it leaves with the next frame, and what is lost of it only has to be learned again.
    async fn save_committed(&mut self, committed: Option<EntryId>) -> Result<(), StorageError> {
        self.shared.log().committed = committed;
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<EntryId>, StorageError> {
        Ok(self.shared.log().committed)
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: Vec<wire::Entry> = entries.into_iter().map(|entry| wire_entry(&entry)).collect();
        let operation = Operation::Append(entries);
        self.shared.log().apply(operation.clone());
        let _ = self.writes.send(Write { operation, done: Done::Openraft(callback) });
        Ok(())
    }

    async fn truncate(&mut self, from: EntryId) -> Result<(), StorageError> {
        self.carry_out(Operation::Truncate(from.index)).await;
        Ok(())
    }

    async fn purge(&mut self, upto: EntryId) -> Result<(), StorageError> {
        if let Some(snapshot) = self.shared.snapshot.get() {
            snapshot.wait_until(|durable| *durable >= Some(upto.index)).await;
        }
        self.carry_out(Operation::Purge(position(&upto))).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Disk, InlineWorkers, SimDisk};

    #[tokio::test]
    async fn commands_of_a_newer_program_are_refused_when_the_log_is_opened() {
        let disk = SimDisk::new(1);
        disk.create_dir_all(Path::new("/metadata")).unwrap();
        let (mut journal, ..) =
            Journal::open(Arc::new(disk.clone()), &Path::new("/metadata").join(FILE)).unwrap();
        let position = LogPosition { term: 1, leader: weir_wire::ids::NodeId(1), index: 1 };
        let entry = wire::Entry { position, body: wire::EntryBody::Commands(vec![1, 250]) };
        journal.append(&encode_body(&vec![Operation::Append(vec![entry])])).unwrap();
        let outside =
            Outside { disk: Arc::new(disk), workers: Arc::new(InlineWorkers), ..Outside::real().unwrap() };
        let refused = LogStore::open(&outside, Path::new("/metadata")).await.err().unwrap();
        assert!(refused.to_string().contains("written by a newer one"), "{refused}");
    }
}
