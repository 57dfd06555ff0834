//! Following: one task per node that leads, or has led, what this node hosts.
//!
//! ```text
//! LeaderLink ──orders, reports──▶ task: dial ─▶ session (two streams) ─▶ lost? pause, dial again
//!                                              │
//!                 FollowerMail ◀──frames───────┘
//! ```
//!
//! A replica whose leader cannot be reached is told that its subscription ended, and asks again by itself: nothing is
//! kept here from one session to the next.

mod frames;
mod session;
mod table;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::Replication;
use crate::partitions::{FollowerOrder, LeaderLink, Outgoing};

/// The pause after the first session that ended or did not come to be.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A session that lasted so long had nothing wrong with it from the start.
const LASTED: Duration = Duration::from_secs(5);

/// Follows whom there is to follow, until the node stops.
pub(super) async fn run(replication: Replication) {
    let links = replication.0.partitions.links();
    let mut followed = BTreeSet::new();
    loop {
        let all = tokio::select! {
            biased;
            _ = replication.0.stopping.wait_until(|stopping| *stopping) => return,
            all = links.beyond(followed.len()) => all,
        };
        for link in all {
            if followed.insert(link.node) {
                tokio::spawn(follow(replication.clone(), link));
            }
        }
    }
}

/// Follows one node until this one stops.
async fn follow(replication: Replication, link: Arc<LeaderLink>) {
    let following = async {
        let mut pause = Pauses { next: PAUSE_MIN };
        loop {
            link.wait().await;
            let outgoing = link.take();
            // Without a wish to follow there is nothing to unsubscribe or to report.
            if !outgoing.orders.iter().any(|order| matches!(order, FollowerOrder::Subscribe { .. })) {
                continue;
            }
            let began = tokio::time::Instant::now();
            let end = follow_once(&replication, &link, outgoing).await;
            tracing::info!(leader = %link.node, reason = end, "a replication session ended");
            if began.elapsed() >= LASTED {
                pause.next = PAUSE_MIN;
            }
            tokio::time::sleep(pause.take(&replication)).await;
        }
    };
    tokio::select! {
        biased;
        _ = replication.0.stopping.wait_until(|stopping| *stopping) => {}
        () = following => {}
    }
}

/// One session, from dialling to its end. Returns why it ended.
async fn follow_once(replication: &Replication, link: &LeaderLink, outgoing: Outgoing) -> String {
    match replication.dial(link.node).await {
        Ok(peer) => session::run(replication, link, &peer, outgoing).await,
        Err(reason) => {
            give_up(outgoing);
            reason
        }
    }
}

/// Tells those who wanted to follow that it came to nothing.
fn give_up(outgoing: Outgoing) {
    for order in outgoing.orders {
        if let FollowerOrder::Subscribe { replica, subscribe } = order {
            replica.mail.ended(subscribe.subscription);
        }
    }
}

/// Pauses that double, and vary a little, so that many nodes that lost one do not come back in step.
struct Pauses {
    next: Duration,
}

impl Pauses {
    fn take(&mut self, replication: &Replication) -> Duration {
        let mut byte = [0];
        replication.0.outside.random.fill(&mut byte);
        let pause = self.next * (80 + u32::from(byte[0]) % 41) / 100;
        self.next = (self.next * 2).min(PAUSE_MAX);
        pause
    }
}
