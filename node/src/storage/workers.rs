//! Where jobs run that wait for the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
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
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl ThreadWorkers {
    /// Starts `count` threads with this name.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(name: &str, count: usize) -> std::io::Result<ThreadWorkers> {
        assert!(count > 0, "without a worker no job would ever be done");
        let (jobs, waiting) = channel::<Job>();
        let waiting = Arc::new(Mutex::new(waiting));
        let threads = (0..count)
            .map(|number| {
                let waiting = waiting.clone();
                Builder::new().name(format!("{name}-{number}")).spawn(move || work(&waiting))
            })
            .collect::<std::io::Result<_>>()?;
        Ok(ThreadWorkers { jobs: Some(jobs), threads })
    }
}

impl Workers for ThreadWorkers {
    fn run(&self, job: Job) {
        let jobs = self.jobs.as_ref().expect("only dropping takes it");
        assert!(jobs.send(job).is_ok(), "the threads live as long as this does");
    }
}

impl Drop for ThreadWorkers {
    /// Waits for the jobs that were handed in.
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A worker catches the panics of its jobs; there is nothing else to tell.
            let _ = thread.join();
        }
    }
}

fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let next = locked(waiting).recv();
        let Ok(job) = next else { return };
        let _ = catch_unwind(AssertUnwindSafe(job));
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
