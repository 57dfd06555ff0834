//! What a simulated node takes from outside.

use std::sync::{Mutex, PoisonError};

use weir_core::time::Now;
use weir_node::outside::{Clock, Randomness};

use super::clock::SimClock;
use super::dice::Dice;

impl Clock for SimClock {
    fn now(&self) -> Now {
        let nanos = self.elapsed().as_nanos();
        Now {
            monotonic_ns: u64::try_from(nanos).expect("no run lasts for centuries"),
            wall_ms: i64::try_from(self.unix_time().as_millis()).expect("no run lasts for centuries"),
        }
    }
}

/// Random bytes that repeat with the seed.
#[derive(Debug)]
pub struct SimRandomness(Mutex<Dice>);

impl SimRandomness {
    /// The bytes that these dice give.
    #[must_use]
    pub fn new(dice: Dice) -> SimRandomness {
        SimRandomness(Mutex::new(dice))
    }
}

impl Randomness for SimRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(bytes);
    }
}
