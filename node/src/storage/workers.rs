//! Where jobs run that wait for the disk.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use super::locked;

/// Something that waits for the disk, and tells whoever wants to know when it is done.
pub type Job = Box<dyn FnOnce() + Send + 'static>;

/// Runs jobs. Real ones beside the caller, on threads; in simulation at once.
///
/// There is no limit on waiting jobs here, as each log has at most one flush, one removal and one repair under way;
/// who hands in reads bounds those.
pub trait Workers: Send + Sync + 'static {
    /// Runs a job, now or later. A job that panics takes nothing with it: who waits for its outcome notices that
    /// the sending end is gone.
    fn run(&self, job: Job);
}

/// A few threads that take jobs in the order in which they came.
pub struct ThreadWorkers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

/// What waits for a thread. A job wakes one thread: with a channel behind a lock the thread that got the job woke the next
/// one, to wait for the channel in its place, before it began.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    came: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// No more jobs come.
    is_closed: bool,
}

impl ThreadWorkers {
    /// Starts `count` threads with this name.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(name: &str, count: usize) -> std::io::Result<ThreadWorkers> {
        assert!(count > 0, "without a worker no job would ever be done");
        let mut workers = ThreadWorkers { queue: Arc::default(), threads: Vec::with_capacity(count) };
        for number in 0..count {
            let queue = Arc::clone(&workers.queue);
            let thread = Builder::new().name(format!("{name}-{number}")).spawn(move || queue.work())?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }
}

impl Workers for ThreadWorkers {
    fn run(&self, job: Job) {
        locked(&self.queue.waiting).jobs.push_back(job);
        self.queue.came.notify_one();
    }
}

impl Drop for ThreadWorkers {
    /// Waits for the jobs that were handed in.
    fn drop(&mut self) {
        locked(&self.queue.waiting).is_closed = true;
        self.queue.came.notify_all();
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its jobs; there is nothing else to tell.
            let _ = thread.join();
        }
    }
}

impl Queue {
    fn work(&self) {
        while let Some(job) = self.next() {
            let _ = catch_unwind(AssertUnwindSafe(job));
        }
    }

    /// The next job; waits for one. `None` once there are none and no more come.
    fn next(&self) -> Option<Job> {
        let mut waiting = locked(&self.waiting);
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Some(job);
            }
            if waiting.is_closed {
                return None;
            }
            // Jobs are taken in and out whole, whoever panics.
            waiting = self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Runs every job at once, in the caller's thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct InlineWorkers;

impl Workers for InlineWorkers {
    fn run(&self, job: Job) {
        job();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn all_jobs_run_also_after_one_that_panics() {
        let workers: [Box<dyn Workers>; 1] = [Box::new(ThreadWorkers::start("test", 3).expect("threads"))];
        for workers in workers {
            let (done, outcomes) = channel();
            for i in 0..100_u32 {
                let done = done.clone();
                workers.run(Box::new(move || {
                    assert!(i % 10 != 3, "a job of this test that panics");
                    done.send(i).expect("somebody listens");
                }));
            }
            drop(done);
            drop(workers);
            let mut ran: Vec<u32> = outcomes.iter().collect();
            ran.sort_unstable();
            let expected: Vec<u32> = (0..100).filter(|i| i % 10 != 3).collect();
            assert_eq!(ran, expected);
        }
    }

    #[test]
    fn inline_jobs_are_done_when_the_call_returns() {
        let (done, outcome) = channel();
        InlineWorkers.run(Box::new(move || done.send(7).expect("somebody listens")));
        assert_eq!(outcome.try_recv(), Ok(7));
    }
}
