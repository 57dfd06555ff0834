//! The epoch cache is the (epoch, first offset) function of the log, plus at most one entry for a reign that has
//! written nothing; epochs never decrease along a log, and offsets follow one another (INVARIANTS 1, 2 and 4; Kafka's
//! `LeaderEpochFileCache.assign`).

use super::Verdict;
use crate::node::Node;

pub(crate) fn epoch_cache_is_a_function_of_the_log(node: &Node) -> Verdict {
    for pair in node.disk.batches.windows(2) {
        if pair[0].end() != pair[1].base_offset || pair[0].leader_epoch > pair[1].leader_epoch {
            return Err(format!("node {}: {:?} is followed by {:?}", node.me.node, pair[0], pair[1]));
        }
    }
    if !node.is_up {
        return Ok(());
    }
    let expected = node.disk.reigns();
    let mut cache = node.partition.epoch_checkpoint().entries;
    if cache.len() == expected.len() + 1 && cache.last().is_some_and(|last| last.start == node.disk.end()) {
        cache.pop();
    }
    if cache == expected {
        Ok(())
    } else {
        Err(format!("node {}: the epoch cache is {cache:?}, the log has {expected:?}", node.me.node))
    }
}
