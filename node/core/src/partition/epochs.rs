//! The reigns of a log: which leader epoch starts at which offset.
//!
//! ```text
//!  epoch 1        epoch 3            epoch 4 (no data yet)
//!  |              |                  |
//!  [--------------|------------------)
//!  log start                         log end
//! ```
//!
//! The cache is a function of the log, plus at most one entry at the log end for a reign that has written nothing
//! (Kafka's `LeaderEpochFileCache`; KIP-101, KIP-279, KIP-320). Truncation after a change of leader follows it, never
//! the high watermark.

use serde::{Deserialize, Serialize};
use weir_wire::ids::{LeaderEpoch, Offset};
use weir_wire::stored::Stored;

/// A reign and the offset at which it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    /// The reign.
    pub epoch: LeaderEpoch,
    /// The first offset that it may have written.
    pub start: Offset,
}

/// A reign and the offset at which it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The reign.
    pub epoch: LeaderEpoch,
    /// The offset after its last one.
    pub end: Offset,
}

/// The stored form of the reigns of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochCheckpoint {
    /// In the order of the log; both numbers strictly increase.
    pub entries: Vec<EpochStart>,
}

impl Stored for EpochCheckpoint {
    const NAME: &'static str = "leader epoch checkpoint";
    const VERSION: u8 = 1;
}

/// The reigns of a log, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EpochCache {
    /// Epochs and starts both strictly increase.
    entries: Vec<EpochStart>,
}

impl EpochCache {
    /// The cache out of its stored form; `None` if that one is not in order.
    pub(crate) fn load(checkpoint: EpochCheckpoint) -> Option<EpochCache> {
        let in_order = |pair: &[EpochStart]| pair[0].epoch < pair[1].epoch && pair[0].start < pair[1].start;
        checkpoint.entries.windows(2).all(in_order).then_some(EpochCache { entries: checkpoint.entries })
    }

    pub(crate) fn checkpoint(&self) -> EpochCheckpoint {
        EpochCheckpoint { entries: self.entries.clone() }
    }

    /// The newest reign.
    pub(crate) fn newest(&self) -> Option<EpochStart> {
        self.entries.last().copied()
    }

    /// Records that `epoch` starts at `start`, if it is news. An older reign that would start there or later wrote
    /// nothing that is left, so it goes.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start: Offset) {
        if let Some(newest) = self.newest() {
            if newest.epoch == epoch {
                return;
            }
            assert!(newest.epoch < epoch, "leader epochs never decrease along a log");
        }
        self.entries.retain(|entry| entry.start < start);
        self.entries.push(EpochStart { epoch, start });
    }

    /// Where `epoch` ended, as a leader answers a follower or a consumer (Kafka's `endOffsetFor`):
    /// the newest reign ends at the log end; a reign newer than any known is unknown; a reign older than all known
    /// ends where the first known one starts; else the answer is the largest reign not above `epoch` and the start
    /// of the next one.
    pub(crate) fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<EpochEnd> {
        let newest = self.newest()?;
        if epoch == newest.epoch {
            return Some(EpochEnd { epoch, end: log_end });
        }
        let next = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let end = self.entries.get(next)?.start;
        let found = next.checked_sub(1).map_or(epoch, |index| self.entries[index].epoch);
        Some(EpochEnd { epoch: found, end })
    }

    /// The reign of the last batch of a log that ends at `log_end`: not one that has written nothing.
    pub(crate) fn last_written(&self, log_end: Offset) -> Option<LeaderEpoch> {
        let last = self.entries.iter().rev().find(|entry| entry.start < log_end);
        last.map(|entry| entry.epoch)
    }

    /// The log now starts at `log_start`. The reign that straddles it starts there.
    pub(crate) fn truncate_from_start(&mut self, log_start: Offset) {
        let kept_from = self.entries.partition_point(|entry| entry.start <= log_start).saturating_sub(1);
        self.entries.drain(..kept_from);
        if let Some(first) = self.entries.first_mut() {
            first.start = first.start.max(log_start);
        }
    }

    /// The log now ends at `log_end`: reigns that start at or behind it go, also one that had written nothing
    /// (Kafka's KAFKA-10706: leaving it makes a follower ask for a reign that its own log does not hold).
    /// Returns whether any went.
    pub(crate) fn truncate_from_end(&mut self, log_end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start < log_end);
        self.entries.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cache(entries: &[(u32, u64)]) -> EpochCache {
        let mut cache = EpochCache::default();
        for (epoch, start) in entries {
            cache.assign(LeaderEpoch(*epoch), Offset(*start));
        }
        cache
    }

    fn listed(cache: &EpochCache) -> Vec<(u32, u64)> {
        cache.entries.iter().map(|entry| (entry.epoch.0, entry.start.0)).collect()
    }

    #[test]
    fn end_of_follows_its_table() {
        let cache = cache(&[(2, 10), (5, 20), (9, 40)]);
        let end =
            |epoch| cache.end_of(LeaderEpoch(epoch), Offset(50)).map(|found| (found.epoch.0, found.end.0));
        assert_eq!(end(9), Some((9, 50)), "the newest reign ends at the log end");
        assert_eq!(end(10), None, "a newer reign than any is unknown");
        assert_eq!(end(1), Some((1, 10)), "an older reign than any ends where the first starts");
        assert_eq!(end(2), Some((2, 20)));
        assert_eq!(end(4), Some((2, 20)), "a reign in between is answered by the one before it");
        assert_eq!(end(8), Some((5, 40)));
        assert_eq!(EpochCache::default().end_of(LeaderEpoch(0), Offset(0)), None);
    }

    #[test]
    fn a_reign_without_data_gives_way_to_the_next() {
        let mut cache = cache(&[(1, 0), (2, 10), (3, 10)]);
        assert_eq!(listed(&cache), [(1, 0), (3, 10)]);
        cache.assign(LeaderEpoch(3), Offset(15));
        assert_eq!(listed(&cache), [(1, 0), (3, 10)], "the same reign again is no news");
    }

    #[test]
    fn truncation_from_the_end_takes_the_empty_reign_too() {
        let mut cache = cache(&[(1, 0), (2, 10), (3, 20)]);
        cache.truncate_from_end(Offset(20));
        assert_eq!(listed(&cache), [(1, 0), (2, 10)]);
        cache.truncate_from_end(Offset(5));
        assert_eq!(listed(&cache), [(1, 0)]);
    }

    #[test]
    fn truncation_from_the_start_keeps_the_straddling_reign() {
        let mut cache = cache(&[(1, 0), (2, 10), (3, 20)]);
        cache.truncate_from_start(Offset(15));
        assert_eq!(listed(&cache), [(2, 15), (3, 20)]);
        cache.truncate_from_start(Offset(20));
        assert_eq!(listed(&cache), [(3, 20)]);
        cache.truncate_from_start(Offset(90));
        assert_eq!(listed(&cache), [(3, 90)]);
    }

    #[test]
    fn a_stored_cache_that_is_out_of_order_is_refused() {
        let entry = |epoch, start| EpochStart { epoch: LeaderEpoch(epoch), start: Offset(start) };
        for entries in
            [vec![entry(2, 0), entry(1, 5)], vec![entry(1, 5), entry(2, 5)], vec![entry(1, 5), entry(1, 6)]]
        {
            assert!(EpochCache::load(EpochCheckpoint { entries: entries.clone() }).is_none(), "{entries:?}");
        }
    }

    /// A log as the epoch of every offset, and what the cache must be for it.
    fn naive(log: &[u32]) -> Vec<(u32, u64)> {
        let mut entries: Vec<(u32, u64)> = Vec::new();
        for (offset, epoch) in (0u64..).zip(log) {
            if entries.last().is_none_or(|(last, _)| last != epoch) {
                entries.push((*epoch, offset));
            }
        }
        entries
    }

    /// The rule of `end_of`, read off the log itself.
    fn naive_end(log: &[u32], asked: u32) -> Option<(u32, u64)> {
        let newest = *log.last()?;
        if asked > newest {
            return None;
        }
        let at_or_below = log.iter().filter(|epoch| **epoch <= asked).count() as u64;
        let found = log.iter().copied().filter(|epoch| *epoch <= asked).max().unwrap_or(asked);
        Some((found, at_or_below))
    }

    proptest! {
        #[test]
        fn the_cache_is_a_function_of_the_log(
            steps in prop::collection::vec((0u32..3, 0usize..4), 0..12),
            cut in 0usize..40,
            asked in 0u32..40,
        ) {
            let (mut log, mut cache, mut epoch) = (Vec::new(), EpochCache::default(), 0);
            for (raise, batches) in steps {
                epoch += raise;
                if batches > 0 {
                    cache.assign(LeaderEpoch(epoch), Offset(log.len() as u64));
                    log.extend(std::iter::repeat_n(epoch, batches));
                }
            }
            prop_assert_eq!(listed(&cache), naive(&log));
            let end = |cache: &EpochCache, log: &[u32]| {
                cache.end_of(LeaderEpoch(asked), Offset(log.len() as u64)).map(|found| (found.epoch.0, found.end.0))
            };
            prop_assert_eq!(end(&cache, &log), naive_end(&log, asked));

            log.truncate(cut);
            cache.truncate_from_end(Offset(log.len() as u64));
            prop_assert_eq!(listed(&cache), naive(&log));
            prop_assert_eq!(end(&cache, &log), naive_end(&log, asked));
            prop_assert_eq!(listed(&EpochCache::load(cache.checkpoint()).unwrap()), naive(&log));
        }
    }
}
