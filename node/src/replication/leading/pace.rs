//! How fast replicas that are being added are sent what they lack: `leader.replication.throttled.rate`. Values only.

use std::time::Duration;

use tokio::time::Instant;
use weir_wire::replication::REPLICA_FRAME_BYTES;

/// A frame takes no more than so many of a second's bytes, so that what is sent is spread over the second.
const FRAMES_PER_SECOND_MIN: u64 = 8;

/// Longer than anybody waits without looking again.
const NEVER: Duration = Duration::from_secs(3600);

/// Spreads what is sent over time. One for all followers of a node: the rate is the node's.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Bytes that were sent ahead of time, and when that was so.
    ahead: Option<(u64, Instant)>,
}

impl Pace {
    /// When the next frame may leave; `None`: at once.
    pub(super) fn wait_until(&self, now: Instant, rate: Option<u64>) -> Option<Instant> {
        let (rate, (bytes, since)) = (rate?, self.ahead?);
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
        let wait = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        // A time that no clock reaches comes after every look.
        let paid_at = since.checked_add(wait).unwrap_or(now + NEVER);
        (paid_at > now).then_some(paid_at)
    }

    /// How many bytes the next frame should hold at most.
    pub(super) fn frame_bytes(rate: Option<u64>) -> usize {
        let share = rate.map(|rate| usize::try_from(rate / FRAMES_PER_SECOND_MIN).unwrap_or(usize::MAX));
        share.unwrap_or(REPLICA_FRAME_BYTES).clamp(1, REPLICA_FRAME_BYTES)
    }

    /// A frame left. One for another follower may have left at the same time: then both are paid for.
    pub(super) fn sent(&mut self, now: Instant, bytes: usize, rate: Option<u64>) {
        self.ahead = rate.map(|rate| (self.unpaid(now, rate).saturating_add(bytes as u64), now));
    }

    fn unpaid(&self, now: Instant, rate: u64) -> u64 {
        let Some((bytes, since)) = self.ahead else { return 0 };
        let paid = now.saturating_duration_since(since).as_nanos() * u128::from(rate) / 1_000_000_000;
        bytes.saturating_sub(u64::try_from(paid).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_sent_is_spread_over_time() {
        let (start, rate) = (Instant::now(), Some(1000));
        let mut pace = Pace::default();
        assert_eq!(pace.wait_until(start, rate), None);
        pace.sent(start, 500, rate);
        pace.sent(start, 500, rate);
        assert_eq!(pace.wait_until(start, rate), Some(start + SECOND));
        assert_eq!(pace.wait_until(start + SECOND, rate), None);
        // Time in which nothing was sent is not made up for.
        pace.sent(start + 10 * SECOND, 2000, rate);
        assert_eq!(pace.wait_until(start + 10 * SECOND, rate), Some(start + 12 * SECOND));
    }

    #[test]
    fn another_rate_holds_at_once() {
        let start = Instant::now();
        let mut pace = Pace::default();
        pace.sent(start, 1_000_000, Some(1));
        assert!(pace.wait_until(start + SECOND, Some(1)).is_some());
        assert_eq!(pace.wait_until(start + SECOND, Some(1_000_000)), None);
        assert_eq!(pace.wait_until(start, None), None, "the throttle was taken off");
        pace.sent(start, 1000, None);
        assert_eq!(pace.wait_until(start, Some(1)), None);
    }

    #[test]
    fn a_frame_is_a_part_of_a_second() {
        assert_eq!(Pace::frame_bytes(None), REPLICA_FRAME_BYTES);
        assert_eq!(Pace::frame_bytes(Some(80)), 10);
        assert_eq!(Pace::frame_bytes(Some(1)), 1);
        assert_eq!(Pace::frame_bytes(Some(u64::MAX)), REPLICA_FRAME_BYTES);
    }
}
