//! Who makes up for yesterday does not hold up today: while records leave that producers wait for, catching up works a third
//! of the time only. Values only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// For how long after records left live producers count as waiting.
const LIVE_FOR: Duration = Duration::from_millis(100);
/// How often the time that a frame took is rested after it.
const RESTS: u32 = 2;
/// The longest rest. What took longer had to wait for something else.
const REST_MAX: Duration = Duration::from_millis(20);

/// When records last left for a follower in sync. One for all sessions of a node.
#[derive(Debug)]
pub(crate) struct LiveSign {
    began: Instant,
    /// In milliseconds since then, and one more; 0 before any did.
    last_ms: AtomicU64,
}

impl LiveSign {
    /// None left so far.
    pub(crate) fn new() -> LiveSign {
        LiveSign { began: Instant::now(), last_ms: AtomicU64::new(0) }
    }

    /// Records leave.
    pub(super) fn note(&self, now: Instant) {
        self.last_ms.store(self.ms(now) + 1, Ordering::Relaxed);
    }

    /// Whether producers wait for such.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        let age_ms = (self.ms(now) + 1).saturating_sub(last_ms);
        last_ms > 0 && u128::from(age_ms) <= LIVE_FOR.as_millis()
    }

    fn ms(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_millis()).unwrap_or(u64::MAX - 1)
    }
}

/// When a catch-up stream works and when it rests: after each frame, by the time that it took.
#[derive(Debug)]
pub(super) struct Manners {
    /// Since when the next frame is worked on.
    busy_from: Instant,
}

impl Manners {
    pub(super) fn new(now: Instant) -> Manners {
        Manners { busy_from: now }
    }

    /// A frame left.
    pub(super) fn sent(&mut self, now: Instant, producers_wait: bool) {
        let took = now.saturating_duration_since(self.busy_from);
        self.busy_from = now + if producers_wait { (RESTS * took).min(REST_MAX) } else { Duration::ZERO };
    }

    /// When the next frame may leave; `None`: at once.
    pub(super) fn rests_until(&self, now: Instant) -> Option<Instant> {
        (self.busy_from > now).then_some(self.busy_from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_frame_is_followed_by_a_rest_twice_as_long_while_producers_wait() {
        let start = Instant::now();
        let mut manners = Manners::new(start);
        manners.sent(start + 3 * MS, false);
        assert_eq!(manners.rests_until(start + 3 * MS), None);
        manners.sent(start + 5 * MS, true);
        assert_eq!(manners.rests_until(start + 5 * MS), Some(start + 9 * MS));
        assert_eq!(manners.rests_until(start + 9 * MS), None);
        manners.sent(start + 10 * MS, true);
        assert_eq!(
            manners.rests_until(start + 10 * MS),
            Some(start + 12 * MS),
            "the rest before it does not count"
        );
        manners.sent(start + 900 * MS, true);
        assert_eq!(manners.rests_until(start + 900 * MS), Some(start + 900 * MS + REST_MAX));
    }

    #[test]
    fn producers_wait_for_what_left_a_moment_ago() {
        let sign = LiveSign::new();
        let now = sign.began;
        assert!(!sign.is_fresh(now) && !sign.is_fresh(now + 500 * MS), "nothing ever left");
        sign.note(now + 500 * MS);
        assert!(sign.is_fresh(now + 500 * MS) && sign.is_fresh(now + 600 * MS));
        assert!(!sign.is_fresh(now + 601 * MS));
    }
}
