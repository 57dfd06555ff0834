//! An operator who moves replicas and drains nodes, whatever else fails meanwhile.

use std::time::Duration;

use weir_client::{
    AlterReassignments, ClientError, NodeId, PartitionIndex, ReassignmentAltered, ReplicasWanted, Shift,
    ShiftReplicas, Throttle,
};

use super::{any_node, index_below, node_id, refused};
use crate::sim::dice::Dice;
use crate::torture::plan::Kind;
use crate::torture::round::Field;
use crate::torture::workload::TOPIC;

/// How many replicas a partition keeps at least: as many as must be in sync.
const REPLICAS_MIN: usize = 2;

/// Gives one or two partitions other replicas, or takes back what is under way.
pub(super) async fn reassign(field: &Field, dice: &mut Dice, lasts: Duration) {
    let mut partitions = Vec::new();
    for _ in 0..dice.within(1..=2) {
        let partition = any_partition(field, dice);
        let replicas = (!dice.chance(0.2)).then(|| any_replicas(field, dice));
        partitions.push(ReplicasWanted { topic: TOPIC.to_owned(), partition, replicas });
    }
    let throttle = dice.chance(0.3).then(|| Throttle::BytesPerSecond(dice.within(20_000..=1_000_000)));
    let request = AlterReassignments { partitions, throttle };
    match alter(field, &request).await {
        Ok(()) => field.journal.fault(Kind::Reassign, format_args!("{request:?}")),
        Err(error) => refused(field, Kind::Reassign, &error),
    }
    tokio::time::sleep(lasts).await;
}

/// Moves all replicas of a node to others, and lets it have some again. Where too few others have room, partitions have
/// fewer replicas first.
pub(super) async fn drain(field: &Field, dice: &mut Dice, lasts: Duration) {
    let node = any_node(field, dice);
    match empty(field, node).await {
        Ok(()) => field.journal.fault(Kind::Drain, format_args!("node {}", node + 1)),
        Err(error) => refused(field, Kind::Drain, &error),
    }
    tokio::time::sleep(lasts).await;
    if let Err(error) = shift(field, node, Shift::Allow).await {
        field.journal.note(format_args!("node {} is still being drained: {error}", node + 1));
    }
}

async fn empty(field: &Field, node: usize) -> Result<(), ClientError> {
    let mut partitions = Vec::new();
    for topic in field.client.list_topics().await? {
        for one in topic.partitions.iter().filter(|one| one.replicas.len() >= field.cluster.count()) {
            let others = one.replicas.iter().copied().filter(|replica| *replica != node_id(node));
            let replicas = Some(others.collect());
            partitions.push(ReplicasWanted { topic: topic.name.clone(), partition: one.index, replicas });
        }
    }
    if !partitions.is_empty() {
        alter(field, &AlterReassignments { partitions, throttle: Some(Throttle::Off) }).await?;
    }
    shift(field, node, Shift::Away).await
}

/// Lets what moves move as fast as it can: a reassignment may have asked for a rate at which it would take minutes.
pub(in crate::torture) async fn lift_throttle(field: &Field) -> Result<(), ClientError> {
    alter(field, &AlterReassignments { partitions: Vec::new(), throttle: Some(Throttle::Off) }).await
}

/// Gives every partition as many replicas as it began with.
pub(in crate::torture) async fn restore(field: &Field) -> Result<(), ClientError> {
    for node in 0..field.cluster.count() {
        shift(field, node, Shift::Allow).await?;
    }
    let factor = usize::try_from(field.plan.replication_factor()).expect("few replicas");
    let mut partitions = Vec::new();
    for topic in field.client.list_topics().await? {
        for one in &topic.partitions {
            let mut replicas = one.replicas.clone();
            let all = (0..field.cluster.count()).map(node_id);
            let others: Vec<NodeId> = all.filter(|node| !replicas.contains(node)).collect();
            replicas.extend(others);
            replicas.truncate(factor);
            let (topic, replicas) = (topic.name.clone(), Some(replicas));
            partitions.push(ReplicasWanted { topic, partition: one.index, replicas });
        }
    }
    alter(field, &AlterReassignments { partitions, throttle: Some(Throttle::Off) }).await
}

async fn alter(field: &Field, request: &AlterReassignments) -> Result<(), ClientError> {
    told(&field.client.alter_reassignments(request).await?.partitions)
}

async fn shift(field: &Field, node: usize, shift: Shift) -> Result<(), ClientError> {
    let request = ShiftReplicas { node: node_id(node), shift, throttle: Some(Throttle::Off) };
    told(&field.client.shift_replicas(&request).await?.partitions)
}

/// The first refusal.
fn told(altered: &[ReassignmentAltered]) -> Result<(), ClientError> {
    let refused = altered.iter().find_map(|one| one.outcome.as_ref().err());
    refused.map_or(Ok(()), |error| Err(ClientError::Node(error.clone())))
}

fn any_partition(field: &Field, dice: &mut Dice) -> PartitionIndex {
    let last = u64::from(field.plan.partitions) - 1;
    PartitionIndex(u32::try_from(dice.within(0..=last)).expect("few partitions"))
}

fn any_replicas(field: &Field, dice: &mut Dice) -> Vec<NodeId> {
    let mut left: Vec<usize> = (0..field.cluster.count()).collect();
    let most = left.len().min(usize::try_from(field.plan.replication_factor()).expect("few replicas"));
    let count = REPLICAS_MIN + index_below(dice, most - REPLICAS_MIN + 1);
    (0..count).map(|_| node_id(left.remove(index_below(dice, left.len())))).collect()
}
