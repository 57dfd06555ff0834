//! Disk workers without threads: a job is done some virtual time after it was handed in.
//!
//! The time between is what makes crashes interesting: something is written but not synced yet, several flushes
//! are under way, and they end in another order than they began.

use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weir_node::storage::{Job, Workers};

use super::dice::Dice;

/// How long a disk takes for a job when nothing is wrong with it.
pub const QUICK: RangeInclusive<Duration> = Duration::from_micros(100)..=Duration::from_millis(4);

/// How fast a disk is at the moment. Clones share it.
#[derive(Clone, Debug)]
pub struct DiskPace(Arc<Mutex<Pace>>);

#[derive(Debug)]
struct Pace {
    takes: RangeInclusive<Duration>,
    dice: Dice,
}

impl DiskPace {
    /// A disk whose jobs take so long.
    #[must_use]
    pub fn new(takes: RangeInclusive<Duration>, dice: Dice) -> DiskPace {
        DiskPace(Arc::new(Mutex::new(Pace { takes, dice })))
    }

    /// From now on jobs take so long.
    pub fn set(&self, takes: RangeInclusive<Duration>) {
        self.pace().takes = takes;
    }

    fn next(&self) -> Duration {
        let Pace { takes, dice } = &mut *self.pace();
        dice.time(takes.clone())
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs jobs on the runtime of the host that hands them in, so that they end with it.
#[derive(Clone, Debug)]
pub struct SimWorkers {
    pace: DiskPace,
}

impl SimWorkers {
    /// Workers of a disk.
    #[must_use]
    pub fn new(pace: DiskPace) -> SimWorkers {
        SimWorkers { pace }
    }
}

impl Workers for SimWorkers {
    fn run(&self, job: Job) {
        // What is handed in while a host dies is never done.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let takes = self.pace.next();
        runtime.spawn(async move {
            tokio::time::sleep(takes).await;
            job();
        });
    }
}
