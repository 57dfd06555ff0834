//! What is due when. Timers are never taken back: whoever has set one looks, when it fires, at what is really due.

use std::collections::BTreeSet;

use super::messages::CallId;

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// A member of a group: its session, its heartbeat that waits, its time to let go.
    Member(String, String),
    /// A question to an assignor.
    Call(CallId),
}

/// All timers, by the monotonic nanosecond at which they fire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timers(BTreeSet<(u64, Timer)>);

impl Timers {
    pub(crate) fn set(&mut self, at_ns: u64, timer: Timer) {
        self.0.insert((at_ns, timer));
    }

    pub(crate) fn first(&self) -> Option<u64> {
        self.0.first().map(|(at_ns, _)| *at_ns)
    }

    /// The next one that is due, with the time for which it was set.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<(u64, Timer)> {
        if self.first()? <= now_ns { self.0.pop_first() } else { None }
    }
}
