//! Producer state is a function of the log, on leaders and followers alike (INVARIANTS 39; Kafka's
//! `ProducerStateManager`): what is replayed from nothing equals what was kept.

use weir_core::time::Now;

use super::Verdict;
use crate::node::Node;

pub(crate) fn producers_are_a_function_of_the_log(now: Now, node: &Node) -> Verdict {
    if !node.is_up {
        return Ok(());
    }
    let (kept, replayed) = (node.partition.producer_checkpoint(), node.replayed(now).producer_checkpoint());
    if kept == replayed {
        Ok(())
    } else {
        Err(format!("node {}: producers are {kept:?}, replayed they are {replayed:?}", node.me.node))
    }
}
