//! The door to the time of day and to randomness. Both come through the configuration's network, which a simulation
//! replaces; timers are tokio's, whose clock a simulation pauses.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;
use weir_quic::Network;

use crate::backoff::{Moment, Random};
use crate::error::ClientError;

pub(crate) struct Outside {
    network: Arc<dyn Network>,
    start: Instant,
    random: Mutex<Random>,
}

impl Outside {
    pub(crate) fn new(network: &Arc<dyn Network>) -> Result<Outside, ClientError> {
        let seed = match network.rng_seed() {
            Some([a, b, c, d, e, f, g, h, ..]) => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            None => getrandom::u64()
                .map_err(|error| ClientError::Config(format!("the system gives no randomness: {error}")))?,
        };
        let random = Mutex::new(Random::new(seed));
        Ok(Outside { network: Arc::clone(network), start: Instant::now(), random })
    }

    pub(crate) fn network(&self) -> &Arc<dyn Network> {
        &self.network
    }

    /// The time on which decisions are made.
    pub(crate) fn now(&self) -> Moment {
        self.start.elapsed()
    }

    /// The instant to sleep until for a decision's time.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        self.start + moment
    }

    /// The time of day in milliseconds since 1970, for records.
    pub(crate) fn wall_ms(&self) -> i64 {
        i64::try_from(self.network.unix_time().as_millis()).unwrap_or(i64::MAX)
    }

    /// A generator for somebody's own use.
    pub(crate) fn random(&self) -> Random {
        self.random.lock().unwrap_or_else(PoisonError::into_inner).fork()
    }
}
