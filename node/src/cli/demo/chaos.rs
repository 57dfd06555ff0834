//! Killing leaders at random moments.

use std::time::Duration;

use fastrand::Rng;
use tokio::sync::watch;
use tokio::time::Instant;
use weir_client::{Client, NodeId, PartitionIndex};

use super::story::{Killed, Story};
use super::{PARTITIONS, TOPIC};
use crate::cli::child::NodeProcess;
use crate::cli::output::Failure;

/// How often a leader is killed.
pub(super) const KILLS: usize = 3;
/// The longest time between a kill and the restart; the node's own start comes on top. Longer than a lease, so that
/// some kills end with another leader and some with the same one back in time.
const PAUSE_MS_MAX: u64 = 3000;
/// How long a partition may be without a leader.
const LEADER_PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait between two looks at who leads.
const LEADER_PAUSE: Duration = Duration::from_millis(50);

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

    /// At each moment kills the leader of a partition, and starts it again. `settled` counts the records that have
    /// their result.
    pub(super) async fn carry_out(
        mut self,
        mut nodes: Vec<NodeProcess>,
        client: &Client,
        mut settled: watch::Receiver<u64>,
        story: &Story,
    ) -> Result<(Vec<NodeProcess>, Downtime), Failure> {
        let mut downtime = Downtime::default();
        for (count, moment) in (1..).zip(self.moments) {
            let at = settled.wait_for(|settled| *settled >= moment).await;
            let at = *at.map_err(|_| Failure::new("the producer was given up"))?;
            let partition = PartitionIndex(self.rng.u32(..PARTITIONS));
            let leader = leader_of(client, partition).await?;
            let place = nodes.iter().position(|process| process.node() == leader);
            let place = place.ok_or_else(|| Failure::new(format!("node {leader} is not the demo's own")))?;
            let pause = Duration::from_millis(self.rng.u64(0..=PAUSE_MS_MAX));
            let killed = Instant::now();
            let node = nodes.swap_remove(place).kill_and_restart(pause).await?;
            nodes.push(node);
            let away = killed.elapsed();
            downtime.total += away;
            story.killed(&Killed { count, node: leader, partition, at, away })?;
        }
        Ok((nodes, downtime))
    }
}

/// Who leads a partition; waits while nobody does.
async fn leader_of(client: &Client, partition: PartitionIndex) -> Result<NodeId, Failure> {
    let patience = Instant::now() + LEADER_PATIENCE;
    loop {
        let topic = client.describe_topic(TOPIC).await?;
        let found = topic.partitions.iter().find(|found| found.index == partition);
        match found.and_then(|found| found.leader) {
            Some(leader) => return Ok(leader),
            None if Instant::now() > patience => {
                let seconds = LEADER_PATIENCE.as_secs();
                return Err(Failure::new(format!("{TOPIC}-{partition} has no leader for {seconds} s")));
            }
            None => tokio::time::sleep(LEADER_PAUSE).await,
        }
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
