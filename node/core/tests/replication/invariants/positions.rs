//! What a leader believes of a follower that follows it is true: the follower has at least that much of the leader's
//! log, and has flushed what it is said to have flushed (INVARIANTS 24, 27 and 56; KIP-320, KIP-903).

use super::Verdict;
use crate::node::Node;

pub(crate) fn leaders_know_no_more_than_is_true(nodes: &[Node]) -> Verdict {
    for leader in nodes.iter().filter(|node| node.is_up && node.partition.leading().is_some()) {
        for known in leader.partition.followers() {
            let follower = nodes.iter().find(|node| node.me == known.member && node.is_up);
            let Some(follower) = follower.filter(|f| f.partition.following() == Some(leader.me)) else {
                continue;
            };
            let in_force = follower.partition.subscription();
            let is_same = in_force.is_some() && in_force == known.subscription;
            let (Some(log_end), Some(flushed_end), true) = (known.log_end, known.flushed_end, is_same) else {
                continue;
            };
            let shared = follower.disk.batches.iter().zip(&leader.disk.batches).take_while(|(a, b)| a == b);
            let shared_end = shared.last().map_or_else(Default::default, |(batch, _)| batch.end());
            if log_end > shared_end || flushed_end > follower.disk.flushed {
                return Err(format!(
                    "{:?} takes {:?} to be at {log_end}, flushed {flushed_end}: it is at {shared_end}, {}",
                    leader.me, known.member, follower.disk.flushed
                ));
            }
        }
    }
    Ok(())
}
