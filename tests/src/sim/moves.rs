//! An operator who gives the topic's partitions other replicas, and drains nodes, while clients write.
//!
//! What he demands: what cannot be is refused, and once nothing fails any more all that was begun comes to its end, and
//! every partition can have as many replicas as it began with.

use std::ops::RangeInclusive;
use std::time::Duration;

use weir_client::{
    AlterReassignments, Client, ClientConfig, ClientError, ErrorCode, ReassignmentAltered, ReplicasWanted,
    Shift, ShiftReplicas, Throttle, WireError,
};
use weir_wire::ids::{NodeId, PartitionIndex};

use super::dice::Dice;
use super::plan::Workload;
use super::workload::{Common, TOPIC};

/// His host.
pub(super) const NAME: &str = "mover";
/// Who he is, among the producers.
const NUMBER: u32 = u32::MAX - 50;
/// Of how many clusters replicas are moved.
const SHARE: f64 = 0.3;
/// The slowest rate at which replicas that are added are sent to, in bytes a second.
const RATE_MIN: u64 = 20_000;

/// What the operator does.
#[derive(Clone, Debug)]
pub struct Moves {
    /// How many nodes there are.
    pub nodes: u32,
    /// How many replicas a partition keeps at least.
    pub replicas_min: u32,
    /// How long he waits between two moves.
    pub pause: RangeInclusive<Duration>,
    /// Whether he always takes out the node that leads; else anything.
    pub removes_leaders: bool,
}

impl Moves {
    /// Has replicas moved in a workload, or not. A node can be drained only where another one has room, so that some have
    /// one replica fewer then.
    pub(super) fn plan(dice: &mut Dice, nodes: u32, workload: &mut Workload) {
        if nodes < 2 || !dice.chance(SHARE) {
            return;
        }
        if dice.chance(0.5) {
            workload.replication_factor = workload.replication_factor.min(nodes - 1);
            workload.min_insync = workload.min_insync.min(workload.replication_factor);
        }
        let longest =
            *dice.pick(&[Duration::from_millis(200), Duration::from_secs(1), Duration::from_secs(4)]);
        let removes_leaders = dice.chance(0.3);
        // Where nothing is flushed, a partition with one replica loses what it has with the power.
        let replicas_min = workload.min_insync.max(if workload.write_caching { 2 } else { 1 });
        let pause = Duration::ZERO..=longest;
        workload.moves = Some(Moves { nodes, replicas_min, pause, removes_leaders });
    }
}

/// Moves until the faults are over, and then gives every partition all that it had, which must go well.
pub(super) async fn run(common: &Common, config: ClientConfig, moves: &Moves) {
    let client = common.connect(config).await;
    common.create_topic(&client).await;
    while !common.journal.faults_are_over() {
        let moved = if !moves.removes_leaders && common.dice.borrow_mut().chance(0.3) {
            shift(common, &client, moves).await
        } else {
            reassign(common, &client, moves).await
        };
        if let Err(error) = moved {
            refused(common, &error).await;
        }
        let pause = common.dice.borrow_mut().time(moves.pause.clone());
        tokio::time::sleep(pause).await;
    }
    while let Err(error) = restore(common, &client, moves).await {
        refused(common, &error).await;
    }
    common.journal.finished(NUMBER);
}

/// Gives one partition other replicas, or takes back what is under way.
async fn reassign(common: &Common, client: &Client, moves: &Moves) -> Result<(), ClientError> {
    let partitions = u64::from(common.workload.partitions);
    let index = common.dice.borrow_mut().within(0..=partitions - 1);
    let partition = PartitionIndex(u32::try_from(index).expect("few partitions"));
    let described = client.describe_topic(TOPIC).await?;
    let leader = described.partitions.iter().find(|one| one.index == partition).and_then(|one| one.leader);
    let (replicas, throttle) = {
        let dice = &mut *common.dice.borrow_mut();
        (moves.any_replicas(dice, leader), any_throttle(dice))
    };
    common.note(format_args!("{partition}, led by {leader:?}, is to have {replicas:?}, {throttle:?}"));
    let wanted = ReplicasWanted { topic: TOPIC.to_owned(), partition, replicas };
    let altered =
        client.alter_reassignments(&AlterReassignments { partitions: vec![wanted], throttle }).await?;
    told(common, &altered.partitions).await
}

/// Drains a node, fills it, or lets it have replicas again.
async fn shift(common: &Common, client: &Client, moves: &Moves) -> Result<(), ClientError> {
    let request = {
        let dice = &mut *common.dice.borrow_mut();
        let shift = *dice.pick(&[Shift::Away, Shift::Away, Shift::Allow, Shift::Onto]);
        ShiftReplicas { node: moves.any_node(dice), shift, throttle: any_throttle(dice) }
    };
    common.note(format_args!("{request:?}"));
    let shifting = client.shift_replicas(&request).await?;
    common.note(format_args!("{shifting:?}"));
    told(common, &shifting.partitions).await
}

/// Gives every partition as many replicas as it began with.
async fn restore(common: &Common, client: &Client, moves: &Moves) -> Result<(), ClientError> {
    for node in (1..=moves.nodes).map(NodeId) {
        let request = ShiftReplicas { node, shift: Shift::Allow, throttle: Some(Throttle::Off) };
        client.shift_replicas(&request).await?;
    }
    let described = client.describe_topic(TOPIC).await?;
    let factor = usize::try_from(common.workload.replication_factor).expect("few nodes");
    let partitions = described.partitions.into_iter().map(|one| {
        let mut replicas: Vec<NodeId> = one.replicas.iter().map(|replica| replica.node).collect();
        let others = (1..=moves.nodes).map(NodeId).filter(|node| !replicas.contains(node));
        replicas.extend(others.collect::<Vec<_>>());
        replicas.truncate(factor);
        ReplicasWanted { topic: TOPIC.to_owned(), partition: one.index, replicas: Some(replicas) }
    });
    let request = AlterReassignments { partitions: partitions.collect(), throttle: None };
    let altered = client.alter_reassignments(&request).await?;
    told(common, &altered.partitions).await
}

/// Notes what became of each partition; the first error that is none of an operator's mistakes.
async fn told(common: &Common, altered: &[ReassignmentAltered]) -> Result<(), ClientError> {
    for ReassignmentAltered { partition, outcome, .. } in altered {
        match outcome {
            Ok(is_under_way) => common.note(format_args!("{partition} moves: {is_under_way}")),
            Err(error) => return Err(ClientError::Node(error.clone())),
        }
    }
    Ok(())
}

/// Notes what an operator is told honestly: too few are in sync, or a node is away, has no room, or has not come yet.
async fn refused(common: &Common, error: &ClientError) {
    let honest = [ErrorCode::InvalidReplicaAssignment, ErrorCode::InvalidRequest];
    match error {
        ClientError::Node(WireError { code, .. }) if honest.contains(code) => {
            common.note(format_args!("not moved: {error}"));
            common.pause().await;
        }
        _ => common.failed("moving replicas", error).await,
    }
}

impl Moves {
    fn any_node(&self, dice: &mut Dice) -> NodeId {
        NodeId(u32::try_from(dice.within(1..=u64::from(self.nodes))).expect("few nodes"))
    }

    /// Some nodes in any order, or `None` for those before.
    fn any_replicas(&self, dice: &mut Dice, leader: Option<NodeId>) -> Option<Vec<NodeId>> {
        if !self.removes_leaders && dice.chance(0.2) {
            return None;
        }
        let mut left: Vec<NodeId> = (1..=self.nodes).map(NodeId).collect();
        if self.removes_leaders && left.len() > usize::try_from(self.replicas_min).expect("few nodes") {
            left.retain(|node| Some(*node) != leader);
        }
        let most = u64::try_from(left.len()).expect("few nodes");
        let count = dice.within(u64::from(self.replicas_min).min(most)..=most);
        let mut replicas = Vec::new();
        for _ in 0..count {
            let last = u64::try_from(left.len()).expect("few nodes") - 1;
            replicas.push(left.remove(usize::try_from(dice.within(0..=last)).expect("few nodes")));
        }
        Some(replicas)
    }
}

fn any_throttle(dice: &mut Dice) -> Option<Throttle> {
    match dice.within(0..=5) {
        0 => Some(Throttle::BytesPerSecond(dice.within(RATE_MIN..=RATE_MIN * 50))),
        1 => Some(Throttle::Off),
        _ => None,
    }
}
