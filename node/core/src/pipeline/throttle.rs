//! How much of a node a failing plugin may still have.
//!
//! A plugin that fails may have run to its limits before it did, and its next call will too. So a binding whose call
//! failed rests a multiple of the time that the call ran, and runs one call at a time until one succeeds.

/// How many times as long as it ran a binding rests after a failed call: it has at most a quarter of one thread.
const RESTS: u64 = 3;
/// The shortest rest after a first failure; it doubles with every further one in a row.
const REST_NS_MIN: u64 = 1_000_000;
/// The longest rest that is not for time that a call ran.
const REST_NS_MAX: u64 = 1_000_000_000;
/// How many calls may wait for a binding that fails; further ones are turned away.
pub const WAITING_MAX: usize = 16;

/// What a binding's latest calls came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    failures_in_a_row: u32,
    rest_until_ns: u64,
}

impl Throttle {
    /// Notes how a call ended, at `now_ns` after `ran_ns`.
    pub fn ended(&mut self, now_ns: u64, ran_ns: u64, failed: bool) {
        if !failed {
            *self = Throttle::default();
            return;
        }
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let doubled = REST_NS_MIN << (self.failures_in_a_row - 1).min(10);
        let rest = ran_ns.saturating_mul(RESTS).max(doubled.min(REST_NS_MAX));
        self.rest_until_ns = self.rest_until_ns.max(now_ns.saturating_add(rest));
    }

    /// Whether calls run one at a time.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.failures_in_a_row > 0
    }

    /// How long the next call must wait; 0 if it need not.
    #[must_use]
    pub fn rest_ns(&self, now_ns: u64) -> u64 {
        self.rest_until_ns.saturating_sub(now_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_failure_costs_three_times_what_it_ran_and_a_success_forgives() {
        let mut throttle = Throttle::default();
        assert_eq!((throttle.is_on(), throttle.rest_ns(0)), (false, 0));
        throttle.ended(100 * MS, 100 * MS, true);
        assert_eq!((throttle.is_on(), throttle.rest_ns(100 * MS)), (true, 300 * MS));
        assert_eq!(throttle.rest_ns(400 * MS), 0);
        throttle.ended(410 * MS, MS, false);
        assert_eq!(throttle, Throttle::default());
    }

    #[test]
    fn quick_failures_in_a_row_rest_longer_and_longer_up_to_a_second() {
        let mut throttle = Throttle::default();
        let mut now = 0;
        let rests: Vec<_> = (0..12)
            .map(|_| {
                throttle.ended(now, 1000, true);
                let rest = throttle.rest_ns(now);
                now += rest;
                rest / MS
            })
            .collect();
        assert_eq!(rests, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000]);
    }

    #[test]
    fn calls_that_ran_side_by_side_do_not_shorten_the_rest() {
        let mut throttle = Throttle::default();
        throttle.ended(100 * MS, 100 * MS, true);
        throttle.ended(101 * MS, MS, true);
        assert_eq!(throttle.rest_ns(101 * MS), 299 * MS);
    }
}
