//! When a pipeline that was activated fails so often that the one before it is better.

use std::collections::VecDeque;

/// How many looks are kept: the rate is over the time between the oldest and this one. One a second.
const LOOKS: usize = 10;
/// Fewer failed calls than this say nothing. A binding that fails is called once a second at last.
const FAILED_MIN: u64 = 5;
/// Of so many calls one must fail.
const CALLS_PER_FAILURE: u64 = 2;

/// How often the plugins of one pipeline failed lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailureRate {
    /// Calls and failed calls at each look, since the pipeline was made.
    looks: VecDeque<(u64, u64)>,
}

impl FailureRate {
    /// Notes the figures of this moment; whether at least half of the calls of late failed.
    pub fn is_too_high(&mut self, calls: u64, failed: u64) -> bool {
        if self.looks.is_empty() {
            // A pipeline begins without a call.
            self.looks.push_back((0, 0));
        }
        let (calls_before, failed_before) = self.looks.front().copied().unwrap_or_default();
        self.looks.push_back((calls, failed));
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        let failed = failed.saturating_sub(failed_before);
        let calls = calls.saturating_sub(calls_before);
        failed >= FAILED_MIN && failed.saturating_mul(CALLS_PER_FAILURE) >= calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_calls_of_late_must_fail_and_a_few_at_least() {
        let mut rate = FailureRate::default();
        assert!(!rate.is_too_high(4, 4), "four failures say nothing");
        assert!(rate.is_too_high(6, 5), "five of six");
        let mut busy = FailureRate::default();
        assert!(!busy.is_too_high(100_000, 100), "one in a thousand");
    }

    #[test]
    fn what_lies_far_back_does_not_count() {
        let mut rate = FailureRate::default();
        assert!(!rate.is_too_high(100_000, 0));
        for look in 1..=9 {
            assert!(!rate.is_too_high(100_000 + look, 0));
        }
        // The plugin began to fail on everything: ten seconds later nothing else is in sight.
        assert!(rate.is_too_high(100_029, 20));
    }
}
