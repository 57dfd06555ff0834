//! Nodes that are killed, stand still, or are restarted.

use std::time::Duration;

use super::{a_follower, a_leader, any_node, the_controller};
use crate::process::Signal;
use crate::sim::dice::Dice;
use crate::torture::judge;
use crate::torture::plan::Kind;
use crate::torture::round::Field;

/// How long an operator waits for a node that he restarted before he goes on to the next.
const ROLL_PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn kill(field: &Field, dice: &mut Dice, kind: Kind, lasts: Duration) {
    let node = match kind {
        Kind::KillLeader => a_leader(field, dice).await,
        Kind::KillFollower => a_follower(field, dice).await,
        _ => the_controller(field, dice).await,
    };
    field.journal.fault(kind, format_args!("node {}", node + 1));
    field.cluster.kill(node).await;
    tokio::time::sleep(lasts).await;
    field.cluster.start(node).await;
}

pub(super) async fn kill_all(field: &Field, lasts: Duration) {
    field.journal.fault(Kind::KillAll, format_args!("all nodes"));
    for node in 0..field.cluster.count() {
        field.cluster.kill(node).await;
    }
    tokio::time::sleep(lasts.min(Duration::from_secs(1))).await;
    for node in 0..field.cluster.count() {
        field.cluster.start(node).await;
    }
}

pub(super) async fn pause(field: &Field, dice: &mut Dice, kind: Kind, lasts: Duration) {
    let node = if kind == Kind::PauseLeader { a_leader(field, dice).await } else { any_node(field, dice) };
    field.journal.fault(kind, format_args!("node {}", node + 1));
    field.cluster.signal(node, Signal::Stop);
    tokio::time::sleep(lasts).await;
    field.cluster.signal(node, Signal::Continue);
}

pub(super) async fn rolling_restart(field: &Field) {
    field.journal.fault(Kind::RollingRestart, format_args!("all nodes"));
    for node in 0..field.cluster.count() {
        field.cluster.stop(node).await;
        field.cluster.start(node).await;
        if let Err(why) = judge::wait_until_whole(field, ROLL_PATIENCE).await {
            field.journal.note(format_args!("the next node is restarted all the same: {why}"));
        }
    }
}
