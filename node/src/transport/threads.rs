//! The network threads.

use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// The most network threads: beyond the cores of any machine that one endpoint port can be spread over.
pub const NETWORK_THREADS_MAX: usize = 64;

/// Single-threaded runtimes. The first is the one that [`Threads::start`] was called in; the others are threads of
/// their own, which end when this value is dropped.
#[derive(Debug)]
pub struct Threads {
    handles: Vec<Handle>,
    others: Vec<Other>,
}

#[derive(Debug)]
struct Other {
    /// Dropped first: its thread stops when nobody holds it.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Threads {
    /// Starts `count` network threads, the current runtime's included.
    ///
    /// # Errors
    /// When the system gives no more threads.
    ///
    /// # Panics
    /// Outside of a runtime, or if `count` is 0 or above [`NETWORK_THREADS_MAX`].
    pub fn start(count: usize) -> std::io::Result<Threads> {
        assert!((1..=NETWORK_THREADS_MAX).contains(&count), "1 to {NETWORK_THREADS_MAX} network threads");
        let mut threads = Threads { handles: vec![Handle::current()], others: Vec::new() };
        for number in 1..count {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let (stop, stopped) = oneshot::channel();
            threads.handles.push(runtime.handle().clone());
            let thread = std::thread::Builder::new().name(format!("weir-net-{number}")).spawn(move || {
                // Ends with an error when the sender is dropped, which is all that it says.
                let _ = runtime.block_on(stopped);
            })?;
            threads.others.push(Other { stop: Some(stop), thread: Some(thread) });
        }
        Ok(threads)
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.handles.len()
    }

    /// The runtime of each.
    #[must_use]
    pub fn handles(&self) -> &[Handle] {
        &self.handles
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for other in &mut self.others {
            drop(other.stop.take());
        }
        for other in &mut self.others {
            if let Some(thread) = other.thread.take() {
                // A thread that panicked has said so itself.
                let _ = thread.join();
            }
        }
    }
}
