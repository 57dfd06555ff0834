//! Pauses between tries: exponential, bounded, and spread by a seeded generator, so that many clients that lost one
//! node do not come back in step, and a simulation replays.

use std::time::Duration;

/// Time since the client was made. Decisions are made on this, never on a clock.
pub(crate) type Moment = Duration;

/// A small seeded generator (SplitMix64, Steele et al. 2014). Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is above 0. (The bias of the remainder does not matter here.)
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// Another generator, with a stream of its own.
    pub(crate) fn fork(&mut self) -> Random {
        Random(self.next())
    }
}

/// How long to pause after so many failures in a row.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    first: Duration,
    max: Duration,
    random: Random,
}

impl Backoff {
    /// Doublings beyond this change nothing for any sensible maximum.
    const DOUBLINGS_MAX: u32 = 16;

    pub(crate) fn new(first: Duration, max: Duration, random: Random) -> Backoff {
        Backoff { first, max, random }
    }

    /// The pause after failure number `failures` in a row, counted from 1: doubled each time up to the maximum, then
    /// taken between 80 and 120 percent of that (Kafka's jitter).
    pub(crate) fn pause(&mut self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(Self::DOUBLINGS_MAX);
        let full = self.first.saturating_mul(1 << doublings).min(self.max);
        let percent = 80 + u32::try_from(self.random.below(41)).expect("a number below 41 fits");
        full * percent / 100
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_maximum_and_vary() {
        let (first, max) = (Duration::from_millis(50), Duration::from_secs(1));
        let mut backoff = Backoff::new(first, max, Random::new(7));
        for (failures, full_ms) in
            [(1, 50), (2, 100), (3, 200), (5, 800), (6, 1000), (60, 1000), (u32::MAX, 1000)]
        {
            let pauses: Vec<_> = (0..50).map(|_| backoff.pause(failures).as_millis()).collect();
            assert!(pauses.iter().all(|pause| (full_ms * 8 / 10..=full_ms * 12 / 10).contains(pause)));
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "no jitter after {failures} failures");
        }
    }

    #[test]
    fn a_seed_replays() {
        let numbers = |seed| {
            let mut random = Random::new(seed);
            (0..10).map(|_| random.next()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(1), numbers(1));
        assert_ne!(numbers(1), numbers(2));
    }
}
