//! Epochs: time as it passes for calls of plugins, so that one that runs long makes room for others, and ends.
//!
//! ```text
//!  call begins ──▶ alarm in 2 ms ──▶ it rings ──┬─ the same call still runs: an epoch has passed; again in 2 ms
//!                                               ├─ one runs that began later: again when its own 2 ms are over
//!                                               ├─ none runs, but some did: again in 2 ms
//!                                               └─ one, at most, since it rang last: nothing, until a call begins
//! ```
//!
//! Who calls does as little as can be: to set a timer may take a virtual machine 15 us, so that under load only the thread
//! that waits for it sets it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::alarm::Alarm;

/// How long an epoch lasts: a plugin that runs longer makes room for others.
pub(super) const EPOCH: Duration = Duration::from_millis(2);
/// The least that a call that runs alone ran before an epoch passes.
const LEAST: Duration = Duration::from_millis(1);
/// Calls between two rings from which on the next one is expected before another epoch is over.
const MANY: u64 = 2;

/// What makes epochs pass while calls run. Its thread ends with it.
pub(super) struct Epochs {
    started: Instant,
    running: AtomicUsize,
    /// How many calls began.
    begun: AtomicU64,
    /// When one last began that ran alone, in nanoseconds since `started`.
    alone_since: AtomicU64,
    /// Whether the alarm will ring: who makes it true sets it.
    is_set: AtomicBool,
    alarm: Arc<Alarm>,
}

/// A call that is under way.
pub(super) struct Running<'a>(&'a Epochs);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// What an alarm that rang comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ring {
    /// Nothing: the next call sets the alarm.
    Rest,
    /// Nobody has run for an epoch yet: it is set for this time from now.
    Again(Duration),
    /// An epoch has passed.
    Pass,
}

impl Ring {
    /// `alone_for` is for how long the one that last began alone has run, if any runs; `begun` how many calls began since it
    /// rang before.
    fn of(alone_for: Option<Duration>, begun: u64) -> Ring {
        match alone_for {
            Some(ran) if ran < LEAST => Ring::Again(EPOCH.saturating_sub(ran)),
            Some(_) => Ring::Pass,
            None if begun >= MANY => Ring::Again(EPOCH),
            None => Ring::Rest,
        }
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
            started: Instant::now(),
            running: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            alone_since: AtomicU64::new(0),
            is_set: AtomicBool::new(false),
            alarm: Arc::clone(&alarm),
        });
        let counted = Arc::downgrade(&epochs);
        let work = move || {
            let mut begun = 0;
            loop {
                alarm.wait();
                let Some(epochs) = counted.upgrade() else { return };
                if epochs.rang(&mut begun) {
                    pass();
                }
            }
        };
        std::thread::Builder::new().name("weir-epochs".to_owned()).spawn(work)?;
        Ok(epochs)
    }

    /// Announces a call, for as long as the returned value lives: epochs pass meanwhile, the first one after at most
    /// [`EPOCH`].
    pub(super) fn running(&self) -> Running<'_> {
        if self.running.fetch_add(1, Ordering::SeqCst) == 0 {
            self.alone_since.store(self.now_ns(), Ordering::SeqCst);
        }
        self.begun.fetch_add(1, Ordering::SeqCst);
        if !self.is_set.load(Ordering::SeqCst) {
            self.set(EPOCH);
        }
        Running(self)
    }

    /// Sets the alarm, unless another one did.
    fn set(&self, after: Duration) {
        if !self.is_set.swap(true, Ordering::SeqCst) {
            self.alarm.set(after);
        }
    }

    /// The alarm rang; `begun` is how many calls had begun when it rang before. Returns whether an epoch has passed.
    fn rang(&self, begun: &mut u64) -> bool {
        // Before the look at who runs: a call that this does not see yet sees that no alarm is set.
        self.is_set.store(false, Ordering::SeqCst);
        let runs = self.running.load(Ordering::SeqCst) > 0;
        let alone_for = || self.now_ns().saturating_sub(self.alone_since.load(Ordering::SeqCst));
        let before = std::mem::replace(begun, self.begun.load(Ordering::SeqCst));
        let ring = Ring::of(runs.then(|| Duration::from_nanos(alone_for())), *begun - before);
        match ring {
            Ring::Rest => {}
            Ring::Again(after) => self.set(after),
            Ring::Pass => self.set(EPOCH),
        }
        ring == Ring::Pass
    }

    fn now_ns(&self) -> u64 {
        nanoseconds(self.started.elapsed())
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

#[cfg(test)]
mod tests {
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
            while epochs.is_set.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn an_epoch_passes_only_for_who_ran_through_most_of_it() {
        let ran = |microseconds| Some(Duration::from_micros(microseconds));
        assert_eq!(Ring::of(ran(0), 1), Ring::Again(EPOCH));
        assert_eq!(Ring::of(ran(999), 9), Ring::Again(Duration::from_micros(1_001)));
        assert_eq!(Ring::of(ran(1_000), 9), Ring::Pass);
        assert_eq!(Ring::of(ran(5_000), 0), Ring::Pass);
    }

    #[test]
    fn the_alarm_goes_on_only_where_the_next_call_is_expected() {
        assert_eq!(Ring::of(None, 0), Ring::Rest);
        assert_eq!(Ring::of(None, 1), Ring::Rest);
        assert_eq!(Ring::of(None, 2), Ring::Again(EPOCH));
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
