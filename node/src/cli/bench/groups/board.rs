//! Who reads which partition since when: every member notes what it reads here.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use weir_client::PartitionIndex;

use super::super::latencies::Latencies;

/// What all members share.
pub(super) struct Board {
    topic: String,
    started: Instant,
    state: Mutex<State>,
    pub(super) commits: Latencies,
}

/// Partitions that moved, and are a change's own: others may move at the same time, as the assignor likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moved {
    /// From this member.
    From(usize),
    /// To this member.
    To(usize),
}

struct State {
    /// The member that read a partition last.
    readers: Vec<Option<usize>>,
    /// When it read there first, in nanoseconds since the bench began: what was sent before waited for the move.
    since_ns: Vec<u64>,
    /// What each member was told to read, by its number.
    assigned: Vec<Vec<PartitionIndex>>,
    /// The beginning of the change that is watched.
    since: Instant,
    /// Which partitions moved, from whom to whom, and how long each was without its reader.
    moved: Vec<(usize, usize, usize, Duration)>,
    /// When the last of them did, and of each record since the change began that came from a partition which did not: when
    /// it was sent, and how late it came.
    last_moved_ns: u64,
    stayed: Vec<(usize, u64, Duration)>,
    kept: Latencies,
    committed: Latencies,
}

impl Board {
    pub(super) fn new(topic: &str, partitions: u32) -> Board {
        let now = Instant::now();
        let state = State {
            readers: (0..partitions).map(|_| None).collect(),
            since_ns: (0..partitions).map(|_| 0).collect(),
            assigned: Vec::new(),
            since: now,
            moved: Vec::new(),
            last_moved_ns: 0,
            stayed: Vec::new(),
            kept: Latencies::new(),
            committed: Latencies::new(),
        };
        Board { topic: topic.to_owned(), started: now, state: Mutex::new(state), commits: Latencies::new() }
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// The group has the name of the topic.
    pub(super) fn group(&self) -> &str {
        &self.topic
    }

    pub(super) fn partitions(&self) -> u32 {
        u32::try_from(self.state().readers.len()).unwrap_or(u32::MAX)
    }

    /// Nanoseconds since the bench began.
    pub(super) fn now_ns(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// A change begins now.
    pub(super) fn watch(&self) {
        let mut state = self.state();
        (state.since, state.moved, state.stayed) = (Instant::now(), Vec::new(), Vec::new());
    }

    /// A member reads a record, which was sent at `sent_ns`.
    pub(super) fn read(&self, member: usize, partition: PartitionIndex, sent_ns: u64) {
        let now_ns = self.now_ns();
        let mut state = self.state();
        let since = state.since;
        let Some(at) = usize::try_from(partition.0).ok().filter(|at| *at < state.readers.len()) else {
            return;
        };
        let before = state.readers[at].replace(member);
        if before == Some(member) {
            if sent_ns >= state.since_ns[at] {
                state.stayed.push((at, sent_ns, Duration::from_nanos(now_ns.saturating_sub(sent_ns))));
            }
            return;
        }
        state.since_ns[at] = now_ns;
        if let Some(before) = before {
            state.moved.push((at, before, member, since.elapsed()));
            state.last_moved_ns = now_ns;
        }
    }

    /// A member was told what it reads; a number that comes later has read nothing yet.
    pub(super) fn assign(&self, member: usize, change: impl FnOnce(&mut Vec<PartitionIndex>)) {
        let mut state = self.state();
        if state.assigned.len() <= member {
            state.assigned.resize(member + 1, Vec::new());
        }
        change(&mut state.assigned[member]);
    }

    /// How many partitions nobody has read from yet.
    pub(super) fn unread(&self) -> usize {
        self.state().readers.iter().filter(|reader| reader.is_none()).count()
    }

    /// Whether a member reads all that it was told to, and that is something.
    pub(super) fn has_all_of_its_own(&self, member: usize) -> bool {
        let state = self.state();
        let Some(assigned) = state.assigned.get(member) else { return false };
        let reads = |partition: &PartitionIndex| {
            usize::try_from(partition.0).is_ok_and(|at| state.readers.get(at) == Some(&Some(member)))
        };
        // There may be more members than partitions.
        assigned.iter().all(reads) && (!assigned.is_empty() || member >= state.readers.len())
    }

    /// Whether others read everything that a member has read.
    pub(super) fn has_none(&self, member: usize) -> bool {
        self.state().readers.iter().all(|reader| *reader != Some(member))
    }

    /// Counts those of the partitions that moved since the change began, and how late records of the others came meanwhile.
    pub(super) fn moved_into(&self, times: &Latencies, which: Moved) {
        let mut state = self.state();
        let (until_ns, stayed) = (state.last_moved_ns, std::mem::take(&mut state.stayed));
        let moved: BTreeSet<usize> = state.moved.iter().map(|(at, ..)| *at).collect();
        for (at, sent_ns, took) in stayed {
            // What was sent later says nothing of the change, and what moves later has not stayed.
            if sent_ns <= until_ns && !moved.contains(&at) {
                state.kept.record(took);
            }
        }
        for (_, from, to, took) in state.moved.drain(..) {
            let counts = match which {
                Moved::From(member) => from == member,
                Moved::To(member) => to == member,
            };
            if counts {
                times.record(took);
            }
        }
    }

    pub(super) fn take_kept(&self) -> Latencies {
        std::mem::take(&mut self.state().kept)
    }

    pub(super) fn committed(&self, took: Duration) {
        self.commits.record(took);
        self.state().committed.record(took);
    }

    pub(super) fn take_commits(&self) -> Latencies {
        std::mem::take(&mut self.state().committed)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each change is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
