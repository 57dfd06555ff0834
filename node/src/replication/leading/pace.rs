//! How fast replicas that are being added are sent what they lack: `leader.replication.throttled.rate`. Values only.

use std::time::Duration;

use tokio::time::Instant;
use weir_wire::replication::REPLICA_FRAME_BYTES;

/// A frame takes no more than so many of a second's bytes, so that what is sent is spread over the second.
const FRAMES_PER_SECOND_MIN: u64 = 8;

/// Spreads what is sent over time. One for all followers of a node: the rate is the node's.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// What was sent is paid for from here on.
    paid_at: Option<Instant>,
}

impl Pace {
    /// When the next frame may leave; `None`: at once.
    pub(super) fn wait_until(&self, now: Instant, rate: Option<u64>) -> Option<Instant> {
        rate.and(self.paid_at).filter(|paid_at| *paid_at > now)
    }

    /// How many bytes the next frame should hold at most.
    pub(super) fn frame_bytes(rate: Option<u64>) -> usize {
        let share = rate.map(|rate| usize::try_from(rate / FRAMES_PER_SECOND_MIN).unwrap_or(usize::MAX));
        share.unwrap_or(REPLICA_FRAME_BYTES).clamp(1, REPLICA_FRAME_BYTES)
    }

    /// A frame left.
    pub(super) fn sent(&mut self, now: Instant, bytes: usize, rate: Option<u64>) {
        let Some(rate) = rate else {
            self.paid_at = None;
            return;
        };
        let nanos = u128::from(bytes as u64) * 1_000_000_000 / u128::from(rate.max(1));
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let from = self.paid_at.map_or(now, |paid_at| paid_at.max(now));
        // A time that no clock reaches is as good as never.
        self.paid_at = from.checked_add(cost).or(self.paid_at);
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
        assert_eq!(pace.wait_until(start + 10 * SECOND, None), None, "the throttle was taken off");
    }

    #[test]
    fn a_frame_is_a_part_of_a_second() {
        assert_eq!(Pace::frame_bytes(None), REPLICA_FRAME_BYTES);
        assert_eq!(Pace::frame_bytes(Some(80)), 10);
        assert_eq!(Pace::frame_bytes(Some(1)), 1);
        assert_eq!(Pace::frame_bytes(Some(u64::MAX)), REPLICA_FRAME_BYTES);
    }
}
