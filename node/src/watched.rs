//! A value that one task sets and many watch.
//!
//! As tokio's `watch`, but watchers wake in the order in which they began to wait. tokio's picks an order by a
//! random number of its own, which a simulation from one seed must not depend on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A shared value and the bell that rings when it changes.
#[derive(Debug)]
pub struct Watched<T> {
    value: Mutex<Arc<T>>,
    changed: Notify,
}

impl<T> Watched<T> {
    /// Starts with a value.
    pub fn new(value: T) -> Watched<T> {
        Watched { value: Mutex::new(Arc::new(value)), changed: Notify::new() }
    }

    /// The value of this moment.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.lock())
    }

    /// Sets the value and wakes who waits.
    pub fn set(&self, value: T) {
        *self.lock() = Arc::new(value);
        self.changed.notify_waiters();
    }

    /// Changes the value and wakes who waits.
    pub fn change(&self, edit: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        edit(Arc::make_mut(&mut self.lock()));
        self.changed.notify_waiters();
    }

    /// Waits until the value passes the test, and returns it. Returns at once if it does already.
    pub async fn wait_until(&self, mut test: impl FnMut(&T) -> bool) -> Arc<T> {
        loop {
            // Registered before looking, so that a change between looking and waiting is not missed.
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            let value = self.get();
            if test(&value) {
                return value;
            }
            changed.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Arc<T>> {
        // The guarded code only swaps a pointer: a poisoned lock still guards a whole value.
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
