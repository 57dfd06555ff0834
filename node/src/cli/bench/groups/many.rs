//! Many groups of one member that have nothing to read.

use std::ops::Range;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use weir_client::{Client, ConsumerConfig, ConsumerEvent, GroupEvent, NewTopic, ResetPolicy};

use super::super::latencies::Latencies;
use super::super::machine::{CpuTimes, CpuUsed};
use super::super::target::Target;
use super::Args;
use crate::cli::output::Failure;

/// The topic that all of them read.
const TOPIC: &str = "weir-bench-many";
/// Replicas of it, where there are as many nodes.
const REPLICAS_MAX: u32 = 3;
/// Of how many groups it is asked whether somebody answers for them: some of each partition of `__consumer_offsets`.
const ASKED_FOR: u32 = 300;
/// The pause before it is asked again for a group whose member the new coordinator has not read yet.
const ASK_PAUSE: Duration = Duration::from_millis(10);

pub(super) struct Many {
    pub(super) joined_seconds: f64,
    pub(super) node_cpu_percent: Option<f64>,
    pub(super) failover: Latencies,
}

/// Starts the groups, waits until each member has its partition, and looks at what the node does for all of them.
pub(super) async fn measure(args: &Args, target: &mut Target, admin: &Client) -> Result<Many, Failure> {
    // On several nodes, so that one that is killed takes nothing along that a coordinator is asked about.
    let nodes = u32::try_from(admin.describe_cluster().await?.nodes.len()).unwrap_or(u32::MAX);
    let topic = NewTopic::new(TOPIC).partitions(1).replication_factor(nodes.min(REPLICAS_MAX));
    admin.create_topic(topic).await?;
    let mut clients = Vec::new();
    for _ in 0..args.connections.min(args.groups) {
        clients.push(target.connect().await?);
    }
    let started = Instant::now();
    let mut joining = JoinSet::new();
    for (number, client) in (0..args.groups).zip(clients.iter().cycle()) {
        joining.spawn(join(client.clone(), name(number)));
    }
    let mut staying = JoinSet::new();
    while let Some(joined) = joining.join_next().await {
        let mut consumer = joined.map_err(|_| Failure::new("a client of the bench panicked"))??;
        staying.spawn(async move { while consumer.next_event().await.is_ok() {} });
    }
    let joined_seconds = started.elapsed().as_secs_f64();
    let (before, watched) = (CpuTimes::now(&target.pids), Instant::now());
    tokio::time::sleep(Duration::from_secs_f64(args.idle_seconds)).await;
    let seconds = watched.elapsed().as_secs_f64();
    let used = CpuUsed::between(before, CpuTimes::now(&target.pids), seconds);
    let failover = Latencies::new();
    for _ in 0..args.failovers {
        let asked_for = 0..args.groups.min(ASKED_FOR);
        // What an election moved before is there again.
        answered(admin, asked_for.clone()).await?;
        let took = target.without_a_node(admin, answered(admin, asked_for)).await?;
        failover.record(took);
    }
    let there = admin.list_groups().await?.iter().filter(|group| group.members == 1).count();
    // Each member leaves, politely: what is left of the bench is no member.
    drop(staying);
    for client in clients {
        client.close().await;
    }
    admin.delete_topic(TOPIC).await?;
    if there < usize::try_from(args.groups).unwrap_or(usize::MAX) {
        return Err(Failure::new(format!("of {} groups only {there} still had their member", args.groups)));
    }
    let node_cpu_percent = used.node.filter(|_| seconds > 0.0).map(|cpu| cpu * 100.0 / seconds);
    Ok(Many { joined_seconds, node_cpu_percent, failover })
}

fn name(number: u32) -> String {
    format!("weir-bench-{number}")
}

/// How long it takes until each of these groups is answered for, with its member.
async fn answered(admin: &Client, groups: Range<u32>) -> Result<Duration, Failure> {
    let started = Instant::now();
    let mut asking = JoinSet::new();
    for group in groups.map(name) {
        let admin = admin.clone();
        asking.spawn(async move {
            while admin.describe_group(&group).await?.members.len() != 1 {
                tokio::time::sleep(ASK_PAUSE).await;
            }
            Ok::<_, Failure>(())
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked.map_err(|_| Failure::new("a client of the bench panicked"))??;
    }
    Ok(started.elapsed())
}

/// A member that was told what to read.
async fn join(client: Client, group: String) -> Result<weir_client::Consumer, Failure> {
    let config =
        ConsumerConfig { group: Some(group), reset: ResetPolicy::Latest, ..ConsumerConfig::default() };
    let mut consumer = client.consumer(config)?;
    consumer.subscribe([TOPIC])?;
    loop {
        if let ConsumerEvent::Group(GroupEvent::Assigned { .. }) = consumer.next_event().await? {
            return Ok(consumer);
        }
    }
}
