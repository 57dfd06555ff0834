//! How long things took, in bounded memory.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::cli::output::grouped;

/// Values below this many nanoseconds have a bucket each.
const FINE: u64 = 128;
/// Above, each doubling is cut into so many buckets: an error below one percent.
const PER_DOUBLING: u64 = FINE / 2;
/// Buckets for every value of 64 bits.
const BUCKETS: usize = 58 * 64 + 64;

/// Counts durations in buckets that grow with them.
pub(super) struct Latencies(Mutex<Counts>);

struct Counts {
    buckets: Vec<u64>,
    total: u64,
}

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies::new()
    }
}

impl Latencies {
    pub(super) fn new() -> Latencies {
        Latencies(Mutex::new(Counts { buckets: vec![0; BUCKETS], total: 0 }))
    }

    pub(super) fn record(&self, took: Duration) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.buckets[bucket(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX))] += 1;
        counts.total += 1;
    }

    pub(super) fn count(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    /// The milliseconds within which `per_mille` of a thousand were done; `None` where nothing was counted.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds for people")]
    pub(super) fn ms(&self, per_mille: u64) -> Option<f64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total == 0 {
            return None;
        }
        let wanted = (u128::from(counts.total) * u128::from(per_mille)).div_ceil(1000).max(1);
        let mut seen = 0_u128;
        let at = counts.buckets.iter().position(|count| {
            seen += u128::from(*count);
            seen >= wanted
        });
        at.map(|at| highest_of(at) as f64 / 1e6)
    }
}

/// Times of one kind, in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Times {
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    count: u64,
}

impl Times {
    pub(super) fn of(latencies: &Latencies) -> Times {
        Times { p50_ms: latencies.ms(500), p99_ms: latencies.ms(990), count: latencies.count() }
    }

    pub(super) fn line(&self, what: &str) -> String {
        let ms = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.1} ms"));
        format!("{what:<12}p50 {}, p99 {}, of {}", ms(self.p50_ms), ms(self.p99_ms), grouped(self.count))
    }
}

/// Which bucket a value is counted in.
fn bucket(value: u64) -> usize {
    let bucket = if value < FINE {
        value
    } else {
        let doubling = u64::from(value.ilog2() - FINE.ilog2()) + 1;
        doubling * PER_DOUBLING + (value >> doubling)
    };
    usize::try_from(bucket).expect("below the number of buckets")
}

/// The highest value of a bucket.
fn highest_of(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).expect("lengths fit 64 bits");
    if bucket < FINE {
        return bucket;
    }
    let doubling = bucket / PER_DOUBLING - 1;
    let within = u128::from(bucket - doubling * PER_DOUBLING);
    u64::try_from(((within + 1) << doubling) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_a_bucket_that_is_near_it() {
        let mut last = 0;
        for value in (0..1000).chain((0..64).map(|bit| 1 << bit)).chain([u64::MAX - 1, u64::MAX]) {
            let highest = highest_of(bucket(value));
            assert!(highest >= value, "{value}: {highest}");
            assert!(u128::from(highest) <= u128::from(value) * 102 / 100, "{value}: {highest}");
            last = last.max(bucket(value));
        }
        assert!(last < BUCKETS, "{last}");
    }

    #[test]
    fn buckets_rise_with_values() {
        let buckets: Vec<_> = (0..100_000).map(bucket).collect();
        assert!(buckets.is_sorted());
        assert!(buckets.windows(2).all(|pair| pair[1] - pair[0] <= 1));
    }

    #[test]
    fn parts_of_a_thousand_are_told() {
        let latencies = Latencies::new();
        assert_eq!(latencies.ms(500), None);
        for ms in 1..=1000 {
            latencies.record(Duration::from_millis(ms));
        }
        for (per_mille, expected) in [(500, 500.0), (990, 990.0), (999, 999.0), (1000, 1000.0)] {
            let told = latencies.ms(per_mille).unwrap();
            assert!(told >= expected && told < expected * 1.02, "{per_mille}: {told}");
        }
        assert_eq!(latencies.count(), 1000);
    }
}
