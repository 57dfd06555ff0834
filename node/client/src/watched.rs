//! A small value that one sets and many watch.
//!
//! As tokio's `watch`, but who waits is woken in the order in which the waiting began. tokio's picks an order by a
//! random number of its own, which a simulation from one seed must not depend on: lanes that wait for metadata would
//! open in another order each time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The shared value and the bell that rings when it changes.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    value: Mutex<T>,
    changed: Notify,
}

/// Somebody's view of a value: which one they saw last.
#[derive(Debug)]
pub(crate) struct Watcher<T> {
    watched: Arc<Watched<T>>,
    seen: T,
}

impl<T: Copy + PartialEq> Watched<T> {
    pub(crate) fn new(value: T) -> Arc<Watched<T>> {
        Arc::new(Watched { value: Mutex::new(value), changed: Notify::new() })
    }

    /// Sets the value and wakes who waits.
    pub(crate) fn set(&self, value: T) {
        *self.lock() = value;
        self.changed.notify_waiters();
    }

    /// A watcher that has seen the value of this moment.
    pub(crate) fn watch(self: &Arc<Self>) -> Watcher<T> {
        let seen = *self.lock();
        Watcher { watched: Arc::clone(self), seen }
    }

    fn lock(&self) -> MutexGuard<'_, T> {
        // The guarded code copies a value.
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Copy + PartialEq> Watcher<T> {
    /// Waits until the value is another than the one seen last.
    ///
    /// # Cancel safety
    /// A change during which nobody waited is noticed by the next call.
    pub(crate) async fn changed(&mut self) {
        loop {
            // Registered before looking, so that a change between looking and waiting is not missed.
            let mut changed = std::pin::pin!(self.watched.changed.notified());
            changed.as_mut().enable();
            let value = *self.watched.lock();
            if value != self.seen {
                self.seen = value;
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll(watcher: &mut Watcher<u64>) -> Poll<()> {
        std::pin::pin!(watcher.changed()).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_change_is_noticed_once_also_when_nobody_waited() {
        let watched = Watched::new(1);
        let mut watcher = watched.watch();
        assert_eq!(poll(&mut watcher), Poll::Pending);
        watched.set(2);
        assert_eq!(poll(&mut watcher), Poll::Ready(()));
        assert_eq!(poll(&mut watcher), Poll::Pending);
    }
}
