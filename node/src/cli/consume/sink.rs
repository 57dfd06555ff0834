//! Standard output, written by a thread of its own.
//!
//! Whoever reads our output may pause for as long as it likes (a pager does). The connection must live on meanwhile,
//! so the task that serves it never blocks on a write: it waits for room in a short queue.

use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use tokio::sync::{mpsc, oneshot, watch};

use super::super::output::Failure;

/// Output is handed over in pieces of about this size.
pub(super) const BUFFER_BYTES: usize = 128 * 1024;
/// Pieces that wait to be written.
const QUEUED_MAX: usize = 8;

/// The way to standard output.
pub(super) struct Sink {
    pieces: mpsc::Sender<Vec<u8>>,
    /// How many pieces were handed over, and how many were written.
    handed_over: u64,
    progress: watch::Receiver<u64>,
    written: oneshot::Receiver<io::Result<u64>>,
}

impl Sink {
    pub(super) fn start() -> Sink {
        Sink::to(io::stdout())
    }

    /// The thread ends with the sink, or with the process if it is stuck.
    fn to(mut out: impl Write + Send + 'static) -> Sink {
        let (pieces, mut received) = mpsc::channel::<Vec<u8>>(QUEUED_MAX);
        let (report, written) = oneshot::channel();
        let (done, progress) = watch::channel(0);
        std::thread::spawn(move || {
            let mut write_all = || {
                let mut bytes = 0;
                while let Some(piece) = received.blocking_recv() {
                    out.write_all(&piece)?;
                    out.flush()?;
                    bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
                    done.send_modify(|pieces| *pieces += 1);
                }
                Ok(bytes)
            };
            let outcome = write_all();
            // Closed before the report, so that who waits for room learns at once that none will come.
            drop(received);
            let _ = report.send(outcome);
        });
        Sink { pieces, handed_over: 0, progress, written }
    }

    /// Hands over what is in the buffer and empties it. `false` when nobody takes it any more: [`Sink::close`] then
    /// says why.
    pub(super) async fn write(&mut self, buffer: &mut Vec<u8>) -> bool {
        if buffer.is_empty() {
            return !self.pieces.is_closed();
        }
        let Ok(room) = self.pieces.reserve().await else { return false };
        room.send(std::mem::replace(buffer, Vec::with_capacity(2 * BUFFER_BYTES)));
        self.handed_over += 1;
        true
    }

    /// Waits until everything that was handed over is written; `false` when it never will be. Cancel safe.
    pub(super) async fn drained(&mut self) -> bool {
        let handed_over = self.handed_over;
        self.progress.wait_for(|written| *written >= handed_over).await.is_ok()
    }

    /// Waits until everything is written; says how many bytes that were.
    pub(super) async fn close(self) -> Result<u64, Failure> {
        drop(self.pieces);
        match self.written.await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Failure::new("standard output was given up")),
        }
    }
}

/// Tells when nobody reads standard output any more, also while there is nothing to write: of a reader that has read
/// enough, such as `head`, a write would say so, and on an idle topic none may ever come.
pub(super) struct Hangup(oneshot::Receiver<()>);

impl Hangup {
    /// Watches on a thread of its own, which ends with the process.
    pub(super) fn of_stdout() -> Hangup {
        let (gone, comes) = oneshot::channel();
        std::thread::spawn(move || {
            let stdout = io::stdout();
            // Asks for nothing: that the other end is gone is told in any case. A file has no other end.
            let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
            loop {
                match poll(&mut watched, None) {
                    Err(Errno::INTR) => {}
                    Ok(_) => {
                        let _ = gone.send(());
                        return;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "standard output cannot be watched");
                        return;
                    }
                }
            }
        });
        Hangup(comes)
    }

    /// Waits for it, for ever if it never comes. Cancel safe.
    pub(super) async fn comes(&mut self) {
        if (&mut self.0).await.is_err() {
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A pipe whose other end is closed.
    struct Closed;

    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::BrokenPipe))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn everything_is_written_in_order() {
        let out = Shared::default();
        let mut sink = Sink::to(out.clone());
        for piece in 0..100_u8 {
            assert!(sink.write(&mut vec![piece; 10]).await);
        }
        assert_eq!(sink.close().await.unwrap(), 1000);
        let expected: Vec<u8> = (0..100).flat_map(|piece| [piece; 10]).collect();
        assert_eq!(*out.0.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn a_closed_pipe_ends_the_writing_quietly() {
        let mut sink = Sink::to(Closed);
        while sink.write(&mut b"x".to_vec()).await {}
        assert!(matches!(sink.close().await, Err(Failure::ReaderGone)));
    }
}
