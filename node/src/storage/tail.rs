//! Recently appended batches, kept in memory for readers at the end of a log: bounded per log, and by one budget that
//! all logs of a node share, so that an idle partition costs next to nothing.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Weak};

use bytes::{Buf, Bytes, BytesMut};
use weir_wire::batch::{BatchHeader, HEADER_BYTES, gap};
use weir_wire::ids::Offset;

use super::locked;
use super::shared::Shared;

/// What a batch costs beside its bytes: its place in the queue and the bookkeeping of its allocation.
const BATCH_OVERHEAD_BYTES: usize = 96;
/// Neighbouring batches shorter than this are copied together when they are read: a socket serves few long pieces
/// faster than many short ones.
const CHUNK_BYTES_MIN: usize = 2 << 10;
/// Such a copy grows up to this.
const CHUNK_BYTES_WANTED: usize = 16 << 10;

/// The end of one log, without a gap up to the log's end.
#[derive(Default)]
pub(super) struct Tail {
    batches: VecDeque<TailBatch>,
    /// What the batches cost.
    cost: usize,
    /// Used since the budget last came by.
    touched: bool,
    /// Whether the budget knows that this tail holds something.
    known: bool,
}

struct TailBatch {
    base: Offset,
    next: Offset,
    bytes: Bytes,
}

impl TailBatch {
    fn cost(&self) -> usize {
        self.bytes.len() + BATCH_OVERHEAD_BYTES
    }
}

/// Whole batches as they were stored, in pieces that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice {
    /// The bytes, in order. Each piece holds one or more whole batches.
    pub chunks: Vec<Bytes>,
    /// The offset to go on reading at.
    pub next_offset: Offset,
}

impl Slice {
    pub(super) fn empty(next_offset: Offset) -> Slice {
        Slice { chunks: Vec::new(), next_offset }
    }

    /// How many bytes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }

    /// Whether there is no batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// If the first batch only says that records are gone: lets it begin at `from`.
    pub(super) fn with_gap_from(mut self, from: Offset) -> Slice {
        let Some(first) = self.chunks.first_mut() else { return self };
        let Ok(header) = BatchHeader::parse(first) else { return self };
        if header.base_offset < from && from < header.next_offset() && header.is_gap() {
            let shorter = gap(from, header.next_offset(), header.leader_epoch, header.max_timestamp_ms);
            first.advance(HEADER_BYTES);
            let is_empty = first.is_empty();
            self.chunks.splice(..usize::from(is_empty), [shorter]);
        }
        self
    }

    /// All bytes in one piece; copies them unless they are in one already.
    #[must_use]
    pub fn into_bytes(mut self) -> Bytes {
        match self.chunks.len() {
            0 => Bytes::new(),
            1 => self.chunks.swap_remove(0),
            _ => {
                let mut all = BytesMut::with_capacity(self.len());
                self.chunks.iter().for_each(|chunk| all.extend_from_slice(chunk));
                all.freeze()
            }
        }
    }
}

impl Tail {
    /// What the batches cost.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    pub(super) fn push(&mut self, base: Offset, next: Offset, bytes: Bytes) {
        if let Some(last) = self.batches.back() {
            assert!(last.next == base, "the tail has no gap: {} follows {}", base, last.next);
        }
        let batch = TailBatch { base, next, bytes };
        self.cost += batch.cost();
        self.batches.push_back(batch);
        self.touched = true;
    }

    /// The oldest batches go until at most `cost` is left.
    pub(super) fn shrink_to(&mut self, cost: usize) {
        while self.cost > cost
            && let Some(batch) = self.batches.pop_front()
        {
            self.cost -= batch.cost();
        }
        if self.batches.is_empty() {
            // An idle partition keeps no queue either.
            self.batches = VecDeque::new();
        }
    }

    /// The batches that begin below `end` go: the disk has others in their place.
    pub(super) fn forget_below(&mut self, end: Offset) {
        while let Some(batch) = self.batches.pop_front_if(|batch| batch.base < end) {
            self.cost -= batch.cost();
        }
    }

    /// The batches from `end` on go.
    pub(super) fn truncate(&mut self, end: Offset) {
        while let Some(batch) = self.batches.pop_back_if(|batch| batch.next > end) {
            self.cost -= batch.cost();
        }
    }

    /// Reads as [`LogReader::read`](super::LogReader::read) does; `None` if `from` lies before the tail.
    pub(super) fn read(
        &mut self,
        from: Offset,
        below: Offset,
        bytes_max: usize,
        min_one_batch: bool,
    ) -> Option<Slice> {
        if self.batches.front()?.base > from {
            return None;
        }
        self.touched = true;
        let first = self.batches.partition_point(|batch| batch.next <= from);
        let mut slice = Slice::empty(from);
        let mut small = BytesMut::new();
        let mut bytes = 0;
        for batch in self.batches.range(first..).take_while(|batch| batch.next <= below) {
            let whole_first = bytes == 0 && min_one_batch;
            if bytes + batch.bytes.len() > bytes_max && !whole_first {
                break;
            }
            bytes += batch.bytes.len();
            slice.next_offset = batch.next;
            if batch.bytes.len() < CHUNK_BYTES_MIN {
                small.extend_from_slice(&batch.bytes);
                if small.len() >= CHUNK_BYTES_WANTED {
                    slice.chunks.push(small.split().freeze());
                }
            } else {
                if !small.is_empty() {
                    slice.chunks.push(small.split().freeze());
                }
                slice.chunks.push(batch.bytes.clone());
            }
        }
        if !small.is_empty() {
            slice.chunks.push(small.freeze());
        }
        Some(slice)
    }
}

/// What all tails of a node may cost together, and whose turn it is when they cost more.
pub(super) struct TailBudget {
    limit: usize,
    used: AtomicUsize,
    /// The logs with a tail, in the order in which the clock's hand comes by them.
    logs: Mutex<VecDeque<Weak<Shared>>>,
}

impl TailBudget {
    pub(super) fn new(limit: usize) -> TailBudget {
        TailBudget { limit, used: AtomicUsize::new(0), logs: Mutex::default() }
    }

    /// What all tails cost now.
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Notes that a tail changed its cost.
    pub(super) fn changed(&self, before: usize, after: usize) {
        if after >= before {
            self.used.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.used.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    /// Lets the hand of the clock come by `log`, whose tail holds something, from now on.
    pub(super) fn watch(&self, log: Weak<Shared>) {
        locked(&self.logs).push_back(log);
    }

    /// Makes room when too much is used: who has not used his tail since the last round loses it, who has loses half
    /// of it only if a whole round did not suffice.
    pub(super) fn make_room(&self) {
        let mut spared = locked(&self.logs).len();
        while self.used() > self.limit {
            let Some(next) = locked(&self.logs).pop_front() else { return };
            let Some(log) = next.upgrade() else { continue };
            let mut state = log.state();
            let tail = &mut state.tail;
            let before = tail.cost;
            if !std::mem::take(&mut tail.touched) {
                tail.shrink_to(0);
            } else if spared > 0 {
                spared -= 1;
            } else {
                tail.shrink_to(before / 2);
            }
            self.changed(before, tail.cost);
            tail.known = !tail.batches.is_empty();
            if tail.known {
                locked(&self.logs).push_back(next);
            }
        }
    }
}

impl Tail {
    /// Whether the budget has to be told of this tail; true once.
    pub(super) fn becomes_known(&mut self) -> bool {
        !self.batches.is_empty() && !std::mem::replace(&mut self.known, true)
    }
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use weir_wire::batch::{BatchBuilder, Compression, check};
    use weir_wire::ids::LeaderEpoch;

    use super::super::walk::STORED_LIMITS;
    use super::*;

    fn tail_of(lengths: &[usize]) -> Tail {
        let mut tail = Tail::default();
        for (i, length) in lengths.iter().enumerate() {
            let base = Offset(i as u64 * 10 + 100);
            tail.push(base, base + 10, Bytes::from(vec![u8::try_from(i).unwrap(); *length]));
        }
        tail
    }

    #[test]
    fn one_large_batch_is_not_copied() {
        let mut tail = tail_of(&[5000, 6000]);
        let stored = tail.batches[1].bytes.clone();
        let slice = tail.read(Offset(115), Offset(120), 1, true).expect("in the tail");
        assert_eq!(slice.next_offset, Offset(120));
        assert_eq!(slice.into_bytes().as_ptr(), stored.as_ptr());
    }

    #[test]
    fn reads_are_whole_batches_within_the_limits() {
        let mut tail = tail_of(&[10, 3000, 10, 10]);
        assert!(tail.read(Offset(99), Offset(200), 100, true).is_none(), "before the tail");
        let read = |tail: &mut Tail, from, below, max, min_one| {
            let slice = tail.read(Offset(from), Offset(below), max, min_one).expect("in the tail");
            (slice.len(), slice.next_offset.0, slice.chunks.len())
        };
        assert_eq!(read(&mut tail, 100, 140, 100_000, true), (3030, 140, 3), "small ones go together");
        assert_eq!(read(&mut tail, 105, 139, 100_000, true), (3020, 130, 3), "below cuts at whole batches");
        assert_eq!(read(&mut tail, 110, 140, 100, true), (3000, 120, 1), "at least one");
        assert_eq!(read(&mut tail, 110, 140, 100, false), (0, 110, 0));
        assert_eq!(read(&mut tail, 120, 140, 15, false), (10, 130, 1));
        assert_eq!(read(&mut tail, 140, 140, 100, true), (0, 140, 0), "the end");
        assert_eq!(read(&mut tail, 110, 110, 100, true), (0, 110, 0), "nothing below");
    }

    #[test]
    fn a_gap_begins_where_it_is_read_from_and_nothing_else_is_touched() {
        let (epoch, timestamp_ms) = (LeaderEpoch(7), 1234);
        let one = |from, next| gap(Offset(from), Offset(next), epoch, timestamp_ms);
        let of = |chunks: &[&[Bytes]]| Slice {
            chunks: chunks.iter().map(|batches| Bytes::from(batches.concat())).collect(),
            next_offset: Offset(30),
        };
        let (whole, behind) = (one(10, 20), one(20, 30));
        let alone = of(&[from_ref(&whole), from_ref(&behind)]);
        let together = of(&[&[whole, behind.clone()]]);
        for from in [9, 10, 20, 25] {
            assert_eq!(alone.clone().with_gap_from(Offset(from)), alone, "{from} does not lie within it");
        }
        let shorter = one(15, 20);
        assert!(check(&shorter, &STORED_LIMITS).is_ok(), "its checksum is its own");
        let header = BatchHeader::parse(&shorter).unwrap();
        assert_eq!((header.base_offset, header.next_offset()), (Offset(15), Offset(20)));
        assert_eq!((header.leader_epoch, header.max_timestamp_ms), (epoch, timestamp_ms));
        let expected = of(&[&[shorter], &[behind]]);
        assert_eq!(alone.with_gap_from(Offset(15)), expected);
        assert_eq!(together.with_gap_from(Offset(15)), expected, "what shares its piece comes behind it");

        let mut builder = BatchBuilder::new(Compression::None);
        for _ in 0..10 {
            builder.push(0, None, Some(b"value"), &[]);
        }
        let records = Slice { chunks: vec![builder.finish(None)], next_offset: Offset(10) };
        assert_eq!(records.clone().with_gap_from(Offset(5)), records, "records are never cut");
        assert_eq!(Slice::empty(Offset(5)).with_gap_from(Offset(5)), Slice::empty(Offset(5)));
    }

    #[test]
    fn cutting_and_shrinking_keep_the_cost_right() {
        let mut tail = tail_of(&[10, 20, 30]);
        tail.truncate(Offset(120));
        assert_eq!(tail.cost(), 30 + 2 * BATCH_OVERHEAD_BYTES);
        tail.truncate(Offset(115));
        assert_eq!(tail.cost(), 10 + BATCH_OVERHEAD_BYTES);
        tail.forget_below(Offset(100));
        assert_eq!(tail.cost(), 10 + BATCH_OVERHEAD_BYTES);
        tail.forget_below(Offset(101));
        assert_eq!(tail.cost(), 0);
        tail.shrink_to(0);
        assert_eq!((tail.cost(), tail.batches.capacity()), (0, 0));
        tail.push(Offset(7), Offset(8), Bytes::from_static(b"x"));
        assert!(tail.becomes_known() && !tail.becomes_known());
    }
}
