//! An answer says what was kept: so many replicas have the batch, and each of them has flushed it where it says so
//! (DESIGN.md section 2, promise 1). With `write.caching` a replica that had it may have lost it to a power cut before
//! the leader answered.

use weir_core::partition::{Promise, StoredBatch};
use weir_wire::ids::Offset;

use super::Verdict;
use crate::node::Node;

pub(crate) fn promise_is_true(
    nodes: &[Node],
    power_cut: &[StoredBatch],
    content: u32,
    offset: Offset,
    promise: Promise,
) -> Verdict {
    let holds = |node: &&Node| {
        let found = node.disk.batches.iter().find(|batch| batch.base_offset == offset);
        found.is_some_and(|found| {
            let is_flushed = found.end() <= node.disk.flushed || !promise.flushed;
            found.batch.bytes == content && is_flushed
        })
    };
    let has_lost = |lost: &&StoredBatch| lost.base_offset == offset && lost.batch.bytes == content;
    let lost = if promise.flushed { 0 } else { power_cut.iter().filter(has_lost).count() };
    let holders = lost + nodes.iter().filter(holds).count();
    if holders >= usize::try_from(promise.replicas).unwrap() {
        Ok(())
    } else {
        Err(format!("{content} at {offset} was promised as {promise:?}, and {holders} have it so"))
    }
}
