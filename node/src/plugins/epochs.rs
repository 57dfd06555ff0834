//! Epochs: time as it passes for calls of plugins, so that one that runs long makes room for others, and ends.
//!
//! ```text
//!  call begins ──▶ alarm in 2 ms ──▶ call ends, the next one begins ──▶ alarm in 2 ms from then ...
//!                                │
//!                                └─ still running: it rings, an epoch has passed, and so on every 2 ms
//! ```
//!
//! Calls are short, mostly. So the alarm is put off from call to call, and a thread wakes only where one runs long, and
//! once after the last.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::alarm::Alarm;

/// How long an epoch lasts: a plugin that runs longer makes room for others.
pub(super) const EPOCH: Duration = Duration::from_millis(2);
/// How soon after a call began the alarm may ring at the earliest, if no other call runs. Calls that begin within this
/// time of each other set it once.
const EARLIEST_NS: u64 = 1_000_000;
/// What stands for an alarm that is not set.
const UNSET: u64 = 0;

/// What makes epochs pass while calls run. Its thread ends with it.
pub(super) struct Epochs {
    started: Instant,
    running: AtomicUsize,
    /// When the alarm rings, in nanoseconds since `started`, or [`UNSET`].
    rings_at: AtomicU64,
    /// Held where the alarm is set, and where it is left.
    setting: Mutex<()>,
    alarm: Arc<Alarm>,
}

/// A call that is under way.
pub(super) struct Running<'a>(&'a Epochs);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Epochs {
    /// Starts the thread. It calls `pass` whenever an epoch has passed.
    ///
    /// # Errors
    /// When the system gives no thread, or no timer.
    pub(super) fn start(pass: impl Fn() + Send + 'static) -> std::io::Result<Arc<Epochs>> {
        let alarm = Arc::new(Alarm::new()?);
        let epochs = Arc::new(Epochs {
            started: now(),
            running: AtomicUsize::new(0),
            rings_at: AtomicU64::new(UNSET),
            setting: Mutex::default(),
            alarm: Arc::clone(&alarm),
        });
        let counted = Arc::downgrade(&epochs);
        let work = move || {
            loop {
                alarm.wait();
                let Some(epochs) = counted.upgrade() else { return };
                epochs.rang();
                pass();
            }
        };
        std::thread::Builder::new().name("weir-epochs".to_owned()).spawn(work)?;
        Ok(epochs)
    }

    /// Announces a call, for as long as the returned value lives: epochs pass meanwhile, the first one after at most
    /// [`EPOCH`].
    pub(super) fn running(&self) -> Running<'_> {
        let is_alone = self.running.fetch_add(1, Ordering::SeqCst) == 0;
        let (now_ns, rings_at) = (self.now_ns(), self.rings_at.load(Ordering::SeqCst));
        // For other calls it stays as it is, also where it just rings: the thread sets it anew.
        let is_set = if is_alone { rings_at > now_ns + EARLIEST_NS } else { rings_at != UNSET };
        if !is_set {
            self.set();
        }
        Running(self)
    }

    fn set(&self) {
        let _setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        self.set_locked();
    }

    fn set_locked(&self) {
        self.rings_at.store(self.now_ns() + nanoseconds(EPOCH), Ordering::SeqCst);
        self.alarm.set(EPOCH);
    }

    /// The alarm rang. A call that this does not see yet is about to set it.
    fn rang(&self) {
        let _setting = self.setting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.running.load(Ordering::SeqCst) == 0 {
            self.rings_at.store(UNSET, Ordering::SeqCst);
        } else {
            self.set_locked();
        }
    }

    fn now_ns(&self) -> u64 {
        nanoseconds(now().saturating_duration_since(self.started))
    }
}

impl Drop for Epochs {
    fn drop(&mut self) {
        // The thread looks whether they are still there.
        self.alarm.set(Duration::from_nanos(1));
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a guest that computes takes real time; a simulated one counts fuel"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    fn counted() -> (Arc<Epochs>, Receiver<()>) {
        let (passes, passed) = channel();
        // The test may have seen enough.
        let pass = move || {
            let _ = passes.send(());
        };
        (Epochs::start(pass).unwrap(), passed)
    }

    #[test]
    fn epochs_pass_while_a_call_runs_and_rest_after_it() {
        let (epochs, passed) = counted();
        for _ in 0..2 {
            let running = epochs.running();
            for _ in 0..3 {
                passed.recv().unwrap();
            }
            drop(running);
            while epochs.rings_at.load(Ordering::SeqCst) != UNSET {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn calls_that_follow_each_other_put_the_alarm_off() {
        let (epochs, _passed) = counted();
        drop(epochs.running());
        let first = epochs.rings_at.load(Ordering::SeqCst);
        while epochs.now_ns() + EARLIEST_NS < first {
            drop(epochs.running());
        }
        drop(epochs.running());
        assert!(epochs.rings_at.load(Ordering::SeqCst) > first);
    }

    #[test]
    fn short_calls_do_not_put_off_the_alarm_of_a_long_one() {
        let (epochs, passed) = counted();
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    drop(epochs.running());
                }
            });
            let _long = epochs.running();
            for _ in 0..5 {
                passed.recv().unwrap();
            }
            is_over.store(true, Ordering::SeqCst);
        });
    }

    #[test]
    fn the_thread_ends_with_its_epochs() {
        let (epochs, passed) = counted();
        drop(epochs.running());
        drop(epochs);
        while passed.recv().is_ok() {}
    }
}
