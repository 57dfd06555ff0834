//! What became of a record, and waiting for it.
//!
//! All records of a batch share one [`Completion`]; a [`Delivery`] is a reference to it and an index. So a result
//! that nobody waits for costs nothing, and one that somebody waits for costs a reference count.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use weir_wire::error::WireError;
use weir_wire::ids::{Offset, PartitionIndex};
use weir_wire::lane::Promise;

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryResult {
    /// Stored, as `acks` asked. (With [`Acks::None`](weir_wire::lane::Acks::None) nothing is promised.)
    Stored {
        /// The partition.
        partition: PartitionIndex,
        /// The offset; `None` where it is not told (`acks=0`) or the partition does not remember it any more.
        offset: Option<Offset>,
        /// Whether an earlier try, whose answer was lost, had stored it.
        duplicate: bool,
        /// The promise that was kept for the record's batch.
        promise: Promise,
    },
    /// Dropped by an interceptor, as its operator wants. Not an error.
    Dropped,
    /// Rejected by an interceptor, with its reason.
    Rejected(WireError),
    /// Not stored, and the library will not try again.
    Failed(WireError),
    /// May or may not be stored: nobody could say until `delivery_timeout`, or nobody can say any more; so
    /// it is of a batch that was sent again and on which a plugin failed five times then.
    Unknown(WireError),
}

impl DeliveryResult {
    /// Whether the record is stored.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        matches!(self, DeliveryResult::Stored { .. })
    }

    /// The result of the record that comes `index` records behind the one that has this result, in the same run.
    #[must_use]
    pub(crate) fn behind(&self, index: u32) -> DeliveryResult {
        match self {
            DeliveryResult::Stored { partition, offset, duplicate, promise } => DeliveryResult::Stored {
                partition: *partition,
                offset: offset.map(|offset| offset + u64::from(index)),
                duplicate: *duplicate,
                promise: *promise,
            },
            other => other.clone(),
        }
    }
}

/// Neighbouring records of a batch with the same result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveredRun<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// How many records.
    pub records: u32,
    /// The first one's result. That of the others differs in the offset, which rises by 1.
    pub first: &'a DeliveryResult,
}

/// Is told every result, as it becomes known. A closure over [`DeliveredRun`] is one.
pub trait DeliveryObserver: Send + Sync {
    /// Called from a task of the runtime: it must not block.
    fn delivered(&self, run: &DeliveredRun<'_>);
}

impl<F: Fn(&DeliveredRun<'_>) + Send + Sync> DeliveryObserver for F {
    fn delivered(&self, run: &DeliveredRun<'_>) {
        self(run);
    }
}

/// The result of one record: a future that ends once it is known, `delivery_timeout` after `send` at the latest.
/// Dropping it changes nothing for the record.
#[derive(Debug)]
#[must_use = "a delivery tells whether the record was stored; drop it with `let _ =` if something else does"]
pub struct Delivery {
    completion: Arc<Completion>,
    index: u32,
    /// Where this delivery's waker stands, once it waited.
    slot: Option<usize>,
}

impl Delivery {
    pub(crate) fn new(completion: Arc<Completion>, index: u32) -> Delivery {
        Delivery { completion, index, slot: None }
    }

    /// The result, if it is known already.
    #[must_use]
    pub fn result(&self) -> Option<DeliveryResult> {
        self.completion.result(self.index)
    }
}

impl Future for Delivery {
    type Output = DeliveryResult;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<DeliveryResult> {
        if let Some(result) = self.result() {
            return Poll::Ready(result);
        }
        let slot = self.completion.wake_later(self.slot, context.waker());
        self.slot = Some(slot);
        // It may have been settled between the look and the registration.
        match self.result() {
            Some(result) => Poll::Ready(result),
            None => Poll::Pending,
        }
    }
}

/// Neighbouring records with one result, as a lane settles them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SettledRun {
    pub(crate) records: u32,
    /// Of the first; see [`DeliveryResult::behind`].
    pub(crate) first: DeliveryResult,
}

/// The shared result of a batch's records.
#[derive(Debug, Default)]
pub(crate) struct Completion {
    /// Each run with the index behind its last record.
    runs: OnceLock<Vec<(u32, SettledRun)>>,
    wakers: Mutex<Vec<Waker>>,
}

impl Completion {
    pub(crate) fn is_settled(&self) -> bool {
        self.runs.get().is_some()
    }

    /// Says what became of the records. The first word holds.
    pub(crate) fn settle(&self, runs: Vec<SettledRun>) {
        let mut end = 0;
        let with_ends = runs.into_iter().map(|run| {
            end += run.records;
            (end, run)
        });
        if self.runs.set(with_ends.collect()).is_ok() {
            let wakers = std::mem::take(&mut *self.wakers.lock().unwrap_or_else(PoisonError::into_inner));
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// Says that nobody will ever say, whatever the number of records.
    pub(crate) fn abandon(&self, error: &WireError) {
        self.settle(vec![SettledRun { records: u32::MAX, first: DeliveryResult::Unknown(error.clone()) }]);
    }

    fn result(&self, index: u32) -> Option<DeliveryResult> {
        let runs = self.runs.get()?;
        let at = runs.partition_point(|(end, _)| *end <= index);
        let (end, run) = runs.get(at).expect("the runs of a settled batch cover its records");
        Some(run.first.behind(index - (end - run.records)))
    }

    fn wake_later(&self, slot: Option<usize>, waker: &Waker) -> usize {
        let mut wakers = self.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        match slot {
            // Gone when the batch was settled meanwhile: the caller looks once more.
            Some(slot) if slot < wakers.len() => {
                wakers[slot].clone_from(waker);
                slot
            }
            _ => {
                wakers.push(waker.clone());
                wakers.len() - 1
            }
        }
    }
}

/// Waits until all of a batch's records have their result.
pub(crate) struct WholeBatch(pub(crate) Arc<Completion>);

impl Future for WholeBatch {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0.is_settled() {
            return Poll::Ready(());
        }
        self.0.wake_later(None, context.waker());
        if self.0.is_settled() { Poll::Ready(()) } else { Poll::Pending }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use weir_wire::error::ErrorCode;
    use weir_wire::ids::Revision;

    use super::*;

    fn stored(offset: u64) -> DeliveryResult {
        DeliveryResult::Stored {
            partition: PartitionIndex(3),
            offset: Some(Offset(offset)),
            duplicate: false,
            promise: Promise { replicas: 1, flushed: true, revision: Revision(1) },
        }
    }

    struct Count(AtomicU32);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn each_record_finds_its_own_result() {
        let completion = Arc::new(Completion::default());
        completion.settle(vec![
            SettledRun { records: 2, first: stored(10) },
            SettledRun { records: 1, first: DeliveryResult::Dropped },
            SettledRun { records: 2, first: stored(12) },
        ]);
        let results: Vec<_> = (0..5).map(|index| completion.result(index).unwrap()).collect();
        assert_eq!(results, [stored(10), stored(11), DeliveryResult::Dropped, stored(12), stored(13)]);
    }

    #[test]
    fn all_who_wait_are_woken_once() {
        let completion = Arc::new(Completion::default());
        let count = Arc::new(Count(AtomicU32::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let mut deliveries: Vec<_> =
            (0..3).map(|index| Delivery::new(Arc::clone(&completion), index)).collect();
        for delivery in &mut deliveries {
            assert!(Pin::new(&mut *delivery).poll(&mut context).is_pending());
            assert!(
                Pin::new(delivery).poll(&mut context).is_pending(),
                "polling again takes no second place"
            );
        }
        let error = WireError::new(ErrorCode::TimedOut, "too late");
        completion.settle(vec![SettledRun { records: 3, first: DeliveryResult::Unknown(error) }]);
        assert_eq!(count.0.load(Ordering::Relaxed), 3);
        for delivery in &mut deliveries {
            assert!(Pin::new(delivery).poll(&mut context).is_ready());
        }
    }

    #[test]
    fn the_first_word_holds() {
        let completion = Completion::default();
        completion.settle(vec![SettledRun { records: 1, first: stored(1) }]);
        completion.settle(vec![SettledRun { records: 1, first: DeliveryResult::Dropped }]);
        assert_eq!(completion.result(0), Some(stored(1)));
    }
}
