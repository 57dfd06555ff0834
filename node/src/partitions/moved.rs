//! Which replicas' marks moved since they were checkpointed last.
//!
//! Whoever checkpoints looks at these alone: what nobody writes to is left where it is. To look at ten thousand idle replicas
//! every five seconds took 5 % of a core, nearly all of it for memory that was in no cache any more.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_wire::ids::{PartitionIndex, TopicId};

type Key = (TopicId, PartitionIndex);

/// The replicas of a node whose marks moved.
#[derive(Debug, Default)]
pub(super) struct Moved(Mutex<Vec<Arc<Note>>>);

impl Moved {
    /// Those that moved since this was called last. Look at their marks afterwards: what is set from now on is noted anew.
    pub(super) fn take(&self) -> Vec<Key> {
        let notes = std::mem::take(&mut *self.lock());
        for note in &notes {
            note.is_noted.swap(false, Ordering::AcqRel);
        }
        notes.iter().map(|note| note.key).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Note>>> {
        // A note is in the list or not, whatever happened to who held it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where one replica notes that its marks moved.
#[derive(Debug)]
pub(super) struct Note {
    key: Key,
    moved: Arc<Moved>,
    is_noted: AtomicBool,
}

impl Note {
    pub(super) fn new(key: Key, moved: Arc<Moved>) -> Arc<Note> {
        Arc::new(Note { key, moved, is_noted: AtomicBool::new(false) })
    }

    /// A mark was set just now.
    pub(super) fn moved(self: &Arc<Note>) {
        // Always a swap: one that finds the note made comes before the swap of whoever looks, who then sees the mark.
        if !self.is_noted.swap(true, Ordering::AcqRel) {
            self.moved.lock().push(Arc::clone(self));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_is_noted_once_until_somebody_looks() {
        let moved = Arc::new(Moved::default());
        let key = |index| (TopicId([7; 16]), PartitionIndex(index));
        let [one, two] = [0, 1].map(|index| Note::new(key(index), Arc::clone(&moved)));
        assert_eq!(moved.take(), []);
        one.moved();
        two.moved();
        one.moved();
        assert_eq!(moved.take(), [key(0), key(1)]);
        two.moved();
        assert_eq!((moved.take(), moved.take()), (vec![key(1)], vec![]));
    }
}
