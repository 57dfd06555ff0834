//! The alarm of Linux: a timer of the kernel, which puts it off without waking who waits (timerfd_create(2)).

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

/// See the module above.
pub(in super::super) struct Alarm(OwnedFd);

impl Alarm {
    /// An alarm that is not set.
    ///
    /// # Errors
    /// When the process may open no more files.
    pub(in super::super) fn new() -> std::io::Result<Alarm> {
        Ok(Alarm(timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?))
    }

    /// Lets it ring after this time, which is not zero, and not when it was set for before.
    pub(in super::super) fn set(&self, after: Duration) {
        let it_value = Timespec::try_from(after).expect("an alarm is set for less than a century");
        let once = Itimerspec { it_interval: Timespec::default(), it_value };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once).expect("a timer takes a time");
    }

    /// Waits until it rings.
    pub(in super::super) fn wait(&self) {
        let mut rings = [0; 8];
        loop {
            match rustix::io::read(&self.0, &mut rings) {
                Ok(_) => return,
                Err(Errno::INTR) => {}
                Err(error) => panic!("a timer of ours cannot be read: {error}"),
            }
        }
    }
}
