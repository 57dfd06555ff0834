//! Random numbers from one seed.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A stream of random numbers for one purpose.
///
/// Each purpose has its own stream, so that asking for one number more in one place changes nothing in another: a
/// new kind of fault does not reshuffle the packets that are lost.
#[derive(Clone, Debug)]
pub struct Dice(fastrand::Rng);

impl Dice {
    /// The stream for `purpose` in the run of `seed`.
    #[must_use]
    pub fn new(seed: u64, purpose: &str) -> Dice {
        Dice(fastrand::Rng::with_seed(xxhash_rust::xxh3::xxh3_64_with_seed(purpose.as_bytes(), seed)))
    }

    /// A stream of its own that follows from this one's next number.
    pub fn fork(&mut self) -> Dice {
        Dice(fastrand::Rng::with_seed(self.0.u64(..)))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number of the range.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.u64(range)
    }

    /// A time of the range, in whole microseconds.
    pub fn time(&mut self, range: RangeInclusive<Duration>) -> Duration {
        let micros = |time: &Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.0.u64(micros(range.start())..=micros(range.end())))
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        // No number is drawn for what is certain, so that a quiet network costs nothing.
        probability > 0.0 && self.0.f64() < probability
    }

    /// One of these.
    ///
    /// # Panics
    /// If there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        assert!(!choices.is_empty(), "there is something to choose from");
        &choices[self.0.usize(..choices.len())]
    }

    /// Fills the buffer.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_purpose_name_one_stream() {
        let draw = |seed, purpose| {
            let mut dice = Dice::new(seed, purpose);
            [dice.number(), dice.number(), dice.number()]
        };
        assert_eq!(draw(1, "disk"), draw(1, "disk"));
        assert_ne!(draw(1, "disk"), draw(2, "disk"));
        assert_ne!(draw(1, "disk"), draw(1, "network"));
    }
}
