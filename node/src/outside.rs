//! Everything that a node takes from outside: clock, randomness, disk, network, worker threads.
//!
//! The same node code runs on a real machine and, several nodes in one process, in a simulator that owns all of
//! these from one seed. So this file and the doors that it names ([`crate::storage`]'s real disk, `weir-quic`'s
//! real network) are the only places that touch the machine.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::oneshot;
use weir_core::time::Now;
use weir_quic::{Network, RealNetwork};

use crate::storage::{Disk, PrivateFolder, RealDisk, ThreadWorkers, Workers};

/// What a node runs on.
#[derive(Clone)]
pub struct Outside {
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Gives random bytes.
    pub random: Arc<dyn Randomness>,
    /// Keeps files.
    pub disk: Arc<dyn Disk>,
    /// Gives sockets.
    pub network: Arc<dyn Network>,
    /// Runs what may block: flushes, and reads that are not in memory.
    pub workers: Arc<dyn Workers>,
    /// Runs what takes long and may wait: compaction. Apart from the others, so that no flush waits behind it.
    pub cleaners: Arc<dyn Workers>,
}

/// Threads that flush and read, so that as many files wait for the disk side by side.
const WORKER_THREADS: usize = 4;

impl Outside {
    /// The machine itself. Call it inside a runtime, whose clock it takes.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn real() -> std::io::Result<Outside> {
        Ok(Outside {
            clock: Arc::new(SystemClock::start()),
            random: Arc::new(SystemRandomness),
            disk: Arc::new(RealDisk),
            network: Arc::new(RealNetwork),
            workers: Arc::new(ThreadWorkers::start("weir-disk", WORKER_THREADS)?),
            cleaners: Arc::new(ThreadWorkers::start("weir-cleaner", 1)?),
        })
    }

    /// The same, with workers of their own for what takes long: those that flush must stay free.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub fn with_workers(&self, name: &str, count: usize) -> std::io::Result<Outside> {
        Ok(Outside { workers: Arc::new(ThreadWorkers::start(name, count)?), ..self.clone() })
    }

    /// Runs on a worker what may block, and waits for its result.
    ///
    /// # Panics
    /// If the job panicked: its worker has said so, and what it was to do is not done.
    pub async fn on_worker<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.begin_on_worker(job).await
    }

    /// As [`on_worker`](Outside::on_worker), begun before anybody waits for it.
    pub fn begin_on_worker<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = T> + Send + 'static {
        let (done, result) = oneshot::channel();
        self.workers.run(Box::new(move || {
            // Who asked may have been cancelled.
            let _ = done.send(job());
        }));
        async { result.await.expect("a worker's job runs to its end") }
    }
}

/// A private folder of blobs: what is in it, only this node wrote.
pub trait BlobStore: Send + Sync {
    /// The bytes under a name; `None` if there are none.
    ///
    /// # Errors
    /// What the system says.
    fn read(&self, name: &str) -> std::io::Result<Option<Vec<u8>>>;

    /// Puts bytes under a name, all of them or none.
    ///
    /// # Errors
    /// What the system says.
    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()>;

    /// Removes what is under a name, if anything is.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> std::io::Result<()>;
}

impl BlobStore for PrivateFolder {
    fn read(&self, name: &str) -> std::io::Result<Option<Vec<u8>>> {
        PrivateFolder::read(self, name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> std::io::Result<()> {
        PrivateFolder::write(self, name, bytes)
    }

    fn remove(&self, name: &str) -> std::io::Result<()> {
        PrivateFolder::remove(self, name)
    }
}

/// Tells the time.
pub trait Clock: Send + Sync {
    /// This moment. The monotonic part never goes backwards.
    fn now(&self) -> Now;
}

/// Runs a future and tells how long it held its thread, in nanoseconds: while it waits for others it costs nothing.
pub async fn metered<T>(clock: &dyn Clock, work: impl Future<Output = T>) -> (T, u64) {
    let mut work = std::pin::pin!(work);
    let mut held_ns = 0_u64;
    let done = std::future::poll_fn(|context| {
        let from = clock.now().monotonic_ns;
        let polled = work.as_mut().poll(context);
        held_ns = held_ns.saturating_add(clock.now().monotonic_ns.saturating_sub(from));
        polled
    });
    let done = done.await;
    (done, held_ns)
}

/// Gives random bytes.
pub trait Randomness: Send + Sync {
    /// Fills the buffer.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Randomness {
    /// Sixteen random bytes: an id that nobody has yet.
    pub fn id(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        bytes
    }
}

/// The clocks of the machine.
#[derive(Debug)]
pub struct SystemClock {
    started: tokio::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic part starts now.
    #[must_use]
    pub fn start() -> SystemClock {
        SystemClock { started: tokio::time::Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        #[expect(clippy::disallowed_methods, reason = "this is the door to the wall clock")]
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Now {
            monotonic_ns: u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX),
            wall_ms: i64::try_from(wall.as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// The randomness of the operating system.
#[derive(Debug)]
pub struct SystemRandomness;

impl Randomness for SystemRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("an operating system without randomness cannot run TLS either");
    }
}
