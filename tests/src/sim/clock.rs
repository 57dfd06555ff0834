//! The time of the simulation.

use std::time::Duration;

/// The time of day at which every run begins: 2026-01-01T00:00:00Z, since the Unix epoch. Certificates are made for
/// it, so no run depends on the day on which it is made.
pub const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// Tells the virtual time of the host that asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SimClock;

impl SimClock {
    /// Since the start of the run, also over restarts of the host.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        // Outside of a step nothing of a host runs but destructors, which have no use for the time.
        turmoil::sim_elapsed().unwrap_or_default()
    }

    /// The time of day, since the Unix epoch.
    #[must_use]
    pub fn unix_time(self) -> Duration {
        EPOCH + self.elapsed()
    }
}
