//! The alarm where the system has no timer to wait for: who waits wakes at each time that it was set for, to find that it
//! is later now.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// See the module above.
pub(in super::super) struct Alarm {
    rings_at: Mutex<Option<Instant>>,
    bell: Condvar,
}

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// None here.
    #[expect(clippy::unnecessary_wraps, reason = "others have errors")]
    pub(in super::super) fn new() -> std::io::Result<Alarm> {
        Ok(Alarm { rings_at: Mutex::default(), bell: Condvar::new() })
    }

    /// Lets it ring after this time, and not when it was set for before.
    pub(in super::super) fn set(&self, after: Duration) {
        let at = Instant::now() + after;
        let before = self.rings_at.lock().unwrap_or_else(PoisonError::into_inner).replace(at);
        if before.is_none_or(|before| at < before) {
            self.bell.notify_all();
        }
    }

    /// Waits until it rings.
    pub(in super::super) fn wait(&self) {
        let mut rings_at = self.rings_at.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            rings_at = match rings_at.map(|at| at.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => {
                    *rings_at = None;
                    return;
                }
                Some(left) => {
                    self.bell.wait_timeout(rings_at, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.bell.wait(rings_at).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}
