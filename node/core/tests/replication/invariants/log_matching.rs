//! Log matching (INVARIANTS 3; `MatchingOffsets` in `Kip279` of the TLA+ modules by Hachikuji): two logs with the same
//! epoch at an offset are the same up to there.

use super::Verdict;
use crate::node::Node;

pub(crate) fn logs_match(nodes: &[Node]) -> Verdict {
    for (index, one) in nodes.iter().enumerate() {
        for other in &nodes[index + 1..] {
            let pairs = one.disk.batches.iter().zip(&other.disk.batches);
            let parted = pairs.clone().take_while(|(a, b)| a == b).count();
            // Where they have parted, no batch of one may have offset and epoch of a batch of the other.
            let same = one.disk.batches[parted..].iter().find(|a| {
                let key = |b: &&weir_core::partition::StoredBatch| {
                    (b.base_offset, b.leader_epoch) == (a.base_offset, a.leader_epoch)
                };
                other.disk.batches[parted..].iter().any(|b| key(&b))
            });
            if let Some(same) = same {
                return Err(format!("nodes {} and {} part below {same:?}", one.me.node, other.me.node));
            }
        }
    }
    Ok(())
}
