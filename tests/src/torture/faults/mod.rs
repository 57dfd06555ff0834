//! Carrying faults out: each lane does one after the other, all lanes at once.

mod disks;
mod links;
mod moves;
mod processes;
mod swaps;

use std::rc::Rc;
use std::time::Duration;

use weir_client::{ClientError, NodeId};

use super::plan::{Kind, Lane};
use super::round::Field;
use super::workload::TOPIC;
use crate::sim::dice::Dice;

pub(super) use disks::{make_room, start_anew};
pub(super) use moves::{lift_throttle, restore};
pub(super) use swaps::{last_swap, push};

/// How long somebody looks for who leads or controls, before anybody will do.
const FIND_PATIENCE: Duration = Duration::from_secs(1);

/// Does what the plan says for a lane.
pub(super) async fn carry_out(field: Rc<Field>, lane: Lane) {
    let dice = &mut Dice::new(field.plan.seed, &format!("faults of {lane:?}"));
    let steps: Vec<_> = field.plan.of(lane).collect();
    for step in steps {
        tokio::time::sleep(step.after).await;
        let (kind, lasts) = (step.kind, step.lasts);
        match kind {
            Kind::KillLeader | Kind::KillFollower | Kind::KillController => {
                processes::kill(&field, dice, kind, lasts).await;
            }
            Kind::KillAll => processes::kill_all(&field, lasts).await,
            Kind::PauseLeader | Kind::PauseAny => processes::pause(&field, dice, kind, lasts).await,
            Kind::RollingRestart => processes::rolling_restart(&field).await,
            Kind::CutLeader | Kind::CutController => links::cut_off(&field, dice, kind, lasts).await,
            Kind::CutOneWay => links::cut_one_way(&field, dice, lasts).await,
            Kind::Halves => links::halves(&field, dice, lasts).await,
            Kind::Delay | Kind::Loss => links::disturb(&field, dice, kind, lasts).await,
            Kind::FullDisk => disks::fill(&field, dice, lasts).await,
            Kind::FlipSegments | Kind::FlipIndexes | Kind::FlipCheckpoints => {
                disks::flip(&field, dice, kind, lasts).await;
            }
            Kind::Wipe => disks::wipe(&field, lasts).await,
            Kind::Reassign => moves::reassign(&field, dice, lasts).await,
            Kind::Drain => moves::drain(&field, dice, lasts).await,
            Kind::Swap => swaps::swap(&field, dice).await,
        }
    }
}

/// Any node, from 0.
fn any_node(field: &Field, dice: &mut Dice) -> usize {
    index_below(dice, field.cluster.count())
}

fn index_below(dice: &mut Dice, count: usize) -> usize {
    let last = u64::try_from(count).expect("few") - 1;
    usize::try_from(dice.within(0..=last)).expect("few")
}

/// The node that leads some partition; any, where nobody says it in time.
async fn a_leader(field: &Field, dice: &mut Dice) -> usize {
    let (any, partition) = (any_node(field, dice), dice.within(0..=u64::from(field.plan.partitions) - 1));
    let asked = tokio::time::timeout(FIND_PATIENCE, field.client.metadata(Some(&[TOPIC]))).await;
    let leader = asked.ok().and_then(Result::ok).and_then(|metadata| {
        let topic = metadata.topics.into_iter().next()?;
        topic.partitions.iter().find(|one| u64::from(one.index.0) == partition)?.leader
    });
    leader.map_or(any, index_of)
}

/// A node that follows in some partition; any, where nobody says it in time.
async fn a_follower(field: &Field, dice: &mut Dice) -> usize {
    let leader = a_leader(field, dice).await;
    (leader + 1 + index_below(dice, field.cluster.count() - 1)) % field.cluster.count()
}

/// The active controller; any node, where nobody says it in time.
async fn the_controller(field: &Field, dice: &mut Dice) -> usize {
    let any = any_node(field, dice);
    let asked = tokio::time::timeout(FIND_PATIENCE, field.client.describe_cluster()).await;
    let controller = asked.ok().and_then(Result::ok).and_then(|cluster| cluster.quorum.controller);
    controller.map_or(any, index_of)
}

fn index_of(node: NodeId) -> usize {
    usize::try_from(node.0).expect("few nodes") - 1
}

fn node_id(index: usize) -> NodeId {
    NodeId(u32::try_from(index + 1).expect("few nodes"))
}

/// Notes what an operator was told who could not be helped at the moment.
fn refused(field: &Field, kind: Kind, error: &ClientError) {
    field.journal.skipped(kind, format_args!("{error}"));
}
