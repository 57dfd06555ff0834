//! Warm-up, measuring, end: what the clients of a run and whoever measures them agree on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;

use super::latencies::Latencies;
use super::machine::{CpuTimes, CpuUsed};
use crate::cli::output::Failure;

/// How long a run is measured.
#[derive(Clone, Copy, Debug)]
pub(super) enum Span {
    Time(Duration),
    /// Until so many records, all clients together, are done.
    Records(u64),
}

/// Shared by all clients of a run.
pub(super) struct Phase {
    span: Span,
    pub(super) start: Instant,
    measuring: AtomicBool,
    over: watch::Sender<bool>,
    /// Records that are done, since the start.
    done: AtomicU64,
    /// At how many it is enough; `u64::MAX` until that is known.
    enough_at: AtomicU64,
    /// Records of which it was said that they are not stored.
    pub(super) failed: AtomicU64,
    enough: Notify,
    pub(super) latencies: Latencies,
}

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) records: u64,
    pub(super) failed: u64,
    pub(super) seconds: f64,
    pub(super) cpu: CpuUsed,
}

impl Phase {
    pub(super) fn new(span: Span) -> Arc<Phase> {
        Arc::new(Phase {
            span,
            start: Instant::now(),
            measuring: AtomicBool::new(false),
            over: watch::Sender::new(false),
            done: AtomicU64::new(0),
            enough_at: AtomicU64::new(u64::MAX),
            failed: AtomicU64::new(0),
            enough: Notify::new(),
            latencies: Latencies::new(),
        })
    }

    /// Notes records that are done.
    pub(super) fn done(&self, records: u64) {
        let done = self.done.fetch_add(records, Relaxed) + records;
        if done >= self.enough_at.load(Relaxed) {
            self.enough.notify_one();
        }
    }

    /// How many records are done.
    pub(super) fn count(&self) -> u64 {
        self.done.load(Relaxed)
    }

    /// Notes how long a record took, once it is measured.
    pub(super) fn took(&self, took: Duration) {
        if self.measuring.load(Relaxed) {
            self.latencies.record(took);
        }
    }

    /// Warms up, measures, and tells the clients that it is over; returns once all of them have ended.
    pub(super) async fn attend(
        &self,
        mut clients: Vec<OnThread>,
        warmup: Duration,
        nodes: &[u32],
    ) -> Result<Measured, Failure> {
        let measured = tokio::select! {
            biased;
            failed = first_failure(&mut clients) => return Err(failed),
            measured = self.measure(warmup, nodes) => measured,
        };
        self.over.send_replace(true);
        for client in clients {
            client.ended().await?;
        }
        Ok(measured)
    }

    async fn measure(&self, warmup: Duration, nodes: &[u32]) -> Measured {
        tokio::time::sleep(warmup).await;
        // These take long enough for thousands of records, which are not measured yet.
        let times = CpuTimes::now(nodes);
        self.measuring.store(true, Relaxed);
        let (started, before) = (Instant::now(), self.count());
        match self.span {
            Span::Time(span) => tokio::time::sleep_until(started + span).await,
            Span::Records(records) => {
                self.enough_at.store(before + records, Relaxed);
                while self.count() < before + records {
                    self.enough.notified().await;
                }
            }
        }
        let records = self.count() - before;
        let seconds = started.elapsed().as_secs_f64();
        let cpu = CpuUsed::between(times, CpuTimes::now(nodes), seconds);
        self.measuring.store(false, Relaxed);
        Measured { records, failed: self.failed.load(Relaxed), seconds, cpu }
    }
}

/// A client on a thread of its own.
pub(super) struct OnThread(oneshot::Receiver<Result<(), Failure>>);

impl OnThread {
    /// Starts a client, with a runtime of its own. It works until it fails or the phase is over.
    pub(super) fn start<F>(phase: &Arc<Phase>, work: impl FnOnce() -> F + Send + 'static) -> OnThread
    where
        F: Future<Output = Result<(), Failure>>,
    {
        let mut over = phase.over.subscribe();
        let (done, result) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let outcome = match runtime {
                Ok(runtime) => runtime.block_on(async {
                    tokio::select! {
                        biased;
                        _ = over.wait_for(|over| *over) => Ok(()),
                        outcome = work() => outcome,
                    }
                }),
                Err(error) => Err(error.into()),
            };
            // Who asked may have been interrupted.
            let _ = done.send(outcome);
        });
        OnThread(result)
    }

    pub(super) async fn ended(self) -> Result<(), Failure> {
        self.0.await.unwrap_or_else(|_| Err(panicked()))
    }
}

/// Waits until a client fails.
pub(super) async fn first_failure(clients: &mut Vec<OnThread>) -> Failure {
    std::future::poll_fn(|context| {
        let mut failure = None;
        clients.retain_mut(|client| match std::pin::Pin::new(&mut client.0).poll(context) {
            Poll::Pending => true,
            Poll::Ready(Ok(Ok(()))) => false,
            Poll::Ready(Ok(Err(failed))) => {
                failure = Some(failed);
                false
            }
            Poll::Ready(Err(_)) => {
                failure = Some(panicked());
                false
            }
        });
        failure.map_or(Poll::Pending, Poll::Ready)
    })
    .await
}

fn panicked() -> Failure {
    Failure::new("a client of the bench panicked")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found by a run of 2,000 records, all of which came while the machine's times were read: 8,403,361,345 a second.
    #[tokio::test]
    async fn what_is_done_while_times_are_read_is_not_measured() {
        let phase = Phase::new(Span::Records(3));
        let done = Arc::clone(&phase);
        let client = OnThread::start(&phase, move || async move {
            loop {
                tokio::time::sleep(Duration::from_millis(1)).await;
                done.took(Duration::from_millis(1));
                done.done(1);
            }
        });
        // So many that it takes a while to read what they used.
        let nodes = vec![std::process::id(); 3000];
        let measured = phase.attend(vec![client], Duration::ZERO, &nodes).await.expect("measured");
        let most = measured.seconds * 1000.0 + 2.0;
        assert!(measured.records >= 3 && measured.records as f64 <= most, "{measured:?}");
    }
}
