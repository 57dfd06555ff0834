//! Ctrl-C and SIGTERM, and the end of standard input.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code of a command that was interrupted: what shells report for Ctrl-C.
pub(super) const INTERRUPTED: u8 = 130;

/// Tells when a person or a supervisor wants this process to end. From the first use on, the signals no longer end
/// it by themselves.
#[derive(Debug)]
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Starts listening.
    pub(super) fn listen() -> io::Result<Interrupts> {
        Ok(Interrupts {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one. Cancel safe.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Waits for the end of standard input.
pub(super) async fn stdin_ended() {
    let (ended, wait) = tokio::sync::oneshot::channel();
    // Reading standard input blocks, so it has a thread of its own, which ends with the process.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = wait.await;
}
