//! How much of a node's time something may have: what it used is owed, and is paid off at a steady rate.

/// How much may be owed before the next use must wait: what is used now and then is never held up.
const BURST_NS: u64 = 200_000_000;

/// What was used of a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// A thousandth of a core is one.
    share_permille: u32,
    owed_ns: u64,
    /// When `owed_ns` was right.
    at_ns: u64,
}

impl Budget {
    /// A budget of so many thousandths of one core; 2000 is two cores.
    ///
    /// # Panics
    /// If it is nothing: that would never be paid off.
    #[must_use]
    pub fn of_permille(share_permille: u32) -> Budget {
        assert!(share_permille > 0, "a share is more than nothing");
        Budget { share_permille, owed_ns: 0, at_ns: 0 }
    }

    /// Notes that `used_ns` were used up to now.
    pub fn used(&mut self, now_ns: u64, used_ns: u64) {
        self.owed_ns = self.owed_at(now_ns).saturating_add(used_ns);
        self.at_ns = self.at_ns.max(now_ns);
    }

    /// How long the next use must wait; 0 if it need not.
    #[must_use]
    pub fn rest_ns(&self, now_ns: u64) -> u64 {
        let above = self.owed_at(now_ns).saturating_sub(BURST_NS);
        let rest = u128::from(above) * 1000 / u128::from(self.share_permille);
        u64::try_from(rest).unwrap_or(u64::MAX)
    }

    fn owed_at(&self, now_ns: u64) -> u64 {
        let passed = u128::from(now_ns.saturating_sub(self.at_ns));
        let paid = passed * u128::from(self.share_permille) / 1000;
        self.owed_ns.saturating_sub(u64::try_from(paid).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn what_is_used_above_the_share_is_waited_for() {
        let mut budget = Budget::of_permille(250);
        budget.used(0, 100 * MS);
        assert_eq!(budget.rest_ns(0), 0, "a burst is no matter");
        budget.used(0, 150 * MS);
        assert_eq!(budget.rest_ns(0), 200 * MS, "50 ms too much, paid off at a quarter of the time");
        assert_eq!(budget.rest_ns(150 * MS), 50 * MS);
        assert_eq!(budget.rest_ns(200 * MS), 0);
    }

    #[test]
    fn over_a_long_time_no_more_than_the_share_is_used() {
        let mut budget = Budget::of_permille(500);
        let (mut now, mut used) = (0, 0);
        while now < 60_000 * MS {
            now += budget.rest_ns(now) + 10 * MS;
            used += 10 * MS;
            budget.used(now, 10 * MS);
        }
        let share = used * 1000 / now;
        assert!((495..=510).contains(&share), "{share} thousandths");
    }

    #[test]
    fn several_cores_are_a_share_too() {
        let mut budget = Budget::of_permille(2000);
        budget.used(0, 400 * MS);
        assert_eq!(budget.rest_ns(0), 100 * MS);
        assert_eq!(budget.rest_ns(u64::MAX), 0);
    }
}
