//! Killing the node at random moments.

use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::Instant;

use super::child::NodeProcess;
use super::story::Story;
use crate::cli::output::Failure;

/// How often the node is killed.
pub(super) const KILLS: usize = 3;
/// The longest time between a kill and the restart; the node's own start comes on top.
const PAUSE_MS_MAX: u64 = 300;

/// When to kill: once so many records have their result.
#[derive(Debug)]
pub(super) struct Plan {
    rng: Rng,
    moments: [u64; KILLS],
}

/// What the kills cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Downtime {
    pub(super) total: Duration,
}

impl Plan {
    /// Moments between the first and the last result of `records` records, from a seed.
    pub(super) fn new(seed: u64, records: u64) -> Plan {
        let mut rng = Rng::with_seed(seed);
        let mut moments = [0; KILLS];
        moments.fill_with(|| rng.u64(1..=Plan::last_moment(records)));
        moments.sort_unstable();
        Plan { rng, moments }
    }

    /// The latest moment. The records behind it are sent only after the last kill, so that there is always an
    /// acknowledgement to come.
    pub(super) fn last_moment(records: u64) -> u64 {
        (records - records / 20).saturating_sub(1).max(1)
    }

    /// Kills and restarts the node at each moment. `settled` counts the records that have their result.
    pub(super) async fn carry_out(
        mut self,
        mut node: NodeProcess,
        mut settled: watch::Receiver<u64>,
        story: &Story,
    ) -> Result<(NodeProcess, Downtime), Failure> {
        let mut downtime = Downtime::default();
        for (count, moment) in (1..).zip(self.moments) {
            let at = settled.wait_for(|settled| *settled >= moment).await;
            let at = *at.map_err(|_| Failure::new("the producer was given up"))?;
            let pause = Duration::from_millis(self.rng.u64(0..=PAUSE_MS_MAX));
            let killed = Instant::now();
            node = node.kill_and_restart(pause).await?;
            let away = killed.elapsed();
            downtime.total += away;
            story.killed(count, at, away)?;
        }
        Ok((node, downtime))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_lie_between_the_first_and_the_last_result() {
        for records in [100, 1000, 1_000_000] {
            for seed in 0..200 {
                let plan = Plan::new(seed, records);
                assert!(plan.moments.is_sorted());
                assert!(plan.moments[0] >= 1, "after the first");
                assert!(plan.moments[KILLS - 1] <= Plan::last_moment(records));
                assert!(Plan::last_moment(records) < records, "before the last");
            }
        }
    }

    #[test]
    fn a_seed_repeats_its_moments() {
        assert_eq!(Plan::new(7, 1_000_000).moments, Plan::new(7, 1_000_000).moments);
        assert_ne!(Plan::new(7, 1_000_000).moments, Plan::new(8, 1_000_000).moments);
    }
}
